"""Turns of a chat as players, and tools that are sent, at servers that people run."""

from __future__ import annotations

import json
import re
import urllib.request
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from interplay._types import BoolArray
from interplay.errors import GameError
from interplay.fourier.masks import every_mask
from interplay.text import ApiGame, Generated, Options, Response, TextGame
from tests.servers.processes import LISTED, TEMPLATE, Server
from tests.text.servers import Json, llama_server, packaged_gguf

pytestmark = [pytest.mark.server, pytest.mark.model, pytest.mark.slow]


def tool(name: str, about: str, argument: str) -> Json:
    parameters = {
        "type": "object",
        "properties": {argument: {"type": "string"}},
        "required": [argument],
    }
    return {
        "type": "function",
        "function": {"name": name, "description": about, "parameters": parameters},
    }


def called(name: str, number: int, **arguments: str) -> Json:
    function = {"name": name, "arguments": json.dumps(arguments)}
    call = {"id": f"call{number}", "type": "function", "function": function}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


def result(number: int, content: str) -> Json:
    return {"role": "tool", "tool_call_id": f"call{number}", "content": content}


CHAT: list[Json] = [
    {"role": "system", "content": "Call a tool for each question."},
    {"role": "user", "content": "Send a mail to Ben."},
    called("mail", 1, to="Ben"),
    result(1, "sent"),
    {"role": "user", "content": "What is the weather in Oslo?"},
    called("weather", 2, city="Oslo"),
    result(2, "rain"),
    {"role": "user", "content": "What is the weather in Rome?"},
]
TOOLS = [
    tool("weather", "The weather in a city.", "city"),
    tool("mail", "Send a mail to somebody.", "to"),
]
TURNS = {0: range(1, 4), 1: range(4, 7)}


@pytest.fixture
def local(smollm: Any) -> Iterator[Any]:
    """The packaged model and its tokenizer, with the servers' chat template."""
    model, tokenizer = smollm
    own, tokenizer.chat_template = tokenizer.chat_template, TEMPLATE
    yield model, tokenizer
    tokenizer.chat_template = own


def kept_messages(turns: BoolArray) -> list[Json]:
    gone = [number for turn, numbers in TURNS.items() if not turns[turn] for number in numbers]
    return [message for number, message in enumerate(CHAT) if number not in gone]


def kept_tools(mask: BoolArray) -> list[Json]:
    return [entry for entry, stays in zip(TOOLS, mask, strict=True) if stays]


def written(tokenizer: Any, messages: list[Json], tools: list[Json]) -> str:
    """What the model reads, by the template alone."""
    return str(
        tokenizer.apply_chat_template(
            messages, tools=tools or None, tokenize=False, add_generation_prompt=True
        )
    )


def read_at(server: Server, sent: Json) -> str:
    """What llama.cpp's server has its model read."""
    request = urllib.request.Request(
        f"{server.url.removesuffix('/v1')}/apply-template",
        json.dumps(sent).encode(),
        {"content-type": "application/json"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request) as reply:
        return str(json.load(reply)["prompt"])


def text_itself(answer: str, original: str) -> float:
    """A number that is the same for the same answer."""
    return float(zlib.crc32(answer.encode()))


def test_turns_are_what_the_model_reads(server: Server, local: Any) -> None:
    masks = every_mask(2)
    target = Generated(text_itself, "text", max_tokens=8)
    game = ApiGame(server.model, CHAT, target, base_url=server.url, by="turn")
    assert game.n_players == 2
    if server.kind == "llama":
        for mask in masks:
            read = read_at(server, {"messages": json.loads(game.prompt(mask))})
            assert read == written(local[1], kept_messages(mask), [])
    values = game(masks)
    expected = TextGame(*local, CHAT, target, by="turn")(masks)
    n_equal = int((values == expected).sum())
    assert n_equal >= (len(masks) / 2 if server.kind == "llama" else len(masks))


def test_values_of_turns(server: Server, local: Any) -> None:
    masks = every_mask(2)
    largest = {"vllm": 1e-3, "llama": 0.5}
    target = Options(("The", "In"), score="logprob")
    game = ApiGame(server.model, CHAT, target, base_url=server.url, by="turn", top_logprobs=LISTED)
    if server.kind == "transformers":
        with pytest.raises(GameError, match="Generated"):
            game(masks)
        return
    here = TextGame(*local, CHAT, target, by="turn")(masks)
    np.testing.assert_allclose(game(masks), here, atol=largest[server.kind])
    assert np.ptp(here[:, 0]) > 2 * largest[server.kind]
    if server.kind == "vllm":
        target = Response("It is sunny in Rome.")
        game = ApiGame(server.model, CHAT, target, base_url=server.url, by="turn")
        here = TextGame(*local, CHAT, target, by="turn")(masks)
        np.testing.assert_allclose(game(masks), here, atol=1e-3)


def test_removed_tools_are_not_read_and_calls_come_back(server: Server, local: Any) -> None:
    answers: list[str] = []

    def calls_weather(answer: str, original: str) -> float:
        answers.append(answer)
        return float('"weather"' in answer)

    target = Generated(calls_weather, "calls weather", max_tokens=24)
    settings: Any = {"base_url": server.url, "by": "turn", "tools": TOOLS}
    both = ApiGame(server.model, CHAT, target, **settings)
    assert both.n_players == 4
    for mask in every_mask(4) if server.kind == "llama" else ():
        read = read_at(server, json.loads(both.prompt(mask)))
        assert read == written(local[1], kept_messages(mask[2:]), kept_tools(mask[:2]))

    game = ApiGame(server.model, CHAT, target, fixed=re.compile("Ben|Oslo"), **settings)
    assert game.players == ("tool weather", "tool mail")
    masks = every_mask(2)
    values = game(masks)
    assert game.usage.requests == 2 + len(masks)
    assert values[masks.all(axis=1)] == 1.0
    called_at_all = json.loads(answers[[*masks.all(axis=1)].index(True)])
    assert set(called_at_all) == {"name", "arguments"}
    if server.kind != "llama":  # of which it is known that it reads the same
        for mask, value in zip(masks, values, strict=True):
            template = {"tools": kept_tools(mask)} if mask.any() else None
            here = TextGame(*local, CHAT, target, by="turn", template=template)
            assert here(np.ones((1, 2), dtype=bool)) == value


def test_tools_that_the_template_does_not_write_are_an_error() -> None:
    gguf = packaged_gguf()
    if gguf is None:
        pytest.skip("xllamacpp (llama.cpp's server) or the packaged GGUF file is not installed")
    target = Generated(text_itself, "text", max_tokens=4)
    with llama_server(gguf) as url:
        game = ApiGame("smollm2", CHAT[-1:], target, base_url=url, by="tool", tools=TOOLS)
        with pytest.raises(GameError, match="as many without"):
            game(every_mask(2))
        assert game.usage.requests == 2
