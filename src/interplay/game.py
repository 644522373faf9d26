"""Game: anything that gives a value to every mask of its players.

A mask says which players are kept and which are removed. The rest of the package (designs, stores,
decoders, explanations) knows a game only by the protocols in this module.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from inspect import getattr_static
from typing import Any, Generic, Protocol, TypedDict, TypeVar, cast, runtime_checkable

import numpy as np
import numpy.typing as npt

from interplay._arrays import real_numbers
from interplay._types import BoolArray, Count, FloatArray, IntArray, Json, check, parse
from interplay.errors import GameError, OutputShapeError
from interplay.fourier.interactions import names_of
from interplay.fourier.masks import as_masks, describe, keys

_Answer = TypeVar("_Answer")

MOST_REPEATS = 10_000
"""The most evaluations of each mask of a random game."""


@runtime_checkable
class Game(Protocol):
    """A function of masks of so many players.

    A game is called with masks ``(m, n) bool`` (``True``: the player is kept). It returns their
    values as float64: ``(m,)``, or ``(m, k)`` for k outputs.

    A game may have more, which is read if it is there:

    - ``players``, their names, for people to read; names may repeat. A game that has a
      ``player_name_lookup`` instead, numbers by name as games of shapiq do, is read too.
    - ``fingerprint``, a text that identifies everything that the values depend on, so that they can
      be stored and used again; ``None`` if this cannot be known.
    - ``hints()``, ``measure`` and ``n_repeats``: see :class:`Hints`, :func:`measure_for` and
      :func:`repeats_of`.

    Attributes:
        n_players: n, the number of players.
    """

    @property
    def n_players(self) -> int:
        """See above."""
        ...

    def __call__(self, masks: BoolArray, /) -> FloatArray:
        """See above."""
        ...


@runtime_checkable
class PlannedGame(Game, Protocol):
    """A game that also plans its evaluation and describes itself. All lenses make such games.

    Attributes:
        batch_size: the most masks per call.
    """

    @property
    def batch_size(self) -> int:
        """See above."""
        ...

    def arrange(self, masks: BoolArray, /) -> IntArray:
        """The order, ``(m,)``, in which masks are cut into calls: a permutation of 0 to m - 1.

        Neighbours in this order go into one call, which can share the work that they have in
        common.
        """
        ...

    def cost(self, masks: BoolArray, /) -> FloatArray:
        """The cost of each ablation, ``(m,)``; for a language model, its tokens."""
        ...

    def describe(self) -> Json:
        """The game's description of itself, as JSON, for the provenance and the report.

        It has the key ``lens``, the name of the lens. If they apply it has ``outputs``, the names
        of several outputs; ``paid``, which is true if evaluations cost money; and ``view``, how
        reports show the players:

        - ``title``, such as ``"The input"``;
        - ``kind``: ``"text"`` shows each player in its place (the description then has the keys
          ``text`` and ``spans``), ``"grid"`` shows layers by heads (``n_heads``, and
          ``units`` of each player or, of the last players only, those in ``components``),
          ``"examples"`` shows prompts and responses (``tags`` and ``cards`` of each player),
          ``"image"`` shows regions on an image (``picture``; see :mod:`interplay.report.picture`),
          and
          ``"tiles"``, the default, shows the players side by side (optionally with ``snippets`` or
          ``thumbnails``, one for each player);
        - ``mean_first``: true if the mean over several outputs is shown first;
        - ``table``: ``"relations"`` if the command line prints synergies and redundancies.

        :class:`Description` has the types of all keys that the package reads.
        """
        ...


def as_planned(game: Game) -> PlannedGame | None:
    """The game itself if it is a :class:`PlannedGame`, otherwise ``None``.

    ``isinstance`` with a Protocol evaluates properties, and a fingerprint may take seconds. This
    looks at the names only.
    """
    missing = object()
    names = ("batch_size", "arrange", "cost", "describe")
    if any(getattr_static(game, name, missing) is missing for name in names):
        return None
    return cast(PlannedGame, game)


def costs(game: Game, masks: BoolArray) -> FloatArray:
    """The cost of each ablation, ``(m,)``. It is 1 if the game has no costs."""
    planned = as_planned(game)
    return np.ones(len(masks)) if planned is None else planned.cost(masks)


@dataclass(frozen=True, eq=False)
class Hints:
    """What a game says, before it is evaluated, of which players are likely to matter.

    Decoders that take hints (``gp``, and ``auto`` with it) expect more of players with larger
    values, as far as the ablations agree. Hints are no part of a game's fingerprint, since values
    do not depend on them.

    Attributes:
        kind: what the numbers are, such as ``"tokens"``.
        values: finite numbers from 0 on, one for each player, ``(n,)``. Only their ratios count.
        cost: what they took, in the unit of :meth:`PlannedGame.cost`; 0 if they were free.
    """

    kind: str
    values: FloatArray
    cost: float = 0.0

    def to_json(self) -> Json:
        """The hints as JSON, for the provenance."""
        return {"kind": self.kind, "values": self.values.tolist(), "cost": float(self.cost)}

    @classmethod
    def recorded(cls, document: Json) -> Hints:
        """Read :meth:`to_json`."""
        values = np.array(document["values"], dtype=np.float64)
        return cls(document["kind"], values, document["cost"])


@runtime_checkable
class HintingGame(Game, Protocol):
    """A game that gives hints. A run reads them once, before its first evaluation."""

    def hints(self) -> Hints | None:
        """The hints, or ``None`` if there are none to give."""
        ...


def players_of(game: Game) -> tuple[str, ...]:
    """The names of a game's players, or their numbers where it gives none.

    In a ``player_name_lookup`` a name that repeats is that of one player only. The others have
    their numbers.

    Raises:
        ValueError: there are not as many names as players, or a name is not text.
    """
    n_players, players = int(game.n_players), _given(game, "players")
    lookup = _given(game, "player_name_lookup")
    if players is None and isinstance(lookup, Mapping):
        names = {number: name for name, number in lookup.items()}
        players = [names.get(player, str(player)) for player in range(n_players)]
    return names_of(players, n_players)


def _given(game: Game, name: str) -> Any:
    """An attribute of a game, or ``None`` if it has none of that name."""
    return None if getattr_static(game, name, None) is None else getattr(game, name)


def measure_for(game: Game) -> Any:
    """The measure under which a game is explained if none is asked for.

    It is the game's attribute ``measure``; ``None`` where it has none, so that the decoder decides.
    """
    measure = _given(game, "measure")
    return None if callable(measure) else measure


class Once(Generic[_Answer]):
    """Answers that objects give, kept by their identity while :meth:`lasting` lasts.

    Whoever lets it last vouches that none of them changes.

    Args:
        ask: gives an object's answer.
    """

    def __init__(self, ask: Callable[[Any], _Answer]) -> None:
        self._ask = ask
        # an object is kept with its answer, so that no other one takes its identity
        self._held: ContextVar[dict[int, tuple[Any, _Answer]] | None] = ContextVar(
            "held", default=None
        )

    def __call__(self, one: Any) -> _Answer:
        """An object's answer; asked each time outside of :meth:`lasting`."""
        held = self._held.get()
        if held is None:
            return self._ask(one)
        if id(one) not in held:
            held[id(one)] = one, self._ask(one)
        return held[id(one)][1]

    @contextmanager
    def lasting(self) -> Iterator[None]:
        """Ask each object once while this lasts."""
        token = self._held.set({})
        try:
            yield
        finally:
            self._held.reset(token)


