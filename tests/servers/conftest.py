"""The servers of the tests here: one runs at a time, for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.processes import TEMPLATE, Server, missing, transformers_serve, vllm
from tests.text.servers import llama_server, packaged_gguf


@pytest.fixture(scope="package", params=["vllm", "llama", "transformers"])
def server(
    request: pytest.FixtureRequest, smollm: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """One server after the other, with the packaged model and a chat template that writes tools."""
    if request.param == "llama":
        gguf = packaged_gguf()
        if gguf is None:
            pytest.skip("xllamacpp (llama.cpp's server) or the packaged GGUF file is not installed")
        with llama_server(gguf, template=TEMPLATE) as url:
            yield Server("llama", url, "smollm2")
        return
    if (reason := missing()) is not None:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("model")
    for file in Path(smollm[0].name_or_path).iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    if request.param == "vllm":
        with vllm(folder, "--enable-auto-tool-choice", "--tool-call-parser", "hermes") as url:
            yield Server("vllm", url, "smollm2")
    else:
        with transformers_serve(folder) as url:
            yield Server("transformers", url, str(folder))
