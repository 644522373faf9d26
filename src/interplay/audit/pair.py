"""Pair: two games of the same players as one, whose last outputs are their difference."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from interplay._arrays import as_columns
from interplay._types import BoolArray, FloatArray, IntArray, Json, shown
from interplay.fourier.masks import as_masks
from interplay.game import (
    Game,
    Hints,
    as_planned,
    costs,
    described,
    fingerprint_of,
    hints_of,
    measure_for,
    players_of,
    repeats_of,
)

_CODE_VERSION = 1
"""Part of the fingerprint: increased when a change of the code changes values."""
_BATCH = 256
"""How many masks a call has where neither game says so."""


class Pair:
    """Two games as one, on the same masks.

    Its outputs are those of the first game, those of the second, and what the second has more than
    the first. The difference has a decoding, a score and intervals of its own: an interaction of it
    is how much an interaction changed.

    Args:
        first: a game.
        second: another one, of the same players in the same order.
        names: what they are called, two different names.
        evaluate: what gives their values, instead of the games themselves.

    Raises:
        ValueError: the players differ, or the names are not two.

    Example:
        >>> import numpy as np
        >>> import interplay as ip
        >>> old = ip.FunctionGame(lambda masks: masks[:, 0] * 1.0, n_players=2)
        >>> new = ip.FunctionGame(lambda masks: masks[:, 0] * masks[:, 1], n_players=2)
        >>> Pair(old, new, ("old", "new"))(np.array([[True, False], [True, True]]))
        array([[ 1.,  0., -1.],
               [ 1.,  1.,  0.]])
    """

    def __init__(
        self,
        first: Game,
        second: Game,
        names: tuple[str, str] = ("first", "second"),
        evaluate: tuple[Callable[[BoolArray], FloatArray], Callable[[BoolArray], FloatArray]]
        | None = None,
    ) -> None:
        if len(names) != 2 or names[0] == names[1] or not all(names):
            raise ValueError(f"names={names!r}; give two different names")
        _check_players(first, second, names)
        if evaluate is None and (repeats_of(first) > 1 or repeats_of(second) > 1):
            raise ValueError("a random game has no single value; use interplay.compare")
        self.games = (first, second)
        self.names = (str(names[0]), str(names[1]))
        self._evaluate = evaluate or (first, second)
        self.players = players_of(first)

    @property
    def n_players(self) -> int:
        """The number of players."""
        return int(self.games[0].n_players)

    def __call__(self, masks: BoolArray, /) -> FloatArray:
        """Evaluate masks ``(m, n)`` by both games: ``(m, 3 k)`` for games of k outputs.

        Raises:
            ValueError: the games have different numbers of outputs.
        """
        masks = as_masks(masks, self.n_players)
        first, second = (as_columns(np.asarray(values(masks))) for values in self._evaluate)
        if first.shape != second.shape:
            raise ValueError(
                f"{self.names[0]} has {first.shape[1]} outputs and {self.names[1]} has "
                f"{second.shape[1]}; give games with the same"
            )
        return np.hstack([first, second, second - first])

    @property
    def batch_size(self) -> int:
        """The most masks per call."""
        sizes = [game.batch_size for game in map(as_planned, self.games) if game is not None]
        return min(sizes, default=_BATCH)

    def arrange(self, masks: BoolArray, /) -> IntArray:
        """The order of evaluation, ``(m,)``: that of the first game that has one."""
        for game in map(as_planned, self.games):
            if game is not None:
                return game.arrange(masks)
        return np.arange(len(masks))

    def cost(self, masks: BoolArray, /) -> FloatArray:
        """The cost of each ablation in both games, ``(m,)``."""
        first, second = (costs(game, masks) for game in self.games)
        return np.asarray(first + second)

    def describe(self) -> Json:
        """The description of the first game, with the names of both and of all outputs."""
        first, second = map(described, self.games)
        listed = list(first.get("outputs") or [])
        old, new = self.names
        change = f"{new} less {old}"
        named = [old, new, change]
        if listed:
            named = [f"{name}: {output}" for name in named for output in listed]
        n_outputs = len(listed) or 1
        by_output = {
            key: first[key] * 3
            for key in ("targets", "scores")
            if isinstance(first.get(key), list) and len(first[key]) == n_outputs
        }
        view = dict(first.get("view") or {})
        view.pop("mean_first", None)  # a mean over both games and their difference says nothing
        view.pop("table", None)
        return (
            first
            | by_output
            | {
                "view": view,
                "outputs": named,
                "compared": {"names": [old, new], "descriptions": [first, second]},
            }
        )

    @property
    def measure(self) -> Any:
        """The measure of the first game, where none is asked for."""
        return measure_for(self.games[0])

    def hints(self) -> Hints | None:
        """What the first game expects of its players."""
        return hints_of(self.games[0])

    @property
    def fingerprint(self) -> str | None:
        """A hash of both fingerprints; ``None`` if one of the games has none."""
        both = [fingerprint_of(game) for game in self.games]
        if None in both:
            return None
        digest = hashlib.sha256(f"pair {_CODE_VERSION}".encode())
        for fingerprint in both:
            digest.update(hashlib.sha256(str(fingerprint).encode()).digest())
        return digest.hexdigest()

    def __repr__(self) -> str:
        return f"Pair({self.games[0]!r}, {self.games[1]!r}, names={self.names!r})"


def _check_players(first: Game, second: Game, names: tuple[str, str]) -> None:
    """Refuse games whose masks mean different things."""
    old, new = players_of(first), players_of(second)
    if len(old) != len(new):
        raise ValueError(
            f"{names[0]} has {len(old)} players and {names[1]} has {len(new)}; the same masks can "
            "be asked of both only if they have the same players"
        )
    for number, (one, other) in enumerate(zip(old, new, strict=True)):
        if one != other:
            raise ValueError(
                f"player {number} is {shown(one)} of {names[0]} and {shown(other)} of {names[1]}; "
                "the same masks can be asked of both only if they have the same players, in the "
                "same order"
            )
