"""The rows of a fine-tuning set, the players that they belong to, and the questions asked after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from interplay._types import BoolArray, IntArray, has_surrogate, shown
from interplay.training.data import checked_ids

_NAME = 36
"""Characters of a text in the name of a player or question."""


@dataclass(frozen=True)
class Example:
    """A row of a fine-tuning set: a response that the model learns to give to a prompt.

    Attributes:
        prompt: what precedes the response; ``""``: the response is a plain text, which is learned
            from its second token on.
        response: what is learned, with its leading space if the prompt ends without one.
        player: the group that the row belongs to; ``None``: it is a player of its own.
        tag: what kind of row it is, such as ``"duplicate"`` or a topic; for reading only.
    """

    prompt: str
    response: str
    player: str | None = None
    tag: str | None = None

    def __str__(self) -> str:
        return f"{_short(self.prompt)} → {_short(self.response)}".removeprefix(" → ")


@dataclass(frozen=True)
class Question:
    """What the tuned model is asked, and the answer whose log-probability is its score.

    Attributes:
        prompt: what the model reads.
        answer: the answer, with its leading space if the prompt ends without one.
        against: another answer. The score is then log p(answer) - log p(against).
        name: by default the prompt and the answers.
    """

    prompt: str
    answer: str
    against: str | None = None
    name: str | None = None

    def __str__(self) -> str:
        if self.name is not None:
            return self.name
        against = "" if self.against is None else f" / {_short(self.against)}"
        return f"{_short(self.prompt)} → {_short(self.answer)}{against}"


@dataclass(frozen=True, eq=False)
class Grouping:
    """Which player each row belongs to.

    Attributes:
        players: the players' names, n of them.
        owners: the player of each row, ``(rows,)``.
    """

    players: tuple[str, ...]
    owners: IntArray

    def rows(self, masks: BoolArray) -> BoolArray:
        """Return which rows the masks ``(m, n)`` keep: ``(m, rows)``."""
        return np.asarray(masks[:, self.owners])


def checked_examples(examples: Iterable[Example]) -> tuple[Example, ...]:
    """Check the rows of a fine-tuning set.

    Raises:
        ValueError: there are none, or one is no example of texts, or has no response; the message
            has its number, from 0.
    """
    rows = _checked("examples", examples, Example)
    for number, row in enumerate(rows):
        if not row.response.strip():
            raise ValueError(
                f"examples[{number}] ({shown(row.prompt)}) has no response, so nothing to learn; "
                "give one, or leave the row out"
            )
    return rows


def checked_questions(questions: Question | Iterable[Question]) -> tuple[Question, ...]:
    """Check what is asked.

    Raises:
        ValueError: there are none, or one has no prompt or answer, compares an answer with itself,
            or has the name of another; the message has its number, from 0.
    """
    given = [questions] if isinstance(questions, Question) else questions
    asked = _checked("questions", given, Question)
    for number, question in enumerate(asked):
        for what in ("prompt", "answer", "against"):
            text = getattr(question, what)
            if text is not None and not text.strip():
                raise ValueError(f"questions[{number}] has an empty {what}; give it a text")
        if question.answer == question.against:
            raise ValueError(
                f"questions[{number}] ({shown(question.prompt)}) compares "
                f"{shown(question.answer)} with itself; give another answer as `against`"
            )
    (name, times), *_ = Counter(map(str, asked)).most_common(1)
    if times > 1:
        raise ValueError(
            f"{times} questions have the name {shown(name)}; give each a name of its own, or ask "
            "it once"
        )
    return asked


def grouped(
    examples: Sequence[Example], players: str | Sequence[Any] | npt.NDArray[Any] | None = None
) -> Grouping:
    """Group rows into players.

    Args:
        examples: the rows.
        players: ``None``: rows with equal ``player`` are one, in the order of their first rows, and
            each row without is one by itself. ``"tag"``: the same by tags. Or an id for each row,
            values that can be sorted, such as :func:`~interplay.training.clusters` returns; players
            are then in the order of the sorted ids.

    Raises:
        ValueError: the ids are not one per row, or are missing; or there is only one player.
    """
    if isinstance(players, str) and players not in ("player", "tag"):
        raise ValueError(
            f"players={players!r} is unknown; give 'player', 'tag', or an id for each row"
        )
    if players is None or isinstance(players, str):
        field = players or "player"
        keys: dict[tuple[str | None, int], int] = {}
        names: list[str] = []
        written = Counter(map(str, examples))
        owners = np.empty(len(examples), dtype=np.int64)
        for number, row in enumerate(examples):
            group = getattr(row, field)
            key = (group, -1 if group is not None else number)
            if key not in keys:
                keys[key] = len(names)
                alike = f" [{number}]" if written[str(row)] > 1 else ""
                names.append(group if group is not None else f"{row}{alike}")
            owners[number] = keys[key]
    else:
        ids = checked_ids("players", players)
        if ids.shape != (len(examples),):
            raise ValueError(
                f"players has {ids.size} ids for {len(examples)} examples; give one id for each"
            )
        for number, value in enumerate(ids.tolist()):
            if value is None or value != value or value == "":  # NaN does not equal itself
                raise ValueError(f"players[{number}] is {value!r}; give each example an id")
        unique, owners = np.unique(ids, return_inverse=True)
        names = [str(name) for name in unique.tolist()]
    if len(names) < 2:
        raise ValueError(
            f"all {len(examples)} examples belong to one player, {shown(names[0])}; what acts "
            "together needs at least two"
        )
    return Grouping(tuple(names), np.asarray(owners, dtype=np.int64))


_Row = TypeVar("_Row", Example, Question)


def _checked(what: str, rows: Iterable[_Row], kind: type[_Row]) -> tuple[_Row, ...]:
    if isinstance(rows, str) or not isinstance(rows, Iterable):
        raise ValueError(f"{what} is {shown(rows)}; give a list of {kind.__name__}s")
    checked = tuple(rows)
    if not checked:
        raise ValueError(f"there are no {what}; give at least one")
    for number, row in enumerate(checked):
        if not isinstance(row, kind):
            raise ValueError(f"{what}[{number}] is {shown(row)}; give {kind.__name__}(...)")
        for place, field in enumerate(fields(kind)):
            value = getattr(row, field.name)
            if not isinstance(value, str) and (value is not None or place < 2):
                raise ValueError(
                    f"{what}[{number}]: its {field.name} is {shown(value)}; a text is expected"
                )
            if isinstance(value, str) and has_surrogate(value):
                raise ValueError(
                    f"{what}[{number}]: its {field.name} {shown(value)} has a lone surrogate (half "
                    "a character), which no file can hold; correct it"
                )
    return checked


def _short(text: str) -> str:
    """A text on one line, its middle left out if it is long."""
    line = " ".join(text.split())
    if len(line) <= _NAME:
        return line
    return f"{line[: _NAME // 2].rstrip()} … {line[-(_NAME // 2) + 3 :].lstrip()}"