def hints_of(game: Game) -> Hints | None:
    """A game's hints, checked; ``None`` if it gives none.

    Raises:
        GameError: ``hints()`` raised.
        ValueError: it returned something else than ``None`` or :class:`Hints` of n finite numbers
            from 0 on.
    """
    if getattr_static(game, "hints", None) is None:
        return None
    return _HINTS(game)


def held_hints() -> AbstractContextManager[None]:
    """Ask each game for its hints once while this lasts: the caller vouches that none changes."""
    return _HINTS.lasting()


def _asked_for_hints(game: Game) -> Hints | None:
    try:
        hints = cast(HintingGame, game).hints()
    except Exception as error:
        raise GameError(
            f"hints() of {game!r} raised {type(error).__name__}: {error}; correct it, or let it "
            "return None, for a run without hints"
        ) from error
    return None if hints is None else check_hints(hints, game.n_players, f"hints() of {game!r}")


_HINTS = Once(_asked_for_hints)


def check_hints(hints: Any, n_players: int, where: str) -> Hints:
    """Check hints, and convert their values to float64.

    Args:
        hints: what is to be :class:`Hints`.
        n_players: n.
        where: what they are, for the message.

    Raises:
        ValueError: as for :func:`hints_of`.
    """
    if not isinstance(hints, Hints):
        raise ValueError(f"{where} is {hints!r}; interplay.game.Hints or None is expected")
    values = real_numbers(hints.values, f"the values of {where}")
    if values.shape != (n_players,):
        raise ValueError(
            f"the values of {where} have shape {values.shape}; ({n_players},) is expected, a "
            "number for each player"
        )
    if not (np.isfinite(values) & (values >= 0)).all():
        player = int(np.flatnonzero(~(np.isfinite(values) & (values >= 0)))[0])
        raise ValueError(
            f"the value of player {player} in {where} is {values[player]}; a finite number from 0 "
            "on is expected, such as the size of an effect"
        )
    is_number = isinstance(hints.cost, int | float | np.number)
    if not (isinstance(hints.kind, str) and hints.kind and is_number and 0 <= hints.cost < np.inf):
        raise ValueError(
            f"{where} has kind={hints.kind!r} and cost={hints.cost!r}; a name, and a finite number "
            "from 0 on, are expected"
        )
    return Hints(hints.kind, values, float(hints.cost))


