"""Hashes by which masks and ablations are known again, wherever and in whatever file they are."""

from __future__ import annotations

import hashlib

import numpy as np

from interplay._arrays import as_columns, pack
from interplay._types import BoolArray, FloatArray
from interplay.fourier.masks import keys


def masks_digest(masks: BoolArray) -> str:
    """SHA-256 of masks ``(m, n)`` in their order: rows of packed bits, player 0 the lowest bit."""
    return hashlib.sha256(pack(masks).tobytes()).hexdigest()


def ablations_digest(masks: BoolArray, values: FloatArray) -> str:
    """SHA-256 of ablations, the same for whatever order they are in and whatever file holds them.

    Hashed are the line ``interplay ablations 1: <n> players, <k> outputs`` (in ASCII, with its
    line feed) and then, in ascending order of the masks' packed bytes, each mask's packed bits
    (player 0 the lowest bit of the first byte) and its k values as little-endian float64.

    Args:
        masks: ``(m, n)``, distinct.
        values: ``(m,)`` or ``(m, k)``.
    """
    columns = np.ascontiguousarray(as_columns(values), dtype="<f8")
    digest = hashlib.sha256(
        f"interplay ablations 1: {masks.shape[1]} players, {columns.shape[1]} outputs\n".encode()
    )
    for key, row in sorted(zip(keys(masks), columns, strict=True), key=lambda entry: entry[0]):
        digest.update(key)
        digest.update(row.tobytes())
    return digest.hexdigest()
