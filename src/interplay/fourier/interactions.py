"""Interactions: sets of players with the strength of their joint effect, under one index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING

import numpy as np

from interplay._arrays import as_columns, root_of_squares
from interplay._types import (
    BoolArray,
    FloatArray,
    IntArray,
    Players,
    has_surrogate,
    shown,
    visible,
    whole,
)
from interplay.errors import MissingDependencyError
from interplay.extensions import nearest
from interplay.fourier.sets import Members, as_players, tuples

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.9
"""The nominal coverage of the intervals of interactions."""


@dataclass(frozen=True, eq=False)
class Interactions:
    """Values of an interaction index on a sparse family of player sets.

    Keys are ascending tuples of player indices, so two players with the same name stay two players.
    A value is looked up by numbers or by names, in any order: ``interactions[4, 1]``,
    ``interactions["mean radius", "worst area"]``. A set that is not listed has the value zero, or
    that of ``rest``.

    Attributes:
        index: the tag of the index, such as ``"FSII"``.
        order: the requested largest order.
        n_players: n.
        members: the sets, ``(s, d) int32``, ascending, padded with ``n``.
        values: ``(s,)``, or ``(s, k)`` for k outputs.
        players: the players' names.
        deviations: the standard deviation of each value, in the shape of ``values``; ``None`` where
            the decoder gives no uncertainty.
        rest: the value of every set that is not listed, by its size, ``(order + 1,)`` or
            ``(order + 1, k)``; ``None``: zero. Selections of sets have none.
    """

    index: str
    order: int
    n_players: int
    members: Members
    values: FloatArray
    players: tuple[str, ...]
    deviations: FloatArray | None = None
    rest: FloatArray | None = None

    @cached_property
    def sets(self) -> list[Players]:
        """The sets, in the order of ``values``."""
        return tuples(self.members, self.n_players)

    @property
    def orders(self) -> IntArray:
        """The number of players of each set, shape ``(s,)``."""
        return np.asarray((self.members < self.n_players).sum(axis=1))

    @property
    def strength(self) -> FloatArray:
        """Magnitudes, shape ``(s,)``: |value|, or the root of the sum of squares over outputs."""
        return root_of_squares(as_columns(self.values), 1)

    @property
    def low(self) -> FloatArray | None:
        """Lower ends of the intervals, of nominal coverage :data:`LEVEL`; see :attr:`high`."""
        return None if self.deviations is None else self.values - _width() * self.deviations

    @property
    def high(self) -> FloatArray | None:
        """Upper ends, in the shape of ``values``; ``None`` where there is no uncertainty."""
        return None if self.deviations is None else self.values + _width() * self.deviations

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[tuple[Players, FloatArray]]:
        """Pairs of a set and its value (a float64, or ``(k,)`` for k outputs)."""
        return iter(zip(self.sets, self.values, strict=True))

    def __contains__(self, players: Iterable[int | str]) -> bool:
        return self._set(players) in self._rows

    def __getitem__(self, players: Iterable[int | str]) -> FloatArray:
        """The value of a set of players, in any order, whether it is listed or not.

        Args:
            players: their numbers or their names; a single name may stand for itself.

        Raises:
            ValueError: there is no such player, or several have that name.

        Example:
            >>> import interplay as ip
            >>> game = ip.FunctionGame(lambda m: m.prod(axis=1), 2, players=["area", "radius"])
            >>> interactions = ip.explain(game).interactions("FSII")
            >>> print(interactions["radius", "area"], interactions[0, 1], interactions["area"])
            1.0 1.0 0.0
        """
        chosen = self._set(players)
        row = self._rows.get(chosen)
        if row is not None:
            return np.asarray(self.values[row])[()]
        value = np.zeros_like(self.values, shape=self.values.shape[1:])
        if self.rest is not None and len(chosen) < len(self.rest):
            value = value + self.rest[len(chosen)]
        return np.asarray(value)[()]

    def _set(self, players: Iterable[int | str]) -> Players:
        """The key of a set of players that are given by numbers or names."""
        listed = (players,) if isinstance(players, str) else players
        return as_players(
            [self._number(player) if isinstance(player, str) else player for player in listed],
            self.n_players,
        )

    def _number(self, name: str) -> int:
        numbers = self._numbers.get(name, ())
        if len(numbers) == 1:
            return numbers[0]
        if not numbers:
            raise ValueError(
                f"no player is named {shown(name)}{nearest(name, self._numbers)}; give a name of "
                f"Interactions.players, or a number from 0 to {self.n_players - 1}"
            )
        listed = ", ".join(map(str, numbers))
        raise ValueError(f"players {listed} are all named {shown(name)}; give the number of one")

    @cached_property
    def _numbers(self) -> dict[str, list[int]]:
        numbers: dict[str, list[int]] = {}
        for number, name in enumerate(self.players):
            numbers.setdefault(name, []).append(number)
        return numbers

    @cached_property
    def _rows(self) -> dict[Players, int]:
        return {players: row for row, players in enumerate(self.sets)}

    def label(self, players: Iterable[int], joint: str = " × ") -> str:
        """The names of a set of players, joined."""
        return joint.join(self.players[player] for player in players) or "(baseline)"

    def filter(self, min_order: int = 1, max_order: int | None = None) -> Interactions:
        """Keep ``min_order <= order <= max_order``; by default all sets but the empty one."""
        least = whole("min_order", min_order, 0)
        largest = self.n_players if max_order is None else whole("max_order", max_order, 0)
        return self.take((self.orders >= least) & (self.orders <= largest))

    def top(
        self, count: int = 10, *, min_order: int = 1, max_order: int | None = None
    ) -> Interactions:
        """Take the ``count`` strongest, strongest first; ties keep the order of the sets."""
        count = whole("count", count, 0)
        chosen = self.filter(min_order, max_order)
        return chosen.take(np.argsort(-chosen.strength, kind="stable")[:count])

    def output(self, column: int) -> Interactions:
        """The interactions of one of the k outputs, counted from 0.

        Raises:
            ValueError: there is no such output.
        """
        column = checked_output(column, as_columns(self.values).shape[1])
        deviations = self.deviations
        return replace(
            self,
            values=as_columns(self.values)[:, column],
            deviations=None if deviations is None else as_columns(deviations)[:, column],
            rest=None if self.rest is None else as_columns(self.rest)[:, column],
        )

    def take(self, rows: BoolArray | IntArray) -> Interactions:
        """Take some of the sets, by their place or by a choice of each."""
        deviations = self.deviations
        return replace(
            self,
            members=self.members[rows],
            values=self.values[rows],
            deviations=None if deviations is None else deviations[rows],
            rest=None,
        )

    def to_frame(self) -> pd.DataFrame:
        """Make a pandas DataFrame with columns ``players``, ``label``, ``order`` and ``value``.

        If there is an uncertainty, it also has ``low`` and ``high``. With k outputs these columns
        are ``value_0 .. value_{k-1}`` and so on.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingDependencyError("pandas", "pandas", "Interactions.to_frame") from error
        numbers = {}
        for name, values in (("value", self.values), ("low", self.low), ("high", self.high)):
            if values is not None and values.ndim == 1:
                numbers[name] = values
            elif values is not None:
                numbers |= {f"{name}_{j}": column for j, column in enumerate(values.T)}
        return pd.DataFrame(
            {
                "players": self.sets,
                "label": [self.label(players) for players in self.sets],
                "order": self.orders,
                **numbers,
            }
        )

    def __str__(self) -> str:
        shown = self.top(10)
        lines = [f"{self.index} up to order {self.order}: {len(self)} sets, strongest first"]
        lines += [
            f"  {np.array2string(np.asarray(value), precision=4, sign='+')}  {self.label(players)}"
            for players, value in shown
        ]
        return visible("\n".join(lines))


