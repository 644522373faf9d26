"""Gets the values of masks: from the store, from other processes, from the game; never twice."""

from __future__ import annotations

import signal
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.ablation.backends.base import Backend, Blocks
from interplay.ablation.progress import progress_bar, say
from interplay.ablation.retry import Answer, Request, check_outputs
from interplay.ablation.store import Store
from interplay.errors import GameError, StoreError, hand_over
from interplay.fourier.masks import distinct, keys
from interplay.game import Game, PlannedGame, repeats_of

DEFAULT_BATCH = 64
"""Masks per call for games that do not say how many they want."""
MOST_SKIPPED = 0.01
"""The share of masks that ``on_error="skip"`` lets fail."""
ON_ERROR = ("raise", "skip")
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Evaluated:
    """The values of masks, and where they came from.

    Attributes:
        values: ``(m,)`` or ``(m, k)``; NaN in rows that have none, because they failed and were
            skipped, or because the run was interrupted.
        noise: for a game with repeats the variance of each value, the mean of its repeats, in the
            shape of ``values``; else ``None``.
        n_new: distinct masks that the game was asked for here and answered.
        n_stored: distinct masks that came from the store.
        n_skipped: distinct masks that failed.
        interrupted: the user asked to stop before all was evaluated; or, without ``wait``, other
            processes are still at it.
    """

    values: FloatArray
    noise: FloatArray | None
    n_new: int
    n_stored: int
    n_skipped: int
    interrupted: bool


@dataclass
class _Table:
    """The values known so far of distinct masks; kept in memory beside the store."""

    masks: BoolArray
    known: BoolArray
    values: FloatArray | None = None
    failures: dict[int, str] = field(default_factory=dict)
    n_new: int = 0

    def add(self, game: Game, rows: IntArray, values: FloatArray) -> None:
        """Fill rows in."""
        if self.values is None:
            self.values = np.full((len(self.masks), *values.shape[1:]), np.nan)
        check_outputs(game, self.values, values)
        self.values[rows] = values
        self.known[rows] = True

    def so_far(self, n_repeats: int) -> tuple[BoolArray, FloatArray]:
        """The masks that are known, and their values."""
        if self.values is None:
            return self.masks[:0], np.zeros(0)
        return self.masks[self.known], over_repeats(self.values[self.known], n_repeats)[0]


