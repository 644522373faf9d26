"""A row of data under one of the maskers of SHAP, as a game."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from interplay._types import BoolArray, FloatArray, IntArray, Json

NO_FLIP = 2**31 - 1
"""In SHAP's code of masks, that the first is empty (``MaskedModel.delta_mask_noop_value``)."""


@dataclass(frozen=True, eq=False)
class MaskedRow:
    """A row of data under a masker: a player is an input of the masker, or a group of inputs.

    The ends are evaluated beforehand, since SHAP's links and choices of outputs need them; they
    are not evaluated again.

    Attributes:
        model: a ``shap.utils.MaskedModel`` of the row.
        player_of: the player that each of the masker's M inputs belongs to, ``(M,)``; -1: none,
            since it is the same whether it is masked or not.
        players: the names of the players.
        ends: the values of the full and of the empty input, ``(2,)`` or ``(2, k)``.
        columns: the columns of the model that are explained, ``(k,)``, or a single one; ``None``:
            it has none.
        batch_size: the most masks per call of the model.
        outputs: the names of the outputs; empty: they have none.
        pieces: the text of each input, if the row is a text; else empty.
    """

    model: Any
    player_of: IntArray
    players: tuple[str, ...]
    ends: FloatArray
    columns: IntArray | int | None
    batch_size: int
    outputs: tuple[str, ...] = ()
    pieces: tuple[str, ...] = ()
    fingerprint: str | None = None

    @property
    def n_players(self) -> int:
        """The number of players."""
        return len(self.players)

    def __call__(self, masks: BoolArray, /) -> FloatArray:
        """The model's values, ``(m,)`` or ``(m, k)``: means over the masker's background."""
        values = np.empty((len(masks), *self.ends.shape[1:]))
        full, empty = masks.all(axis=1), ~masks.any(axis=1)
        values[full], values[empty] = self.ends
        others = ~(full | empty)
        if others.any():
            # sorted, less changes from mask to mask; and flips() takes no mask twice
            distinct, row_of = np.unique(masks[others], axis=0, return_inverse=True)
            kept = distinct[:, self.player_of] & (self.player_of >= 0)
            by_flips = getattr(self.model.masker, "supports_delta_masking", False)
            answers = self.model(flips(kept) if by_flips else kept)[row_of]
            values[others] = answers if self.columns is None else answers[:, self.columns]
        return values

    def arrange(self, masks: BoolArray, /) -> IntArray:
        """As they come."""
        return np.arange(len(masks))

    def cost(self, masks: BoolArray, /) -> FloatArray:
        """One for each mask."""
        return np.ones(len(masks))

    def describe(self) -> Json:
        """The masker, the outputs, and a text with the places of its players."""
        document: Json = {"masker": type(self.model.masker).__name__}
        if self.outputs:
            document["outputs"] = list(self.outputs)
        inputs = np.flatnonzero(self.player_of >= 0)
        if self.pieces and len(inputs) == self.n_players:
            ends = np.cumsum([len(piece) for piece in self.pieces])
            document |= {
                "text": "".join(self.pieces),
                "spans": [[int(ends[i]) - len(self.pieces[i]), int(ends[i])] for i in inputs],
                "view": {"kind": "text", "title": "The input"},
            }
        return document


def flips(masks: BoolArray) -> npt.NDArray[np.int64]:
    """Code masks by what is flipped from each one to the next, the first from the empty mask.

    Given this code, ``shap.utils.MaskedModel`` evaluates only the rows of the background that
    change. Input i is written as i, or as -i - 1 if more inputs of the same mask follow.

    Example:
        >>> import numpy as np
        >>> flips(np.array([[True, False, True], [True, False, False]])).tolist()
        [-1, 2, 2]

    Args:
        masks: ``(m, M) bool``. Only the first may be empty, and neighbours must differ: SHAP's
            compiled code ends the process where nothing is flipped later on.

    Returns:
        ``(c,)``, a number for each flip, and :data:`NO_FLIP` for an empty mask.
    """
    before = np.concatenate([np.zeros_like(masks[:1]), masks[:-1]])
    code: list[int] = []
    for flipped in masks ^ before:
        inputs = np.flatnonzero(flipped)
        code.extend((-inputs[:-1] - 1).tolist())
        code.append(int(inputs[-1]) if len(inputs) else NO_FLIP)
    return np.array(code, dtype=np.int64)


def clusters_of(clustering: FloatArray, count: int) -> list[IntArray]:
    """Cut a hierarchical clustering from the top, the loosest cluster first, then the largest.

    Args:
        clustering: ``(M - 1, 4)``, as ``scipy.cluster.hierarchy`` has it: two clusters that are
            joined, their distance, and the size of both.
        count: how many clusters; there are fewer if there are fewer inputs.

    Returns:
        The inputs of each cluster, ascending; clusters by their first input.
    """
    n_inputs = len(clustering) + 1

    def entry(node: int) -> tuple[float, float, int]:
        if node < n_inputs:
            return 1.0, 0.0, -node  # a single input comes last
        _, _, distance, size = clustering[node - n_inputs]
        return -distance, -size, -node

    waiting = [entry(2 * n_inputs - 2)]
    while len(waiting) < count and -waiting[0][2] >= n_inputs:
        node = -heapq.heappop(waiting)[2]
        for child in clustering[node - n_inputs, :2]:
            heapq.heappush(waiting, entry(int(child)))
    clusters = [_inputs_below(clustering, -node) for _, _, node in waiting]
    return sorted(clusters, key=lambda inputs: int(inputs[0]))


def _inputs_below(clustering: FloatArray, node: int) -> IntArray:
    n_inputs, nodes, inputs = len(clustering) + 1, [node], []
    while nodes:
        node = nodes.pop()
        if node < n_inputs:
            inputs.append(node)
        else:
            nodes += clustering[node - n_inputs, :2].astype(int).tolist()
    return np.sort(np.array(inputs, dtype=np.int64))


def region(inputs: IntArray, shape: Sequence[int]) -> str:
    """The name of some inputs of an image: their rows and columns, as slices.

    Example:
        >>> region(np.array([0, 1, 4, 5]), (4, 4))
        '[0:2, 0:2]'
    """
    rows, columns = np.unravel_index(inputs, tuple(shape))[:2]
    return f"[{rows.min()}:{rows.max() + 1}, {columns.min()}:{columns.max() + 1}]"
