"""Evaluate one block of masks, and find the masks that fail if any do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interplay._arrays import LARGEST, finite_rows
from interplay._types import BoolArray, FloatArray, IntArray
from interplay.errors import GameError, OutputShapeError, out_of_memory
from interplay.fourier.masks import describe, keys
from interplay.game import Game, call


@dataclass(frozen=True)
class BlockSettings:
    """How blocks are evaluated.

    Attributes:
        n_repeats: how often each mask is evaluated.
        skip_failures: go on after a mask that fails, instead of stopping there.
    """

    n_repeats: int
    skip_failures: bool


@dataclass(frozen=True)
class BlockResult:
    """The values of a block, and its failures.

    Attributes:
        values: ``(m,)`` or ``(m, w)``, NaN in the rows without a value. ``None``: no row has one.
        failures: the rows that failed, each with the reason. Rows that have no value and are not
            among the failures were not evaluated, because evaluation stopped before them.
        max_masks: the most masks per call from now on. It is smaller than before if a call ran out
            of memory.
        cause: the exception that the game raised last. ``None`` if it raised none, or if it raised
            in another process.
        fatal_error: the message of an error after which the game cannot be used any more. ``None``
            if there was none.
    """

    values: FloatArray | None
    failures: tuple[tuple[int, str], ...]
    max_masks: int
    cause: Exception | None = None
    fatal_error: str | None = None

    @property
    def known(self) -> BoolArray:
        """Which rows have a value, ``(m,) bool``. Requires that ``values`` is not ``None``."""
        assert self.values is not None
        return finite_rows(self.values)


def evaluate_block(
    game: Game, masks: BoolArray, settings: BlockSettings, max_masks: int
) -> BlockResult:
    """Evaluate a block in calls of at most ``max_masks`` masks.

    If a call raises, it is cut in two and both halves are tried. This finds a mask on which the
    game raises in few calls, and it shrinks a call that is too large for the memory until it fits.
    The size that fits is used from then on. If a game raises a GameError that carries masks and
    values, these values count as evaluated.

    Args:
        game: the game.
        masks: ``(m, n)``.
        settings: repeats, and what to do after a failure.
        max_masks: the most masks per call, as the blocks before this one have shown.
    """
    values: FloatArray | None = None
    failures: list[tuple[int, str]] = []
    cause: Exception | None = None
    todo = [
        np.arange(start, min(start + max_masks, len(masks)))
        for start in range(0, len(masks), max_masks)
    ][::-1]
    too_large = 2 * max_masks
    while todo and (settings.skip_failures or not failures):
        rows = todo.pop()
        carried_rows, carried_values = rows[:0], None
        try:
            new_values = call(game, masks[rows], settings.n_repeats)
            values = _fill(game, values, len(masks), rows, new_values)
        except OutputShapeError as error:
            return BlockResult(values, tuple(failures), max_masks, error, fatal_error=str(error))
        except Exception as error:
            if isinstance(error, GameError) and settings.n_repeats == 1:
                carried_rows, carried_values = _carried(error, masks, rows)
            if carried_values is not None:
                values = _fill(game, values, len(masks), carried_rows, carried_values)
            unknown = rows[~np.isin(rows, carried_rows)]
            if not len(unknown):
                continue
            known_cause = isinstance(error, GameError) and not settings.skip_failures
            if len(rows) > 1 and not known_cause:
                if out_of_memory(error):
                    too_large = min(too_large, len(rows))
                half = max(len(unknown) // 2, 1)
                todo += [part for part in (unknown[half:], unknown[:half]) if len(part)]
            else:
                cause = error
                failures.append((int(unknown[0]), _reason(game, masks[unknown[0]], error)))
            continue
        for row, finite in zip(rows, finite_rows(new_values), strict=True):
            if not finite:
                failures.append(
                    (
                        int(row),
                        f"{game!r} returned {values[row]} for the {describe(masks[row])}; "
                        f"values must be finite numbers of at most {LARGEST:g}",
                    )
                )
    max_masks = min(max_masks, max(too_large // 2, 1))
    return BlockResult(values, tuple(failures), max_masks, cause)


def _carried(
    error: GameError, masks: BoolArray, rows: IntArray
) -> tuple[IntArray, FloatArray | None]:
    """The rows of a call that its error carries values of, and these values."""
    if error.masks is None or error.values is None or not len(error.masks):
        return rows[:0], None
    values = dict(zip(keys(error.masks), error.values, strict=True))
    has_value = np.array([key in values for key in keys(masks[rows])])
    if not has_value.any():
        return rows[:0], None
    return rows[has_value], np.stack([values[key] for key in keys(masks[rows[has_value]])])


def _reason(game: Game, mask: BoolArray, error: Exception) -> str:
    if isinstance(error, GameError):
        return str(error)
    message = f"{type(error).__name__}: {error}".rstrip(": ")
    return f"{game!r} raised on the {describe(mask)}: {message}"


def _fill(
    game: Game, values: FloatArray | None, n_rows: int, rows: IntArray, new_values: FloatArray
) -> FloatArray:
    if values is None:
        values = np.full((n_rows, *new_values.shape[1:]), np.nan)
    check_outputs(game, values, new_values)
    values[rows] = new_values
    return values


def check_outputs(game: Game, before: FloatArray, now: FloatArray) -> None:
    """Refuse values that have another number of outputs than the values before.

    Raises:
        OutputShapeError: the shapes differ beyond the first axis.
    """
    if before.shape[1:] != now.shape[1:]:
        raise OutputShapeError(
            f"{game!r} returned values of shape {now.shape}, after some of shape "
            f"(m{''.join(f', {k}' for k in before.shape[1:])}{',' if before.ndim == 1 else ''}); "
            "it must return as many outputs each time"
        )
