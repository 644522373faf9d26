"""Held-out R2 against ablations on recorded games of real models: baselines, peers, and ours.

Every method has masks of each recorded game (``benchmarks/games``) and is scored on the 1,500 held
out. The masks are the first of several orders (seeds), the same for all methods but "gp". It has as
many masks of its own design, others for each order: those that distinguish players were recorded
for it, and the next are chosen among the recorded ones without reading values ("gp, same masks" has
the masks of the other methods). The equal-faithfulness ratio is the share of ablations that ours
needs to reach the R2 of published ProxySPEX (``spectralexplain``) with alpha n log2 n ablations,
both by their mean over the seeds. Between the budgets of our fits, R2 is interpolated in the
logarithm of the number of masks. Games that settings were tuned on are left out of the summary. Its
intervals come from resampling games, and seeds within them. Fits are stored by a hash of code and
data: a race that was stopped continues where it was, and a changed decoder is fitted again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

import interplay
from common import run_peer
from interplay._types import FloatArray
from interplay.decoders.decode import get_decoder, run_decoder
from interplay.decoders.forest import grow_all
from interplay.designs.base import PlainDesign
from interplay.explanation.faithfulness import r2
from record_games import Recorded, orders, own, read, recorded

ALPHAS = (1.0, 2.0, 4.0, 8.0)
OURS_AT = (
    *(0.125, 0.1875, 0.25, 0.3125, 0.375, 0.4375, 0.5, 0.625, 0.75, 0.875),
    *(1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 8.0),
)
PUBLISHED, OURS, READ, SAME = "spectralexplain", "gp", "gp, 200 terms", "gp, same masks"
METHODS = ("lasso-1", "lasso-2", "trees", "proxyspex", PUBLISHED, "shapiq", SAME, OURS, READ)
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
    parser.add_argument(
        "--seeds", type=int, default=3, help="orders of each game's masks, at most those recorded"
    )
    parser.add_argument("--cache", type=Path, default=Path("out/bench/race.json"))
    parser.add_argument("--cached", action="store_true", help="print only what was fitted before")
    chosen = parser.parse_args()
    games = [orders(read(name), chosen.seeds) for name in chosen.games or recorded()]
    results = Results(chosen.cache, chosen.cached)
    table(games, chosen.methods, chosen.alphas, results)
    if {PUBLISHED, OURS} <= set(chosen.methods):
        ratios(games, chosen.alphas, results)


class Results:
    """Fits, kept in a file; ``None`` for one that is not there and may not be made."""

    def __init__(self, path: Path, cached: bool) -> None:
        self._path, self._cached = path, cached
        self._known = self._read()

    def __call__(self, game: Recorded, method: str, alpha: float) -> Fit | None:
        n_masks = game.budget(alpha)
        if n_masks > len(game.masks) or n_masks < 20:
            return None
        fitted = OURS if method == READ else method
        if method == "lasso-2" and game.n_players * (game.n_players + 1) // 2 > MOST_PAIRS:
            return None
        source = "" if method in ("shapiq", PUBLISHED) else _code()
        key = f"{fitted} {game.name} {n_masks} {_data(game, fitted == OURS)} {source}"
        if key not in self._known and not self._cached:
            self._known = self._read()  # another race may have fitted it
            if key not in self._known:
                made = _fit(game, fitted, n_masks)
                self._keep(key, [[f.r2, f.seconds, f.terms] for f in made])
        return Fit(*self._known[key][method == READ]) if key in self._known else None

    def _keep(self, key: str, fits: list[list[float]]) -> None:
        self._known = self._read() | {key: fits}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        part = self._path.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(self._known, indent=0), encoding="utf-8")
        part.replace(self._path)

    def _read(self) -> dict[str, list[list[float]]]:
        return json.loads(self._path.read_text("utf-8")) if self._path.exists() else {}


@cache
def _code() -> str:
    """Hash the code of the designs and the decoders."""
    folder = Path(interplay.__file__).parent
    digest = hashlib.sha256()
    for room in ("designs", "decoders"):
        for path in sorted((folder / room).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


@cache
def _data(game: Recorded, designed: bool) -> str:
    digest = hashlib.sha256(game.values.tobytes() + game.held_values.tobytes())
    if designed:
        digest.update(game.designed_values.tobytes())
    return digest.hexdigest()[:12]


def _fit(game: Recorded, method: str, n_masks: int) -> list[Fit]:
    """One fit, or two of "gp": everything that was learned, and the terms that people read."""
    masks, values = game.masks[:n_masks], game.values[:n_masks]
    if method == OURS:
        masks, values = own(game, n_masks)
    held = game.held_masks

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
    orders = {"lasso-1": ("lasso", 1), "lasso-2": ("lasso", 2), SAME: (OURS, 5)}
    name, order = orders.get(method, (method, 5))
    decoded = run_decoder(get_decoder(name), PlainDesign("recorded", masks), values, order, rng, {})
    seconds = time.perf_counter() - started
    spectra = [s for s in (decoded.surrogate, decoded.spectrum) if s is not None]
    return [Fit(score(s.predict(held)), seconds, len(s)) for s in spectra]


def _scores(
    game: Sequence[Recorded], method: str, alpha: float, results: Results
) -> list[Fit | None]:
    """The fits of a method to the orders of a game; of all its masks there is one order."""
    one = game[0].budget(alpha) == len(game[0].masks)
    return [results(each, method, alpha) for each in game[: 1 if one else None]]


def _mean(values: Sequence[float | None]) -> float | None:
    """Their mean; ``None`` where one is not there."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def table(
    games: Sequence[Sequence[Recorded]],
    methods: Sequence[str],
    alphas: Sequence[float],
    results: Results,
) -> None:
    """R2 (and seconds) by game, budget and method; means over seeds."""
    width = max(13, *map(len, methods))
    head = "  ".join(f"{method:>{width}}" for method in methods)
    print(f"{'game':26} {'alpha':>5} {'masks':>6}  {head}")
    means: dict[tuple[float, str], list[float | None]] = {}
    for game in games:
        for alpha in alphas:
            cells = []
            for method in methods:
                fits = _scores(game, method, alpha, results)
                score = _mean([None if fit is None else fit.r2 for fit in fits])
                seconds = _mean([None if fit is None else fit.seconds for fit in fits])
                cells.append("-" if score is None else f"{score:.3f} ({seconds:.1f} s)")
                if game[0].reported:
                    means.setdefault((alpha, method), []).append(score)
            if set(cells) != {"-"}:
                name = game[0].name + ("" if game[0].reported else " (tune)")
                row = "  ".join(f"{cell:>{width}}" for cell in cells)
                print(f"{name:26} {alpha:>5g} {game[0].budget(alpha):>6}  {row}", flush=True)
    rng = np.random.default_rng(0)
    print("\nmedian over the report games that published ProxySPEX and the method ran on")
    print("(90 % of resampled games)")
    for alpha in alphas:
        cells, ran = [], means.get((alpha, PUBLISHED))
        for method in methods:
            some = [
                score
                for at, score in enumerate(means[alpha, method])
                if score is not None and (ran is None or ran[at] is not None)
            ]
            cells.append(f"{len(some)} games: {_median(some, rng)}" if some else "-")
        print(f"alpha={alpha:g}: " + "; ".join(map(" ".join, zip(methods, cells, strict=True))))


