"""Evaluate the masks of a game, each of them once.

A mask's value comes from the store, from another process that works with the same store, or from
the game itself.
"""

from __future__ import annotations

import sys
import time
import uuid
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from interplay._arrays import as_columns, finite_rows
from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.ablation.backends.base import Backend, Blocks
from interplay.ablation.backends.choose import get_backend
from interplay.ablation.blocks import cut
from interplay.ablation.interruption import Stop, interruptible
from interplay.ablation.progress import progress_bar
from interplay.ablation.retry import BlockResult, BlockSettings
from interplay.ablation.store import Store
from interplay.ablation.table import Evaluated, Table, over_repeats
from interplay.errors import GameError, StoreError, hand_over
from interplay.extensions import BackendName, unknown
from interplay.fourier.masks import distinct, keys
from interplay.game import Game, costs, described, fingerprint_of, repeats_of

MOST_SKIPPED = 0.01
"""The largest share of masks that may fail under ``on_error="skip"``."""
OnError: TypeAlias = Literal["raise", "skip"]
ON_ERROR: tuple[str, ...] = get_args(OnError)
"""What can be done about a mask that fails."""
_POLL_SECONDS = 0.2


def store_key(fingerprint: str, n_repeats: int) -> str:
    """The name of a game's values in a store. Values with repeats have a name of their own."""
    return fingerprint if n_repeats == 1 else f"{fingerprint}:repeats={n_repeats}"


