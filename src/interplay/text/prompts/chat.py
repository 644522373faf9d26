"""Chat templates: the messages of a chat as the one text that a model reads.

The template is applied once, to messages with a marker as each content. The markers show where the
contents stand, whatever the contents are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from interplay._types import Json
from interplay.text.prompts.passage import Passage
from interplay.text.prompts.prompt import MaskedPrompt, Piece, Turn

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TEMPLATE_TIME = datetime(2026, 1, 1)
"""The time that templates see if no other is given."""
# the library's own clock cannot be set, so templates get one that only marks what it is asked for
_CLOCK = "{% macro strftime_now(form) %}\ue002{{ form }}\ue003{% endmacro %}"
_TIME = re.compile("\ue002(.*?)\ue003")
_SET_HERE = {
    "conversation",
    "messages",
    "tokenize",
    "add_generation_prompt",
    "continue_final_message",
    "chat_template",
    "return_dict",
    "return_tensors",
}
"""What is no argument of a template, or one that the game sets."""
_MARK = "\ue000{}\ue001"
"""Replaces a message's content. The characters are for private use, so texts do not have them."""


@dataclass(frozen=True)
class ChatTemplate:
    """A tokenizer's chat template, with what it is given besides the messages.

    A template that writes the date would make another prompt each day. It is given a fixed time,
    which is recorded if the template asks for it.

    Attributes:
        tokenizer: a tokenizer with a chat template.
        arguments: JSON values that the template is given by name besides the messages, such as
            ``tools``, ``documents`` or ``enable_thinking``.
        time: the time that the template sees.

    Raises:
        ValueError: the tokenizer has no chat template; or an argument is no JSON, or has a name
            that is set here.
    """

    tokenizer: PreTrainedTokenizerBase
    arguments: Mapping[str, Any] = field(default_factory=dict)
    time: datetime = TEMPLATE_TIME
    _asked: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.tokenizer.chat_template is None:
            raise ValueError(
                "this tokenizer has no chat template, which a prompt of chat messages needs; write "
                "the prompt as one string, or set tokenizer.chat_template"
            )
        if not isinstance(self.time, datetime):
            raise ValueError(
                f"template_time={self.time!r} is no datetime; give datetime.datetime(2026, 1, 31)"
            )
        taken = sorted(_SET_HERE & self.arguments.keys())
        if taken:
            raise ValueError(
                f"the template's argument {taken[0]!r} is set by the game; leave it out"
            )
        try:
            json.dumps(dict(self.arguments), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"the template's arguments {dict(self.arguments)!r} are no JSON: {error}; give "
                "texts, numbers, true, false, lists and mappings"
            ) from error

    def __call__(
        self, messages: Sequence[Json], contents: Sequence[str] | None = None, last: bool = True
    ) -> str:
        """What the template writes; ready for an answer if the last message is the chat's.

        Args:
            messages: the messages.
            contents: their contents, if others than their own.
            last: whether the last message is the chat's last.

        Raises:
            ValueError: the template refuses the messages.
        """
        answered = messages[-1]["role"] == "assistant"
        filled = [dict(message) for message in messages]
        for message, content in zip(filled, contents or (), strict=False):
            message["content"] = content
        try:
            template = self.tokenizer.get_chat_template(tools=self.arguments.get("tools"))
            written = self.tokenizer.apply_chat_template(
                filled,
                chat_template=_CLOCK + template if "strftime_now" in template else template,
                tokenize=False,
                add_generation_prompt=last and not answered,
                continue_final_message=last and answered,
                **self.arguments,
            )
        except Exception as error:  # jinja2's own, and whatever the template raises
            raise ValueError(
                f"this tokenizer's chat template refuses the messages: {error} (roles: "
                f"{', '.join(message['role'] for message in messages)}); change the messages, or "
                "write the prompt as one string"
            ) from error

        return _TIME.sub(self._told, str(written))

    def _told(self, asked: re.Match[str]) -> str:
        self._asked.add("time")
        return self.time.strftime(asked[1])

    def describe(self) -> Json:
        """The arguments, and the time if the template has asked for it, as JSON."""
        description: Json = {}
        if self.arguments:
            description["template_arguments"] = dict(self.arguments)
        if self._asked:
            description["template_time"] = self.time.isoformat()
        return description


