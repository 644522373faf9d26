"""Errors of Shapley values, SII of pairs and FSII of order 2 against the peers, on complete games.

    make race-indices GAMES=folder

GAMES is a folder of complete games that others recorded: ``NAME.npz`` with ``values``, the 2^n
values ``values[sum_i m_i 2^i]``. The exact indices are computed here from the table. Ours and the
peers (shapiq 1.8.0) get the same number of evaluations, held-out ones included; a peer may use
fewer distinct ones. The error of an estimate is |estimate - exact|^2 / |exact|^2 over the sets of
the index, the mean over seeds. The tables have its median over games; the ratio of ours to the best
single peer's median; the median over games of the ratio to the best peer of each game; and how
often our intervals (nominal 90 %) cover. The peers' estimates are kept in out/bench.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import ceil, log2
from pathlib import Path

import numpy as np

import interplay as ip
from common import PEER_PYTHON
from interplay._types import FloatArray
from interplay.designs.measures import MEASURES

ALPHAS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Budgets, in n log2 n."""
FIXED = 500
INDICES = ("SV", "SII", "FSII")
SMALLEST = 30
"""Budgets below this are left out: ours needs so many."""


@dataclass(frozen=True)
class Complete:
    """A complete game and its exact indices."""

    name: str
    values: FloatArray
    exact: dict[str, FloatArray]

    @property
    def n_players(self) -> int:
        return int(log2(len(self.values)))

    def budgets(self, alphas: Sequence[float]) -> dict[str, int]:
        """The budgets by their names, those of fewer masks than all."""
        n = self.n_players
        wanted = {f"{alpha:g}": ceil(alpha * n * log2(n)) for alpha in alphas} | {"500": FIXED}
        return {name: m for name, m in wanted.items() if SMALLEST <= m < 2**n}

    def game(self) -> ip.FunctionGame:
        powers = 1 << np.arange(self.n_players, dtype=np.int64)
        return ip.FunctionGame(lambda masks: self.values[masks @ powers], self.n_players)


def read(path: Path) -> Complete:
    """Read a table and compute its exact indices."""
    values = np.load(path, allow_pickle=False)["values"].astype(np.float64)
    n_players = int(log2(len(values)))
    rows = np.arange(len(values))
    masks = (rows[:, None] >> np.arange(n_players) & 1).astype(np.bool_)
    spectrum = ip.decode(masks, values, decoder="exact", order=n_players)
    exact = {index: listed(spectrum.to(index, order=2), n_players, index)[0] for index in INDICES}
    return Complete(path.stem, values, exact)


def listed(
    interactions: ip.Interactions, n_players: int, index: str
) -> tuple[FloatArray, FloatArray | None, FloatArray | None]:
    """Values and interval ends of all sets of an index, singles first, pairs in lexical order."""
    sets = [(i,) for i in range(n_players)] if index != "SII" else []
    if index != "SV":
        sets += list(combinations(range(n_players), 2))
    rows = {players: row for row, players in enumerate(interactions.sets)}

    def column(values: FloatArray | None) -> FloatArray | None:
        if values is None:
            return None
        return np.array([values[rows[s]] if s in rows else 0.0 for s in sets])

    values = column(interactions.values)
    assert values is not None
    return values, column(interactions.low), column(interactions.high)


def ours(
    game: Complete, budget: int, measure: str, seed: int
) -> dict[str, tuple[FloatArray, FloatArray | None, FloatArray | None]]:
    """Our estimates of every index from one explanation."""
    explanation = ip.explain(
        game.game(), budget=budget, measure=measure, random_state=seed, progress=False
    )
    return {
        index: listed(explanation.interactions(index, order=2), game.n_players, index)
        for index in INDICES
    }


def error(estimate: FloatArray, exact: FloatArray) -> float:
    """The normalised squared error."""
    return float(((estimate - exact) ** 2).sum() / (exact**2).sum())