@cache
def _width() -> float:
    """Half the width of an interval, in standard deviations."""
    from scipy.special import ndtri

    return float(ndtri((1 + LEVEL) / 2))


def checked_output(output: int, n_outputs: int | None) -> int:
    """Check the number of an output and return it.

    Args:
        output: the number, from 0.
        n_outputs: k; ``None``: there is one output.

    Raises:
        ValueError: there is no such output.
    """
    count, number = n_outputs or 1, whole("output", output)
    if not 0 <= number < count:
        raise ValueError(f"output={output} is not one of the {count} outputs, which count from 0")
    return number


def names_of(players: Sequence[str] | None, n_players: int) -> tuple[str, ...]:
    """Name the players; by default with their numbers.

    Whole numbers are names too. They become text.

    Raises:
        ValueError: there are not as many names as players; or a name is not text, or has a lone
            surrogate, which no file and no page can hold.
    """
    if players is None:
        return tuple(map(str, range(n_players)))
    if len(players) != n_players:
        raise ValueError(
            f"{len(players)} names were given for {n_players} players; give one name per player"
        )
    return tuple(_name(name, player) for player, name in enumerate(players))


def _name(name: object, player: int) -> str:
    if isinstance(name, int | np.integer) and not isinstance(name, bool):
        name = str(int(name))
    if not isinstance(name, str):
        raise ValueError(
            f"players[{player}] is {shown(name)}, which is not text; give a name, such as "
            "str(...) of it"
        )
    if has_surrogate(name):
        raise ValueError(
            f"players[{player}] is {shown(name)}, which has a lone surrogate (half a character) "
            "that no file can hold; replace it, such as by "
            "name.encode('utf-8', 'replace').decode()"
        )
    return str(name)
