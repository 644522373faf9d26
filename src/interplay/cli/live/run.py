"""One run as browsers see it: its explanations, and the game that answers for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from interplay._arrays import as_columns
from interplay._types import BoolArray, Json, visible
from interplay.ablation.evaluator import Evaluator
from interplay.ablation.store import Store
from interplay.cli.folders import rewrite, saved
from interplay.cli.live.session import Job, Session
from interplay.cli.manifest import digest
from interplay.confirmation.design import DEFAULT_BUDGET
from interplay.explanation.adaptive import budgets_until
from interplay.explanation.explain import explain
from interplay.explanation.explanation import FILE, Explanation
from interplay.explanation.loading import load
from interplay.explanation.run_plan import Request
from interplay.fourier.masks import end_masks
from interplay.game import Game
from interplay.text.analysis.drill import Refinement

MOST_TESTED = 12
"""The most interactions that one confirmation tests."""
_MOST_TO_CONFIRM = 2_000
"""No larger budget is tried for a confirmation."""
_BY_EXPLANATION_ALONE = ("text", "demo", "table")
"""Commands that write nothing else that follows from an explanation."""
_QUICK = ("text", "demo")
"""Commands whose ablation is a pass of a model, and no training."""
_KEPT = ("answers", "shown")
"""Entries of the provenance that the commands add, and that hold for the same game."""


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


class Run:
    """A run's folder, served.

    Args:
        folder: of the run.
        session: does what takes time.
        answers: how questions are answered; ``None``: read-only, nothing is evaluated.
        name: of the run, in the studio.
        why: why nothing is evaluated, where that was not asked for.
    """

    def __init__(
        self,
        folder: Path,
        session: Session,
        answers: Answers | None = None,
        *,
        name: str = "",
        why: str = "It was started with --read-only.",
    ) -> None:
        self.folder, self.session, self.name, self.why = folder, session, name, why
        self._answers = answers
        self._games: Sequence[Game] | None = None
        self._evaluators: dict[int, Evaluator] = {}
        self._lock = threading.Lock()
        self._load()

    def _load(self) -> None:
        files = saved(self.folder)
        with self._lock:
            self._refined = files[0][1].name != FILE
            self._digests = [(file, digest(file)) for _, file in files]
            self.explanations = [load(file) for _, file in files]
            self.version = self._digests[-1][1][:16]

    def refresh(self) -> None:
        """Read the explanations again, if their files have changed."""
        if any(not file.is_file() or digest(file) != known for file, known in self._digests):
            self._load()

    def parts(self) -> list[tuple[str, Explanation]]:
        """The explanations as the page has them: the finest of several levels comes first."""
        with self._lock:
            explanations = tuple(self.explanations)
        if self._refined:
            return Refinement(explanations, (), ()).parts
        return [(explanations[0].title, explanations[0])]

    def to_json(self) -> Json:
        """What the page's script needs to know of the run."""
        return {
            "name": self.name,
            "version": self.version,
            "read_only": self._answers is None,
            "why": self.why if self._answers is None else "",
            "more": self._why_no_more() is None,
            "why_no_more": self._why_no_more() or "",
            "goal": 0.9,
            "jobs": self.session.state()["jobs"],
        }

    def ask(self, part: int, removed: Sequence[int]) -> Json:
        """The values of the input without some players: in the thread that evaluates.

        Args:
            part: the explanation, in the order of the page.
            removed: numbers of players.

        Returns:
            The values by output, what is predicted, and the seconds that the model took; 0 for a
            value that was stored.

        Raises:
            ValueError: there is no such explanation or player, or nothing is evaluated.
        """
        number = self._number(part)
        explanation = self.explanations[number]
        mask = _mask(removed, len(explanation.players))
        started = time.perf_counter()
        prepared = self._prepared(number)
        with replace(prepared, store=Store(self._given().store), evaluated=set()) as evaluator:
            evaluated = evaluator(mask[None], wait=False)
        if evaluated.interrupted:
            raise ValueError("another process is evaluating this ablation; ask again")
        return {
            "values": as_columns(evaluated.values)[0].tolist(),
            "predicted": as_columns(explanation.predict(mask[None]))[0].tolist(),
            "stored": evaluated.n_new == 0,
            "seconds": time.perf_counter() - started,
        }

    def confirm(self, part: int, players: Sequence[int] | None = None, top: int = 5) -> Job:
        """Test interactions by fresh ablations: a job.

        One finding is tested together with those that are stronger, as by ``--confirm``: an audit
        chooses them again. Those that were tested before are tested again, so that none is lost.

        Args:
            part: the explanation, in the order of the page.
            players: the finding; ``None``: the strongest ``top``.
            top: how many.

        Raises:
            ValueError: there is no such finding, or too many are stronger.
        """
        number = self._number(part)
        explanation = self.explanations[number]
        self._given()
        settings: dict[str, Any] = {"min_order": 2, "order": 3}
        what = f"the strongest {top}"
        if players is not None:
            chosen = tuple(sorted(_checked(players, len(explanation.players))))
            settings |= {"min_order": min(2, len(chosen)), "order": max(3, len(chosen))}
            top, label = _rank(explanation, chosen, settings)
            what = visible(label)
        if explanation.confirmation is not None:
            top = max(top, min(len(explanation.confirmation.tested), MOST_TESTED))
        if not 1 <= top <= MOST_TESTED:
            raise ValueError(
                f"{top} interactions are too many to test at once, above {MOST_TESTED}"
            )
        run = partial(self._confirm, number, top, settings)
        return self.session.submit("confirm", f"Confirm {what}", run, self.name)

    def _confirm(self, number: int, top: int, settings: dict[str, Any], job: Job) -> str:
        explanation = self.explanations[number]
        settings = settings | {"random_state": explanation.provenance["random_state"]}
        budget = min(DEFAULT_BUDGET, int(explanation.provenance["budget"]["spent"]))
        while True:  # the budget of --confirm-budget, doubled until it pays for all
            try:
                cost = explanation.confirmation_cost(top, budget=budget, **settings)
                break
            except ValueError:
                if budget > _MOST_TO_CONFIRM:
                    raise
                budget *= 2
        confirmation = explanation.confirm(
            cost.n_claims,
            game=self._game(number),
            budget=cost.budget,
            store=self._given().store,
            progress=False,
            **settings,
        )
        self._write(number, replace(explanation, confirmation=confirmation))
        return confirmation.summary

    def more(self, until: float, budget: int | None = None) -> Job:
        """Go on with ablations until the cross-validated R2 reaches a goal: a job.

        Args:
            until: the goal, in (0, 1].
            budget: the most ablations; by default 8 n log2 n, or twice those that there are.

        Raises:
            ValueError: this run cannot go on, or the goal or the budget is out of range.
        """
        self._given()
        if (why := self._why_no_more()) is not None:
            raise ValueError(why)
        request = _request(self.explanations[0], until, budget)
        most = budgets_until(request, len(self.explanations[0].players))[1]
        spent = int(self.explanations[0].provenance["budget"]["spent"])
        if budget is None:
            most = max(most, 2 * spent)
        label = f"More ablations until R2 is {until:g}, at most {most:,}"
        return self.session.submit("more", label, partial(self._more, until, most), self.name)

    def _more(self, until: float, budget: int, job: Job) -> str:
        before = self.explanations[0]
        request = _request(before, until, budget)
        options: dict[str, Any] = dict(request.options)
        explanation = explain(
            self._game(0),
            decoder=request.decoder,
            budget=budget,
            until=until,
            order=request.order,
            holdout=request.holdout,
            measure=request.measure,
            random_state=request.random_state,
            store=self._given().store,
            progress=False,
            **options,
        )
        spent = explanation.provenance["budget"]["spent"]
        if spent <= before.provenance["budget"]["spent"]:
            reason = (explanation.provenance["until"] or {})["stopped_since"]
            return (
                f"It ended with {spent:,} ablations, since {reason}. The page has as many or more, "
                "and stays as it is; what was evaluated is stored."
            )
        kept = {name: before.provenance[name] for name in _KEPT if name in before.provenance}
        self._write(0, replace(explanation, provenance=explanation.provenance | kept))
        return f"{explanation.faithfulness}, by {spent:,} ablations."

    def _why_no_more(self) -> str | None:
        """Why no ablations can be added; ``None``: they can."""
        if self._answers is None:
            return self.why
        if len(self.explanations) > 1:
            return "A hierarchical refinement divides one budget among its levels; run it again."
        if self._answers.command not in _BY_EXPLANATION_ALONE:
            return (
                f"`interplay {self._answers.command}` writes more that follows from the "
                "explanation; run it again with --until, which takes the ablations from the store."
            )
        if self.explanations[0].faithfulness.exact:
            return "All masks were evaluated; there are no more."
        return None

    def _write(self, number: int, explanation: Explanation) -> None:
        """Put a new explanation into the folder, unless another process has written there."""
        for file, recorded in self._digests:
            if not file.is_file() or digest(file) != recorded:
                raise ValueError(
                    f"{file.name} was changed by another process meanwhile, and is left as it is; "
                    "what was evaluated is stored. Open the folder again"
                )
        with self._lock:
            self.explanations[number] = explanation
            explanations = list(self.explanations)
        rewrite(explanations, self.folder)
        self._load()
        self.session.events.publish("changed", {"name": self.name, "version": self.version})

    def _given(self) -> Answers:
        if self._answers is None:
            raise ValueError(f"Nothing is evaluated. {self.why}")
        return self._answers

    def _game(self, number: int) -> Game:
        """The game of an explanation, made when it is first asked for."""
        if self._games is None:
            self._games = self._given().games()
        return self._games[number]

    def _prepared(self, number: int) -> Evaluator:
        """What evaluates an explanation's game; its store is opened anew for each question.

        The weights of a model are hashed once: that takes longer than an answer.
        """
        if number not in self._evaluators:
            with Evaluator.of(self._game(number), progress=False) as prepared:
                self._evaluators[number] = prepared
        return self._evaluators[number]

    def warm_up(self) -> None:
        """Make the game, and have the model read its prompt once: the first of all is slow."""
        if self._answers is not None and self._answers.command in _QUICK:
            prepared = self._prepared(len(self.explanations) - 1)
            if not prepared.description.get("paid"):
                prepared.game(end_masks(prepared.game.n_players)[:1])

    def _number(self, part: int) -> int:
        """The number of an explanation in the folder, by its number on the page."""
        if not 0 <= part < len(self.explanations):
            raise ValueError(f"there is no part {part}; the page has {len(self.explanations)}")
        return len(self.explanations) - 1 - part


