"""Asks a game for one block of masks, and finds out which of them fail when some do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interplay._types import BoolArray, FloatArray
from interplay.errors import GameError
from interplay.game import Game, call
from interplay.masks import describe
from interplay.sets import finite_rows


@dataclass(frozen=True)
class Request:
    """How blocks are to be asked for.

    Attributes:
        n_repeats: evaluations of each mask.
        persist: go on after a mask that fails, instead of stopping there.
    """

    n_repeats: int
    persist: bool


@dataclass(frozen=True)
class Answer:
    """What came of a block.

    Attributes:
        values: ``(m,)`` or ``(m, w)``, NaN in the rows without a value; ``None``: no row has one.
        failures: the rows that failed, and why. Rows without a value that are not among them
            were not asked for any more.
        at_most: the number of masks that a call was found to manage, where a larger one failed.
        cause: what the game raised last, where it stayed in this process.
    """

    values: FloatArray | None
    failures: tuple[tuple[int, str], ...]
    at_most: int
    cause: Exception | None = None

    @property
    def known(self) -> BoolArray:
        """Which rows have a value, ``(m,)``; only where some have."""
        assert self.values is not None
        return finite_rows(self.values)


def ask(game: Game, masks: BoolArray, request: Request, at_most: int) -> Answer:
    """The values of a block, in calls of ``at_most`` masks.

    A call that raises is cut in two: so what is too large for the game gets smaller until it
    fits, and a mask on which the game raises is found in few calls.

    Args:
        game: the game.
        masks: ``(m, n)``.
        request: see there.
        at_most: masks per call, as found before.

    Raises:
        GameError: the game returned a wrong shape, or not as many outputs as before.
    """
    values: FloatArray | None = None
    failures: list[tuple[int, str]] = []
    cause: Exception | None = None
    todo = [
        np.arange(start, min(start + at_most, len(masks)))
        for start in range(0, len(masks), at_most)
    ][::-1]
    cut: set[int] = set()  # sizes that were cut in two
    while todo and (request.persist or not failures):
        rows = todo.pop()
        try:
            found = call(game, masks[rows], request.n_repeats)
        except GameError as error:
            if error.masks is None or error.values is None:
                raise
            # the game has itself kept what came and given up on the others
            came = {
                mask.tobytes(): value for mask, value in zip(error.masks, error.values, strict=True)
            }
            done = np.array([masks[row].tobytes() in came for row in rows])
            if done.any():
                some = np.stack([came[masks[row].tobytes()] for row in rows[done]])
                values = _fill(game, values, len(masks), rows[done], some)
            rest = rows[~done]
            if request.persist and len(rows) > 1 and len(rest):
                # which of them failed, and which were not tried any more, shows in smaller calls
                half = max(len(rest) // 2, 1)
                todo += [part for part in (rest[half:], rest[:half]) if len(part)]
            elif len(rest):
                failures.append((int(rest[0]), str(error)))
            continue
        except Exception as error:
            if len(rows) > 1:
                cut.add(len(rows))
                todo += [rows[len(rows) // 2 :], rows[: len(rows) // 2]]
            else:
                cause = error
                reason = f"{type(error).__name__}: {error}".rstrip(": ")
                failures.append(
                    (int(rows[0]), f"{game!r} raised on the {describe(masks[rows[0]])}: {reason}")
                )
            continue
        values = _fill(game, values, len(masks), rows, found)
        for row, fine in zip(rows, finite_rows(found), strict=True):
            if not fine:
                failures.append(
                    (
                        int(row),
                        f"{game!r} returned {values[row]} for the {describe(masks[row])}; "
                        "values must be finite numbers",
                    )
                )
    if cut and not failures:
        at_most = min(at_most, max(min(cut) // 2, 1))  # nothing was wrong but the size
    return Answer(values, tuple(failures), at_most, cause)


def _fill(
    game: Game, values: FloatArray | None, n_rows: int, rows: np.ndarray, found: FloatArray
) -> FloatArray:
    if values is None:
        values = np.full((n_rows, *found.shape[1:]), np.nan)
    check_outputs(game, values, found)
    values[rows] = found
    return values


def check_outputs(game: Game, before: FloatArray, now: FloatArray) -> None:
    """Refuse values of another number of outputs than before.

    Raises:
        GameError: the shapes differ beyond the first axis.
    """
    if before.shape[1:] != now.shape[1:]:
        raise GameError(
            f"{game!r} returned values of shape {now.shape}, after some of shape "
            f"(m{''.join(f', {k}' for k in before.shape[1:])}{',' if before.ndim == 1 else ''}); "
            "it must return as many outputs each time"
        )
