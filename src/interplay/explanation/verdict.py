"""Verdict: whether an explanation may be used, why, and which of its values are findings.

It is computed once and shown first wherever an explanation is shown. ``docs/report.md`` gives the
reasons for the thresholds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from interplay._arrays import as_columns
from interplay._types import BoolArray, FloatArray, Json
from interplay.fourier.interactions import Interactions

Level: TypeAlias = Literal["usable", "weak", "not usable", "unknown"]

CODES = (
    "constant",
    "held_out_constant",
    "no_score",
    "below_chance",
    "may_be_chance",
    "outputs_below_chance",
    "interval_wide",
    "too_few_held_out",
    "noise_bound",
    "no_intervals",
    "nothing_distinguishable",
    "interrupted",
    "skipped",
    "other_decoder",
    "negligible_answer",
    "did_not_learn",
    "whole_input_off",
    "empty_input_off",
    "middle_off",
)
"""The codes of all warnings."""
ROUNDING = 1e-9
"""A value of at most this share of its output's range is a rounding error."""
SHADE_FLOOR = 0.1
"""An effect is shaded in full only from this share of its output's range on."""


@dataclass(frozen=True)
class VerdictWarning:
    """One thing to know before an explanation is used.

    Attributes:
        code: one of the codes in docs/report.md, for programs.
        message: a sentence, for people.
    """

    code: str
    message: str

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ValueError(f"code={self.code!r} is unknown; add it to CODES and to the schema")


