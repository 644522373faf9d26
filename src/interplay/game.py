"""Game: anything that gives a value to every subset of its players.

Everything right of here (designs, the store, decoders, spectra, explanations) knows a game only by
this Protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from interplay._types import BoolArray, FloatArray, Json
from interplay.errors import GameError
from interplay.interactions import names_of
from interplay.masks import as_masks, describe
from interplay.sets import as_columns


@runtime_checkable
class Game(Protocol):
    """A set function over named players.

    Attributes:
        n_players: how many players there are.
        players: their names, for people to read; names may repeat.
        fingerprint: identifies what is computed, so that its values may be kept in a store and
            used again; ``None`` where that cannot be known.

    Called with masks ``(m, n) bool``, a game returns its values, ``(m,)`` or ``(m, k)`` float64.
    """

    @property
    def n_players(self) -> int:
        """See above."""
        ...

    @property
    def players(self) -> Sequence[str]:
        """See above."""
        ...

    @property
    def fingerprint(self) -> str | None:
        """See above."""
        ...

    def __call__(self, masks: BoolArray, /) -> FloatArray:
        """See above."""
        ...


@runtime_checkable
class PlannedGame(Game, Protocol):
    """A game that also says how it wants to be evaluated and what it is. All lenses do.

    Attributes:
        batch_size: how many masks it wants per call.
    """

    @property
    def batch_size(self) -> int:
        """See above."""
        ...

    def cost(self, masks: BoolArray, /) -> FloatArray:
        """What each ablation costs, ``(m,)``, in any unit (tokens, say).

        Masks of similar cost are evaluated together, the dearest first.
        """
        ...

    def describe(self) -> Json:
        """What the game is, for provenance and for the report: JSON, with the key ``lens``."""
        ...


class FunctionGame:
    """A plain function as a game.

    Args:
        f: takes masks ``(m, n) bool``, returns ``(m,)`` or ``(m, k)`` finite numbers.
        n_players: n.
        players: the players' names; their numbers by default.
        fingerprint: a string that identifies ``f`` and everything it depends on. Without one the
            values are kept for the run only and never written to a store.

    Raises:
        ValueError: ``n_players`` is below 1, or not one name per player.
    """

    def __init__(
        self,
        f: Callable[[BoolArray], npt.ArrayLike],
        n_players: int,
        players: Sequence[str] | None = None,
        fingerprint: str | None = None,
    ) -> None:
        if n_players < 1:
            raise ValueError(f"n_players={n_players} is below 1; a game needs a player")
        self.n_players = int(n_players)
        self.players = names_of(players, n_players)
        self.fingerprint = fingerprint
        self._f = f
        fingerprint_of(self)

    def __call__(self, masks: BoolArray, /) -> FloatArray:
        """The function's values."""
        return np.asarray(self._f(as_masks(masks, self.n_players)), dtype=np.float64)

    def __repr__(self) -> str:
        name = getattr(self._f, "__qualname__", type(self._f).__qualname__)
        return f"FunctionGame({name}, n_players={self.n_players})"


def fingerprint_of(game: Game) -> str | None:
    """A game's fingerprint, checked.

    Raises:
        ValueError: it is neither ``None`` nor a string with something in it.
    """
    fingerprint = game.fingerprint
    if fingerprint is not None and not (isinstance(fingerprint, str) and fingerprint):
        raise ValueError(
            f"fingerprint={fingerprint!r} of {game!r} identifies nothing; give a string, or None"
        )
    return fingerprint


def call(game: Game, masks: BoolArray, n_outputs: int | None = None) -> FloatArray:
    """Call a game and check what it returns.

    Args:
        game: the game.
        masks: ``(m, n)``.
        n_outputs: where earlier calls fixed it, the number of outputs: 0 for values ``(m,)``, k
            for ``(m, k)``.

    Raises:
        GameError: the game raised (for a batch, on which mask is not known), or returned a wrong
            shape, or values that are not finite; the message names the game and the mask. Finite
            rows of the batch come along as ``error.masks`` and ``error.values``.
    """
    try:
        # a copy: a game that works on its masks in place must not change ours
        values = np.asarray(game(masks.copy()), dtype=np.float64)
    except Exception as error:
        where = describe(masks[0]) if len(masks) == 1 else f"a batch of {len(masks)} masks"
        raise GameError(f"{game!r} raised {type(error).__name__} on {where}: {error}") from error
    shape = (len(masks),) if n_outputs in (None, 0) else (len(masks), n_outputs)
    if values.shape != shape and not (
        n_outputs is None and values.ndim == 2 and len(values) == len(masks) and values.shape[1]
    ):
        wanted = f"{shape} as before" if n_outputs is not None else f"{shape} or ({len(masks)}, k)"
        raise GameError(
            f"{game!r} returned values of shape {values.shape} for masks of shape {masks.shape} "
            f"(the first: {describe(masks[0])}); it must return {wanted}"
        )
    finite = np.isfinite(as_columns(values)).all(axis=1)
    if not finite.all():
        bad = int(np.argmin(finite))
        raise GameError(
            f"{game!r} returned {values[bad]} for the {describe(masks[bad])}; "
            "values must be finite numbers",
            masks[finite],
            values[finite],
        )
    return values
