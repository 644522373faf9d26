"""What changed from one game to another: an explanation of both and of their difference, read.

A comparison (``interplay.audit.pair``) is an explanation like any other, whose outputs are those of
one game, those of another, and what the other has more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from interplay._arrays import as_columns
from interplay._types import BoolArray, Players
from interplay.confirmation.changes import DIFFERENT, EQUIVALENT, verdict_of_share
from interplay.confirmation.verdict import NEGLIGIBLE
from interplay.explanation.reading import Reading
from interplay.explanation.sentences import Changed, Finding, Part, listed
from interplay.fourier.interactions import Interactions

Level: TypeAlias = Literal["changed", "no change", "unclear"]
_ALONE: dict[Changed, str] = {
    "appeared": " matters in {new}, {rest} {old}",
    "vanished": " matters in {old}, {rest} {new}",
    "reversed": " has the opposite effect in {new}",
    "stronger": " weighs more in {new}",
    "weaker": " weighs less in {new}",
}
_TOGETHER: dict[Changed, str] = {
    "appeared": " act together in {new}, {rest} {old}",
    "vanished": " act together in {old}, {rest} {new}",
    "reversed": " act together in {new} with the opposite sign",
    "stronger": " act together more strongly in {new}",
    "weaker": " act together less strongly in {new}",
}
EVIDENCE = {True: "confirmed", False: "not confirmed", None: "not tested"}
"""What fresh ablations say of a change, in words."""


@dataclass(frozen=True)
class Change:
    """A player or an interaction that is another one in the second game.

    Attributes:
        players: the set, as numbers of players.
        labels: their names.
        first: its value in the first game, with its interval: value, low, high. Without intervals
            these are the value.
        second: the same in the second game.
        difference: the same of what the second has more. Its interval is that of the difference
            itself, which is decoded for its own sake.
        kind: ``"appeared"``: in the first game it cannot be told from zero, or is at most a tenth
            of what it is in the second; ``"vanished"``: the same of the second; ``"reversed"``: the
            sign changed; else ``"stronger"`` or ``"weaker"``.
        confirmed: whether fresh ablations of both games show that it changed, by an interval which
            holds for all tested changes together with 95 %; ``None``: it was not tested.
    """

    players: Players
    labels: tuple[str, ...]
    first: tuple[float, float, float]
    second: tuple[float, float, float]
    difference: tuple[float, float, float]
    kind: Changed
    confirmed: bool | None = None

    def __str__(self) -> str:
        value, low, high = self.difference
        tested = {True: ", confirmed", False: ", not confirmed", None: ""}[self.confirmed]
        return (
            f"{' × '.join(self.labels)}: {self.first[0]:+.3g} -> {self.second[0]:+.3g}, "
            f"{self.kind} by {value:+.3g} ({low:+.3g} to {high:+.3g}){tested}"
        )


@dataclass(frozen=True)
class Outcome:
    """What came of a comparison.

    Attributes:
        level: ``"changed"``: fresh ablations confirm a change; ``"no change"``: both have the same
            values, agree within the margin, or nothing was seen to change; ``"unclear"``: neither.
        words: that in a few words.
        reasons: why, in sentences.
    """

    level: Level
    words: str
    reasons: tuple[str, ...]


def changes_of(
    explanation: Reading, interactions: Interactions, output: int = 0
) -> tuple[Change, ...]:
    """The players and interactions whose difference can be told from zero, largest first.

    What fresh ablations confirm is among them, whatever the explanation's own score.

    Args:
        explanation: of a comparison.
        interactions: its, of all outputs.
        output: which of several outputs of each game.

    Raises:
        ValueError: there is no such output.
    """
    _, k = explanation.sides
    if not 0 <= output < k:
        raise ValueError(f"output={output}; the games have {k}, counted from 0")
    values = as_columns(interactions.values)
    findings = explanation.verdict.findings(interactions).reshape(values.shape)
    first, second, difference = (
        (interactions.output(column), findings[:, column])
        for column in (output, k + output, 2 * k + output)
    )
    changed = zip(interactions.sets, difference[0].values.tolist(), strict=True)
    tested = [_confirmed(explanation, players, value, 2 * k + output) for players, value in changed]
    told = difference[1] | np.array([confirmed is True for confirmed in tested], dtype=np.bool_)
    rows = np.flatnonzero(told & (interactions.orders > 0))  # that of nothing is no set's
    rows = rows[np.argsort(-np.abs(difference[0].values[rows]), kind="stable")]
    return tuple(
        _change(explanation, int(row), 2 * k + output, first, second, difference) for row in rows
    )


def _change(
    explanation: Reading, row: int, column: int, *parts: tuple[Interactions, BoolArray]
) -> Change:
    """The change of one set.

    Args:
        explanation: of a comparison.
        row: of the set.
        column: the output that is their difference.
        parts: interactions and findings of the first game, the second and the difference.
    """
    (first, second, difference) = (_estimate(interactions, row) for interactions, _ in parts)
    is_in_first, is_in_second = (bool(findings[row]) for _, findings in parts[:2])
    players = parts[0][0].sets[row]
    kind: Changed = "stronger" if abs(second[0]) > abs(first[0]) else "weaker"
    if is_in_first and is_in_second and first[0] * second[0] < 0:
        kind = "reversed"
    if not is_in_first or abs(first[0]) <= NEGLIGIBLE * abs(second[0]):
        kind = "appeared"
    elif not is_in_second or abs(second[0]) <= NEGLIGIBLE * abs(first[0]):
        kind = "vanished"
    confirmed = _confirmed(explanation, players, difference[0], column)
    labels = tuple(explanation.players[player] for player in players)
    return Change(players, labels, first, second, difference, kind, confirmed)


def _confirmed(explanation: Reading, players: Players, value: float, column: int) -> bool | None:
    """Whether fresh ablations show that a set's value changed; ``None``: it was not tested."""
    confirmation = explanation.confirmation
    if confirmation is None or confirmation.output != column:
        return None
    for test in confirmation.tested:
        # what is measured is a mean effect, of which the index of a set may have little
        if test.players == players and abs(value) > NEGLIGIBLE * abs(test.predicted):
            return test.differs
    return None