def apply_template(template: ChatTemplate, prompt: MaskedPrompt) -> MaskedPrompt:
    """Put a chat into its template, ready for the assistant's answer.

    If the last message is the assistant's, the answer continues it. A segment that is a whole
    message is removed together with the turn that the template writes. If the template writes
    several messages in one turn, only the message's content is removed. A template may rewrite a
    message that has no segments, as those do that take the thoughts out of earlier answers.

    Args:
        template: the template.
        prompt: a chat.

    Raises:
        ValueError: the template refuses these messages, or rewrites one that has segments.
    """
    messages = [turn.message or {} for turn in prompt.turns]
    contents = [_content(turn) for turn in prompt.turns]
    expected = template(messages, contents)
    turns = [
        _placed(template, messages, contents, expected, number, turn)
        for number, turn in enumerate(prompt.turns)
    ]
    marks = [
        _MARK.format(number) if turn and content else content
        for number, (turn, content) in enumerate(zip(turns, contents, strict=True))
    ]
    marked = template(messages, marks)
    placed = {mark: _content(turn) for turn, mark in zip(turns, marks, strict=True) if turn}
    if _filled(marked, list(placed), list(placed.values())) != expected:
        raise _changed("the messages", "several")
    if any(turn.player is not None for turn in prompt.turns):
        return _with_turns(template, prompt, messages, marks, marked, placed)
    pieces: list[Piece] = []
    at = 0
    for number, (turn, mark) in enumerate(zip(turns, marks, strict=True)):
        if turn is None or not mark:
            continue
        start = marked.index(mark)
        before, stop = marked[at:start], start + len(mark)
        (passage, *_) = turn.pieces
        if isinstance(passage, Passage) and passage.content is not None:
            begin, end = _turn_span(template, messages, marks, marked, number)
            head, tail = marked[begin:start], marked[stop:end]
            extended = head + passage.text + tail
            pieces.append(marked[at:begin])
            content = (len(head), len(head) + len(passage.text))
            swapped = tuple(place.moved(len(head)) for place in passage.swapped)
            pieces.append(
                replace(
                    passage,
                    text=extended,
                    spans=((0, len(extended)),),
                    content=content,
                    swapped=swapped,
                )
            )
            at = end
        else:
            pieces += [before, *turn.pieces]
            at = stop
    pieces.append(marked[at:])
    applied = tuple(piece for piece in pieces if piece)
    written = replace(prompt, turns=(Turn(None, applied),))
    return replace(written, said=_said(messages, contents, written.text))


def _said(
    messages: Sequence[Json], contents: Sequence[str], text: str
) -> tuple[tuple[str, int, int], ...]:
    """Where each message's content is in the text that the template wrote, with its role.

    What the template rewrites has no such place.
    """
    places, at = [], 0
    for message, content in zip(messages, map(str.strip, contents), strict=True):
        start = text.find(content, at) if content else -1
        if start >= 0:
            at = start + len(content)
            places.append((str(message.get("role", "")), start, at))
    return tuple(places)


