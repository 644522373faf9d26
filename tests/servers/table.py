"""Prints what ``test_matrix.py`` measured last, as the table in docs/api-models.md."""

from __future__ import annotations

import json

from tests.servers.processes import ROOT

MEASURED = ROOT / "out" / "servers.json"
SERVERS = {"vllm": "vLLM", "llama": "llama.cpp", "transformers": "`transformers serve`"}

if __name__ == "__main__":
    print("|", " | ".join(["what is asked", *SERVERS.values()]), "|")
    print("|" + "---|" * (1 + len(SERVERS)))
    for name, row in json.loads(MEASURED.read_text()).items():
        print("|", " | ".join([name, *(row.get(server, "not run") for server in SERVERS)]), "|")
