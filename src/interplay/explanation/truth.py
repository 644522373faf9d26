"""Truth tables: what the model says with a set of players kept, in part or not at all.

All other players are kept, so that the first entry is the whole input. Entries that the run, or a
later question, evaluated are measured; the others are predicted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from math import inf, nan

import numpy as np

from interplay._types import BoolArray, FloatArray, Players
from interplay.explanation.reading import Ablations, Reading
from interplay.explanation.wording import bounds_of
from interplay.fourier.interactions import Interactions
from interplay.fourier.masks import keys

TOP = 3
_MOST_PLAYERS = 3
_SMALL = 0.1


@dataclass(frozen=True)
class Entry:
    """One line of a truth table.

    Attributes:
        kept: of each player of the set whether it is kept.
        measured: the game's value; NaN where it was not evaluated.
        predicted: the value by the explanation. Of a probability both are from 0 to 1.
    """

    kept: tuple[bool, ...]
    measured: float
    predicted: float

    @property
    def is_measured(self) -> bool:
        """Whether the game was asked."""
        return self.measured == self.measured

    @property
    def value(self) -> float:
        """What was measured, or else what is predicted."""
        return self.measured if self.is_measured else self.predicted


@dataclass(frozen=True)
class TruthTable:
    """A set of players in all patterns, with everything else kept.

    Attributes:
        players: the set.
        value: its interaction index.
        half: half the width of the interval of that; ``None``: there is none.
        entries: 2^k of them: all kept first, none last.
    """

    players: Players
    value: float
    half: float | None
    entries: tuple[Entry, ...]

    @property
    def is_measured(self) -> bool:
        """Whether all entries are measured."""
        return all(entry.is_measured for entry in self.entries)

    @property
    def here(self) -> float:
        """What the players do together with everything else kept: the discrete derivative.

        The index is a mean of such differences over many inputs, of which this is one.
        """
        removed = [len(entry.kept) - sum(entry.kept) for entry in self.entries]
        signed = zip(removed, self.entries, strict=True)
        return sum(-entry.value if n % 2 else entry.value for n, entry in signed)

    @property
    def adds_up(self) -> bool:
        """Whether that is next to nothing beside what the entries differ by."""
        values = [entry.value for entry in self.entries]
        return abs(self.here) <= _SMALL * (max(values) - min(values))

    @property
    def agrees(self) -> bool:
        """Whether that has the sign of the index, if it is not next to nothing."""
        return self.adds_up or self.here * self.value >= 0

    def without(self, *players: int) -> float:
        """The value without some of the set's players."""
        kept = tuple(player not in players for player in self.players)
        return next(entry.value for entry in self.entries if entry.kept == kept)


def truth_tables(explanation: Reading, top: int = TOP) -> tuple[TruthTable, ...]:
    """Truth tables of the strongest interactions of two or three players that are findings.

    They are of the output that reports begin with, or of the mean over all.

    Example:
        >>> import interplay as ip
        >>> game = ip.FunctionGame(lambda masks: masks[:, 0] | masks[:, 1], n_players=2)
        >>> (table,) = truth_tables(ip.explain(game))
        >>> [entry.value for entry in table.entries]
        [1.0, 1.0, 1.0, 0.0]

    Args:
        explanation: of the game.
        top: the most tables.
    """
    interactions = strongest(explanation, 2, _MOST_PLAYERS, top)
    values = column_of(explanation, interactions.values)
    high = interactions.high
    halves = None if high is None else column_of(explanation, high - interactions.values)
    known = Known(explanation)
    return tuple(
        TruthTable(
            interactions.sets[row],
            float(values[row]),
            None if halves is None or is_of_mean(explanation) else float(halves[row]),
            known.entries(interactions.sets[row]),
        )
        for row in range(len(interactions))
    )


def strongest(explanation: Reading, least: int, most: int, count: int) -> Interactions:
    """The strongest findings of some sizes, of the output that reports begin with.

    Args:
        explanation: of the game.
        least: the fewest players.
        most: the most players.
        count: the most sets.
    """
    spectrum, output = explanation.spectrum, None
    if explanation.outputs and explanation.first_output is not None:
        output = explanation.first_output
        spectrum = spectrum.output(output)
    interactions = spectrum.to(
        explanation.index, order=explanation.shown_order, players=explanation.players
    )
    of_mean = is_of_mean(explanation)
    ranked, _ = explanation.verdict.strongest(
        interactions,
        len(interactions) if of_mean else count,
        min_order=least,
        max_order=most,
        output=output,
    )
    if not of_mean:
        return ranked
    # ranked so far by the output where each is strongest
    rows = np.argsort(-np.abs(column_of(explanation, ranked.values)), kind="stable")[:count]
    members, values = ranked.members[rows], ranked.values[rows]
    return replace(ranked, members=members, values=values, deviations=None)


