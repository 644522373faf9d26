"""The tables of the race of indices, in Markdown: errors, coverage, and R2 by measure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from estimates_cache import Cache
from interplay._types import FloatArray
from set_functions import SetFunction

NAMES = {"SV": "Shapley values", "SII": "SII of pairs", "FSII": "FSII of order 2"}
"""The indices that peers estimate."""
SHAPLEY, UNIFORM = "shapley", "uniform"
SMALL = 1e-12
"""Errors below this count as this in ratios."""
NEVER = 0.05
"""An index of a game whose intervals cover less than this is never covered."""


@dataclass(frozen=True, eq=False)
class Judged:
    """A function with its exact indices.

    Attributes:
        name: its name.
        kind: tabular, vision, text, heads, training or planted.
        function: the function.
        exact: the values of every index, over :func:`planted_games.sets_of`.
    """

    name: str
    kind: str
    function: SetFunction
    exact: dict[str, FloatArray]

    @property
    def n_players(self) -> int:
        return self.function.n_players

    @property
    def is_table(self) -> bool:
        return len(self.function.values) > 0

    def error(self, index: str, estimate: FloatArray) -> float:
        """|estimate - exact|^2 / |exact|^2."""
        exact = self.exact[index]
        return float(((estimate - exact) ** 2).sum() / (exact**2).sum())


@dataclass(frozen=True)
class OurRun:
    """The numbers of one of our explanations; ``{"failure": ...}`` where there is none."""

    game: str
    label: str
    measure: str
    seed: int
    numbers: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Race:
    """All that was run.

    Attributes:
        games: the functions.
        budgets: for each game the budgets by their labels.
        seeds: how many.
        measure_of: the measure whose run speaks for us, by index.
        runs: ours.
        cache: has the peers'.
    """

    games: Sequence[Judged]
    budgets: Mapping[str, Mapping[str, int]]
    seeds: int
    measure_of: Mapping[str, str]
    runs: Sequence[OurRun]
    cache: Cache

    @cached_property
    def labels(self) -> list[str]:
        """The budgets' labels: n log2 n, then fixed ones."""
        labels = {label for of_game in self.budgets.values() for label in of_game}
        return sorted(labels, key=lambda label: ("masks" in label, float(label.split()[0])))

    @cached_property
    def measures(self) -> list[str]:
        """Those of our runs."""
        return list(dict.fromkeys(run.measure for run in self.runs))

    @cached_property
    def of_peers(self) -> dict[tuple[str, str, str, str], float]:
        """Mean errors over seeds by game, index, label and method."""
        collected = defaultdict(list)
        for game in self.games:
            for label, budget in self.budgets[game.name].items():
                for run in self.cache.peers(game.function.digest, budget):
                    if run.seed < self.seeds and run.estimate is not None:
                        key = game.name, run.index, label, run.method
                        collected[key].append(game.error(run.index, run.estimate))
        return {
            key: float(np.mean(errors))
            for key, errors in collected.items()
            if len(errors) == self.seeds
        }

    @cached_property
    def of_ours(self) -> dict[tuple[str, str, str, str], float]:
        """The same of our runs, by measure for method."""
        collected = defaultdict(list)
        for run in self.runs:
            for index, error in run.numbers.get("error", {}).items():
                collected[run.game, index, run.label, run.measure].append(error)
        return {key: float(np.mean(errors)) for key, errors in collected.items()}

    @cached_property
    def peers(self) -> list[str]:
        """The peers that have estimates."""
        return sorted({method for _, _, _, method in self.of_peers})

    def comparable(self, index: str, label: str, games: Sequence[Judged]) -> list[str]:
        """The games with such a budget; if ours has estimates of some, those only."""
        names = [game.name for game in games if label in self.budgets[game.name]]
        mine = self.measure_of[index]
        return [name for name in names if (name, index, label, mine) in self.of_ours] or names

    def ratios(self, index: str, label: str, games: Sequence[Judged]) -> list[float]:
        """Our error over that of the best peer of each game."""
        ratios = []
        for name in self.comparable(index, label, games):
            at = (name, index, label)
            errors = [self.of_peers[(*at, m)] for m in self.peers if (*at, m) in self.of_peers]
            us = self.of_ours.get((*at, self.measure_of[index]))
            if us is not None and errors:
                ratios.append(us / max(min(errors), SMALL))
        return ratios


def print_tables(race: Race) -> None:
    """Print all of them."""
    for index, name in NAMES.items():
        for group, is_table in (("complete games", True), ("planted functions", False)):
            games = [game for game in race.games if game.is_table == is_table]
            if games:
                print(f"\n### {name}: {len(games)} {group}, seeds: {race.seeds}\n")
                _print_errors(race, index, games)
    _print_ratios_by_kind(race)
    if race.runs:
        _print_coverage(race)
        _print_r2(race)
    _print_left_out(race)


def _row(name: str, cells: Iterable[str]) -> None:
    print(f"| {name} | " + " | ".join(cells) + " |")


def _head(first: str, columns: Sequence[str]) -> None:
    _row(first, columns)
    print("|" + "---|" * (len(columns) + 1))


