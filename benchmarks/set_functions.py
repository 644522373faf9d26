"""Set functions that both environments of the race of indices evaluate: NumPy only.

A function is a table of all 2^n values, or a sum of planted parts:

- terms in the Moebius basis, a(S) [S is kept], or in the Fourier basis, F(S) (-1)^|S and kept|;
- counted parts: a set of players A and a value for each number of players of A that are kept. With
  them the value of nothing may be far from everything else, or any two of five players may do.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_CELLS = 30_000_000
"""Entries of the largest intermediate array."""


@dataclass(frozen=True, eq=False)
class SetFunction:
    """A function of masks. Parts that are not given are empty.

    Attributes:
        n_players: n.
        values: all values, ``values[sum_i m_i 2^i]``, or an empty array: then it is planted.
        members: the sets S of the terms, ``(s, d)`` int, padded with n.
        coefficients: a(S) or F(S), ``(s,)``.
        fourier: whether the terms are in the Fourier basis.
        carriers: the sets A of the counted parts, ``(p, n)`` bool.
        counted: their values by the number of kept players of A, ``(p, n + 1)``.
    """

    n_players: int
    values: Any = None
    members: Any = None
    coefficients: Any = None
    fourier: bool = False
    carriers: Any = None
    counted: Any = None

    def __post_init__(self) -> None:
        nothing = {
            "values": np.zeros(0),
            "members": np.zeros((0, 1), dtype=np.int64),
            "coefficients": np.zeros(0),
            "carriers": np.zeros((0, self.n_players), dtype=np.bool_),
            "counted": np.zeros((0, self.n_players + 1)),
        }
        for name, part in nothing.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, part)

    def __call__(self, masks: Any) -> Any:
        """The values of masks ``(m, n)``: ``(m,)``."""
        masks = np.asarray(masks, dtype=np.bool_)
        if len(self.values):
            return self.values[masks @ (1 << np.arange(self.n_players, dtype=np.int64))]
        step = max(1, _CELLS // max(1, self.members.size))
        return np.concatenate(
            [self._planted(masks[start : start + step]) for start in range(0, len(masks), step)]
        )

    def _planted(self, masks: Any) -> Any:
        # a player beyond the last one, which pads the sets, changes neither kind of term
        beyond = np.full((len(masks), 1), not self.fourier)
        kept = np.concatenate([masks, beyond], axis=1)[:, self.members]
        terms = 1.0 - 2.0 * (kept.sum(axis=2) % 2) if self.fourier else kept.all(axis=2)
        values = terms @ self.coefficients
        counts = masks.astype(np.int64) @ self.carriers.T.astype(np.int64)
        return values + self.counted[np.arange(len(self.carriers)), counts].sum(axis=1)

    @property
    def digest(self) -> str:
        """A hash of all that it is."""
        parts = (self.values, self.members, self.coefficients, self.carriers, self.counted)
        hashed = hashlib.sha256(f"{self.n_players} {self.fourier}".encode())
        for part in parts:
            hashed.update(np.ascontiguousarray(part, dtype=np.float64).tobytes())
        return hashed.hexdigest()[:16]

    def save(self, path: Path) -> None:
        """Write it for the peers' environment."""
        np.savez_compressed(
            path,
            n_players=self.n_players,
            values=self.values,
            members=self.members,
            coefficients=self.coefficients,
            fourier=self.fourier,
            carriers=self.carriers,
            counted=self.counted,
        )

    @classmethod
    def load(cls, path: Path) -> SetFunction:
        """Read what :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            return cls(
                int(file["n_players"]),
                file["values"],
                file["members"],
                file["coefficients"],
                bool(file["fourier"]),
                file["carriers"],
                file["counted"],
            )
