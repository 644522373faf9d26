"""Evaluates masks: from the store, by other processes, by the game; none of them twice."""

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
"""The share of masks that ``on_error="skip"`` lets fail."""
OnError: TypeAlias = Literal["raise", "skip"]
ON_ERROR: tuple[str, ...] = get_args(OnError)
"""What to do about a mask that fails."""
_POLL_SECONDS = 0.2


def store_key(fingerprint: str, n_repeats: int) -> str:
    """The name under which a game's values are stored: repeats are stored one by one."""
    return fingerprint if n_repeats == 1 else f"{fingerprint}:repeats={n_repeats}"


@dataclass(frozen=True, eq=False)
class Evaluator:
    """A game with how and where its masks are evaluated: made once, called with masks.

    It looks masks up in the store and evaluates the others. Every block is claimed before it is
    evaluated and committed when it was, so that several processes with one store share the work,
    and a killed one loses the block it was at. Make it by :meth:`of`, and leave it by ``with``,
    which closes the store::

        with Evaluator.of(game, store="runs.db") as evaluator:
            evaluated = evaluator(masks)

    Attributes:
        game: the game.
        store: where values are looked up and written to.
        key: the name of the game's values in the store.
        fingerprint: the game's; ``None``: its values stay in memory.
        n_repeats: evaluations of each mask, from the game.
        description: what the game says of itself.
        backend: where the game runs.
        batch_size: the most masks per block; ``None``: as the game says (see :func:`cut`).
        on_error: for a mask on which the game raises or gives a value that is not finite:
            ``"raise"``, or ``"skip"``, which leaves out at most 1 % of the masks.
        progress: show progress on stderr.
        evaluated: the masks that were evaluated by this evaluator.
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
        """Open a store and choose a back end for a game; the arguments are those of ``explain``.

        Raises:
            ValueError: an unknown back end or ``on_error``, or a game whose description is no JSON.
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
        """Which of the masks the store has a value of, ``(m,)``."""
        return self.store.get(self.key, masks)[0]

    def values(self, masks: BoolArray) -> FloatArray:
        """The values of masks, ``(m, k)``, all of them.

        Raises:
            GameError: the game failed; ``error.masks`` and ``error.values`` hold what is known.
            StoreError: the store cannot be read or written; likewise.
            KeyboardInterrupt: interrupted before all had a value; likewise.
        """
        evaluated = self(masks)
        if evaluated.interrupted:
            done = finite_rows(evaluated.values)
            interrupt = KeyboardInterrupt(
                f"interrupted: {int(done.sum())} of {len(done)} masks have a value; with a store "
                "they are kept, and the same call goes on where it was"
            )
            raise hand_over(interrupt, masks[done], evaluated.values[done])
        return as_columns(evaluated.values)

    def __call__(
        self, masks: BoolArray, *, batch_size: int | None = None, wait: bool = True
    ) -> Evaluated:
        """The values of masks, from the store where it has them and from the game where not.

        Interrupted once (Ctrl-C), it ends after the blocks in flight and returns what there is;
        interrupted twice, it stops at once.

        Args:
            masks: ``(m, n)``; equal rows are evaluated once.
            batch_size: masks per block of this call, in place of the evaluator's own.
            wait: wait for masks that other processes have claimed.

        Raises:
            GameError: the game failed; ``error.masks`` and ``error.values`` hold what is known.
            StoreError: the store cannot be read or written; likewise.
            KeyboardInterrupt: interrupted twice; likewise.
            ValueError: ``batch_size`` is below 1.
        """
        game, store = self.game, self.store
        unique, inverse = distinct(masks)
        table = Table(unique, np.zeros(len(unique), dtype=np.bool_))
        try:
            store.register(self.key, unique.shape[1], self.description)
            found, values = store.get(self.key, unique)
            if found.any():
                table.add(game, np.flatnonzero(found), values)
            pending = np.flatnonzero(~found)
            size = self.batch_size if batch_size is None else batch_size
            blocks = [pending[rows] for rows in cut(game, unique[pending], size)]
            with (
                interruptible() as stop,
                progress_bar(
                    self.progress and len(pending) > 0, costs(game, unique), table.known
                ) as bar,
            ):
                answers = self.backend.run(
                    game,
                    self.fingerprint,
                    self._claimed(table, blocks, stop, bar.waiting, wait),
                    BlockSettings(self.n_repeats, persist=self.on_error == "skip"),
                    max(map(len, blocks), default=1),
                    lambda: stop.asked,
                )
                for rows, answer in answers:
                    self._take(table, rows, answer)
                    bar.update(table.known, len(table.failures))
            store.release()
        except (GameError, StoreError) as error:
            so_far, values = table.so_far(self.n_repeats)
            message = f"{error} ({len(so_far)} of {len(unique)} masks are evaluated and kept)"
            raise type(error)(message, so_far, values) from error.__cause__
        except KeyboardInterrupt as interrupt:
            self._rescue(table, interrupt)
            so_far, values = table.so_far(self.n_repeats)
            interrupt.add_note(
                f"{len(so_far)} of {len(unique)} masks are evaluated: with a store they are kept, "
                "and they are this exception's attributes masks and values"
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
        """Blocks that nobody else evaluates; then what others have claimed and not delivered."""
        elsewhere: list[IntArray] = []
        for rows in blocks:
            if stop.asked:
                return
            ours = self.store.claim(self.key, table.masks[rows])
            if not ours.all():
                elsewhere.append(rows[~ours])
            if ours.any():
                yield rows[ours], table.masks[rows[ours]]
        while elsewhere and wait and not stop.asked:
            later = []
            for rows in elsewhere:
                found, values = self.store.get(self.key, table.masks[rows])
                if found.any():
                    table.add(self.game, rows[found], values)
                rows = rows[~found]
                if not len(rows):
                    continue
                ours = self.store.claim(self.key, table.masks[rows])
                if ours.any():
                    yield rows[ours], table.masks[rows[ours]]
                if not ours.all():
                    later.append(rows[~ours])
            elsewhere = later
            if elsewhere:
                waiting(sum(map(len, elsewhere)))
                time.sleep(_POLL_SECONDS)
                yield None

    def _take(self, table: Table, rows: IntArray, answer: BlockResult) -> None:
        """Keep an answer, in memory and on disk, and see to its failures."""
        if answer.values is not None:
            known = answer.known
            if table.values is not None and not self.evaluated:
                before, now = table.values.shape[1:], answer.values.shape[1:]
                if before != now:
                    raise StoreError(
                        f"the store holds {before or 'single'} outputs under the fingerprint "
                        f"{self.key!r}, but the game returns {now or 'single'} ones; a fingerprint "
                        "must identify everything that is computed"
                    )
            self._keep(table, rows[known], answer.values[known])
        if answer.fatal is not None:
            raise GameError(answer.fatal) from answer.cause
        if answer.failures:
            # another process that waits for these finds out for itself
            failed = rows[[row for row, _ in answer.failures]]
            self.store.give_back(self.key, table.masks[failed])
        table.failures |= {int(rows[row]): reason for row, reason in answer.failures}
        if not table.failures:
            return
        reason = next(reversed(table.failures.values()))
        if self.on_error == "raise":
            raise GameError(
                f'{reason}; on_error="skip" goes on without up to 1 % of the masks'
            ) from answer.cause
        if len(table.failures) > MOST_SKIPPED * len(table.masks):
            raise GameError(
                f"{len(table.failures)} masks failed, above the {MOST_SKIPPED:.0%} of "
                f"{len(table.masks)} that may be skipped; the last: {reason}"
            )

    def _keep(self, table: Table, rows: IntArray, values: FloatArray) -> None:
        """Write the values of rows into the table and the store."""
        table.add(self.game, rows, values)
        self.evaluated.update(keys(table.masks[rows]))
        self.store.put(self.key, table.masks[rows], values)

    def _rescue(self, table: Table, interrupt: KeyboardInterrupt) -> None:
        """Keep what a game hands over with its interruption."""
        masks, values = (getattr(interrupt, name, None) for name in ("masks", "values"))
        if masks is None or values is None or self.n_repeats > 1:
            return
        places = {mask: row for row, mask in enumerate(keys(table.masks))}
        rows = np.array([places[mask] for mask in keys(masks)], dtype=np.int64)
        fresh = ~table.known[rows]
        if fresh.any():
            self._keep(table, rows[fresh], values[fresh])