class ExampleTexts(TypedDict):
    """What a description holds of a fine-tuning example."""

    prompt: str
    response: str
    tag: str | None


class Card(TypedDict):
    """What a description holds of a player of fine-tuning examples: the first of its rows."""

    n_rows: Count
    rows: list[ExampleTexts]


class Compared(TypedDict):
    """Two games as one: what they are called, and what they say of themselves."""

    names: tuple[str, str]
    descriptions: tuple[dict[str, Any], dict[str, Any]]


class Description(TypedDict, total=False):
    """The keys of a game's description that the package reads. Others may hold any JSON."""

    lens: str | None
    outputs: list[str] | None
    view: dict[str, Any] | None
    text: str
    spans: list[tuple[Count, Count]]
    pieces: list[tuple[str, Count | None]]
    units: list[list[tuple[int, str, int]]]
    n_heads: list[int]
    rows_by_class: list[list[Count]] | None
    classes: list[Any]
    thumbnails: list[str | None] | None
    snippets: list[str | None] | None
    test_points: list[str]
    trainer: dict[str, Any]
    targets: list[dict[str, Any]] | None
    scores: list[str] | None
    score: str | None
    tags: list[str | None] | None
    cards: list[Card] | None
    compared: Compared | None


_BY_PLAYER = ("spans", "units", "rows_by_class", "thumbnails", "snippets", "tags", "cards")
_TOGETHER = {"spans": "text", "units": "n_heads", "rows_by_class": "score", "cards": "tags"}
"""A key, and another that is read with it."""


def cut_at(text: str, spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int, int | None]]:
    """Cut a text at the players' spans.

    Example:
        >>> list(cut_at("a bc", [(2, 4)]))
        [(0, 2, None), (2, 4, 0), (4, 4, None)]

    Args:
        text: the text.
        spans: of each player its characters, in order.

    Returns:
        The pieces in order, empty ones too: where each begins and ends, and its player; ``None``
        where it is fixed.
    """
    at = 0
    for player, (start, stop) in enumerate(spans):
        yield at, start, None
        yield start, stop, player
        at = stop
    yield at, len(text), None


def check_description(description: Any, n_players: int, where: str) -> None:
    """Check the keys of a description that reports and analyses read.

    Args:
        description: parsed JSON.
        n_players: n.
        where: what it is, for the message.

    Raises:
        ValueError: a key has another type than :class:`Description` says, a list of something for
            each player has another length than n, or spans are not in order within the text.
    """
    check(description, Description, where)
    for key in _BY_PLAYER:
        entries = description.get(key)
        if entries is not None and len(entries) != n_players:
            raise ValueError(
                f"{where}.{key} has {len(entries)} entries; {n_players} are expected, one for "
                "each player"
            )
        if entries is not None and _TOGETHER.get(key, key) not in description:
            raise ValueError(f"{where} has {key!r} but no {_TOGETHER[key]!r}; both are expected")
    for text, player in description.get("pieces", ()):
        if player is not None and player >= n_players:
            raise ValueError(
                f"{where}.pieces has {text[:40]!r} of player {player}; there are {n_players}"
            )
    end = 0
    for player, (start, stop) in enumerate(description.get("spans", ())):
        if not end <= start <= stop <= len(description["text"]):
            raise ValueError(
                f"{where}.spans[{player}] is [{start}, {stop}]; a span within the text of "
                f"{len(description['text'])} characters that begins at {end} or later is expected"
            )
        end = stop
    for one in (description.get("compared") or {}).get("descriptions", ()):
        check_description(one, n_players, f"{where}.compared")


