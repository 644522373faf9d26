"""The game behind a run that is served: its answers, and which of them are not kept yet."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from interplay._arrays import as_columns
from interplay._types import BoolArray, FloatArray
from interplay.ablation.evaluator import Evaluator
from interplay.ablation.store import Store
from interplay.cli.live.work import Source
from interplay.fourier.masks import end_masks, keys
from interplay.game import Game

MOST_UNKEPT = 1_000
"""The most answers of a game that can be kept at once; older ones go."""
_QUICK = ("text", "demo")
"""Commands whose ablation is a pass of a model, and no training."""
_Answer: TypeAlias = tuple[BoolArray, FloatArray]


@dataclass(frozen=True)
class Answers:
    """How a run's questions are answered.

    Attributes:
        games: makes the game of each explanation, when it is first asked; in the thread that
            evaluates.
        store: the file of ablations.
        command: the command of the run.
    """

    games: Callable[[], Sequence[Game]]
    store: Path
    command: str


class Answering:
    """The games of a run's explanations, made when they are first asked.

    Args:
        answers: how they are made.
    """

    def __init__(self, answers: Answers) -> None:
        self.command = answers.command
        self._answers = answers
        self._games: Sequence[Game] | None = None
        self._evaluators: dict[int, Evaluator] = {}

    def source(self, number: int) -> Source:
        """The game of an explanation, and its store."""
        if self._games is None:
            self._games = self._answers.games()
        return Source(self._games[number], self._answers.store)

    def ask(self, number: int, mask: BoolArray, fingerprint: str | None) -> tuple[FloatArray, bool]:
        """The values of a mask.

        Args:
            number: of the explanation.
            mask: ``(n,)``.
            fingerprint: the one that its game must have.

        Returns:
            The values by output, ``(k,)``, and whether they were stored.

        Raises:
            ValueError: the game is another one, or another process is evaluating the mask.
        """
        prepared = self._prepared(number)
        if prepared.fingerprint != fingerprint:
            raise ValueError("the run explains another game by now; open it again")
        with replace(prepared, store=Store(self._answers.store), evaluated=set()) as evaluator:
            evaluated = evaluator(mask[None], wait=False)
        if evaluated.interrupted:
            raise ValueError("another process is evaluating this ablation; ask again")
        return as_columns(evaluated.values)[0], evaluated.n_new == 0

    def warm_up(self, number: int) -> None:
        """Make the game, and have the model read its prompt once: the first of all is slow."""
        if self.command in _QUICK:
            prepared = self._prepared(number)
            if not prepared.description.get("paid"):
                prepared.game(end_masks(prepared.game.n_players)[:1])

    def _prepared(self, number: int) -> Evaluator:
        """What evaluates an explanation's game; its store is opened anew for each question.

        The weights of a model are hashed once: that takes longer than an answer.
        """
        if number not in self._evaluators:
            with Evaluator.of(self.source(number).game, progress=False) as prepared:
                self._evaluators[number] = prepared
        return self._evaluators[number]


class Unkept:
    """The answers that explanations do not have, by the fingerprints of their games."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: dict[str | None, dict[bytes, _Answer]] = {}

    def add(self, fingerprint: str | None, mask: BoolArray, values: FloatArray) -> int:
        """Remember an answer; returns how many there are."""
        (key,) = keys(mask[None])
        with self._lock:
            answers = self._answers.setdefault(fingerprint, {})
            answers[key] = mask, values
            if len(answers) > MOST_UNKEPT:
                del answers[next(iter(answers))]
            return len(answers)

    def of(self, fingerprint: str | None) -> list[_Answer]:
        """The answers of a game, the oldest first: masks ``(n,)`` and values ``(k,)``."""
        with self._lock:
            return list(self._answers.get(fingerprint, {}).values())

    def forget(self, fingerprint: str | None, there: Collection[bytes]) -> None:
        """Forget those answers of a game that its explanation has, by the keys of their masks."""
        with self._lock:
            answers = self._answers.get(fingerprint, {})
            self._answers[fingerprint] = {
                key: answer for key, answer in answers.items() if key not in there
            }
