"""Findings: what decides an answer, and what acts together, in a few sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from interplay.explanation.differences import changes_told
from interplay.explanation.reading import Reading
from interplay.explanation.sentences import Finding, Words, listed, one_alone
from interplay.explanation.truth import (
    Known,
    TruthTable,
    is_of_mean,
    strongest,
    trio_of,
    truth_tables,
)

MOST = 3
_SINGLES = 6
"""The most single players that are looked at."""


@dataclass(frozen=True)
class _Candidate:
    """A sentence that may be told.

    Attributes:
        finding: the sentence.
        change: by how much the score changes at least.
        singly: if that is no more than what its players do alone, that of each; else empty.
    """

    finding: Finding
    change: float
    singly: dict[int, float]

    def news(self, said: set[int]) -> float:
        """How large a change it tells of that others have not told.

        Args:
            said: the players that other sentences are about.
        """
        if self.singly:
            return max((size for one, size in self.singly.items() if one not in said), default=0.0)
        has_no_pattern = self.finding.kind == "together"
        return 0.0 if has_no_pattern and said >= set(self.finding.players) else self.change


def findings(
    explanation: Reading, most: int = MOST, tables: Sequence[TruthTable] | None = None
) -> tuple[Finding, ...]:
    """The strongest findings as sentences, of the output that reports begin with.

    Of an explanation that is not usable, or without a score, there are none, but for what fresh
    ablations confirm of a comparison. A necessary set comes first. Then the larger a change of the
    score is for sure, the earlier it is told, if others have not told it. What players do together
    is told at least once, if they do anything. Of a comparison the sentences are its changes, those
    that are confirmed first.

    Example:
        >>> import interplay as ip
        >>> game = ip.FunctionGame(lambda masks: masks[:, 0] | masks[:, 1], n_players=2)
        >>> print(findings(ip.explain(game))[0])
        Either of 0 and 1 suffices: without both the score falls from 1 to 0, without one it is 1.

    Args:
        explanation: of the game.
        most: the most sentences.
        tables: what :func:`~interplay.explanation.truth.truth_tables` gives, where it is known.
    """
    if explanation.compared is not None:  # what is confirmed is told whatever the score
        return changes_told(explanation, most)
    if explanation.verdict.level in ("not usable", "unknown"):
        return ()
    words = Words(explanation)
    tables = truth_tables(explanation) if tables is None else tables
    together, alone = _together(explanation, tables, words), _alone(explanation, words)
    joint = {one.finding.players for one in together}
    # a table says more of the same players, and of one player no less
    in_tables = joint | {(player,) for players in joint for player in players}
    decisive = _decisive(explanation, words)
    first = [one for one in decisive if one.kind == "necessary" and one.players not in in_tables]
    told = _ordered([*together, *alone], {player for one in first for player in one.players})
    known = joint | {one.players for one in first}
    told[1:1] = [one for one in decisive if one.kind == "sufficient" and one.players not in known]
    told = [*first, *told]
    kept = told[:most]
    if not joint.intersection(one.players for one in kept):
        kept[-1:] = [one for one in told if one.players in joint][:1] or kept[-1:]
    return tuple(kept)


def _ordered(candidates: list[_Candidate], said: set[int]) -> list[Finding]:
    """Sentences, each time the one that has most to say that was not said before.

    Args:
        candidates: all there are.
        said: the players of sentences before them.
    """
    left, chosen = list(candidates), list[Finding]()
    while left:
        best = max(left, key=lambda one: one.news(said))
        if best.news(said) <= 0.0:
            break
        left.remove(best)
        chosen.append(best.finding)
        said = said | set(best.finding.players)
    return chosen


def _decisive(explanation: Reading, words: Words) -> list[Finding]:
    """Measured sets that decide the answer: the necessary one, and the sufficient one."""
    decisive = () if is_of_mean(explanation) else explanation.decisive
    first = explanation.first_output
    sets = {one.kind: one for one in decisive if one.output == first and one.is_measured}
    necessary, sufficient = sets.get("necessary"), sets.get("sufficient")
    chosen = []
    if necessary is not None and necessary.players:
        change = words.change(necessary.full, necessary.measured)
        begun = words.begun(necessary.players, *listed(necessary.players))
        parts = (*begun, f" {change}.")
        chosen.append(words.finding("necessary", parts, necessary.players))
    if sufficient is not None and sufficient.players:
        value = words.number(sufficient.measured)
        verb = "suffices" if len(sufficient.players) == 1 else "suffice"
        alone = words.removal.nothing_else(sufficient.players)
        tail = f" {verb}: {alone} {words.score} is {value}."
        parts = (*listed(sufficient.players), tail)
        chosen.append(words.finding("sufficient", parts, sufficient.players))
    return chosen


def _together(explanation: Reading, tables: Sequence[TruthTable], words: Words) -> list[_Candidate]:
    """What players do together, each set in a sentence, and a trio of pairs in one."""
    tables = [table for table in tables if words.is_clear(table) and not one_alone(table)]
    trio = trio_of([table for table in tables if not table.adds_up])
    if trio is not None:
        of_trio = TruthTable(trio, 0.0, None, Known(explanation).entries(trio))
        change = max(map(words.sure, tables))
        return [_Candidate(words.of_trio(tables, of_trio), change, {})]
    pairs = [set(table.players) for table in tables if len(table.players) == 2]
    return [
        _Candidate(
            words.of_table(table),
            words.sure(table),
            words.singly(table) if table.adds_up else {},
        )
        for table in tables
        if not any(pair < set(table.players) for pair in pairs)
    ]


def _alone(explanation: Reading, words: Words) -> list[_Candidate]:
    """What players do alone, the strongest first.

    The first that is not clear ends the list: it may be stronger than those after it.
    """
    known = Known(explanation)
    tables = [
        TruthTable(players, 0.0, None, known.entries(players))
        for players in strongest(explanation, 1, 1, _SINGLES).sets
    ]
    chosen = []
    for table in sorted(tables, key=words.change_of, reverse=True):
        if not words.is_clear(table):
            break
        told = words.alone(table.players, table.entries)
        chosen.append(_Candidate(told, words.sure(table), words.singly(table)))
    return chosen
