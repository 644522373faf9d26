"""One run as browsers see it: its explanations, and the game that answers for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from interplay._arrays import as_columns
from interplay._types import Json, shown, visible
from interplay.cli.folders import rewrite, saved
from interplay.cli.live.answers import Answering, Answers, Unkept
from interplay.cli.live.session import Job, Session
from interplay.cli.live.work import (
    MOST_ABLATIONS,
    MOST_TESTED,
    checked,
    confirmed,
    continued,
    known,
    mask_without,
    rank,
    request_until,
    with_asked,
)
from interplay.cli.manifest import digest
from interplay.explanation.adaptive import budgets_until
from interplay.explanation.explanation import FILE, Explanation
from interplay.explanation.loading import load
from interplay.fourier.masks import keys
from interplay.text.analysis.drill import Refinement

_BY_EXPLANATION_ALONE = ("text", "demo", "table")
"""Commands that write nothing else that follows from an explanation."""


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
        self._answering = None if answers is None else Answering(answers)
        self._unkept = Unkept()
        self._lock = threading.Lock()
        self._load()

    def _load(self) -> None:
        files = saved(self.folder)
        with self._lock:
            self._refined = files[0][1].name != FILE
            self._digests = [(file, digest(file)) for _, file in files]
            self.explanations = [load(file) for _, file in files]
            self.version = self._digests[-1][1][:16]
            self._known = [known(explanation) for explanation in self.explanations]
            for number, there in enumerate(self._known):
                self._unkept.forget(self._fingerprint(number), there)

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
        numbers = reversed(range(len(self.explanations)))  # in the order of the page
        return {
            "name": self.name,
            "version": self.version,
            "read_only": self._answering is None,
            "why": self.why if self._answering is None else "",
            "more": self._why_no_more() is None,
            "why_no_more": self._why_no_more() or "",
            "unkept": [len(self._unkept.of(self._fingerprint(number))) for number in numbers],
            "goal": 0.9,
            "jobs": self.session.state()["jobs"],
        }

    def ask(self, part: int, removed: Sequence[int]) -> Json:
        """The values of the input without some players: in the thread that evaluates.

        Args:
            part: the explanation, in the order of the page.
            removed: numbers of players.

        Returns:
            The values by output, what is predicted, the seconds that it took, whether the value was
            stored, and how many answers are not kept yet.

        Raises:
            ValueError: there is no such explanation or player, or nothing is evaluated.
        """
        number = self._number(part)
        explanation = self.explanations[number]
        mask = mask_without(removed, len(explanation.players))
        started, fingerprint = time.perf_counter(), self._fingerprint(number)
        values, stored = self._given().ask(number, mask, fingerprint)
        if keys(mask[None])[0] not in self._known[number]:
            self._unkept.add(fingerprint, mask, values)
        return {
            "values": values.tolist(),
            "predicted": as_columns(explanation.predict(mask[None]))[0].tolist(),
            "stored": stored,
            "seconds": time.perf_counter() - started,
            "unkept": len(self._unkept.of(fingerprint)),
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
            chosen = tuple(sorted(checked(players, len(explanation.players))))
            settings |= {"min_order": min(2, len(chosen)), "order": max(3, len(chosen))}
            top, label = rank(explanation, chosen, settings)
            what = visible(label)
        if explanation.confirmation is not None:
            top = max(top, min(len(explanation.confirmation.tested), MOST_TESTED))
        if not 1 <= top <= MOST_TESTED:
            raise ValueError(f"{top} interactions cannot be tested at once, 1 to {MOST_TESTED} can")
        run = partial(self._confirm, number, top, settings)
        return self.session.submit("confirm", f"Confirm {what}", run, self.name)

    def _confirm(self, number: int, top: int, settings: dict[str, Any], job: Job) -> str:
        explanation = self.explanations[number]
        confirmation = confirmed(explanation, self._given().source(number), top, settings)
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
        if budget is not None and not 1 <= budget <= MOST_ABLATIONS:
            raise ValueError(
                f"the budget of {shown(budget)} ablations is not between 1 and {MOST_ABLATIONS:,}"
            )
        request = request_until(self.explanations[0], until, budget)
        most = budgets_until(request, len(self.explanations[0].players))[1]
        spent = int(self.explanations[0].provenance["budget"]["spent"])
        if budget is None:
            most = max(most, 2 * spent)
        label = f"More ablations until R2 is {until:g}, at most {most:,}"
        return self.session.submit("more", label, partial(self._more, until, most), self.name)

    def _more(self, until: float, budget: int, job: Job) -> str:
        before = self.explanations[0]
        explanation = continued(before, self._given().source(0), until, budget)
        spent = explanation.provenance["budget"]["spent"]
        if spent <= before.provenance["budget"]["spent"]:
            reason = (explanation.provenance["until"] or {})["stopped_since"]
            return (
                f"It ended with {spent:,} ablations, since {reason}. The page has as many or more, "
                "and stays as it is; what was evaluated is stored."
            )
        self._write(0, explanation)
        said = f"{explanation.faithfulness}, by {spent:,} ablations."
        if before.confirmation is not None:
            said += " What was confirmed were claims of the smaller run: confirm those of this one."
        return said

    def keep(self, part: int) -> Job:
        """Save what was asked of a part, by all browsers, into its explanation: a job.

        Args:
            part: the explanation, in the order of the page.

        Raises:
            ValueError: there is no such explanation, or nothing to keep.
        """
        number = self._number(part)
        self._given()
        count = len(self._unkept.of(self._fingerprint(number)))
        if not count:
            raise ValueError("no answer is to be kept: each is in the explanation already")
        label = f"Keep {count:,} answer{'s' if count > 1 else ''}"
        return self.session.submit("keep", label, partial(self._keep, number), self.name)

    def _keep(self, number: int, job: Job) -> str:
        answers = self._unkept.of(self._fingerprint(number))
        if not answers:
            return "They are in the explanation already."
        masks = np.array([mask for mask, _ in answers])
        values = np.array([value for _, value in answers])
        self._write(number, with_asked(self.explanations[number], masks, values))
        return f"{len(answers):,} in the explanation, beside its run: nothing is fitted to them."

    def _fingerprint(self, number: int) -> str | None:
        fingerprint: str | None = self.explanations[number].provenance["game"]["fingerprint"]
        return fingerprint

    def _why_no_more(self) -> str | None:
        """Why no ablations can be added; ``None``: they can."""
        if self._answering is None:
            return self.why
        if len(self.explanations) > 1:
            return "A hierarchical refinement divides one budget among its levels; run it again."
        if self._answering.command not in _BY_EXPLANATION_ALONE:
            return (
                f"`interplay {self._answering.command}` writes more that follows from the "
                "explanation; run it again with --until, which takes the ablations from the store."
            )
        if self.explanations[0].provenance["request"].get("cheaper_budget") is not None:
            return "A cheaper model was asked too; run `interplay text` again with it and --until."
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

    def _given(self) -> Answering:
        if self._answering is None:
            raise ValueError(f"Nothing is evaluated. {self.why}")
        return self._answering

    def warm_up(self) -> None:
        """Have the finest explanation's game ready for the first question."""
        if self._answering is not None:
            self._answering.warm_up(len(self.explanations) - 1)

    def _number(self, part: int) -> int:
        """The number of an explanation in the folder, by its number on the page."""
        if not 0 <= part < len(self.explanations):
            raise ValueError(f"there is no part {part}; the page has {len(self.explanations)}")
        return len(self.explanations) - 1 - part
