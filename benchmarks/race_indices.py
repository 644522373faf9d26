"""Errors of Shapley values, SII of pairs and FSII of order 2 against the peers, and our coverage.

    make race-indices [GAMES=folder] [RACE="--full"]

The functions are complete games that others recorded (GAMES: a folder of ``NAME.npz`` with
``values``, the 2^n values ``values[sum_i m_i 2^i]``; without it they are left out), complete games
of SmolLM2 and of retrained classifiers (``games/complete``, by :mod:`record_complete`), and planted
functions of 50 and 100 players (:mod:`planted_games`). The exact indices follow from the table or
from the planted terms. Ours and the peers (shapiq 1.8.0, :mod:`peer_indices`) get the same number
of distinct evaluations, ours with held-out ones among them. The error of an estimate is
|estimate - exact|^2 / |exact|^2 over the sets of the index, the mean over seeds;
:mod:`index_tables` prints its medians over games.

Every run is kept in ``--out``: an interrupted race goes on where it was, and a peer runs once. Ours
run again after the code has changed. By default it is short: one seed, two budgets, and planted
functions of 50 players; ``--full`` is the whole of it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import time
import warnings
from collections.abc import Iterator, Sequence
from math import ceil, comb, log2
from pathlib import Path
from typing import Any

import numpy as np

import interplay as ip
from common import PEER_PYTHON
from estimates_cache import Cache
from index_tables import SHAPLEY, UNIFORM, Judged, OurRun, Race, print_tables
from interplay._types import BoolArray, FloatArray
from interplay.fourier.masks import every_mask
from planted_games import INDICES, ORDER, SIZES, exact, planted, sets_of
from set_functions import SetFunction

ALPHAS, SHORT_ALPHAS = (0.5, 1.0, 2.0, 4.0, 8.0), (1.0, 4.0)
"""Budgets, in n log2 n."""
FIXED = 500
SEEDS = 5
LIMIT = 30.0
"""CPU seconds that a peer's estimate may take."""
N_TEST = 4000
"""Masks of a measure on which R2 is taken where there is no complete table."""
MEASURE_OF = dict.fromkeys(INDICES, SHAPLEY) | {"BII": UNIFORM}
"""The measure that an index weighs masks by."""
DEFAULT = "default"
"""In place of a measure: none is given to :func:`interplay.explain`."""
COMPLETE = Path(__file__).with_name("games") / "complete"
KINDS = {
    "adult_fs": "tabular",
    "adult_loc": "tabular",
    "adult_unsup": "tabular",
    "bike_clus": "tabular",
    "bike_glob": "tabular",
    "bike_ens": "training",
    "bike_dsv": "training",
    "cal_dv": "training",
    "resnet": "vision",
    "vit": "vision",
    "sent": "text",
    "soum": "planted",
}
"""Kinds of the games of others, by how their names begin: tabular ones remove features, training
ones data or models of an ensemble."""


def functions(folder: Path | None, sizes: Sequence[int], only: Sequence[str]) -> Iterator[Judged]:
    """The functions of the race with their exact indices."""
    found: list[tuple[str, str, SetFunction]] = []
    others = [] if folder is None else sorted(folder.glob("*.npz"))
    for path in [*others, *sorted(COMPLETE.glob("*.npz"))]:
        if path.stem.startswith("exact_"):
            continue
        with np.load(path, allow_pickle=False) as file:
            values = file["values"].astype(np.float64)
            about = json.loads(str(file["about"])) if "about" in file else {}
        by_name = [kind for name, kind in KINDS.items() if path.stem.startswith(name)]
        kind = about.get("kind") or (by_name or ["other"])[0]
        found.append((path.stem, kind, SetFunction(int(log2(len(values))), values)))
    for n_players in sizes:
        found += [(name, "planted", function) for name, function in planted(n_players).items()]
    for name, kind, function in found:
        if not only or name in only:
            yield Judged(name, kind, function, exact(function))


def budgets_of(game: Judged, alphas: Sequence[float], fixed: int | None) -> dict[str, int]:
    """The budgets by their labels, those of fewer masks than all."""
    n = game.n_players
    wanted = {f"{alpha:g}": ceil(alpha * n * log2(n)) for alpha in alphas}
    if fixed is not None:
        wanted[f"{fixed} masks"] = fixed
    return {label: m for label, m in wanted.items() if m < 2**n}


def code_digest() -> str:
    """A hash of the code that makes our estimates."""
    hashed = hashlib.sha256()
    package = Path(ip.__file__).parent
    for room in ("ablation", "decoders", "designs", "explanation", "fourier"):
        for path in sorted((package / room).rglob("*.py")):
            hashed.update(path.read_bytes())
    return hashed.hexdigest()[:16]


def test_masks(game: Judged, measure: str) -> tuple[BoolArray, FloatArray]:
    """Masks and their weights, by which a mean is one over a measure.

    Under ``"shapley"`` the sizes 1 to n - 1 are equally likely; the ends are measured anyway.
    """
    n = game.n_players
    if len(game.function.values):
        masks = every_mask(n)
        by_size = [0.0, *(1 / ((n - 1) * comb(n, size)) for size in range(1, n)), 0.0]
        of_size = np.full(n + 1, 0.5**n) if measure == UNIFORM else np.array(by_size)
        return masks, of_size[masks.sum(axis=1)]
    rng = np.random.default_rng(0)
    masks = rng.random((N_TEST, n)) < 0.5
    if measure == SHAPLEY:
        ranks = rng.random((N_TEST, n)).argsort(axis=1).argsort(axis=1)
        masks = ranks < rng.integers(1, n, N_TEST)[:, None]
    return masks, np.full(N_TEST, 1 / N_TEST)