@dataclass(frozen=True)
class Verdict:
    """Whether an explanation may be used, and why.

    Attributes:
        level: ``"usable"``, ``"weak"``, ``"not usable"`` or ``"unknown"``.
        reasons: why, in sentences.
        n_interactions: the number of sets of two or more players with a value, under the
            index and up to the order that reports begin with.
        n_players: the number of players with a value of their own.
        certain_interactions: how many of these interactions are distinguishable from zero, each by
            its own interval, in some output. ``None``: the decoder gives no intervals.
        certain_players: the same of single players.
        budget: the number of ablations that would probably reach an R2 of
            :data:`interplay.explanation.forecast.GOAL`; it may take three times as many, or a
            third. ``None``: not known, or not needed.
        outlook: what a larger budget would do, in a sentence.
        warnings: what else to know.
        ranges: the largest value minus the smallest one of each output, over all ablations.
        trusted: of each output, whether its values can be findings: its R2 is above zero.
    """

    level: Level
    reasons: tuple[str, ...]
    n_interactions: int
    n_players: int
    certain_interactions: int | None
    certain_players: int | None
    budget: int | None
    outlook: str
    warnings: tuple[VerdictWarning, ...]
    ranges: tuple[float, ...]
    trusted: tuple[bool, ...]

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of the warnings."""
        return tuple(warning.code for warning in self.warnings)

    @property
    def sentence(self) -> str:
        """The level and the first reason, in a line."""
        return f"{self.level.capitalize()}. {self.reasons[0]}"

    def findings(self, interactions: Interactions, output: int | None = None) -> BoolArray:
        """Which values are findings: distinguishable from zero, in an explanation that predicts.

        A value is none if its interval contains zero, if it is a numerical zero, or if its output
        is predicted no better than by its mean. Where the decoder gives no intervals, only the
        other two rules apply.

        Args:
            interactions: those of the explanation, under any index.
            output: the output that they are of, if they are of one of several.

        Returns:
            In the shape of ``interactions.values``.
        """
        columns = slice(None) if output is None else slice(output, output + 1)
        shape = as_columns(interactions.values).shape
        certain = told_from_zero(interactions, self.ranges[columns]).reshape(shape)
        findings: BoolArray = certain & np.array(self.trusted)[columns]
        return findings.reshape(interactions.values.shape)

    def strongest(
        self,
        interactions: Interactions,
        count: int,
        *,
        min_order: int = 1,
        max_order: int | None = None,
        output: int | None = None,
        by: int | None = None,
        everything: bool = False,
    ) -> tuple[Interactions, int]:
        """The strongest sets with a finding in some output, and how many sets have none.

        Args:
            interactions: those of the explanation, under any index.
            count: the most sets.
            min_order: the fewest players of a set.
            max_order: the most players of a set.
            output: as for :meth:`findings`.
            by: of interactions of all outputs, the one whose values and findings count; ``None``:
                all of them.
            everything: list sets without a finding too.
        """
        ranked = interactions.top(len(interactions), min_order=min_order, max_order=max_order)
        findings = self.findings(ranked, output)
        if by is None:
            findings = in_some_output(findings)
            order = np.arange(len(ranked))
        else:
            values = as_columns(ranked.values)
            findings = findings.reshape(values.shape)[:, by]
            order = np.argsort(-np.abs(values[:, by]), kind="stable")
        rows = order[(findings | everything)[order]][:count]
        chosen = replace(ranked.take(rows), rest=ranked.rest)
        ranges = np.array(self.ranges)
        ranges = ranges if output is None else ranges[output : output + 1]
        changing = np.abs(as_columns(ranked.values)) > ROUNDING * ranges
        nonzero = in_some_output(changing) if by is None else changing[:, by]
        return chosen, int((nonzero & ~findings).sum())

    def shaded_effects(self, interactions: Interactions, output: int) -> FloatArray:
        """The effect of each player by itself, ``(n,)``; 0 where it is no finding.

        Args:
            interactions: of one output.
            output: the number of that output.
        """
        effects = np.zeros(interactions.n_players)
        alone = interactions.orders == 1
        values = interactions.values[alone] * self.findings(interactions, output)[alone]
        effects[interactions.members[alone][:, 0]] = values
        return effects

    def full_shade(self, largest: float, output: int = 0) -> float:
        """The effect that is shaded in full: the largest, or a share of the range if that is more.

        Args:
            largest: the largest effect of those that are shaded.
            output: the number of the output.
        """
        return max(largest, SHADE_FLOOR * self.ranges[output]) or 1.0

    def to_json(self) -> Json:
        """The verdict as JSON."""
        return {
            "level": self.level,
            "reasons": list(self.reasons),
            "interactions": {
                "total": self.n_interactions,
                "distinguishable": self.certain_interactions,
            },
            "players": {"total": self.n_players, "distinguishable": self.certain_players},
            "budget": self.budget,
            "outlook": self.outlook,
            "warnings": [
                {"code": warning.code, "message": warning.message} for warning in self.warnings
            ],
        }

    def __str__(self) -> str:
        lines = [self.sentence, *self.reasons[1:], self.outlook]
        return "\n".join([*lines, *(f"{w.code}: {w.message}" for w in self.warnings)])


def told_from_zero(interactions: Interactions, ranges: tuple[float, ...]) -> BoolArray:
    """Which values their own intervals tell from zero, however well an explanation predicts.

    Args:
        interactions: of one output or of several.
        ranges: the largest value minus the smallest one of each of these outputs.

    Returns:
        In the shape of ``interactions.values``. Without intervals all are but numerical zeros.
    """
    values = as_columns(interactions.values)
    told: BoolArray = np.abs(values) > ROUNDING * np.array(ranges)
    if interactions.high is not None:
        told &= np.abs(values) > as_columns(interactions.high) - values
    return told.reshape(interactions.values.shape)


def claims_of(
    interactions: Interactions, count: int, *, min_order: int, spread: float
) -> Interactions:
    """What is tested first: the strongest that can be told from zero, then the others.

    Args:
        interactions: those of one output, under any index.
        count: the most sets.
        min_order: the fewest players of a set.
        spread: the largest value of that output minus the smallest.
    """
    ranked = interactions.top(len(interactions), min_order=min_order)
    rows = np.argsort(~told_from_zero(ranked, (spread,)), kind="stable")
    return ranked.take(rows[:count])


def in_some_output(findings: BoolArray) -> BoolArray:
    """Which sets have a finding in some output, ``(s,)``.

    Args:
        findings: ``(s,)`` or ``(s, k)``.
    """
    return findings if findings.ndim == 1 else np.asarray(findings.any(axis=1))