def _shown(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3g}"


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else np.nan


def _print_errors(race: Race, index: str, games: Sequence[Judged]) -> None:
    """Medians over games; in brackets if a method has no estimate of some of them."""
    at = {label: race.comparable(index, label, games) for label in race.labels}
    _head("n log2 n (games)", [f"{label} ({len(names)})" for label, names in at.items()])
    whole: dict[tuple[str, str], float] = {}
    rows = [(f'ours, `measure="{m}"`', m, race.of_ours) for m in race.measures]
    rows += [(method, method, race.of_peers) for method in race.peers]
    for shown, method, errors in rows:
        cells = []
        for label, names in at.items():
            keys = [(name, index, label, method) for name in names]
            there = [errors[key] for key in keys if key in errors]
            median = _median(there)
            if len(there) == len(names) > 0:
                whole[label, method] = median
            cells.append(f"({_shown(median)})" if 0 < len(there) < len(names) else _shown(median))
        if any(cells):
            _row(shown, cells)
    best, ratios = [], []
    for label in race.labels:
        of_peers = {m: whole[label, m] for m in race.peers if (label, m) in whole}
        first = min(of_peers, key=of_peers.__getitem__, default="")
        us = whole.get((label, race.measure_of[index]), np.nan)
        best.append(first)
        ratios.append(_shown(us / max(of_peers[first], SMALL)) if first else "")
    _row("*best single peer*", best)
    if race.runs:
        of_each = [_shown(_median(race.ratios(index, label, games))) for label in race.labels]
        _row("*ours / best single peer*", ratios)
        _row("*ours / best peer of each game, median*", of_each)


def _print_ratios_by_kind(race: Race) -> None:
    if not race.runs:
        return
    print("\n### Ours / best peer of each game, median by kind\n")
    _head("kind (games), index", race.labels)
    for kind in sorted({game.kind for game in race.games}):
        games = [game for game in race.games if game.kind == kind]
        for index in NAMES:
            cells = [_shown(_median(race.ratios(index, label, games))) for label in race.labels]
            _row(f"{kind} ({len(games)}), {index}", cells)


def _print_coverage(race: Race) -> None:
    """The mean over games; in brackets how many of them are never covered."""
    print("\n### Coverage of our 90 % intervals (games that are never covered)\n")
    _head("kind (games)", [f"{index}, {measure}" for index, measure in race.measure_of.items()])
    for kind in [*sorted({game.kind for game in race.games}), "all"]:
        names = {game.name for game in race.games if kind in (game.kind, "all")}
        cells = []
        for index, measure in race.measure_of.items():
            of_game = defaultdict(list)
            for run in race.runs:
                share = run.numbers.get("coverage", {}).get(index)
                if run.game in names and run.measure == measure and share is not None:
                    of_game[run.game].append(share)
            shares = [float(np.mean(of_runs)) for of_runs in of_game.values()]
            never = sum(share < NEVER for share in shares)
            cells.append(f"{np.mean(shares):.2f} ({never})" if shares else "no intervals")
        _row(f"{kind} ({len(names)})", cells)


def _print_r2(race: Race) -> None:
    print("\n### R2 of our predictions, median over functions\n")
    _head("masks of the run, R2 under", race.labels)
    for measure in race.measures:
        for scored in (UNIFORM, SHAPLEY):
            cells = []
            for label in race.labels:
                of_game = defaultdict(list)
                for run in race.runs:
                    if (run.measure, run.label) == (measure, label) and "r2" in run.numbers:
                        of_game[run.game].append(run.numbers["r2"][scored])
                scores = [float(np.mean(of_runs)) for of_runs in of_game.values()]
                cells.append(f"{np.median(scores):.3f}" if scores else "")
            _row(f"{measure}, {scored}", cells)
    failed = {(r.game, r.label, r.numbers["failure"]) for r in race.runs if "failure" in r.numbers}
    for game, label, reason in sorted(failed):
        print(f"\nOurs has no estimate of {game} at {label}: {reason}")


def _print_left_out(race: Race) -> None:
    left_out: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    evaluated: dict[str, float] = {}
    for game in race.games:
        for budget in sorted(set(race.budgets[game.name].values())):
            for run in race.cache.peers(game.function.digest, budget):
                if run.seed >= race.seeds:
                    continue
                if run.failure is not None:
                    reason = run.failure.split(" at ")[0]
                    left_out[run.method, run.index, reason].append(f"{game.name} at {budget}")
                else:
                    share = run.evaluated / budget
                    evaluated[run.method] = min(share, evaluated.get(run.method, 1.0))
    print("\n### Peers without an estimate\n")
    for (method, index, reason), where in sorted(left_out.items()):
        shown = ", ".join(where[:4]) + (f" and {len(where) - 4} more" if len(where) > 4 else "")
        print(f"- {method}, {index}: {reason} ({shown})")
    fewer = ", ".join(f"{m} {share:.0%}" for m, share in evaluated.items() if share < 0.995)
    print(f"\nFewer distinct evaluations than the budget, at worst: {fewer or 'none'}.")