def described(game: Game) -> Json:
    """The game's description of itself, checked before anything is evaluated.

    A description that passes can be saved, loaded and shown.

    Raises:
        ValueError: the description is not JSON, holds NaN or half a character, or has other types
            than :class:`Description` says.
    """
    planned = as_planned(game)
    description = {} if planned is None else planned.describe()
    name = f"describe() of {game!r}"
    if not isinstance(description, Mapping):
        raise ValueError(f"{name} is not JSON: {description!r} is not a dict")
    description = {"lens": None} | dict(description)
    try:
        text = json.dumps(description, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{name} is not JSON: {error}") from error
    try:
        plain = parse(text.encode())
    except ValueError as error:
        raise ValueError(f"{name} cannot be saved: {error}") from error
    check_description(plain, game.n_players, name)
    return description


class FunctionGame:
    """A plain function as a game.

    Example:
        >>> import numpy as np
        >>> import interplay as ip
        >>> def both(masks):
        ...     return masks[:, 0] & masks[:, 1]
        >>> game = ip.FunctionGame(both, n_players=2, players=["key", "lock"])
        >>> game(np.array([[True, True], [True, False]]))
        array([1., 0.])
        >>> noisy = ip.FunctionGame(
        ...     lambda masks, seeds: masks[:, 0] + 0.1 * np.sin(seeds), n_players=2, n_repeats=5
        ... )

    Args:
        f: takes masks ``(m, n) bool`` and returns finite numbers, ``(m,)`` or ``(m, k)``.
        n_players: n.
        players: the players' names. The default is their numbers.
        fingerprint: a string that identifies ``f`` and everything that it depends on. Without one,
            the values stay in memory for the run and are never stored.
        n_repeats: for a random function, how often each mask is evaluated; the value is the mean.
            If it is above 1, ``f`` takes masks and seeds, ``(m,) int64``, one seed for each row. It
            must return the same value for the same mask and seed.

    Raises:
        ValueError: ``n_players`` or ``n_repeats`` is below 1, or the number of names is not
            ``n_players``.
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
        """Evaluate the function on masks ``(m, n)``."""
        values = self._f(as_masks(masks, self.n_players), *seeds)
        return real_numbers(values, f"the values of {self!r}")

    def __repr__(self) -> str:
        name = getattr(self._f, "__qualname__", type(self._f).__qualname__)
        return f"FunctionGame({name}, n_players={self.n_players})"


def fingerprint_of(game: Game) -> str | None:
    """A game's fingerprint, checked; ``None`` if it has none.

    Raises:
        ValueError: the fingerprint is neither ``None`` nor a string that is not empty.
    """
    fingerprint: str | None = _given(game, "fingerprint")
    if fingerprint is not None and not (isinstance(fingerprint, str) and fingerprint):
        raise ValueError(
            f"fingerprint={fingerprint!r} of {game!r} identifies nothing; give a string, or None"
        )
    return fingerprint


def repeats_of(game: Game) -> int:
    """How often each mask of a game is evaluated: its ``n_repeats``, or 1 if it has none.

    Raises:
        ValueError: ``n_repeats`` is not a whole number from 1 to :data:`MOST_REPEATS`.
    """
    n_repeats = getattr(game, "n_repeats", 1)
    if not isinstance(n_repeats, int | np.integer) or not 1 <= n_repeats <= MOST_REPEATS:
        raise ValueError(
            f"n_repeats={n_repeats!r} of {game!r} is not a whole number from 1 to "
            f"{MOST_REPEATS:,}; 1 is for a game that is not random"
        )
    return int(n_repeats)


def seeds_of(masks: BoolArray, n_repeats: int) -> IntArray:
    """A seed for each repeat of each mask, ``(m * n_repeats,)``.

    A seed depends only on the mask and the number of the repeat. A random game therefore gives the
    same values wherever it runs, and however its masks are cut into calls.
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
        n_repeats: r, how often each mask is evaluated.

    Returns:
        The values, ``(m,)`` or ``(m, k)``. With repeats ``(m, r)`` or ``(m, r * k)``: the k outputs
        of the first repeat, then those of the second, and so on. They may not be finite.

    Raises:
        OutputShapeError: the values have a wrong shape. The message names the game and the first
            mask.
        Exception: whatever the game raises.
    """
    # a copy: the game may change its masks in place
    if n_repeats == 1:
        returned = game(masks.copy())
    else:
        rows = np.repeat(masks, n_repeats, axis=0)
        returned = game(rows, seeds_of(masks, n_repeats))  # type: ignore[call-arg]
    values = real_numbers(returned, f"the values of {game!r}")
    n_rows = len(masks) * n_repeats
    if values.ndim not in (1, 2) or len(values) != n_rows or 0 in values.shape:
        raise OutputShapeError(
            f"{game!r} returned values of shape {values.shape} for masks of shape "
            f"({n_rows}, {masks.shape[1]}) (the first: {describe(masks[0])}); "
            f"it must return ({n_rows},) or ({n_rows}, k)"
        )
    return values if n_repeats == 1 else values.reshape(len(masks), -1)