@dataclass(frozen=True, eq=False)
class Evaluator:
    """A game with its store, back end and batch size. Called with masks, it gives their values.

    The evaluator looks each mask up in the store and evaluates only those that are not there. It
    cuts them into blocks. It claims a block before it evaluates it, and commits the values as soon
    as they are there. Several processes with one store therefore share the work, and a process that
    is killed loses only the block in flight.

    Make an evaluator by :meth:`of` and use it in a ``with`` statement, which closes the store.

    Example:
        >>> import numpy as np
        >>> import interplay as ip
        >>> from interplay.ablation.evaluator import Evaluator
        >>> game = ip.FunctionGame(lambda masks: masks.sum(axis=1), n_players=3)
        >>> masks = np.array([[True, True, False], [True, True, True]])
        >>> with Evaluator.of(game, progress=False) as evaluator:
        ...     evaluated = evaluator(masks)
        >>> evaluated.values
        array([2., 3.])
        >>> evaluated.n_new, evaluated.n_stored
        (2, 0)

    Attributes:
        game: the game.
        store: where values are looked up and written to.
        key: the name of the game's values in the store.
        fingerprint: the game's fingerprint. ``None``: the values stay in memory.
        n_repeats: how often each mask is evaluated; the game decides this.
        description: the game's description of itself, as JSON.
        backend: where the game runs.
        batch_size: the most masks per block. ``None``: the game's own batch size (see :func:`cut`).
        on_error: what to do about a mask on which the game raises or returns a value that is not
            finite. ``"raise"`` stops the run. ``"skip"`` leaves out at most 1 % of the masks.
        progress: show progress on stderr.
        evaluated: the masks that this evaluator has evaluated itself, as keys.
    """

    game: Game
    store: Store
    key: str
    fingerprint: str | None
    n_repeats: int
    description: Json
    backend: Backend
    batch_size: int | None = None
    on_error: OnError = "raise"
    progress: bool = False
    evaluated: set[bytes] = field(default_factory=set, repr=False)

    @classmethod
    def of(
        cls,
        game: Game,
        *,
        store: str | Path | None = None,
        backend: BackendName | str | Backend = "local",
        batch_size: int | None = None,
        on_error: OnError = "raise",
        progress: bool | None = None,
    ) -> Evaluator:
        """Open the store and choose the back end for a game.

        Args:
            game: the game.
            store: as for :func:`interplay.explain`, like the arguments below.
            backend: see there.
            batch_size: see there.
            on_error: see there.
            progress: see there.

        Raises:
            ValueError: the back end or ``on_error`` is unknown, or the game's description is not
                JSON.
            StoreError: the store cannot be used.
        """
        if on_error not in ON_ERROR:
            raise unknown("on_error", on_error, ON_ERROR)
        fingerprint, n_repeats = fingerprint_of(game), repeats_of(game)
        if store is not None and fingerprint is None:
            warnings.warn(
                f"{game!r} has no fingerprint, so its values are kept for this run only and "
                f"not written to {store}; give the game a fingerprint to store them",
                stacklevel=3,
            )
            store = None
        return cls(
            game=game,
            store=Store(store),
            key=store_key(fingerprint or f"unnamed:{uuid.uuid4()}", n_repeats),
            fingerprint=fingerprint,
            n_repeats=n_repeats,
            description=described(game),
            backend=get_backend(backend),
            batch_size=batch_size,
            on_error=on_error,
            progress=sys.stderr.isatty() if progress is None else progress,
        )

    def __enter__(self) -> Evaluator:
        return self

    def __exit__(self, *error: object) -> None:
        self.store.close()

    def known(self, masks: BoolArray) -> BoolArray:
        """Which of the masks have a value in the store, ``(m,) bool``."""
        return self.store.get(self.key, masks)[0]

    def values(self, masks: BoolArray) -> FloatArray:
        """Evaluate masks ``(m, n)`` and return all their values, ``(m, k)``.

        Raises:
            GameError: the game failed. ``error.masks`` and ``error.values`` hold what was
                evaluated.
            StoreError: the store cannot be read or written. The error holds the same.
            KeyboardInterrupt: the run was interrupted before every mask had a value. The exception
                holds the same.
        """
        evaluated = self(masks)
        if evaluated.interrupted:
            known = finite_rows(evaluated.values)
            interrupt = KeyboardInterrupt(
                f"interrupted: {int(known.sum())} of {len(known)} masks have a value; if a store "
                "was given, they are stored, and the same call goes on where it was"
            )
            raise hand_over(interrupt, masks[known], evaluated.values[known])
        return as_columns(evaluated.values)

    def __call__(
        self,
        masks: BoolArray,
        *,
        order: IntArray | None = None,
        batch_size: int | None = None,
        wait: bool = True,
    ) -> Evaluated:
        """Evaluate masks, except those that have a value in the store.

        After one Ctrl-C the call ends with the blocks in flight and returns the values so far.
        After a second one it stops at once.

        Args:
            masks: ``(m, n) bool``. Equal rows are evaluated once.
            order: an order of the masks whose every beginning is a fair sample, ``(m,)``. They are
                then evaluated in strides (see :func:`cut`), so that the values of an interrupted
                call are, up to a last stride, those of a beginning. ``None``: in whatever order
                costs least.
            batch_size: the most masks per block in this call, instead of the evaluator's own.
            wait: wait for the masks that other processes have claimed.

        Returns:
            The values in the order of the masks, ``(m,)`` or ``(m, k)``, and where they came from.

        Raises:
            GameError: the game failed. ``error.masks`` and ``error.values`` hold what was
                evaluated.
            StoreError: the store cannot be read or written. The error holds the same.
            KeyboardInterrupt: the run was interrupted twice. The exception holds the same.
            ValueError: ``batch_size`` is below 1.
        """
        game, store = self.game, self.store
        unique, inverse = distinct(masks)
        table = Table(unique, np.zeros(len(unique), dtype=np.bool_))
        try:
            store.register(self.key, unique.shape[1], self.description)
            stored, values = store.get(self.key, unique)
            if stored.any():
                table.add(game, np.flatnonzero(stored), values)
            pending = np.arange(len(unique)) if order is None else _first(inverse[order])
            pending = pending[~stored[pending]]
            size = self.batch_size if batch_size is None else batch_size
            cuts = cut(game, unique[pending], size, in_strides=order is not None)
            blocks = [pending[rows] for rows in cuts]
            with (
                interruptible() as stop,
                progress_bar(
                    self.progress and len(pending) > 0, costs(game, unique), table.known
                ) as bar,
            ):
                results = self.backend.run(
                    game,
                    self.fingerprint,
                    self._claimed(table, blocks, stop, bar.waiting, wait),
                    BlockSettings(self.n_repeats, skip_failures=self.on_error == "skip"),
                    max(map(len, blocks), default=1),
                    lambda: stop.requested,
                )
                for rows, result in results:
                    self._take(table, rows, result)
                    bar.update(table.known, len(table.failures))
            if stop.requested:  # what other processes have evaluated meanwhile
                unknown = [row for row in pending if row not in table.failures]
                self._look_up(table, np.array(unknown, dtype=np.int64))
            store.release()
        except (GameError, StoreError) as error:
            so_far, values = table.so_far(self.n_repeats)
            count = f"{len(so_far)} of {len(unique)} masks are evaluated"
            if table.n_unstored:
                count += f", {table.n_unstored} of them are not stored"
            message = f"{error} ({count}; the error carries their values)"
            raise type(error)(message, so_far, values) from error.__cause__
        except KeyboardInterrupt as interrupt:
            unstored = ""
            try:
                self._rescue(table, interrupt)
            except StoreError as error:
                unstored = f" but for {table.n_unstored} of them ({error})"
            so_far, values = table.so_far(self.n_repeats)
            interrupt.add_note(
                f"{len(so_far)} of {len(unique)} masks are evaluated: they are stored if a store "
                f"was given{unstored}, and they are this exception's attributes masks and values"
            )
            hand_over(interrupt, so_far, values)
            raise
        if table.values is None:
            shape = (len(unique), self.n_repeats) if self.n_repeats > 1 else len(unique)
            table.values = np.full(shape, np.nan)
        averaged, noise = over_repeats(table.values, self.n_repeats)
        n_known = int(table.known.sum())
        n_new = sum(key in self.evaluated for key in keys(unique))
        return Evaluated(
            averaged[inverse],
            None if noise is None else noise[inverse],
            n_new,
            n_known - n_new,
            len(table.failures),
            n_known + len(table.failures) < len(unique),
        )

    def _claimed(
        self, table: Table, blocks: list[IntArray], stop: Stop, waiting: Any, wait: bool
    ) -> Blocks:
        """The blocks that this process is to evaluate.

        First come those that no other process has claimed. Then this waits for the masks that
        others have claimed: it takes their values from the store, and claims the masks of a process
        that has died.
        """
        foreign: list[IntArray] = []
        for rows in blocks:
            if stop.requested:
                return
            ours = self.store.claim(self.key, table.masks[rows])
            if not ours.all():
                foreign.append(rows[~ours])
            if ours.any():
                yield rows[ours], table.masks[rows[ours]]
        while foreign and wait and not stop.requested:
            still_foreign = []
            for rows in foreign:
                rows = self._look_up(table, rows)
                if not len(rows):
                    continue
                ours = self.store.claim(self.key, table.masks[rows])
                if ours.any():
                    yield rows[ours], table.masks[rows[ours]]
                if not ours.all():
                    still_foreign.append(rows[~ours])
            foreign = still_foreign
            if foreign:
                holders = self.store.holders(self.key, table.masks[np.concatenate(foreign)])
                waiting(sum(map(len, foreign)), "; ".join(map(str, holders)))
                time.sleep(_POLL_SECONDS)
                yield None

    def _look_up(self, table: Table, rows: IntArray) -> IntArray:
        """Take the values of rows from the store, and return the rows that it does not have."""
        stored, values = self.store.get(self.key, table.masks[rows])
        if stored.any():
            table.add(self.game, rows[stored], values)
        return rows[~stored]

    def _take(self, table: Table, rows: IntArray, result: BlockResult) -> None:
        """Write the result of a block into the table and the store, and handle its failures."""
        if result.values is not None:
            known = result.known
            if table.values is not None and not self.evaluated:
                before, now = table.values.shape[1:], result.values.shape[1:]
                if before != now:
                    raise StoreError(
                        f"the store holds {before or 'single'} outputs under the fingerprint "
                        f"{self.key!r}, but the game returns {now or 'single'} ones; a fingerprint "
                        "must identify everything that is computed"
                    )
            self._write(table, rows[known], result.values[known])
        if result.fatal_error is not None:
            raise GameError(result.fatal_error) from result.cause
        if result.failures:
            # another process may wait for these masks: it must be able to claim and try them
            failed = rows[[row for row, _ in result.failures]]
            self.store.give_back(self.key, table.masks[failed])
        table.failures |= {int(rows[row]): reason for row, reason in result.failures}
        if not table.failures:
            return
        reason = next(reversed(table.failures.values()))
        if self.on_error == "raise":
            raise GameError(
                f'{reason}; on_error="skip" goes on without up to 1 % of the masks'
            ) from result.cause
        failed_masks = table.masks[list(table.failures)]
        # some games have no value for nothing: the ends are no part of the sample
        n_failed = int((failed_masks.any(axis=1) & ~failed_masks.all(axis=1)).sum())
        if n_failed > MOST_SKIPPED * len(table.masks):
            raise GameError(
                f"{n_failed} masks failed, above the {MOST_SKIPPED:.0%} of "
                f"{len(table.masks)} that may be skipped; the last: {reason}"
            )

    def _write(self, table: Table, rows: IntArray, values: FloatArray) -> None:
        """Write the values of rows into the table and the store."""
        table.add(self.game, rows, values)
        try:
            self.store.put(self.key, table.masks[rows], values)
        except StoreError:  # a full disk, say: the values are in the table only
            table.n_unstored += len(rows)
            raise
        self.evaluated.update(keys(table.masks[rows]))

    def _rescue(self, table: Table, interrupt: KeyboardInterrupt) -> None:
        """Write down the values that a game hands over with its interruption."""
        masks, values = (getattr(interrupt, name, None) for name in ("masks", "values"))
        if masks is None or values is None or self.n_repeats > 1:
            return
        places = {mask: row for row, mask in enumerate(keys(table.masks))}
        rows = np.array([places[mask] for mask in keys(masks)], dtype=np.int64)
        new = ~table.known[rows]
        if new.any():
            self._write(table, rows[new], values[new])


def _first(rows: IntArray) -> IntArray:
    """The distinct rows, in order of first appearance."""
    return rows[np.sort(np.unique(rows, return_index=True)[1])]
