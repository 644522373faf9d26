"""Servers that people run, as processes of an environment of their own (``make .venv-vllm/ready``).

Each is given the packaged model in float32, so that its numbers can be compared with the local
model's. One runs at a time.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / ".venv-vllm"
TEMPLATE = Path(__file__).with_name("chat_template.jinja").read_text()
"""The chat template that the servers have: the packaged model's own writes no tools."""
LISTED = 1000
"""The most likeliest tokens that vLLM lists here."""
_LONGEST_START = 600.0
"""Seconds, on a machine that is busy."""


@dataclass(frozen=True)
class Server:
    """A server that runs: its kind, its address, and the name of its model."""

    kind: str
    url: str
    model: str


def missing() -> str | None:
    """Why the servers cannot run; ``None`` if they can."""
    if not (ENVIRONMENT / "ready").exists():
        return "no .venv-vllm: make test-servers sets it up (vLLM, some 6 GB)"
    return None


@contextmanager
def vllm(model: Path, *more: str) -> Iterator[str]:
    """vLLM on this machine's CPU, and its base URL.

    Args:
        model: a folder with the weights as safetensors.
        more: further arguments.
    """
    arguments = ["--model", str(model), "--served-model-name", "smollm2", "--dtype", "float32"]
    arguments += ["--max-model-len", "1024", "--enforce-eager", "--max-logprobs", str(LISTED)]
    environment = {
        "LD_PRELOAD": str(ENVIRONMENT / "lib" / "libiomp5.so"),
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_SERVER_DEV_MODE": "1",  # to empty the prefix cache
    }
    command = [_program("python"), "-m", "vllm.entrypoints.openai.api_server"]
    with _process([*command, *arguments, *more], environment) as url:
        yield url


@contextmanager
def transformers_serve(model: Path) -> Iterator[str]:
    """``transformers serve``, and its base URL; the name of the model is its folder."""
    command = [_program("transformers"), "serve", str(model)]
    with _process([*command, "--dtype", "float32", "--device", "cpu"], {}) as url:
        yield url


def _program(name: str) -> str:
    return str(ENVIRONMENT / "bin" / name)


@contextmanager
def _process(command: Sequence[str], environment: dict[str, str]) -> Iterator[str]:
    """A server on a free port of the loopback address, until it is healthy and until it ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with TemporaryFile() as log:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **environment},
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + _LONGEST_START
            while not _is_healthy(address):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    tail = log.read().decode(errors="replace")[-3000:]
                    raise RuntimeError(f"{command[0]} did not start:\n{tail}")
                time.sleep(0.5)
            yield f"{address}/v1"
        finally:
            process.terminate()
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)  # its own session: its workers with it
                process.wait()


def _is_healthy(address: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{address}/health", timeout=2) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False