def _estimate(interactions: Interactions, row: int) -> tuple[float, float, float]:
    """A value with both ends of its interval."""
    value = float(interactions.values[row])
    if interactions.low is None or interactions.high is None:
        return value, value, value
    return value, float(interactions.low[row]), float(interactions.high[row])


def shown_changes(explanation: Reading) -> tuple[Change, ...]:
    """The changes of the first output that reports speak of."""
    interactions = explanation.spectrum.to(
        explanation.index, order=explanation.shown_order, players=explanation.players
    )
    return changes_of(explanation, interactions)


def is_of_changes(explanation: Reading) -> bool:
    """Whether what was tested are the changes of a comparison."""
    tested = explanation.confirmation
    if explanation.compared is None or tested is None:
        return False
    return bool(tested.output >= explanation.judged_outputs.start)


def test_said(explanation: Reading) -> str:
    """What came of the tests, in words; of changes whether they are confirmed."""
    tested = explanation.confirmation
    if tested is None:
        return ""
    if not is_of_changes(explanation):
        return tested.summary
    holds = sum(test.differs for test in tested.tested)
    what = "change" if len(tested.tested) == 1 else "changes"
    return f"Of {len(tested.tested)} {what} {holds} confirmed. {tested.method}"


def verdicts_said(explanation: Reading) -> tuple[str, ...]:
    """The verdict on each tested set; of changes ``"confirmed"`` or ``"not confirmed"``."""
    tested = () if explanation.confirmation is None else explanation.confirmation.tested
    if is_of_changes(explanation):
        return tuple(EVIDENCE[test.differs] for test in tested)
    return tuple(test.verdict for test in tested)


def details_said(explanation: Reading) -> tuple[tuple[str, ...], ...]:
    """Of each tested set the reason for its verdict, and what removing the players does."""
    tested = () if explanation.confirmation is None else explanation.confirmation.tested
    removal, of_changes = explanation.removal, is_of_changes(explanation)
    lines = [test.details_of(removal.done(test.players)) for test in tested]
    if not of_changes:
        return tuple(lines)
    # a change is one however small it is beside those of random sets
    reasons = (
        f"the interval of the change {'excludes' if test.differs else 'contains'} zero"
        + ("" if test.agrees else "; not of the predicted size")
        for test in tested
    )
    return tuple((reason, *rest) for reason, (_, *rest) in zip(reasons, lines, strict=True))