def is_of_mean(explanation: Reading) -> bool:
    """Whether reports begin with the mean over all outputs."""
    return explanation.first_output is None


def column_of(explanation: Reading, values: FloatArray, output: int | None = None) -> FloatArray:
    """Of values ``(m, k)`` those of one output, ``(m,)``.

    Args:
        explanation: of the game.
        values: ``(m, k)``, or ``(m,)`` of one output already.
        output: which; ``None``: what reports begin with.
    """
    if values.ndim == 1:
        return values
    chosen = explanation.first_output if output is None else output
    return np.asarray(values.mean(axis=1) if chosen is None else values[:, chosen])


class Known:
    """What was measured of a game, by mask, and what is predicted where nothing was.

    Args:
        explanation: of the game.
        output: which output; ``None``: the one that reports begin with.
    """

    def __init__(self, explanation: Reading, output: int | None = None) -> None:
        self._explanation, self._output = explanation, output
        self._n = explanation.spectrum.n_players
        is_difference = explanation.compared is not None and output in (
            None,
            explanation.first_output,
        )
        description = explanation.provenance["game"]["description"]
        self._bounds = (-inf, inf) if is_difference else bounds_of(description)
        self._values: dict[bytes, float] = {}
        parts = [explanation.ablations]
        if explanation.asked is not None:
            parts.append(explanation.asked)
        for part in parts:
            values = column_of(explanation, part.values, output).clip(*self._bounds).tolist()
            self._values |= dict(zip(keys(part.masks), values, strict=True))

    def entries(self, players: Players) -> tuple[Entry, ...]:
        """The entries of a set's truth table."""
        patterns = list(product((True, False), repeat=len(players)))
        masks = patterns_of(players, self._n)
        by_spectrum = self._explanation.spectrum.predict(masks)  # as pages predict
        column = column_of(self._explanation, by_spectrum, self._output)
        predicted = column.clip(*self._bounds).tolist()
        measured = self.measured(masks)
        return tuple(map(Entry, patterns, measured, predicted))

    def measured(self, masks: BoolArray) -> list[float]:
        """The measured values of masks ``(m, n)``; NaN where there is none."""
        return [self._values.get(key, nan) for key in keys(masks)]


def trio_of(tables: Sequence[TruthTable]) -> Players | None:
    """Three players all of whose pairs have a table; ``None``: there are none."""
    pairs = [table.players for table in tables if len(table.players) == 2]
    for one, two, three in combinations(pairs, 3):
        players = tuple(sorted({*one, *two, *three}))
        if len(players) == 3:
            return players
    return None


def patterns_of(players: Players, n_players: int) -> BoolArray:
    """The masks of a set's truth table, ``(2^k, n)``: all kept first, none of the set last."""
    patterns = list(product((True, False), repeat=len(players)))
    masks = np.ones((len(patterns), n_players), dtype=np.bool_)
    masks[:, list(players)] = patterns
    return masks


def to_ask(explanation: Reading, budget: int, top: int = TOP) -> BoolArray:
    """The masks that truth tables lack, whole tables only, and then those of other single players.

    Args:
        explanation: of the game.
        budget: the most masks.
        top: the most tables, and the most single players.

    Returns:
        ``(m, n)``, each once.
    """
    n = explanation.spectrum.n_players
    tables = truth_tables(explanation, top)
    trio = trio_of(tables)
    sets = [*(table.players for table in tables), *([] if trio is None else [trio])]
    in_tables = {player for players in sets for player in players}
    singles = strongest(explanation, 1, 1, top + len(in_tables)).sets
    sets += [one for one in singles if not in_tables.issuperset(one)][:top]
    known, chosen = Known(explanation), dict[bytes, BoolArray]()
    for players in sets:
        masks = patterns_of(players, n)
        new = {
            key: mask
            for key, mask, value in zip(keys(masks), masks, known.measured(masks), strict=True)
            if value != value and key not in chosen
        }
        if len(chosen) + len(new) <= budget:
            chosen |= new
    return np.array(list(chosen.values()), dtype=np.bool_).reshape(-1, n)


def joined(before: Ablations | None, masks: BoolArray, values: FloatArray) -> Ablations | None:
    """Ablations that were asked before with further ones."""
    if not len(masks):
        return before
    new = Ablations(masks, values)
    return new if before is None else before + new