def _request(explanation: Explanation, until: float, budget: int | None) -> Request:
    """What the explanation was asked for, but until a goal."""
    return replace(Request.recorded(explanation.provenance), until=until, budget=budget)


def _rank(
    explanation: Explanation, chosen: tuple[int, ...], settings: dict[str, Any]
) -> tuple[int, str]:
    """How many interactions are at least as strong as one, itself included, and its name."""
    interactions = explanation.spectrum.output(0).to(
        explanation.index, order=settings["order"], players=explanation.players
    )
    ranked = interactions.top(len(interactions), min_order=settings["min_order"])
    if chosen not in ranked.sets:
        raise ValueError(f"the explanation has no interaction of the players {list(chosen)}")
    rank = ranked.sets.index(chosen) + 1
    if rank > MOST_TESTED:
        raise ValueError(
            f"{rank - 1} interactions are stronger than this one; the page tests it with those, at "
            f"most {MOST_TESTED}. Call explanation.confirm({rank}, ...) in Python"
        )
    return rank, interactions.label(chosen)


def _checked(players: Sequence[int], n_players: int) -> list[int]:
    """Numbers of players, each once.

    Raises:
        ValueError: they are not.
    """
    whole = all(type(player) is int and 0 <= player < n_players for player in players)
    if not whole or len(set(players)) != len(players):
        raise ValueError(f"players are distinct whole numbers from 0 to {n_players - 1}")
    return list(players)


def _mask(removed: Sequence[int], n_players: int) -> BoolArray:
    """The mask without some players, ``(n,)``."""
    mask = np.ones(n_players, dtype=np.bool_)
    mask[_checked(removed, n_players)] = False
    return mask
