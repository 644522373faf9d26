"""Findings: what decides an answer, and what acts together, in a few sentences."""

from __future__ import annotations

from collections.abc import Iterator

from interplay.explanation.reading import Reading
from interplay.explanation.sentences import Finding, Words, listed, one_alone
from interplay.explanation.truth import (
    Known,
    TruthTable,
    is_of_mean,
    strongest,
    truth_tables,
)

MOST = 3
_SINGLES = 6
"""The most single players that are looked at."""


def findings(explanation: Reading, most: int = MOST) -> tuple[Finding, ...]:
    """The strongest findings as sentences, of the output that reports begin with.

    Of an explanation that is not usable, or without a score, there are none.

    Example:
        >>> import interplay as ip
        >>> game = ip.FunctionGame(lambda masks: masks[:, 0] | masks[:, 1], n_players=2)
        >>> print(findings(ip.explain(game))[0])
        Either of 0 and 1 suffices: without both the score falls from 1 to 0, without one it is 1.

    Args:
        explanation: of the game.
        most: the most sentences.
    """
    if explanation.verdict.level in ("not usable", "unknown"):
        return ()
    chosen: list[Finding] = []
    for finding in _candidates(explanation):
        said = {player for one in chosen for player in one.players}
        is_repeated = any(set(one.players) == set(finding.players) for one in chosen)
        is_covered = finding.kind == "alone" and said >= set(finding.players)
        if not is_repeated and not is_covered:
            chosen.append(finding)
        if len(chosen) == most:
            break
    return tuple(chosen)


def _candidates(explanation: Reading) -> Iterator[Finding]:
    """Sentences, the most important first: what decides, what acts together, what acts alone."""
    words = Words(explanation)
    tables = truth_tables(explanation)
    paired = {table.players for table in tables if len(table.players) == 2}
    decisive = [] if is_of_mean(explanation) else explanation.decisive
    sets = {one.kind: one for one in decisive if one.output == 0 and one.is_measured}
    necessary, sufficient = sets.get("necessary"), sets.get("sufficient")
    if necessary is not None and necessary.players and necessary.players not in paired:
        change = words.change(necessary.full, necessary.measured)
        parts = ("Without ", *listed(necessary.players), f" {change}.")
        yield words.finding("necessary", parts, necessary.players)
    for table in sorted(tables, key=lambda table: len(table.players) != 2):
        if len(table.players) > 2 and any(set(pair) < set(table.players) for pair in paired):
            continue
        if words.is_clear(table) and not one_alone(table):
            yield words.of_table(table)
    if sufficient is not None and sufficient.players:
        value = words.number(sufficient.measured)
        verb = "suffices" if len(sufficient.players) == 1 else "suffice"
        tail = f" {verb}: with nothing else {words.score} is {value}."
        parts = (*listed(sufficient.players), tail)
        yield words.finding("sufficient", parts, sufficient.players)
    known = Known(explanation)
    for players in strongest(explanation, 1, 1, _SINGLES).sets:
        entries = known.entries(players)
        if words.is_clear(TruthTable(players, 0.0, None, entries)):
            yield words.alone(players, entries)
