"""Learning across the prompts of a set: what earlier prompts say of the next one's segments.

What is learned, :mod:`interplay.decoders.gaussian.across` says. Here is of which features, from
which prompts, and when. A prompt is explained with what was learned from prompts before it only,
after 4, 8, 16, 32 and 64 of them, so that the same set gives the same results however often it was
interrupted. After the last of these nothing more is learned.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal, TypeAlias

import numpy as np

from interplay._arrays import as_columns
from interplay._types import FloatArray, Json
from interplay.ablation.table import Evaluated
from interplay.audit.stored import stand_in
from interplay.decoders.decode import get_decoder
from interplay.decoders.gaussian.across import Learned, Lesson, evidence, learn_across
from interplay.decoders.gaussian.learn import Prior, standardised
from interplay.explanation.circuits import recorded_values
from interplay.explanation.derive import derive
from interplay.explanation.explanation import Ablations, Explanation
from interplay.explanation.provenance import derived_provenance
from interplay.explanation.run_plan import Request
from interplay.explanation.wording import score_of
from interplay.game import Game, Hints, hints_of

Learn: TypeAlias = Literal["relevance", "effects", False]
"""What is learned across prompts: which segments matter, or also in which direction, or nothing."""
CHECKPOINTS = (4, 8, 16, 32, 64)
"""After so many prompts it is learned from all of them."""
UNLIKE = -2.0
"""Below this evidence a prompt is unlike the others (``benchmarks/bench_learning.py``)."""
_BOUNDED = {
    "probability": 'log-odds, which have none (Response(..., score="logit"), --target logit)',
    "share": 'log-probabilities (Options(..., score="logprob"))',
    "accuracy": "a margin or a log-probability",
}
"""Scores with ends, and what to score instead."""
_FEWEST, _MOST = 20, 600
"""The fewest ablations of a lesson, and the most that are used."""
_MOST_ROLES, _FEWEST_WITH_ROLE = 30, 3
NEGATION = re.compile(
    r"(?i)(?<!\w)(not|no|never|nothing|nobody|none|neither|nor|cannot|without|hardly|barely"
    r"|scarcely)(?!\w)|n['’]t(?!\w)"
)
_SENTENCE_ENDS = re.compile(r"[.!?…。！？]['\")\]’”]*\s*$")
_CLAUSE_ENDS = re.compile(r"[,;:，；：]['\")\]’”]*\s*$")


@dataclass(frozen=True, eq=False)
class Segments:
    """The players of a prompt, before it is explained.

    Attributes:
        texts: their names.
        roles: of each.
        hints: the game's; ``None``: it gives none.
    """

    texts: Sequence[str]
    roles: Sequence[Sequence[str]]
    hints: Hints | None

    def surface(self) -> FloatArray:
        """Features of each that need no other prompt, ``(n, 9)``."""
        n_players = len(self.texts)
        place = np.arange(n_players) / max(n_players - 1, 1)
        hinted = np.zeros(n_players) if self.hints is None else standardised(self.hints.values)
        columns = [
            hinted,
            np.log([max(len(text.strip()), 1) for text in self.texts]),
            [bool(NEGATION.search(text)) for text in self.texts],
            place,
            place**2,
            place == 0.0,
            place == 1.0,
            [bool(_SENTENCE_ENDS.search(text)) for text in self.texts],
            [bool(_CLAUSE_ENDS.search(text)) for text in self.texts],
            [text.strip()[:1].isupper() for text in self.texts],
        ]
        return np.array(columns, dtype=np.float64).T

    def features(self, roles: Sequence[str]) -> FloatArray:
        """Those of :meth:`surface`, and whether each has each of some roles."""
        having = [[role in given for role in roles] for given in self.roles]
        return np.hstack(
            [
                self.surface(),
                np.array(having, dtype=np.float64).reshape(len(self.roles), len(roles)),
            ]
        )


@dataclass(frozen=True, eq=False)
class Expected:
    """What was learned before a prompt, for it.

    Attributes:
        prior: of its explanation.
        plain: what it would be without.
        learned_from: the number of prompts.
    """

    prior: Prior
    plain: Prior
    learned_from: int

    def evidence(self, explanation: Explanation, output: int) -> float:
        """How much likelier the values of its fit are by what was learned, as a logarithm.

        Held-out values take no part, so that the score stays held out.
        """
        n_players = len(explanation.players)
        lesson = _lesson(np.zeros((n_players, 0)), explanation.fit, output)
        return evidence(lesson, self.prior, self.plain) if lesson.varies else 0.0


class Lessons:
    """What the prompts so far say of the next.

    Args:
        learn: what is learned.
        output: which of several outputs.
    """

    def __init__(self, learn: Learn, output: int) -> None:
        self.learn, self.output = learn, output
        self._seen: dict[str, tuple[Segments, Ablations]] = {}
        self._learned: tuple[Learned, tuple[str, ...]] | None = None
        self._count = 0
        self._has_warned = False

    @property
    def wanted(self) -> bool:
        """Whether another prompt would be learned from."""
        return bool(self.learn) and len(self._seen) < CHECKPOINTS[-1]

    @property
    def key(self) -> str | None:
        """What the prior of the next prompt depends on; ``None``: there is none."""
        count = self._at
        if not count:
            return None
        text = "\n".join([str(self.learn), *list(self._seen)[:count]])
        return sha256(text.encode()).hexdigest()

    @property
    def _at(self) -> int:
        """From how many prompts the next one's prior is learned."""
        return max((count for count in CHECKPOINTS if count <= len(self._seen)), default=0)

    def hints(self, game: Game) -> Hints | None:
        """The game's hints, if they are needed."""
        return hints_of(game) if self.learn else None

    def expected(self, segments: Segments) -> Expected | None:
        """What was learned, for a prompt; ``None``: nothing yet."""
        if not self.learn or not self._at:
            return None
        if self._count != self._at:
            self._count = self._at
            seen = list(self._seen.values())[: self._count]
            roles = _common_roles([one for one, _ in seen])
            lessons = [
                _lesson(one.features(roles), ablations, self.output) for one, ablations in seen
            ]
            effects = self.learn == "effects"
            self._learned = learn_across(lessons, effects=effects), roles
        assert self._learned is not None
        learned, roles = self._learned
        hints = segments.hints
        expected = None if hints is None else standardised(hints.values)
        plain = Prior.plain(len(segments.texts), expected)
        return Expected(learned.prior(segments.features(roles)), plain, self._count)

    def add(self, key: str, segments: Segments, explanation: Explanation) -> None:
        """Learn from a prompt, if it can be learned from."""
        if not self.wanted or key in self._seen or not serves(explanation, self.output):
            return
        used = explanation.fit + explanation.held_out
        self._seen[key] = segments, Ablations(used.masks[:_MOST], used.values[:_MOST])

    def warn_of_ends(self, explanation: Explanation) -> None:
        """Say once that nothing is learned, where that is only because the score has ends.

        Warns:
            UserWarning: that it is so, with what to do.
        """
        description = explanation.provenance["game"]["description"]
        if self._has_warned or not self.learn or not is_bounded(description, self.output):
            return
        if not _varies(explanation, self.output):
            return
        self._has_warned = True
        score = score_of(description, self.output)
        warnings.warn(
            f'nothing is learned across prompts (learn="{self.learn}"): the score, a {score}, has '
            "ends, near which segments matter less, whichever they are; score "
            f"{_BOUNDED[score]}, or turn it off by learn=False (--learn none)",
            stacklevel=2,
        )


