"""Hashes of masks and of ablations. They do not depend on the file that holds them."""

from __future__ import annotations

import hashlib

import numpy as np

from interplay._arrays import as_columns, pack
from interplay._types import BoolArray, FloatArray
from interplay.fourier.masks import keys


def masks_digest(masks: BoolArray) -> str:
    """SHA-256 of masks ``(m, n)`` in their order, as rows of packed bits (player 0: lowest bit)."""
    return hashlib.sha256(pack(masks).tobytes()).hexdigest()


def ablations_digest(masks: BoolArray, values: FloatArray) -> str:
    """SHA-256 of ablations. It does not depend on their order.

    The hash is taken over the line ``interplay ablations 1: <n> players, <k> outputs`` (in ASCII,
    with its line feed), followed by each mask's packed bits (player 0 is the lowest bit of the
    first byte) and its k values as little-endian float64. The masks come in ascending order of
    their packed bytes.

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
