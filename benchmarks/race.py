"""Held-out R2 against ablations on recorded games of real models: baselines, peers, and ours.

Every method has the same first masks of each game (``benchmarks/games``) and is scored on the 1,500
held out. The equal-faithfulness ratio is the share of ablations that ours needs to reach what
published ProxySPEX (``spectralexplain``) reaches with alpha n log2 n: between the budgets that ours
was fitted at, R2 is interpolated in the logarithm of the number of masks. Games whose settings were
tuned on are left out of the summary. What was fitted is kept by its code and data: a race that was
stopped goes on where it was, and a changed decoder runs anew.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

import interplay
from common import run_peer
from interplay._types import FloatArray
from interplay.decoders import get_decoder, run_decoder
from interplay.decoders.forest import grow_all
from interplay.design import PlainDesign
from interplay.evaluation import r2
from record_games import Recorded, read, recorded

ALPHAS = (1.0, 2.0, 4.0, 8.0)
OURS_AT = (0.125, 0.25, 0.375, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
PUBLISHED, OURS, READ = "spectralexplain", "gp", "gp, 200 terms"
METHODS = ("lasso-1", "lasso-2", "trees", "proxyspex", PUBLISHED, "shapiq", OURS, READ)
MOST_PAIRS = 2_000
"""LASSO of order 2 runs up to so many terms: beyond, it takes many minutes."""


@dataclass(frozen=True)
class Fit:
    """R2 on the held-out masks, seconds of the fit, and terms."""

    r2: float
    seconds: float
    terms: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--games", nargs="*", help="by default all that are recorded")
    parser.add_argument("--methods", nargs="*", default=METHODS, choices=METHODS)
    parser.add_argument("--alphas", nargs="*", type=float, default=ALPHAS)
    parser.add_argument("--cache", type=Path, default=Path("out/bench/race.json"))
    parser.add_argument("--cached", action="store_true", help="print only what was fitted before")
    chosen = parser.parse_args()
    games = [read(name) for name in chosen.games or recorded()]
    results = Results(chosen.cache, chosen.cached)
    table(games, chosen.methods, chosen.alphas, results)
    if {PUBLISHED, OURS} <= set(chosen.methods):
        ratios(games, chosen.alphas, results)


class Results:
    """Fits, kept in a file; ``None`` for one that is not there and may not be made."""

    def __init__(self, path: Path, cached: bool) -> None:
        self._path, self._cached = path, cached

    def __call__(self, game: Recorded, method: str, alpha: float) -> Fit | None:
        n_masks = game.budget(alpha)
        if n_masks > len(game.masks) or n_masks < 20:
            return None
        fitted = OURS if method == READ else method
        if method == "lasso-2" and game.n_players * (game.n_players + 1) // 2 > MOST_PAIRS:
            return None
        source = "" if method in ("shapiq", PUBLISHED) else _code()
        key = f"{fitted} {game.name} {n_masks} {_data(game)} {source}"
        known = self._read()
        if key not in known:
            if self._cached:
                return None
            made = _fit(game, fitted, n_masks)
            known = self._read() | {key: [[f.r2, f.seconds, f.terms] for f in made]}
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part = self._path.with_suffix(f".{os.getpid()}")
            part.write_text(json.dumps(known, indent=0), encoding="utf-8")
            part.replace(self._path)
        return Fit(*known[key][method == READ])

    def _read(self) -> dict[str, list[list[float]]]:
        return json.loads(self._path.read_text("utf-8")) if self._path.exists() else {}


@cache
def _code() -> str:
    """A hash of the decoders' code."""
    folder = Path(interplay.__file__).parent / "decoders"
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


@cache
def _data(game: Recorded) -> str:
    digest = hashlib.sha256(game.values.tobytes() + game.held_values.tobytes())
    return digest.hexdigest()[:12]


def _fit(game: Recorded, method: str, n_masks: int) -> list[Fit]:
    """One fit, or two of "gp": everything that was learned, and the terms that people read."""
    masks, values, held = game.masks[:n_masks], game.values[:n_masks], game.held_masks

    def score(predictions: FloatArray) -> float:
        return float(r2(game.held_values, predictions)[0])

    if method in ("shapiq", PUBLISHED):
        found = run_peer(method, masks, values, held)
        return [Fit(score(found.predictions), found.seconds, found.terms)]
    started = time.perf_counter()
    rng = np.random.default_rng(0)
    if method == "trees":
        (forest,) = grow_all(masks, values[:, None], 5, rng)
        assert forest is not None
        seconds = time.perf_counter() - started
        predictions = values.mean() + values.std() * forest.spectrum.predict(held)
        return [Fit(score(predictions), seconds, len(forest.spectrum))]
    name, order = {"lasso-1": ("lasso", 1), "lasso-2": ("lasso", 2)}.get(method, (method, 5))
    decoded = run_decoder(get_decoder(name), PlainDesign("recorded", masks), values, order, rng, {})
    seconds = time.perf_counter() - started
    spectra = [s for s in (decoded.surrogate, decoded.spectrum) if s is not None]
    return [Fit(score(s.predict(held)), seconds, len(s)) for s in spectra]


