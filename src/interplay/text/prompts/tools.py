"""The tools that a chat template writes, as players."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from interplay._types import Json
from interplay.text.prompts.chat import ChatTemplate, apply_template
from interplay.text.prompts.fields import Span
from interplay.text.prompts.masking import DELETE, Delete
from interplay.text.prompts.passage import Passage
from interplay.text.prompts.prompt import MaskedPrompt, Piece, Turn

Tool: TypeAlias = Mapping[str, Any]
"""A tool as chat templates take it, such as ``{"type": "function", "function": {"name": ...}}``;
``fixed`` if it must never be ablated."""


def apply_template_with_tools(
    template: ChatTemplate, prompt: MaskedPrompt, tools: Sequence[Tool]
) -> tuple[ChatTemplate, MaskedPrompt]:
    """Put a chat into its template with tools, each of which is a player beside the segments.

    A tool is found by its JSON in what the template writes. What the template writes around the
    tools stays when all of them are removed.

    Args:
        template: the template, without the tools.
        prompt: a chat.
        tools: the tools.

    Returns:
        The template with the tools among its arguments, and the prompt.

    Raises:
        ValueError: no tools, a tool without a name, or a template that does not write each tool
            once as JSON, or not as if the others were not there.
    """
    given = [_checked(tool) for tool in tools]
    if "tools" in template.arguments:
        raise ValueError('tools are given twice, as tools= and in template={"tools": ...}')
    if not prompt.n_players and all(tool.get("fixed") for tool in tools):
        raise ValueError(
            "nothing is left to ablate: there are no segments, and no tool that is not marked fixed"
        )
    if not given:
        raise ValueError("no tools were given; give at least one, or leave tools out")

    def with_tools(kept: Sequence[Json]) -> ChatTemplate:
        return replace(template, arguments={**template.arguments, "tools": list(kept)})

    full = with_tools(given)
    applied = apply_template(full, prompt)
    # by place: of each tool its span, its number, and its player's name
    places = sorted(
        (_place(applied.text, tool), number, None if tools[number].get("fixed") else _name(tool))
        for number, tool in enumerate(given)
    )
    cut, first = _cut(applied, [(span, name and f"tool {name}") for span, _, name in places])
    free = [number for _, number, name in places if name is not None]
    deleted = replace(cut, masking=DELETE)
    for player, number in enumerate(free, first) if len(given) > 1 else ():
        mask = np.ones(cut.n_players, dtype=np.bool_)
        mask[player] = False
        others = with_tools([*given[:number], *given[number + 1 :]])
        if deleted.render(mask) != apply_template(others, prompt).text:
            raise ValueError(
                "this tokenizer's chat template writes the other tools otherwise without "
                f"{_name(given[number])!r}, so that it cannot be removed by itself; give the tools "
                'as template={"tools": ...}, which keeps them all'
            )
    return full, cut


TOOLS_ROLE = "tools available"
"""The role of the part of a chat that is no message, but the list of the tools that are sent."""


def with_tools_to_send(prompt: MaskedPrompt, tools: Sequence[Tool]) -> MaskedPrompt:
    """Put tools before the messages of a chat, as JSON: those that are kept are sent with it.

    Args:
        prompt: a chat.
        tools: the tools, each a player unless it is marked fixed.

    Raises:
        ValueError: no tools, one without a name, no chat, or a masking that leaves no list.
    """
    if not prompt.is_chat:
        raise ValueError("tools were given, but the prompt is no chat; leave them out")
    if not isinstance(prompt.masking, Delete):
        raise ValueError(
            "a removed tool is not in the list of tools that is sent, so with tools the masking is "
            "'delete'; leave the tools out, or the masking"
        )
    if not tools:
        raise ValueError("no tools were given; give at least one, or leave tools out")
    text = "["
    spans: list[Span] = []
    for tool in tools:
        text += ",\n" if spans else ""
        start = len(text)
        text += json.dumps(_checked(tool), ensure_ascii=False)
        spans.append((start, len(text)))
    text += "]"
    names = tuple(f"tool {_name(tool)}" for tool in tools if not tool.get("fixed"))
    players = (*names, *prompt.players)
    if not players:
        raise ValueError(
            "nothing is left to ablate: there are no segments, and no tool that is not marked fixed"
        )
    free = tuple(span for span, tool in zip(spans, tools, strict=True) if not tool.get("fixed"))
    listed = Turn({"role": TOOLS_ROLE}, (Passage(text, free, 0, _commas(text, spans)),))
    turns = [
        replace(
            turn,
            pieces=tuple(
                piece if isinstance(piece, str) else replace(piece, first=piece.first + len(names))
                for piece in turn.pieces
            ),
            player=None if turn.player is None else turn.player + len(names),
        )
        for turn in prompt.turns
    ]
    return replace(prompt, turns=(listed, *turns), players=players)


def _checked(tool: Tool) -> Json:
    if not isinstance(tool, Mapping) or not isinstance(_name(tool), str):
        raise ValueError(
            f'{tool!r} is no tool; it needs a name, such as {{"type": "function", "function": '
            '{"name": "search", ...}}'
        )
    return {key: value for key, value in tool.items() if key != "fixed"}


def _name(tool: Tool) -> Any:
    function = tool.get("function")
    return (function if isinstance(function, Mapping) else tool).get("name")


def _place(text: str, tool: Json) -> Span:
    """Where a template has written a tool, in whatever layout of its JSON.

    Raises:
        ValueError: it stands nowhere, or more than once.
    """
    for entry in (tool, tool.get("function")):
        for indent in (None, 2, 4):
            written = json.dumps(entry, ensure_ascii=False, indent=indent)
            if entry is not None and text.count(written) == 1:
                start = text.index(written)
                return start, start + len(written)
    raise ValueError(
        f"this tokenizer's chat template does not write the tool {_name(tool)!r} once as JSON, so "
        "that it has no place that could be ablated; write the tools into a message, a line each, "
        'and ablate its lines, or give them as template={"tools": ...}, which keeps them'
    )


def _cut(
    applied: MaskedPrompt, places: Sequence[tuple[Span, str | None]]
) -> tuple[MaskedPrompt, int]:
    """The prompt with tools as players, all players numbered in the order of the text.

    Args:
        applied: the prompt in its template.
        places: of each tool in the order of the text, its span and the player's name if it is one.

    Returns:
        The prompt, and the number of the first tool among its players.
    """
    (begin, _), _ = places[0]
    (_, end), _ = places[-1]
    pieces: list[Piece] = []
    names: list[str] = []
    at = first_tool = 0
    for piece in _opened(applied, begin):
        text = piece if isinstance(piece, str) else piece.text
        start, at = at, at + len(text)
        if not start <= begin < at:
            pieces.append(_numbered(piece, applied.players, names))
            continue
        if not isinstance(piece, str) or end > at:
            raise ValueError(
                "this tokenizer's chat template does not write the tools in one place of its own; "
                'give them as template={"tools": ...}, which keeps them'
            )
        # white space around the tools may go with them
        first = len(text[: begin - start].rstrip())
        last = len(text) - len(text[end - start :].lstrip())
        written = text[first:last]
        moved = [((a - start - first, b - start - first), name) for (a, b), name in places]
        spans = tuple(span for span, name in moved if name is not None)
        commas = _commas(written, [span for span, _ in moved])
        first_tool = len(names)
        tools = Passage(written, spans, first_tool, commas)
        names += [name for _, name in moved if name is not None]
        pieces += [part for part in (text[:first], tools, text[last:]) if part]
    swaps = applied.players[applied.n_players - applied.n_swaps :]
    turns = (Turn(None, tuple(pieces)),)
    return replace(applied, turns=turns, players=(*names, *swaps)), first_tool


def _numbered(piece: Piece, players: Sequence[str], names: list[str]) -> Piece:
    """A piece with its segments numbered on; their names are added to those so far."""
    if isinstance(piece, str):
        return piece
    first = len(names)
    names += players[piece.first : piece.first + len(piece.spans)]
    return replace(piece, first=first)


def _opened(applied: MaskedPrompt, begin: int) -> Iterator[Piece]:
    """The pieces; a message that goes with its turn only with its content if the tools are in it.

    So are those of templates that write the tools into the turn of the system's message.
    """
    at = 0
    for piece in applied.turns[0].pieces:
        text = piece if isinstance(piece, str) else piece.text
        if isinstance(piece, Passage) and piece.content and at <= begin < at + len(text):
            start, stop = piece.content
            inner = ((0, stop - start),) if piece.spans else ()
            swapped = tuple(place.moved(-start) for place in piece.swapped)
            content = Passage(text[start:stop], inner, piece.first, swapped=swapped)
            yield from (part for part in (text[:start], content, text[stop:]) if part)
        else:
            yield piece
        at += len(text)


def _commas(text: str, spans: Sequence[Span]) -> tuple[int, ...]:
    """The commas that only separate tools, where a template writes a list of them."""
    between = [(stop, start) for (_, stop), (start, _) in pairwise(spans)]
    return tuple(
        text.index(",", stop) for stop, start in between if text[stop:start].strip() == ","
    )