def cut(game: Game, masks: BoolArray, batch_size: int | None = None) -> list[IntArray]:
    """Cut masks into the blocks in which a game is asked for them.

    Neighbours in the game's own order come into one block. The blocks are taken in an order that
    has nothing to do with the masks, so that a run that is stopped has made a fair sample of them.

    Args:
        game: the game.
        masks: ``(m, n)``.
        batch_size: the most masks per block; ``None``: as the game says, or :data:`DEFAULT_BATCH`.

    Returns:
        Row numbers, which depend on nothing but the arguments.

    Raises:
        ValueError: ``batch_size`` is below 1.
        GameError: the game's order is none.
    """
    planned = game if isinstance(game, PlannedGame) else None
    size = (
        batch_size if batch_size is not None else planned.batch_size if planned else DEFAULT_BATCH
    )
    if size < 1:
        raise ValueError(f"batch_size={size} is below 1; give a whole number from 1 on, or None")
    rng = np.random.default_rng(0)
    order = planned.arrange(masks) if planned else rng.permutation(len(masks))
    if not np.array_equal(np.sort(order), np.arange(len(masks))):
        raise GameError(f"arrange() of {game!r} gave no order of the {len(masks)} masks")
    blocks = np.array_split(order, -(-len(order) // size)) if len(order) else []
    return [blocks[at] for at in rng.permutation(len(blocks))]


def store_key(game: Game, fingerprint: str | None) -> str:
    """The name under which a game's values are stored: repeats are stored one by one."""
    n_repeats = repeats_of(game)
    key = fingerprint or f"unnamed:{uuid.uuid4()}"
    return key if n_repeats == 1 else f"{key}:repeats={n_repeats}"


def evaluate(
    game: Game,
    masks: BoolArray,
    store: Store,
    *,
    fingerprint: str | None,
    backend: Backend,
    key: str | None = None,
    batch_size: int | None = None,
    on_error: str = "raise",
    progress: bool = False,
    description: Json | None = None,
    wait: bool = True,
) -> Evaluated:
    """The values of masks, from the store where it has them and from the game where not.

    Every block is claimed before it is evaluated and committed when it was, so that several
    processes with one store share the work, and a killed one loses the block it was at.

    Interrupted once (Ctrl-C), it ends after the blocks in flight and returns what there is;
    interrupted twice, it stops at once.

    Args:
        game: the game.
        masks: ``(m, n)``; equal rows are evaluated once.
        store: where values are looked up and kept.
        fingerprint: the game's. Without one its values go to ``store`` under a name of this call
            only (or ``key``); give such a game a store in memory.
        backend: where the game runs.
        key: of :func:`store_key`, for several calls that share the values of a game without a
            fingerprint.
        batch_size: masks per block (see :func:`cut`).
        on_error: for a mask on which the game raises or gives a value that is not finite:
            ``"raise"``, or ``"skip"``, which leaves out at most 1 % of the masks.
        progress: show progress on stderr.
        description: what the game is, for people who look into the store.
        wait: wait for masks that other processes have claimed.

    Raises:
        GameError: the game failed; ``error.masks`` and ``error.values`` hold what is known.
        StoreError: the store cannot be read or written; likewise.
        KeyboardInterrupt: interrupted twice; likewise.
        ValueError: ``batch_size`` is below 1, or ``on_error`` is unknown.
    """
    if on_error not in ON_ERROR:
        raise ValueError(f"on_error={on_error!r} is unknown; choose one of {', '.join(ON_ERROR)}")
    n_repeats = repeats_of(game)
    key = store_key(game, fingerprint) if key is None else key
    unique, inverse = distinct(masks)
    table = _Table(unique, np.zeros(len(unique), dtype=np.bool_))
    try:
        store.register(key, unique.shape[1], description)
        found, values = store.get(key, unique)
        if found.any():
            table.add(game, np.flatnonzero(found), values)
        pending = np.flatnonzero(~found)
        blocks = [pending[rows] for rows in cut(game, unique[pending], batch_size)]
        cost = game.cost(unique) if isinstance(game, PlannedGame) else np.ones(len(unique))
        request = Request(n_repeats, persist=on_error == "skip")
        with (
            _interruptible() as stop,
            progress_bar(progress and len(pending) > 0, cost, table.known) as bar,
        ):
            answers = backend.run(
                game,
                fingerprint,
                _claimed(game, table, blocks, store, key, stop, bar.waiting, wait),
                request,
                max(map(len, blocks), default=1),
                lambda: stop.asked,
            )
            for rows, answer in answers:
                _take(game, table, rows, answer, store, key, on_error)
                bar.update(table.known, len(table.failures))
        store.release()
    except (GameError, StoreError) as error:
        so_far, values = table.so_far(n_repeats)
        message = f"{error} ({len(so_far)} of {len(unique)} masks are evaluated and kept)"
        raise type(error)(message, so_far, values) from error.__cause__
    except KeyboardInterrupt as interrupt:
        _rescue(game, table, interrupt, store, key)
        so_far, values = table.so_far(n_repeats)
        interrupt.add_note(
            f"{len(so_far)} of {len(unique)} masks are evaluated: with a store they are kept, "
            "and they are this exception's attributes masks and values"
        )
        hand_over(interrupt, so_far, values)
        raise
    if table.values is None:
        table.values = np.full((len(unique), n_repeats) if n_repeats > 1 else len(unique), np.nan)
    averaged, noise = over_repeats(table.values, n_repeats)
    return Evaluated(
        averaged[inverse],
        None if noise is None else noise[inverse],
        table.n_new,
        int(table.known.sum()) - table.n_new,
        len(table.failures),
        int(table.known.sum()) + len(table.failures) < len(unique),
    )


def _claimed(
    game: Game,
    table: _Table,
    blocks: list[IntArray],
    store: Store,
    key: str,
    stop: _Stop,
    waiting: Any,
    wait: bool,
) -> Blocks:
    """Blocks that nobody else evaluates; then what others have claimed and not delivered."""
    elsewhere: list[IntArray] = []
    for rows in blocks:
        if stop.asked:
            return
        ours = store.claim(key, table.masks[rows])
        if not ours.all():
            elsewhere.append(rows[~ours])
        if ours.any():
            yield rows[ours], table.masks[rows[ours]]
    while elsewhere and wait and not stop.asked:
        later = []
        for rows in elsewhere:
            found, values = store.get(key, table.masks[rows])
            if found.any():
                table.add(game, rows[found], values)
            rows = rows[~found]
            if not len(rows):
                continue
            ours = store.claim(key, table.masks[rows])
            if ours.any():
                yield rows[ours], table.masks[rows[ours]]
            if not ours.all():
                later.append(rows[~ours])
        elsewhere = later
        if elsewhere:
            waiting(sum(map(len, elsewhere)))
            time.sleep(_POLL_SECONDS)
            yield None


def _take(
    game: Game,
    table: _Table,
    rows: IntArray,
    answer: Answer,
    store: Store,
    key: str,
    on_error: str,
) -> None:
    """Keep an answer, in memory and on disk, and see to its failures."""
    if answer.values is not None:
        known = answer.known
        if table.values is not None and not table.n_new:
            before, now = table.values.shape[1:], answer.values.shape[1:]
            if before != now:
                raise StoreError(
                    f"the store holds {before or 'single'} outputs under the fingerprint {key!r}, "
                    f"but the game returns {now or 'single'} ones; a fingerprint must identify "
                    "everything that is computed"
                )
        table.add(game, rows[known], answer.values[known])
        table.n_new += int(known.sum())
        store.put(key, table.masks[rows[known]], answer.values[known])
    if answer.fatal is not None:
        raise GameError(answer.fatal) from answer.cause
    if answer.failures:
        # another process that waits for these finds out for itself
        store.give_back(key, table.masks[rows[[row for row, _ in answer.failures]]])
    table.failures |= {int(rows[row]): reason for row, reason in answer.failures}
    if not table.failures:
        return
    reason = next(reversed(table.failures.values()))
    if on_error == "raise":
        raise GameError(
            f'{reason}; on_error="skip" goes on without up to 1 % of the masks'
        ) from answer.cause
    if len(table.failures) > MOST_SKIPPED * len(table.masks):
        raise GameError(
            f"{len(table.failures)} masks failed, above the {MOST_SKIPPED:.0%} of "
            f"{len(table.masks)} that may be skipped; the last: {reason}"
        )


def _rescue(
    game: Game, table: _Table, interrupt: KeyboardInterrupt, store: Store, key: str
) -> None:
    """Keep what a game hands over with its interruption."""
    masks, values = (getattr(interrupt, name, None) for name in ("masks", "values"))
    if masks is None or values is None or repeats_of(game) > 1:
        return
    places = {mask: row for row, mask in enumerate(keys(table.masks))}
    fresh = [at for at, mask in enumerate(keys(masks)) if not table.known[places[mask]]]
    if fresh:
        table.add(game, np.array([places[mask] for mask in keys(masks[fresh])]), values[fresh])
        table.n_new += len(fresh)
        store.put(key, masks[fresh], values[fresh])


def over_repeats(values: FloatArray, n_repeats: int) -> tuple[FloatArray, FloatArray | None]:
    """The mean of repeats, and the variance of that mean.

    Args:
        values: as a store keeps them, ``(m, r * k)``; without repeats ``(m,)`` or ``(m, k)``.
        n_repeats: r.

    Returns:
        Each ``(m,)`` or ``(m, k)``; without repeats the values as they are, and ``None``.
    """
    if n_repeats == 1:
        return values, None
    single = values.shape[1] == n_repeats
    repeats = values.reshape(len(values), n_repeats, -1)
    mean, noise = repeats.mean(axis=1), repeats.var(axis=1, ddof=1) / n_repeats
    return (mean[:, 0], noise[:, 0]) if single else (mean, noise)


class _Stop:
    asked = False


@contextmanager
def _interruptible() -> Iterator[_Stop]:
    """Turn the first Ctrl-C into a request to stop; the second one interrupts as ever."""
    stop = _Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # signals reach the main thread only
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        stop.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        say("Interrupted: ending after the ablations in flight. Ctrl-C again stops at once.")

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