def table(
    games: Sequence[Recorded], methods: Sequence[str], alphas: Sequence[float], results: Results
) -> None:
    """R2 (and seconds) by game, budget and method."""
    width = max(map(len, methods))
    head = "  ".join(f"{method:>{width}}" for method in methods)
    print(f"{'game':20} {'alpha':>5} {'masks':>6}  {head}")
    for game in games:
        for alpha in alphas:
            cells = []
            for method in methods:
                fit = results(game, method, alpha)
                cells.append("-" if fit is None else f"{fit.r2:.3f} ({fit.seconds:.0f} s)")
            if set(cells) != {"-"}:
                name = game.name + ("" if game.reported else " (tune)")
                row = "  ".join(f"{cell:>{width}}" for cell in cells)
                print(f"{name:20} {alpha:>5g} {game.budget(alpha):>6}  {row}", flush=True)
    print("\nmedian over the report games that all methods ran on")
    for alpha in alphas:
        rows = [[results(game, m, alpha) for m in methods] for game in games if game.reported]
        full = [[f.r2 for f in row if f is not None] for row in rows if None not in row]
        if full:
            cells = "  ".join(f"{value:>{width}.3f}" for value in np.median(full, axis=0))
            print(f"{len(full):>14} games {alpha:>5g} {'':>6}  {cells}")


def ratios(games: Sequence[Recorded], alphas: Sequence[float], results: Results) -> None:
    """The share of ablations that ours needs, by game and budget; medians with intervals."""
    print("\nequal-faithfulness ratio: masks of ours / masks of published ProxySPEX at equal R2")
    found: dict[float, list[float]] = {alpha: [] for alpha in alphas}
    for game in games:
        curve = _curve(game, lambda alpha, game=game: results(game, OURS, alpha))
        cells = []
        for alpha in alphas:
            published = results(game, PUBLISHED, alpha)
            if published is None or curve is None:
                cells.append("-")
                continue
            ratio, bound = _needed(curve, published.r2, game.budget(alpha))
            cells.append(f"{bound}{ratio:.2f}")
            if game.reported:
                found[alpha].append(ratio)
        name = game.name + ("" if game.reported else " (tune)")
        listed = [f"alpha={a:g}: {c:>6}" for a, c in zip(alphas, cells, strict=True)]
        print(f"{name:26} " + "  ".join(listed))
    rng = np.random.default_rng(0)
    for alpha, some in found.items():
        if some:
            resampled = np.median(rng.choice(some, (2000, len(some))), axis=1)
            low, high = np.quantile(resampled, [0.05, 0.95])
            print(
                f"alpha={alpha:g}: median {np.median(some):.2f} (90 % of resampled games {low:.2f} "
                f"to {high:.2f}), worst {max(some):.2f}, {len(some)} report games"
            )


def _curve(
    game: Recorded, fit: Callable[[float], Fit | None]
) -> tuple[FloatArray, FloatArray] | None:
    """Log masks, and the R2 that ours has reached with at most so many."""
    points = [(game.budget(alpha), fit(alpha)) for alpha in OURS_AT]
    known = [(n, each.r2) for n, each in points if each is not None]
    if not known:
        return None
    masks, scores = np.array(known).T
    return np.log(masks), np.maximum.accumulate(scores)


def _needed(
    curve: tuple[FloatArray, FloatArray], score: float, published: int
) -> tuple[float, str]:
    """The ratio at equal R2; "<" or ">" where it lies beyond the budgets of ours."""
    masks, scores = curve
    if score <= scores[0]:
        return float(np.exp(masks[0]) / published), "<"
    if score > scores[-1]:
        return float(np.exp(masks[-1]) / published), ">"
    at = int(np.searchsorted(scores, score))
    share = (score - scores[at - 1]) / (scores[at] - scores[at - 1])
    return float(np.exp(masks[at - 1] + share * (masks[at] - masks[at - 1])) / published), ""


if __name__ == "__main__":
    sys.exit(main())