def is_bounded(description: Json, output: int) -> bool:
    """Whether a score is known to have ends, such as a probability.

    Near its ends segments matter less, whichever they are, so that nothing is learned from it.
    """
    return score_of(description, output) in _BOUNDED


def alone(explanation: Explanation) -> Explanation:
    """The explanation of the same ablations without what other prompts said.

    Its spectrum, its score and what is recorded of them are derived again.
    """
    recorded = explanation.provenance
    if recorded.get("prior") is None:
        return explanation
    request = Request.recorded({**recorded, "prior": None})
    plan, used = request.run_plan(stand_in(explanation)), explanation.ablations
    values = recorded_values((used.masks, used.values), plan.masks)
    values = values.reshape(len(values), *used.values.shape[1:])
    budget = recorded["budget"]
    evaluated = Evaluated(values, None, 0, len(used), budget["skipped"], budget["interrupted"])
    derived = derive(plan, evaluated, explanation.cheaper, recorded["game"]["description"])
    again = derived_provenance(plan, derived)
    provenance = {name: entry for name, entry in recorded.items() if name != "prior"} | again
    for name in ("game", "budget"):  # entries of which do not follow
        provenance[name] = {**recorded[name], **again[name]}
    return Explanation(
        derived.decoded.spectrum,
        explanation.players,
        derived.score,
        provenance,
        derived.inputs.fit,
        derived.inputs.held_out,
        explanation.game,
        surrogate=derived.decoded.surrogate,
        held_predictions=derived.held_predictions,
        cheaper=explanation.cheaper,
    )


def serves(explanation: Explanation, output: int) -> bool:
    """Whether an explanation can be learned from, or judged by what was learned."""
    description = explanation.provenance["game"]["description"]
    return _varies(explanation, output) and not is_bounded(description, output)


def _varies(explanation: Explanation, output: int) -> bool:
    """Whether there is something to learn from, whatever was scored."""
    takes_hints = get_decoder(explanation.provenance["decoder"]["requested"]).takes_hints
    if explanation.faithfulness.exact or not takes_hints:
        return False
    if len(explanation.fit) + len(explanation.held_out) < _FEWEST:
        return False
    return float(np.ptp(as_columns(explanation.fit.values)[:, output])) > 0.0


def _lesson(features: FloatArray, ablations: Ablations, output: int) -> Lesson:
    return Lesson(features, ablations.masks, as_columns(ablations.values)[:, output])


def _common_roles(seen: Sequence[Segments]) -> tuple[str, ...]:
    """The roles that several prompts have, those in most prompts first."""
    counts = Counter(
        role for one in seen for role in {role for given in one.roles for role in given}
    )
    common = [(count, role) for role, count in counts.items() if count >= _FEWEST_WITH_ROLE]
    return tuple(
        role for _, role in sorted(common, key=lambda one: (-one[0], one[1]))[:_MOST_ROLES]
    )