def r2(explanation: ip.Explanation, game: Judged, measure: str) -> float:
    """R2 of an explanation's predictions under a measure."""
    masks, weights = test_masks(game, measure)
    values = game.function(masks)
    wrong = weights @ (values - explanation.predict(masks)) ** 2
    return float(1 - wrong / (weights @ (values - weights @ values) ** 2))


def ours(game: Judged, budget: int, measure: str, seed: int) -> dict[str, Any]:
    """The numbers of one explanation: errors and coverage by index, R2 by measure, CPU seconds."""
    started = time.process_time()
    given = {} if measure == DEFAULT else {"measure": measure}
    try:
        explanation = ip.explain(
            ip.FunctionGame(game.function, game.n_players),
            budget=budget,
            random_state=seed,
            progress=False,
            **given,
        )
    except ValueError as error:
        return {"failure": str(error)}
    seconds = time.process_time() - started
    errors, coverage = {}, {}
    for index in INDICES:
        errors[index], coverage[index] = judge(explanation.interactions(index, order=ORDER), game)
    scores = {scored: r2(explanation, game, scored) for scored in (UNIFORM, SHAPLEY)}
    return {"error": errors, "coverage": coverage, "r2": scores, "seconds": seconds}


def judge(interactions: ip.Interactions, game: Judged) -> tuple[float, float | None]:
    """The error of an index, and the share of the listed sets whose interval holds the truth.

    There is no share where there are no intervals.
    """
    sets, truth = sets_of(interactions.index, game.n_players), game.exact[interactions.index]
    estimate = np.array([float(interactions[players]) for players in sets])
    low, high = interactions.low, interactions.high
    covered = None
    if low is not None and high is not None:
        rows = {players: row for row, players in enumerate(interactions.sets)}
        places = [place for place, players in enumerate(sets) if players in rows]
        listed = [rows[sets[place]] for place in places]
        inside = (low[listed] <= truth[places]) & (truth[places] <= high[listed])
        covered = float(inside.mean()) if len(places) else None
    return game.error(interactions.index, estimate), covered


def run_peers(
    games: Sequence[Judged], budgets: dict[str, dict[str, int]], options: argparse.Namespace
) -> None:
    """Run the peers on what they have not been run on yet."""
    folder = options.out / "functions"
    folder.mkdir(parents=True, exist_ok=True)
    for game in games:
        game.function.save(folder / f"{game.name}.npz")
    jobs = folder / f"jobs-{os.getpid()}.json"
    wanted = {name: list(of_game.values()) for name, of_game in budgets.items()}
    settings = {"budgets": wanted, "seeds": [*range(options.seeds)], "limit": LIMIT}
    jobs.write_text(json.dumps(settings))
    script = Path(__file__).with_name("peer_indices.py")
    command = [PEER_PYTHON, script, folder, jobs, options.out / "estimates.db"]
    subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    jobs.unlink()


def run_ours(
    games: Sequence[Judged],
    budgets: dict[str, dict[str, int]],
    options: argparse.Namespace,
    cache: Cache,
) -> list[OurRun]:
    """Our runs: those in the cache, and the others."""
    runs, code = [], code_digest()
    for seed in range(options.seeds):
        for game in games:
            started = time.process_time()
            for label, budget in budgets[game.name].items():
                for measure in options.measures:
                    key = (game.function.digest, code, measure, budget, seed)
                    numbers = cache.ours(*key)
                    if numbers is None:
                        numbers = ours(game, budget, measure, seed)
                        cache.add_ours(game.name, *key, numbers)
                    runs.append(OurRun(game.name, label, measure, seed, numbers))
            spent = time.process_time() - started
            if spent > 1:
                print(f"ours: {game.name}, seed {seed}, {spent:.0f} CPU s", flush=True)
    return runs


def main() -> None:
    warnings.simplefilter("ignore", ip.ExtrapolationWarning)  # what it warns of is measured here
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--games", type=Path, help="a folder of complete games of others")
    parser.add_argument("--full", action="store_true", help="all budgets, seeds and functions")
    parser.add_argument("--alphas", nargs="*", type=float, help="budgets, in n log2 n")
    parser.add_argument("--fixed", type=int, help="one more budget, in masks")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--only", nargs="*", default=(), help="names of functions")
    parser.add_argument("--measures", nargs="*", default=(SHAPLEY, UNIFORM), help="of our runs")
    parser.add_argument("--speaks", help="the measure whose runs count as ours for every index")
    parser.add_argument("--peers-only", action="store_true", help="fill the cache, and stop")
    parser.add_argument("--out", type=Path, default=Path("out/bench/indices"))
    options = parser.parse_args()
    if options.games is not None and not options.games.is_dir():
        print(f"{options.games} is no folder: the games of others are left out", flush=True)
        options.games = None
    options.seeds = options.seeds or (SEEDS if options.full else 1)
    fixed = options.fixed or (FIXED if options.full else None)
    alphas = options.alphas or (ALPHAS if options.full else SHORT_ALPHAS)
    sizes = SIZES if options.full or options.peers_only else SIZES[:1]
    games = [*functions(options.games, sizes, options.only)]
    budgets = {game.name: budgets_of(game, alphas, fixed) for game in games}
    run_peers(games, budgets, options)
    if options.peers_only:
        return
    cache = Cache(options.out / "estimates.db")
    runs = run_ours(games, budgets, options, cache)
    measure_of = dict.fromkeys(INDICES, options.speaks) if options.speaks else MEASURE_OF
    print_tables(Race(games, budgets, options.seeds, measure_of, runs, cache))


if __name__ == "__main__":
    main()
