"""Asks a game for one block of masks, and finds out which of them fail when some do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interplay._arrays import finite_rows
from interplay._types import BoolArray, FloatArray, IntArray
from interplay.errors import GameError, OutputShapeError, out_of_memory
from interplay.fourier.masks import describe, keys
from interplay.game import Game, call


@dataclass(frozen=True)
class BlockSettings:
    """How blocks are to be asked for.

    Attributes:
        n_repeats: evaluations of each mask.
        persist: go on after a mask that fails, instead of stopping there.
    """

    n_repeats: int
    persist: bool


@dataclass(frozen=True)
class BlockResult:
    """What came of a block.

    Attributes:
        values: ``(m,)`` or ``(m, w)``, NaN in the rows without a value; ``None``: no row has one.
        failures: the rows that failed, and why. Rows without a value that are not among them
            were not asked for any more.
        at_most: the number of masks that a call was found to manage, where a larger one failed.
        cause: what the game raised last, where it stayed in this process.
        fatal: why no more of the game can be used, where that is so.
    """

    values: FloatArray | None
    failures: tuple[tuple[int, str], ...]
    at_most: int
    cause: Exception | None = None
    fatal: str | None = None

    @property
    def known(self) -> BoolArray:
        """Which rows have a value, ``(m,)``; only where some have."""
        assert self.values is not None
        return finite_rows(self.values)


def evaluate_block(
    game: Game, masks: BoolArray, request: BlockSettings, at_most: int
) -> BlockResult:
    """The values of a block, in calls of ``at_most`` masks.

    A call that raises is cut in two: so a mask on which the game raises is found in few calls, and
    what is too large for the memory gets smaller until it fits, which is remembered. Where a game
    raises a GameError with masks and values, those count.

    Args:
        game: the game.
        masks: ``(m, n)``.
        request: see there.
        at_most: masks per call, as found before.
    """
    values: FloatArray | None = None
    failures: list[tuple[int, str]] = []
    cause: Exception | None = None
    todo = [
        np.arange(start, min(start + at_most, len(masks)))
        for start in range(0, len(masks), at_most)
    ][::-1]
    too_large = 2 * at_most
    while todo and (request.persist or not failures):
        rows = todo.pop()
        came, some = rows[:0], None
        try:
            found = call(game, masks[rows], request.n_repeats)
            values = _fill(game, values, len(masks), rows, found)
        except OutputShapeError as error:
            return BlockResult(values, tuple(failures), at_most, error, fatal=str(error))
        except Exception as error:
            if isinstance(error, GameError) and request.n_repeats == 1:
                came, some = _handed_over(error, masks, rows)
            if some is not None:
                values = _fill(game, values, len(masks), came, some)
            rest = rows[~np.isin(rows, came)]
            if not len(rest):
                continue
            known_cause = isinstance(error, GameError) and not request.persist
            if len(rows) > 1 and not known_cause:
                if out_of_memory(error):
                    too_large = min(too_large, len(rows))
                half = max(len(rest) // 2, 1)
                todo += [part for part in (rest[half:], rest[:half]) if len(part)]
            else:
                cause = error
                failures.append((int(rest[0]), _reason(game, masks[rest[0]], error)))
            continue
        for row, fine in zip(rows, finite_rows(found), strict=True):
            if not fine:
                failures.append(
                    (
                        int(row),
                        f"{game!r} returned {values[row]} for the {describe(masks[row])}; "
                        "values must be finite numbers",
                    )
                )
    at_most = min(at_most, max(too_large // 2, 1))
    return BlockResult(values, tuple(failures), at_most, cause)


def _handed_over(
    error: GameError, masks: BoolArray, rows: IntArray
) -> tuple[IntArray, FloatArray | None]:
    """The rows of a call whose values came with its error, and the values."""
    if error.masks is None or error.values is None or not len(error.masks):
        return rows[:0], None
    came = dict(zip(keys(error.masks), error.values, strict=True))
    done = np.array([key in came for key in keys(masks[rows])])
    if not done.any():
        return rows[:0], None
    return rows[done], np.stack([came[key] for key in keys(masks[rows[done]])])


def _reason(game: Game, mask: BoolArray, error: Exception) -> str:
    if isinstance(error, GameError):
        return str(error)
    what = f"{type(error).__name__}: {error}".rstrip(": ")
    return f"{game!r} raised on the {describe(mask)}: {what}"


def _fill(
    game: Game, values: FloatArray | None, n_rows: int, rows: IntArray, found: FloatArray
) -> FloatArray:
    if values is None:
        values = np.full((n_rows, *found.shape[1:]), np.nan)
    check_outputs(game, values, found)
    values[rows] = found
    return values


def check_outputs(game: Game, before: FloatArray, now: FloatArray) -> None:
    """Refuse values of another number of outputs than before.

    Raises:
        OutputShapeError: the shapes differ beyond the first axis.
    """
    if before.shape[1:] != now.shape[1:]:
        raise OutputShapeError(
            f"{game!r} returned values of shape {now.shape}, after some of shape "
            f"(m{''.join(f', {k}' for k in before.shape[1:])}{',' if before.ndim == 1 else ''}); "
            "it must return as many outputs each time"
        )