def _with_turns(
    template: ChatTemplate,
    prompt: MaskedPrompt,
    messages: Sequence[Json],
    marks: Sequence[str],
    marked: str,
    placed: Mapping[str, str],
) -> MaskedPrompt:
    """The chat with each turn that is a player as one passage.

    Args:
        template: the template.
        prompt: the chat.
        messages: its messages.
        marks: the mark of each, or what stands in its place.
        marked: what the template writes for the marks.
        placed: the content for each mark.

    Raises:
        ValueError: a turn has no place of its own, or the others are written otherwise without it.
    """
    owners = [turn.player for turn in prompt.turns]
    pieces: list[Piece] = []
    at = 0
    for player in sorted({owner for owner in owners if owner is not None}):
        numbers = [number for number, owner in enumerate(owners) if owner == player]
        begin, _ = _turn_span(template, messages, marks, marked, numbers[0])
        until = template(messages[: numbers[-1] + 1], marks[: numbers[-1] + 1], last=False)
        is_content = marked[begin:].startswith(marks[numbers[0]])
        if is_content or not marked.startswith(until) or not at <= begin < len(until):
            raise _no_turn(prompt.players[player])
        pieces += [
            text if not by_people else Passage(text, (), 0)
            for text, by_people in _unmarked(marked[at:begin], placed)
        ]
        text, inner = "", []
        for part, by_people in _unmarked(marked[begin : len(until)], placed):
            if by_people:
                inner.append((len(text), len(text) + len(part)))
            text += part
        pieces.append(Passage(text, ((0, len(text)),), player, inner=tuple(inner)))
        at = len(until)
    pieces += [
        text if not by_people else Passage(text, (), 0)
        for text, by_people in _unmarked(marked[at:], placed)
    ]
    applied = replace(prompt, turns=(Turn(None, tuple(pieces)),))
    applied = replace(
        applied, said=_said(messages, list(map(_content, prompt.turns)), applied.text)
    )
    for player, name in enumerate(prompt.players):
        mask = np.arange(prompt.n_players) != player
        others = [number for number, owner in enumerate(owners) if owner != player]
        contents = [_content(prompt.turns[number]) for number in others]
        if "".join(text for text, _ in applied.parts(mask)) != template(
            [messages[number] for number in others], contents
        ):
            raise _no_turn(name)
    return applied


def _unmarked(marked: str, placed: Mapping[str, str]) -> Iterator[tuple[str, bool]]:
    """A marked text with its contents, in parts, each with whether people wrote it."""
    at = 0
    for mark, content in sorted(placed.items(), key=lambda item: marked.find(item[0])):
        start = marked.find(mark) if mark else -1
        if start >= 0:
            yield from (
                (text, people)
                for text, people in ((marked[at:start], False), (content, True))
                if text
            )
            at = start + len(mark)
    if marked[at:]:
        yield marked[at:], False


def _no_turn(name: str) -> ValueError:
    return ValueError(
        f"this tokenizer's chat template writes the turn {name[:40]!r} in no place of its own, or "
        "the other turns otherwise without it, so that it cannot be removed by itself; choose "
        "by='message'"
    )


def _placed(
    template: ChatTemplate,
    messages: Sequence[Json],
    contents: Sequence[str],
    expected: str,
    number: int,
    turn: Turn,
) -> Turn | None:
    """The turn as the template writes it, perhaps stripped; ``None`` if it is rewritten.

    Raises:
        ValueError: it is rewritten and has segments, or special tokens of the tokenizer.
    """
    content, mark = contents[number], _MARK.format(number)
    if not content:
        return turn
    marked = template(messages, [*contents[:number], mark, *contents[number + 1 :]])
    for candidate in (turn, _stripped(turn)):
        if _filled(marked, [mark], [_content(candidate)]) == expected:
            return candidate
    has_segments = any(
        isinstance(piece, Passage) and (piece.spans or piece.swapped) for piece in turn.pieces
    )
    tokens = getattr(template.tokenizer, "added_tokens_decoder", {}).values()
    if has_segments or any(token.special and token.content in content for token in tokens):
        raise _changed(f"message {number}", f"{messages[number]['role']}: {content[:40]!r}")
    return None


def _changed(which: str, what: str) -> ValueError:
    return ValueError(
        f"this tokenizer's chat template changes or repeats the content of {which} ({what}), so "
        'that its segments have no place in it; mark such a message as "fixed": True, or write '
        "the prompt as one string"
    )


def _content(turn: Turn) -> str:
    return "".join(piece if isinstance(piece, str) else piece.text for piece in turn.pieces)


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
    swapped = tuple(place.moved(-start) for place in passage.swapped)
    return replace(passage, text=text, spans=spans, commas=commas, content=content, swapped=swapped)


def _turn_span(
    template: ChatTemplate,
    messages: Sequence[Json],
    marks: Sequence[str],
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
            until = template(messages[: of + 1], marks[: of + 1], last=False)
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
