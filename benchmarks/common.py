"""What the benchmarks share: planted functions, and peers in an environment of their own."""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from interplay import Spectrum
from interplay._types import BoolArray, FloatArray

PEER_PYTHON = os.environ.get("PEER_PYTHON", ".venv-peer/bin/python")


@dataclass(frozen=True)
class PeerResult:
    predictions: FloatArray
    seconds: float
    terms: int
    cpu_seconds: float


def run_peer(peer: str, masks: BoolArray, values: FloatArray, test: BoolArray) -> PeerResult:
    """Fit a peer to the masks and values; return its predictions on the test masks."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(source, masks=masks, values=values, test=test)
        subprocess.run(
            [PEER_PYTHON, str(Path(__file__).with_name("peer.py")), peer, source, target],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with np.load(target) as found:
            return PeerResult(
                found["predictions"],
                float(found["seconds"]),
                int(found["terms"]),
                float(found["cpu_seconds"]),
            )


def hierarchical(n_players: int, rng: np.random.Generator) -> Spectrum:
    """Plant a function like a language model's: some players matter, and those also interact."""
    singles = rng.choice(n_players, n_players // 3, replace=False)
    active = singles[: max(5, n_players // 8)]
    terms = {(): 0.3} | {(int(i),): float(rng.normal()) for i in singles}
    while len(terms) < len(singles) + n_players // 3:
        members = rng.choice(active, int(rng.integers(2, 5)), replace=False)
        terms[tuple(sorted(members.tolist()))] = 0.7 * float(rng.normal())
    return Spectrum.from_dict(n_players, terms)