def peers(
    games: list[Complete], alphas: Sequence[float], seeds: int, folder: Path
) -> dict[tuple[str, str, str, int], list[float]]:
    """Errors of the peers by game, index, method and budget; estimates are kept in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    errors: dict[tuple[str, str, str, int], list[float]] = {}
    for game in games:
        table, wanted = folder / f"{game.name}.npz", folder / f"{game.name}.json"
        out = folder / f"{game.name}-peers.npz"
        settings = {
            game.name: {"budgets": [*game.budgets(alphas).values()], "seeds": [*range(seeds)]}
        }
        if not (out.exists() and wanted.exists() and json.loads(wanted.read_text()) == settings):
            np.savez(table, **{game.name: game.values})
            script = Path(__file__).with_name("peer_indices.py")
            wanted.write_text(json.dumps(settings))
            subprocess.run([PEER_PYTHON, script, table, wanted, out], check=True)
        for key, estimate in np.load(out, allow_pickle=False).items():
            if not key.endswith("|n"):
                name, index, method, budget, _ = key.split("|")
                errors.setdefault((name, index, method, int(budget)), []).append(
                    error(estimate, game.exact[index])
                )
    return errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--games", type=Path, required=True, help="a folder of complete games")
    parser.add_argument("--measure", default="shapley", choices=MEASURES)
    parser.add_argument("--alphas", nargs="*", type=float, default=ALPHAS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("out/bench/indices"))
    chosen = parser.parse_args()
    paths = sorted(p for p in chosen.games.glob("*.npz") if not p.stem.startswith("exact_"))
    if not paths:
        parser.error(f"{chosen.games} has no complete games (NAME.npz with values)")
    games = [read(path) for path in paths]
    by_peers = peers(games, chosen.alphas, chosen.seeds, chosen.out)
    by_us: dict[tuple[str, str, int], float] = {}
    covered: dict[tuple[str, str, str], list[float]] = {}
    for game in games:
        for label, budget in game.budgets(chosen.alphas).items():
            runs = [ours(game, budget, chosen.measure, seed) for seed in range(chosen.seeds)]
            for index in INDICES:
                exact = game.exact[index]
                by_us[game.name, index, budget] = float(
                    np.mean([error(run[index][0], exact) for run in runs])
                )
                for _, low, high in (run[index] for run in runs):
                    if low is not None and high is not None:
                        inside = (low <= exact) & (exact <= high)
                        covered.setdefault((index, label, game.name), []).append(inside.mean())
        print(f"{game.name}: n = {game.n_players}", flush=True)
    for index in INDICES:
        report(index, games, chosen.alphas, by_us, by_peers, covered)


def report(
    index: str,
    games: list[Complete],
    alphas: Sequence[float],
    by_us: dict[tuple[str, str, int], float],
    by_peers: dict[tuple[str, str, str, int], list[float]],
    covered: dict[tuple[str, str, str], list[float]],
) -> None:
    """Print one index's table."""
    methods = sorted({method for _, i, method, _ in by_peers if i == index})
    labels = [*(f"{alpha:g}" for alpha in alphas), "500"]
    print(f"\n{index}\n| n log2 n | " + " | ".join(labels) + " |\n|" + "---|" * (len(labels) + 1))
    rows: dict[str, list[float]] = {name: [] for name in ("ours", *methods)}
    ratios, best_of_game, coverage, never = [], [], [], []
    for label in labels:
        budgets = {game.name: game.budgets(alphas) for game in games}
        at = [(name, of_game[label]) for name, of_game in budgets.items() if label in of_game]
        if not at:
            continue
        us = [by_us[name, index, m] for name, m in at]
        table = {
            method: [
                float(np.mean(by_peers.get((name, index, method, m), [np.nan]))) for name, m in at
            ]
            for method in methods
        }
        rows["ours"].append(float(np.median(us)))
        for method in methods:
            rows[method].append(float(np.nanmedian(table[method])))
        ratios.append(rows["ours"][-1] / min(rows[method][-1] for method in methods))
        best = np.nanmin(list(table.values()), axis=0)
        best_of_game.append(float(np.nanmedian(np.array(us) / np.maximum(best, 1e-12))))
        shares = [np.mean(covered.get((index, label, name), [np.nan])) for name, _ in at]
        coverage.append(float(np.nanmean(shares)))
        never.append(float((np.array(shares) < 0.05).sum()))
    for name, values in rows.items():
        print(f"| {name} | " + " | ".join(f"{value:.4f}" for value in values) + " |")
    shown = [
        ("ours / best peer", ratios),
        ("ours / best peer of each game, median", best_of_game),
    ]
    if covered:
        shown += [
            ("coverage of 90 % intervals, ours", coverage),
            ("games that are never covered", never),
        ]
    for name, values in shown:
        print(f"| *{name}* | " + " | ".join(f"{value:.2f}" for value in values) + " |")


if __name__ == "__main__":
    main()