def _median(some: Sequence[float], rng: np.random.Generator) -> str:
    low, high = np.quantile(np.median(rng.choice(some, (2000, len(some))), axis=1), [0.05, 0.95])
    return f"{np.median(some):.3f} ({low:.3f} to {high:.3f})"


def ratios(games: Sequence[Sequence[Recorded]], alphas: Sequence[float], results: Results) -> None:
    """The share of ablations that ours needs, by game and budget; medians with intervals."""
    print("\nequal-faithfulness ratio: masks of ours / masks of published ProxySPEX at equal R2")
    rng = np.random.default_rng(0)
    found: dict[float, list[list[float]]] = {alpha: [] for alpha in alphas}
    for game in games:
        ours = {game[0].budget(a): _scores(game, OURS, a, results) for a in OURS_AT}
        curve = {n: _r2s(fits) for n, fits in ours.items() if fits and None not in fits}
        cells = []
        for alpha in alphas:
            fits = _scores(game, PUBLISHED, alpha, results)
            if not curve or None in fits:
                cells.append("-")
                continue
            budget, goals = game[0].budget(alpha), _r2s(fits)
            ratio, bound = _needed(
                {n: float(r.mean()) for n, r in curve.items()}, float(goals.mean()), budget
            )
            cells.append(f"{bound}{ratio:.2f}")
            if game[0].reported:
                found[alpha].append([ratio, *_resampled(curve, goals, budget, rng)])
        name = game[0].name + ("" if game[0].reported else " (tune)")
        listed = [f"alpha={a:g}: {c:>6}" for a, c in zip(alphas, cells, strict=True)]
        print(f"{name:26} " + "  ".join(listed))
    for alpha, some in found.items():
        if some:
            every = [each[0] for each in some]
            drawn = rng.integers(len(some), size=(2000, len(some)))
            medians = [np.median([rng.choice(some[at][1:]) for at in games]) for games in drawn]
            low, high = np.quantile(medians, [0.05, 0.95])
            print(
                f"alpha={alpha:g}: median {np.median(every):.2f} (90 % of resampled games and "
                f"seeds {low:.2f} to {high:.2f}), worst {max(every):.2f}, {len(every)} report games"
            )


def _r2s(fits: Sequence[Fit | None]) -> FloatArray:
    return np.array([fit.r2 for fit in fits if fit is not None])


def _resampled(
    curve: dict[int, FloatArray], goals: FloatArray, budget: int, rng: np.random.Generator
) -> list[float]:
    """The ratio with seeds drawn anew, 50 times, for each budget on its own."""

    def mean(scores: FloatArray) -> float:
        return float(rng.choice(scores, len(scores)).mean())

    return [
        _needed({n: mean(scores) for n, scores in curve.items()}, mean(goals), budget)[0]
        for _ in range(50)
    ]


def _needed(curve: dict[int, float], score: float, published: int) -> tuple[float, str]:
    """The ratio at equal R2; "<" or ">" where it lies beyond the budgets of ours.

    The curve's R2 counts as what was reached with at most so many masks.
    """
    masks, scores = np.log(list(curve)), np.maximum.accumulate(list(curve.values()))
    if score <= scores[0]:
        return float(np.exp(masks[0]) / published), "<"
    if score > scores[-1]:
        return float(np.exp(masks[-1]) / published), ">"
    at = int(np.searchsorted(scores, score))
    share = (score - scores[at - 1]) / (scores[at] - scores[at - 1])
    return float(np.exp(masks[at - 1] + share * (masks[at] - masks[at - 1])) / published), ""


if __name__ == "__main__":
    main()
