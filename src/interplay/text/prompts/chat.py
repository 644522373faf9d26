"""Chat templates: the messages of a chat as the one text that a model reads.

The template is applied once, to messages with a marker as each content. The markers show where the
contents stand, whatever the contents are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from interplay._types import Json
from interplay.text.prompts.masking import Passage
from interplay.text.prompts.prompt import MaskedPrompt, Piece, Turn

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_MARK = "\ue000{}\ue001"
"""Replaces a message's content. The characters are for private use, so texts do not have them."""


def apply_template(
    tokenizer: PreTrainedTokenizerBase,
    prompt: MaskedPrompt,
    tools: Sequence[Json] | None = None,
) -> MaskedPrompt:
    """Put a chat into the tokenizer's chat template, ready for the assistant's answer.

    If the last message is the assistant's, the answer continues it. A segment that is a whole
    message is removed together with the turn that the template writes. If the template writes
    several messages in one turn, only the message's content is removed.

    Args:
        tokenizer: a tokenizer with a chat template.
        prompt: a chat.
        tools: descriptions of tools, for templates that have a place for them.

    Raises:
        ValueError: the tokenizer has no chat template, or one that refuses these messages or
            changes their contents.
    """
    if tokenizer.chat_template is None:
        raise ValueError(
            "this tokenizer has no chat template, which a prompt of chat messages needs; write the "
            "prompt as one string, or set tokenizer.chat_template"
        )
    contents = ["".join(_text(piece) for piece in turn.pieces) for turn in prompt.turns]
    messages = [turn.message or {} for turn in prompt.turns]
    expected = _templated(tokenizer, messages, contents, tools)
    marks = [_MARK.format(number) if content else "" for number, content in enumerate(contents)]
    marked = _templated(tokenizer, messages, marks, tools)
    turns = prompt.turns
    if _filled(marked, marks, contents) != expected:  # templates that strip contents
        turns = tuple(_stripped(turn) for turn in turns)
        contents = ["".join(_text(piece) for piece in turn.pieces) for turn in turns]
        if _filled(marked, marks, contents) != expected:
            raise ValueError(
                "this tokenizer's chat template changes or repeats the messages' contents, so "
                "their segments have no place in it; write the prompt as one string"
            )
    pieces: list[Piece] = []
    at = 0
    for number, (turn, mark) in enumerate(zip(turns, marks, strict=True)):
        if not mark:
            continue
        start = marked.index(mark)
        before, stop = marked[at:start], start + len(mark)
        (passage, *_) = turn.pieces
        if isinstance(passage, Passage) and passage.content is not None:
            begin, end = _turn_span(tokenizer, messages, marks, tools, marked, number)
            head, tail = marked[begin:start], marked[stop:end]
            extended = head + passage.text + tail
            pieces.append(marked[at:begin])
            content = (len(head), len(head) + len(passage.text))
            pieces.append(
                replace(passage, text=extended, spans=((0, len(extended)),), content=content)
            )
            at = end
        else:
            pieces += [before, *turn.pieces]
            at = stop
    pieces.append(marked[at:])
    applied = tuple(piece for piece in pieces if piece)
    return replace(prompt, turns=(Turn(None, applied),))


def _text(piece: Piece) -> str:
    return piece if isinstance(piece, str) else piece.text


def _templated(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Json],
    contents: Sequence[str],
    tools: Sequence[Json] | None,
    last: bool = True,
) -> str:
    """Apply the template to messages; ready for an answer if the last message is the chat's."""
    answered = messages[-1]["role"] == "assistant"
    filled = [
        message | {"content": content} for message, content in zip(messages, contents, strict=True)
    ]
    try:
        return str(
            tokenizer.apply_chat_template(
                filled,
                tools=list(tools) if tools else None,
                tokenize=False,
                add_generation_prompt=last and not answered,
                continue_final_message=last and answered,
            )
        )
    except Exception as error:  # jinja2's own, and whatever the template raises
        raise ValueError(
            f"this tokenizer's chat template refuses the messages: {error} (roles: "
            f"{', '.join(message['role'] for message in messages)}); change the messages, or write "
            "the prompt as one string"
        ) from error


def _filled(marked: str, marks: Sequence[str], contents: Sequence[str]) -> str | None:
    """The marked text with its contents; ``None`` if a mark does not occur exactly once."""
    for mark, content in zip(marks, contents, strict=True):
        if mark and marked.count(mark) != 1:
            return None
        if mark:
            marked = marked.replace(mark, content)
    return marked


def _stripped(turn: Turn) -> Turn:
    """A turn without the white space around its content."""
    pieces = list(turn.pieces)
    if pieces and isinstance(pieces[0], Passage):
        pieces[0] = _trimmed(pieces[0], len(pieces[0].text) - len(pieces[0].text.lstrip()), None)
    if pieces and isinstance(pieces[-1], Passage):
        pieces[-1] = _trimmed(pieces[-1], 0, len(pieces[-1].text.rstrip()))
    return Turn(turn.message, tuple(pieces))


def _trimmed(passage: Passage, start: int, stop: int | None) -> Passage:
    """The characters of a passage from ``start`` to ``stop``, with its spans moved along."""
    text = passage.text[start:stop]
    spans = tuple((max(a - start, 0), min(b - start, len(text))) for a, b in passage.spans)
    commas = tuple(comma - start for comma in passage.commas)
    content = passage.content and (0, len(text))
    return replace(passage, text=text, spans=spans, commas=commas, content=content)


def _turn_span(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Json],
    marks: Sequence[str],
    tools: Sequence[Json] | None,
    marked: str,
    number: int,
) -> tuple[int, int]:
    """Where a message's turn begins and ends in the marked text.

    To find a turn's end, the template is applied to the messages up to it: the turn ends where that
    text ends. The first turn begins with the same text as the next one, but with its own role.
    """
    start = marked.index(marks[number])
    content = start, start + len(marks[number])

    def end(of: int) -> int | None:
        try:
            until = _templated(tokenizer, messages[: of + 1], marks[: of + 1], tools, last=False)
        except ValueError:
            return None
        return len(until) if marks[of] in until and marked.startswith(until) else None

    stop = end(number)
    begin = end(number - 1) if number else None
    if number == 0 and stop is not None:
        following = marked.find(marks[1], stop) if len(messages) > 1 else len(marked)
        role = messages[1]["role"] if len(messages) > 1 else "assistant"
        head = marked[stop:following].replace(role, messages[0]["role"], 1)
        if head and marked[:start].endswith(head):
            begin = start - len(head)
    if begin is None or stop is None or not begin <= start < stop:
        return content
    return begin, stop
