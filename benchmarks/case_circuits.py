"""Circuits of SmolLM2-135M on four tasks, by every baseline and by Interplay, as MIB judges them.

A draw is a task, a set of units and a seed, which draws the items to find circuits on and the items
to report, the random circuits, the noise of the learned masks and the masks of Interplay. The same
items serve all methods. Printed are CPR, CMD, accuracy and the divergence from the whole model on
the report items, with intervals over items; what Interplay has more than each baseline, paired over
items; and, at the end, medians over draws and over tasks.

By default one draw of each task, with heads and with heads and MLPs, by all methods but learned
masks. Ablations, gradients and results are kept in ``--out``: a run that was stopped continues
where it was, and further ``--seeds`` add to the medians of those before. ``--medians draws.csv``
only prints what is in such a file.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

import interplay as ip
from interplay._types import FloatArray
from interplay.components import (
    Circuits,
    Comparison,
    ComponentGame,
    Ranking,
    Task,
    Unit,
    adaptive_circuits,
    compare_circuits,
    heads,
    mlps,
    with_divergence,
)
from interplay.components.analysis.baselines import (
    attribution_patching,
    eap_ig,
    random_search,
    single_importance,
)
from interplay.components.analysis.circuits import FRACTIONS, at_fractions, partial_sizes
from interplay.components.analysis.learned import learned_mask

FOLDER = Path("examples/tasks")
TASKS = ("agreement", "indirect_object", "facts", "greater_than")
SCORES = ("margin", "correct")
UNITS = ("heads", "all")
OURS = "interplay"
MEASURE = ip.Keep(0.1, 0.97)
FIRST = {"heads": 3 / 8, "all": 1 / 8}
"""The share of our ablations that masks of the measure have; the others are proposed. A mask that
removes half of the MLPs tells next to nothing."""


@dataclass(frozen=True)
class Run:
    """A draw of items and masks.

    Attributes:
        game: the items to find circuits on.
        precise: the same in float32, for methods of gradients alone: in bfloat16 what EAP-IG finds
            is another ranking, and a worse one.
        seed: of masks and noise.
        training_steps: of learned masks.
        budget: ablations of searches.
        n_first: those of ours that masks of the measure have.
        store: their values.
    """

    game: ComponentGame
    precise: ComponentGame
    seed: int
    training_steps: int
    budget: int
    n_first: int
    store: Path


def explained(run: Run, budget: int, **given: object) -> ip.Explanation:
    return ip.explain(
        run.game,
        budget=budget,
        store=run.store,
        random_state=run.seed,
        progress=False,
        **given,  # type: ignore[arg-type]
    )


def interplay_circuits(run: Run) -> Circuits:
    """gp near the intact model with attribution patching as hints, then rounds of proposals."""
    explanation = explained(run, run.n_first, decoder="gp", measure=MEASURE)
    return adaptive_circuits(
        run.game,
        explanation,
        run.budget - run.n_first,
        store=run.store,
        random_state=run.seed,
        progress=False,
    )


def by_optimum(run: Run, **given: object) -> Circuits:
    """The optimum of a spectrum at each size, as it is predicted, and nothing else."""
    explanation, n = explained(run, run.budget, **given), run.game.n_players
    sizes, _ = partial_sizes(FRACTIONS, n)
    full = float(np.asarray(explanation.full).reshape(-1)[0])
    best, faithful = (
        {
            size: ip.optimize.best_subset(
                explanation.spectrum, keep=size, target=target, gap=np.inf
            ).mask
            for size in sizes
        }
        for target in (None, full)
    )
    hints = 4.0 if given["decoder"] == "gp" else 0.0  # a pass for values, and a gradient
    return Circuits(
        at_fractions(best, FRACTIONS, n), at_fractions(faithful, FRACTIONS, n), run.budget + hints
    )


BY_GRADIENTS: Mapping[str, Callable[[Run], Ranking | Circuits]] = {
    "attribution": lambda run: attribution_patching(run.precise),
    "eap-ig": lambda run: eap_ig(run.precise, steps=5),
    "eap-ig by layer": lambda run: eap_ig(run.precise, steps=5, by_layer=True),
    "learned mask, best": lambda run: learned_mask(
        run.precise, "best", steps=run.training_steps, random_state=run.seed
    ),
    "learned mask, faithful": lambda run: learned_mask(
        run.precise, "faithful", steps=run.training_steps, random_state=run.seed
    ),
}
METHODS: Mapping[str, Callable[[Run], Ranking | Circuits]] = {
    "single": lambda run: single_importance(run.game, store=run.store, progress=False),
    **BY_GRADIENTS,
    "random": lambda run: random_search(
        run.game, run.budget, store=run.store, random_state=run.seed, progress=False
    ),
    "proxyspex": partial(by_optimum, decoder="proxyspex", measure="uniform"),
    "gp, order 1": partial(by_optimum, decoder="gp", order=1, measure=MEASURE),
    OURS: interplay_circuits,
}
DEFAULT = [name for name in METHODS if not name.startswith("learned mask")]


def found(name: str, run: Run) -> Ranking | Circuits:
    """What a method finds. Ablations come from the store; what gradients gave is kept beside it."""
    if name not in BY_GRADIENTS:
        return METHODS[name](run)
    settings = f"{run.precise.fingerprint} {name} {run.seed} {run.training_steps}"
    path = run.store.parent / f"{hashlib.sha256(settings.encode()).hexdigest()[:16]}.npz"
    if not path.exists():
        part = path.with_suffix(".part.npz")
        np.savez(part, **vars(METHODS[name](run)))
        part.replace(path)
    with np.load(path) as saved:
        if "scores" in saved:
            return Ranking(saved["scores"], float(saved["cost"]), bool(saved["is_effect"]))
        return Circuits(saved["best"], saved["faithful"], float(saved["cost"]))


def differences(told: Comparison) -> str:
    names = [one.method for one in told.judged if one.method != OURS]
    lines = [f"{OURS} less", *names]
    columns = ("cpr", "cmd", *told.judged[0].others)
    rows = [[str(told.difference(OURS, name, column)) for column in columns] for name in names]
    cells = [columns, *rows]
    return "\n".join(
        f"{line:24}" + "".join(f"{cell:26}" for cell in row)
        for line, row in zip(lines, cells, strict=True)
    )


@dataclass(frozen=True)
class Draw:
    """A draw of items and masks, by its names in the file of results."""

    units: str
    ablation: str
    task: str
    seed: int

    def __str__(self) -> str:
        return f"{self.units}, {self.ablation}, {self.task}, seed {self.seed}"


COLUMNS = ("cpr", "cmd", "correct", "divergence")


def record(path: Path, draw: Draw, told: Comparison) -> None:
    """Put the results of a draw into a file, a row for each method: each value and its interval,
    and for another method than ours, what ours has more, with the interval. Earlier rows of the
    same draw go."""
    rows = []
    for one in told.judged:
        row: dict[str, object] = {**vars(draw), "method": one.method, "ablations": round(one.cost)}
        estimates = {"cpr": one.cpr, "cmd": one.cmd, **one.others}
        if one.method != OURS and any(other.method == OURS for other in told.judged):
            estimates |= {
                f"{OURS} less: {of}": told.difference(OURS, one.method, of) for of in COLUMNS
            }
        for name, estimate in estimates.items():
            ends = {"": estimate.value, " low": estimate.low, " high": estimate.high}
            row |= {f"{name}{end}": f"{value:.3f}" for end, value in ends.items()}
        rows.append(row)
    here = {key: str(value) for key, value in vars(draw).items()}
    kept = [row for row in recorded(path) if not here.items() <= row.items()]
    names = list(dict.fromkeys(name for row in [*rows, *kept] for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows([*kept, *rows])


def recorded(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def print_medians(path: Path) -> None:
    """Medians over draws, and over tasks, of a file of results; and ours against the best other."""
    rows = recorded(path)
    for units, ablation in sorted({(row["units"], row["ablation"]) for row in rows}):
        here = [row for row in rows if (row["units"], row["ablation"]) == (units, ablation)]
        methods = list(dict.fromkeys(row["method"] for row in here))
        tasks = [task for task in TASKS if any(row["task"] == task for row in here)]
        of_tasks = []
        for task in tasks:
            values = np.full((len(methods), len(COLUMNS)), np.nan)
            for i, method in enumerate(methods):
                draws = [r for r in here if (r["task"], r["method"]) == (task, method)]
                if draws:
                    values[i] = np.median([[float(r[c]) for c in COLUMNS] for r in draws], axis=0)
            n_draws = len({row["seed"] for row in here if row["task"] == task})
            print(table(f"{units}, {ablation}: {task}, {n_draws}", methods, values))
            of_tasks.append(values)
        print(table(f"{units}, {ablation}: tasks", methods, np.median(of_tasks, axis=0)))
        if OURS in methods and len(methods) > 1:
            for column, sign in (("cpr", 1), ("cmd", -1), ("correct", 1)):
                print(against_the_best(here, column, sign))


def against_the_best(rows: Sequence[Mapping[str, str]], column: str, sign: int) -> str:
    """What ours has more (``sign`` 1) or less (-1) than the best other method of each draw."""
    lines, n_better, n_beyond = [], 0, 0
    draws = sorted({(row["task"], row["seed"]) for row in rows})
    for task, seed in draws:
        here = [r for r in rows if (r["task"], r["seed"]) == (task, seed) and r["method"] != OURS]
        top = max(here, key=lambda row: sign * float(row[column]))
        value, *ends = (float(top[f"{OURS} less: {column}{e}"]) for e in ("", " low", " high"))
        n_better += sign * value > 0
        n_beyond += min(sign * end for end in ends) > 0
        low, high = ends
        lines.append(f"  {task}, {seed}: {value:.2f} ({low:.2f} to {high:.2f}) {top['method']}")
    better = f"{OURS} better than the best other in {n_better} of {len(draws)} draws"
    return "\n".join([f"{column}: {better}, beyond chance in {n_beyond}", *lines])


def table(title: str, methods: Sequence[str], values: FloatArray) -> str:
    lines = [f"{title:24}     CPR     CMD correct  diverg"]
    for name, row in zip(methods, values, strict=True):
        lines.append(f"{name:24}" + "".join(f"{value:8.2f}" for value in row))
    return "\n".join(lines)


@cache
def models(device: str, dtype: str) -> tuple[object, object, object]:
    """The model, the same in float32, and the tokenizer, once for each process."""
    model, tokenizer = ip.text.load_model("smollm2", threads=1, device=device, dtype=dtype)
    if dtype == "float32":
        return model, model, tokenizer
    return model, ip.text.load_model("smollm2", threads=1, device=device)[0], tokenizer


def compared(draw: Draw, chosen: argparse.Namespace) -> Comparison:
    """All methods on one draw."""
    model, in_full, tokenizer = models(chosen.device, chosen.dtype)
    players: tuple[Unit, ...] = heads(model)
    if draw.units == "all":
        players += mlps(model)
    whole = Task.from_file(FOLDER / f"{draw.task}.jsonl", SCORES)
    explain, rest = whole.split(1 - chosen.explain / len(whole.items), random_state=draw.seed)
    report = Task(rest.items[: chosen.report], SCORES)
    game, precise = (
        ComponentGame(one, tokenizer, explain, players, ablation=draw.ablation, hints="attribution")
        for one in (model, in_full)
    )
    run = Run(
        game,
        precise,
        draw.seed,
        chosen.training_steps,
        chosen.budget,
        int(FIRST[draw.units] * chosen.budget),
        chosen.out / "ablations.db",
    )
    results = {}
    for name in chosen.methods:
        started = time.process_time()
        results[name] = found(name, run)
        print(f"  {draw}: {name}: {time.process_time() - started:.0f} CPU s", flush=True)
    return compare_circuits(
        with_divergence(game.on(report)), results, store=run.store, progress=False
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--units", nargs="+", choices=UNITS, default=UNITS, help="all: MLPs too")
    parser.add_argument("--seeds", type=int, nargs="+", default=(0,))
    parser.add_argument("--ablation", choices=("zero", "mean", "resample"), default="zero")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=DEFAULT)
    parser.add_argument("--explain", type=int, default=32, help="items to find circuits on")
    parser.add_argument("--report", type=int, default=64, help="items to judge them by, at most")
    parser.add_argument(
        "--budget", type=int, default=390, help="ablations of Interplay and of other searches"
    )
    parser.add_argument("--training-steps", type=int, default=200, help="of learned masks")
    parser.add_argument("--device", default="cpu", help="where torch runs the model")
    parser.add_argument(
        "--dtype", default="bfloat16", help="of ablations; gradients are always in float32"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument(
        "--out", type=Path, default=Path("out/case-circuits"), help="a folder for each setting"
    )
    parser.add_argument(
        "--medians", type=Path, metavar="CSV", help="print those of a file, and end"
    )
    chosen = parser.parse_args()
    if chosen.medians is not None:
        print_medians(chosen.medians)
        return
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the workers
    chosen.out.mkdir(parents=True, exist_ok=True)
    draws = [
        Draw(units, chosen.ablation, task, seed)
        for seed in chosen.seeds
        for units in chosen.units
        for task in chosen.tasks
    ]
    with ProcessPoolExecutor(chosen.workers, get_context("spawn")) as pool:
        running = {pool.submit(compared, draw, chosen): draw for draw in draws}
        try:
            for done in as_completed(running):
                told = done.result()
                record(chosen.out / "draws.csv", running[done], told)
                print(f"\n{running[done]}\n{told}")
                if OURS in chosen.methods and len(chosen.methods) > 1:
                    print(differences(told), flush=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    print()
    print_medians(chosen.out / "draws.csv")


if __name__ == "__main__":
    main()