def changes_told(explanation: Reading, most: int) -> tuple[Finding, ...]:
    """The strongest changes of the first output as sentences, those that are confirmed first.

    Args:
        explanation: of a comparison.
        most: the most sentences.
    """
    # a sort keeps the order of equals
    first = sorted(
        shown_changes(explanation),
        key=lambda change: {True: 0, None: 1, False: 2}[change.confirmed],
    )
    return tuple(_told(explanation, change) for change in first[:most])


def _told(explanation: Reading, change: Change) -> Finding:
    """A change in a sentence."""
    old, new = explanation.compared or ("", "")
    words = (_ALONE if len(change.players) == 1 else _TOGETHER)[change.kind]
    _, least, most = change.first if change.kind == "appeared" else change.second
    rest = "and perhaps not in" if least <= 0.0 <= most else "hardly in"
    value, low, high = change.difference
    span = "" if low == high else f" ({low:+.2g} to {high:+.2g})"
    tail = (
        f": {explanation.index} {change.first[0]:+.2g} → {change.second[0]:+.2g}, "
        f"difference {value:+.2g}{span}."
    )
    said = words.format(old=old, new=new, rest=rest) + tail
    parts: tuple[Part, ...] = (*listed(change.players), said)
    labels = dict(zip(change.players, change.labels, strict=True))
    return Finding(
        change.kind, parts, change.players, None, labels, tested=EVIDENCE[change.confirmed]
    )


def _tests(count: int, holds: int, old: str, new: str) -> str:
    """How many of the changes that were tested are confirmed, in a sentence."""
    if count == 1:
        which, said = f"The strongest change from {old} to {new} is", " not" * (not holds)
        return f"{which}{said} confirmed by fresh ablations."
    said = f"{holds or 'none'} {'are' if holds > 1 else 'is'} confirmed by fresh ablations."
    return f"Of the {count} strongest changes from {old} to {new}, {said}"


def outcome_of(explanation: Reading) -> Outcome:
    """Whether the second game changed, as far as the explanation shows it.

    Args:
        explanation: of a comparison.
    """
    old, new = explanation.compared or ("", "")
    score = explanation.faithfulness.by_output[explanation.first_output or 0]
    confirmation = explanation.confirmation
    tested = () if confirmation is None else confirmation.tested
    holds = sum(test.differs for test in tested)
    level: Level
    if not np.isfinite(score):
        level, words = "no change", "The same"
        reason = f"{new} and {old} have the same value on every mask."
    elif holds:
        level, words = "changed", "Changed"
        reason = _tests(len(tested), holds, old, new)
    elif not explanation.verdict.trusted[explanation.first_output or 0]:
        level, words = "unclear", "Not known what changed"
        cannot = "cannot be predicted" if score <= 0.0 else "is not shown to be predictable"
        reason = (
            f"{new} and {old} differ, but the difference {cannot} from the masks "
            f"(R2 {score:.2f}): nothing can be said of what changed."
        )
    elif confirmation is not None:
        level, words = "unclear", "No change confirmed"
        reason = _tests(len(tested), 0, old, new)
    elif shown_changes(explanation):
        level, words = "unclear", "Change seen, not tested"
        reason = f"Changes from {old} to {new} can be told from zero; none was tested."
    else:
        level, words = "no change", "No change seen"
        reason = f"No change from {old} to {new} can be told from zero."
    agreed = explanation.agreement
    if agreed is None:
        return Outcome(level, words, (reason,))
    shown = verdict_of_share(agreed["n_within"], agreed["n_masks"], agreed["share"])
    margin, of = f"{agreed['margin']:g}", f"{agreed['n_within']} of {agreed['n_masks']} fresh masks"
    why = f"{of} agree within {margin}; {agreed['share']:.0%} were asked for."
    if shown == EQUIVALENT:
        level = level if level == "changed" else "no change"
        return Outcome(level, f"{words}; equivalent within {margin}", (reason, why))
    if shown == DIFFERENT:
        return Outcome("changed", f"{words}; different by more than {margin}", (reason, why))
    return Outcome(level, f"{words}; not shown to agree within {margin}", (reason, why))
