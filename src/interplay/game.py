"""Game: anything that gives a value to every subset of its players.

Everything right of here (designs, the store, decoders, spectra, explanations) knows a game only by
this Protocol.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from inspect import getattr_static
from typing import Protocol, cast, runtime_checkable

import numpy as np
import numpy.typing as npt

from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.errors import OutputShapeError
from interplay.fourier.interactions import names_of
from interplay.fourier.masks import as_masks, describe, keys


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

    def arrange(self, masks: BoolArray, /) -> IntArray:
        """The order, ``(m,)``, in which to cut masks into calls.

        Neighbours come into one call, so that they can share what they have in common.
        """
        ...

    def cost(self, masks: BoolArray, /) -> FloatArray:
        """What each ablation costs, ``(m,)``: tokens, for a language model."""
        ...

    def describe(self) -> Json:
        """What the game is, for provenance and for the report: JSON.

        With the key ``lens``, its name; ``outputs``, the names of several outputs; ``paid``, where
        evaluations cost money; and ``view``, how the players are to be shown:

        - ``title``, such as ``"The input"``;
        - ``kind``: ``"text"``, each player in its place (``text`` and ``spans`` are keys of the
          description then), ``"grid"``, layers by heads (``units``, ``n_heads``), or ``"tiles"``
          (if wished ``snippets`` or ``thumbnails``, one for each player); tiles by default;
        - ``mean_first``: of several outputs the mean is shown first;
        - ``table``: ``"relations"`` where the command line is to print synergies and redundancies.
        """
        ...


def as_planned(game: Game) -> PlannedGame | None:
    """A game as one that says how it wants to be evaluated, where it does.

    Unlike ``isinstance`` with a Protocol, which evaluates properties (a fingerprint may take
    seconds), this looks at the names only.
    """
    missing = object()
    names = ("batch_size", "arrange", "cost", "describe")
    if any(getattr_static(game, name, missing) is missing for name in names):
        return None
    return cast(PlannedGame, game)


def costs(game: Game, masks: BoolArray) -> FloatArray:
    """What each ablation costs, ``(m,)``; 1 each where the game does not say."""
    planned = as_planned(game)
    return np.ones(len(masks)) if planned is None else planned.cost(masks)


def described(game: Game) -> Json:
    """What the game says of itself, checked to be JSON before anything is paid for.

    Raises:
        ValueError: it is not JSON.
    """
    planned = as_planned(game)
    description = {"lens": None} | ({} if planned is None else planned.describe())
    try:
        json.dumps(description, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"describe() of {game!r} is not JSON: {error}") from error
    return description


class FunctionGame:
    """A plain function as a game.

    Args:
        f: takes masks ``(m, n) bool``, returns ``(m,)`` or ``(m, k)`` finite numbers.
        n_players: n.
        players: the players' names; their numbers by default.
        fingerprint: a string that identifies ``f`` and everything it depends on. Without one the
            values are kept for the run only and never written to a store.
        n_repeats: above 1 for a function that is random: every ablation is evaluated so often and
            averaged. ``f`` then takes masks and seeds, ``(m,) int64``, one for each row, and gives
            the same value for the same mask and seed.

    Raises:
        ValueError: ``n_players`` or ``n_repeats`` is below 1, or not one name per player.
    """

    def __init__(
        self,
        f: Callable[..., npt.ArrayLike],
        n_players: int,
        *,
        players: Sequence[str] | None = None,
        fingerprint: str | None = None,
        n_repeats: int = 1,
    ) -> None:
        if n_players < 1:
            raise ValueError(f"n_players={n_players} is below 1; a game needs a player")
        self.n_players = int(n_players)
        self.players = names_of(players, n_players)
        self.fingerprint = fingerprint
        self.n_repeats = n_repeats
        self._f = f
        fingerprint_of(self)
        repeats_of(self)

    def __call__(self, masks: BoolArray, /, *seeds: IntArray) -> FloatArray:
        """The function's values."""
        return np.asarray(self._f(as_masks(masks, self.n_players), *seeds), dtype=np.float64)

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


def repeats_of(game: Game) -> int:
    """How often each ablation of a game is to be evaluated: its ``n_repeats``, 1 without one.

    Raises:
        ValueError: it is no whole number from 1 on.
    """
    n_repeats = getattr(game, "n_repeats", 1)
    if not isinstance(n_repeats, int | np.integer) or n_repeats < 1:
        raise ValueError(
            f"n_repeats={n_repeats!r} of {game!r} is not a whole number from 1 on; "
            "1 is for a game that is not random"
        )
    return int(n_repeats)


def seeds_of(masks: BoolArray, n_repeats: int) -> IntArray:
    """A seed for each repeat of each mask, ``(m * n_repeats,)``, that depends on nothing else.

    So a random game gives the same values however its masks are cut into calls, wherever it runs.
    """
    digests = [
        hashlib.blake2b(key + repeat.to_bytes(8, "little"), digest_size=8).digest()
        for key in keys(masks)
        for repeat in range(n_repeats)
    ]
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.int64) & (2**62 - 1)


def call(game: Game, masks: BoolArray, n_repeats: int = 1) -> FloatArray:
    """Call a game and check the shape of what it returns.

    Args:
        game: the game.
        masks: ``(m, n)``.
        n_repeats: how often each mask is evaluated.

    Returns:
        ``(m,)`` or ``(m, k)``; with repeats ``(m, r)`` or ``(m, r * k)``, each repeat's outputs
        side by side. Numbers need not be finite.

    Raises:
        OutputShapeError: a wrong shape; the message names the game and the first mask.
        Exception: whatever the game raises.
    """
    # copies: a game that works on its masks in place must not change ours
    if n_repeats == 1:
        values = np.asarray(game(masks.copy()), dtype=np.float64)
    else:
        rows = np.repeat(masks, n_repeats, axis=0)
        repeated = game(rows, seeds_of(masks, n_repeats))  # type: ignore[call-arg]
        values = np.asarray(repeated, dtype=np.float64)
    asked = len(masks) * n_repeats
    if values.ndim not in (1, 2) or len(values) != asked or 0 in values.shape:
        raise OutputShapeError(
            f"{game!r} returned values of shape {values.shape} for masks of shape "
            f"({asked}, {masks.shape[1]}) (the first: {describe(masks[0])}); "
            f"it must return ({asked},) or ({asked}, k)"
        )
    return values if n_repeats == 1 else values.reshape(len(masks), -1)
