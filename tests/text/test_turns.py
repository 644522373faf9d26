"""Turns of a chat as players, and tools that are sent to a server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from interplay.errors import GameError
from interplay.fourier.masks import every_mask
from interplay.report.document import turns
from interplay.text import ApiGame, Generated, Replace, Response, TextGame
from tests.text.servers import Json, Reply, serving

CHAT: list[Json] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "My dog is Rex."},
    {"role": "assistant", "content": "A <|im_end|> dog."},
    {"role": "tool", "content": "woof"},
    {"role": "user", "content": "I like tea."},
    {"role": "assistant", "content": "Good."},
    {"role": "user", "content": "What is my dog called?"},
]
TURNS = {0: [1, 2, 3], 1: [4, 5]}


def kept(mask: Any) -> list[Json]:
    gone = [number for turn, numbers in TURNS.items() if not mask[turn] for number in numbers]
    return [message for number, message in enumerate(CHAT) if number not in gone]


@pytest.mark.model
def test_a_turn_goes_with_all_of_its_messages(smollm: Any) -> None:
    model, tokenizer = smollm
    game = TextGame(model, tokenizer, CHAT, Response("Rex"), by="turn")
    assert game.players == ("My dog is Rex.\n\nA <|im_end|> dog.\n\nwoof", "I like tea.\n\nGood.")
    for mask in every_mask(2):
        written = tokenizer.apply_chat_template(
            kept(mask), tokenize=False, add_generation_prompt=True
        )
        assert game.prompt(mask) == written
    # what people write is no special token, so the ids are those of the parts
    assert sum(np.array(game.unmasked_ids) == tokenizer.convert_tokens_to_ids("<|im_end|>")) == 7
    whole, without = game(np.array([[True, True], [False, True]]))
    assert whole > without + 1


@pytest.mark.model
def test_turns_are_shown_as_messages(smollm: Any) -> None:
    game = TextGame(*smollm, CHAT, Response("Rex"), by="turn")
    shown = turns(game.describe())
    said = [(turn["role"], "".join(text for text, _ in turn["pieces"])) for turn in shown]
    assert said == [(message["role"], message["content"]) for message in CHAT]
    players = [{player for _, player in turn["pieces"]} for turn in shown]
    assert players == [{None}, {0}, {0}, {0}, {1}, {1}, {None}]


@pytest.fixture
def numbering(smollm: Any) -> Iterator[Any]:
    tokenizer = smollm[1]
    before = tokenizer.chat_template
    tokenizer.chat_template = (
        "{% for m in messages %}{{ loop.index }} {{ m.content }}\n{% endfor %}"
    )
    yield tokenizer
    tokenizer.chat_template = before


@pytest.mark.model
def test_templates_that_write_the_other_turns_otherwise_are_refused(
    smollm: Any, numbering: Any
) -> None:
    with pytest.raises(ValueError, match="choose by='message'"):
        TextGame(smollm[0], numbering, CHAT, Response("Rex"), by="turn")


def test_which_turns_stay() -> None:
    fixed = [*CHAT[:5], {**CHAT[5], "fixed": True}, CHAT[6]]
    game = ApiGame("m", fixed, Generated(lambda answer, _: 0.0), by="turn")
    assert len(game.players) == 1
    with pytest.raises(ValueError, match="removed as a whole"):
        ApiGame("m", CHAT, Generated(lambda a, _: 0.0), by="turn", masking=Replace("_"))
    with pytest.raises(ValueError, match="nothing is left to ablate"):
        ApiGame("m", CHAT[-1:], Generated(lambda a, _: 0.0), by="turn")
    with pytest.raises(ValueError, match="are not refined"):
        ApiGame("m", CHAT, Generated(lambda a, _: 0.0), by="turn").refined([0], "word")


def test_turns_are_sent_as_messages() -> None:
    game = ApiGame("m", CHAT, Generated(lambda answer, _: 0.0), by="turn")
    for mask in every_mask(2):
        assert json.loads(game.prompt(mask)) == kept(mask)
    (first, _) = game.describe()["spans"]
    assert game.masked.text[slice(*first)].startswith("user: My dog")
    assert game.masked.text[slice(*first)].endswith("tool: woof")


# --- tools that are sent --------------------------------------------------------------------------


def tool(name: str, **more: Any) -> Json:
    return {"type": "function", "function": {"name": name, "description": name}} | more


CALL = {"id": "1", "type": "function", "function": {"name": "map", "arguments": "{}"}}
ASKED: list[Json] = [
    {"role": "user", "content": "Is it raining?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "1", "content": "Oslo is north."},
]


def chosen(body: Json, _: int) -> Reply:
    """A server whose model calls the first tool that it is given."""
    message: Json = {"role": "assistant", "content": "I do not know."}
    if "tools" in body:
        assert body["tools"]  # servers refuse an empty list
        name = body["tools"][0]["function"]["name"]
        call = {"id": "2", "type": "function", "function": {"name": name, "arguments": '{"a": 1}'}}
        message |= {"content": None, "tool_calls": [call]}
    return Reply({"model": "m", "choices": [{"index": 0, "message": message}]})


def test_removed_tools_are_not_sent() -> None:
    score = Generated(lambda answer, _: float('"weather"' in answer), "calls weather")
    with serving(chosen) as server:
        game = ApiGame(
            "m",
            ASKED,
            score,
            base_url=server.url,
            by="tool",
            tools=[tool("weather"), tool("mail"), tool("map", fixed=True)],
        )
        assert game.players == ("tool weather", "tool mail", "Oslo is north.")
        masks = every_mask(3)
        assert game(masks).tolist() == masks[:, 0].tolist()
        for mask in masks:
            sent = json.loads(game.prompt(mask))
            names = [listed["function"]["name"] for listed in sent["tools"]]
            kept_names = [
                n for n, stays in zip(("weather", "mail"), mask[:2], strict=True) if stays
            ]
            assert names == [*kept_names, "map"]
            assert sent in [{key: body.get(key) for key in sent} for body in server.bodies]
            assert len(sent["messages"]) == 2 + mask[2]


def test_without_any_tool_no_list_is_sent() -> None:
    score = Generated(lambda answer, _: float("know" in answer), "does not know")
    with serving(chosen) as server:
        game = ApiGame("m", ASKED[:1], score, base_url=server.url, by="tool", tools=[tool("map")])
        assert game(every_mask(1)).tolist() == [1.0, 0.0]
        assert "fixed" not in json.dumps(server.bodies)


@pytest.mark.parametrize("reads", [True, False])
def test_a_server_whose_model_does_not_read_the_tools(reads: bool) -> None:
    def counted(body: Json, number: int) -> Reply:
        reply = chosen({"tools": body["tools"]} if reads and "tools" in body else {}, number)
        read = 20 + 30 * len(body.get("tools", ())) * reads
        usage = {"prompt_tokens": read, "completion_tokens": 1, "total_tokens": read + 1}
        return Reply({**reply.body, "usage": usage})

    score = Generated(lambda answer, _: float('"weather"' in answer), "calls weather")
    with serving(counted) as server:
        tools = [tool("weather"), tool("mail")]
        game = ApiGame("m", ASKED[:1], score, base_url=server.url, by="tool", tools=tools)
        if not reads:
            with pytest.raises(GameError, match="20 tokens with the tools and as many without"):
                game(every_mask(2))
            assert len(server) == 2
            return
        assert game(every_mask(2)).tolist() == every_mask(2)[:, 0].tolist()
        assert game(every_mask(2)).tolist() == every_mask(2)[:, 0].tolist()
        assert len(server) == 2 + 4 + 4  # it is checked once
        assert [len(body.get("tools", ())) for body in server.bodies[:2]] == [2, 0]


def test_tools_that_cannot_be_sent() -> None:
    score = Generated(lambda answer, _: 0.0)
    with pytest.raises(ValueError, match="is no chat"):
        ApiGame("m", "It rains.", score, tools=[tool("map")])
    with pytest.raises(ValueError, match="masking is 'delete'"):
        ApiGame("m", ASKED, score, tools=[tool("map")], masking=Replace("_"))
    with pytest.raises(ValueError, match="no tool that is not marked fixed"):
        ApiGame("m", ASKED[:1], score, by="tool", tools=[tool("map", fixed=True)])
    with pytest.raises(ValueError, match="no tools were given"):
        ApiGame("m", ASKED, score, tools=[])
