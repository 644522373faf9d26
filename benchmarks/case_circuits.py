"""Circuits of SmolLM2-135M on four tasks, by every baseline and by Interplay, as MIB judges them.

Each seed draws the items to find circuits on and the items to report, the random circuits, the
noise of the learned masks and the masks of Interplay. The same items serve all methods. Printed are
CPR, CMD, accuracy and the divergence from the whole model on the report items, with intervals over
items; what Interplay has more than each baseline, paired over items; and medians over seeds and
over tasks. Ablations and what was found are stored: a run that was stopped continues where it was.

``--record draws.csv`` adds what each draw gave to a file, in place of an earlier one of the same
draw, and ``--medians draws.csv`` only prints what is in such a file.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
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


def stored(name: str, run: Run) -> Ranking | Circuits:
    """What a method finds, or found before with the same settings."""
    game = run.precise if name in BY_GRADIENTS else run.game
    settings = f"{game.fingerprint} {name} {run.seed} {run.training_steps} {run.budget}"
    path = run.store.parent / f"{hashlib.sha256(settings.encode()).hexdigest()[:16]}.npz"
    if not path.exists():
        started = time.process_time()
        result = METHODS[name](run)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **vars(result))
        print(f"  {name}: {time.process_time() - started:.0f} CPU s", flush=True)
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


DRAW = ("units", "ablation", "task", "seed")
COLUMNS = ("cpr", "cmd", "correct", "divergence")


def record(path: Path, draw: Sequence[str | int], told: Comparison) -> None:
    """Put the results of a draw into a file, a row for each method: each value and its interval,
    and for another method than ours, what ours has more, with the interval."""
    rows = []
    for one in told.judged:
        row: dict[str, object] = dict(zip(DRAW, draw, strict=True))
        row |= {"method": one.method, "ablations": round(one.cost)}
        estimates = {"cpr": one.cpr, "cmd": one.cmd, **one.others}
        if one.method != OURS and any(other.method == OURS for other in told.judged):
            estimates |= {
                f"{OURS} less: {of}": told.difference(OURS, one.method, of) for of in COLUMNS
            }
        for name, estimate in estimates.items():
            ends = {"": estimate.value, " low": estimate.low, " high": estimate.high}
            row |= {f"{name}{end}": f"{value:.3f}" for end, value in ends.items()}
        rows.append(row)
    kept = [row for row in recorded(path) if [row[key] for key in DRAW] != [*map(str, draw)]]
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
        for column, sign in (("cpr", 1), ("cmd", -1), ("correct", 1)):
            for task in tasks:
                best = []
                for seed in sorted({row["seed"] for row in here if row["task"] == task}):
                    others = [
                        row
                        for row in here
                        if (row["task"], row["seed"]) == (task, seed) and row["method"] != OURS
                    ]
                    top = max(others, key=lambda row: sign * float(row[column]))
                    value, low, high = (
                        top[f"{OURS} less: {column}{end}"] for end in ("", " low", " high")
                    )
                    best.append(f"{value} ({low} to {high}; {top['method']})")
                print(f"{column}, {task}: ours less the best other of each draw: {', '.join(best)}")


def areas(told: Comparison) -> FloatArray:
    """CPR, CMD, accuracy and divergence of each method, ``(methods, 4)``."""
    return np.array(
        [
            [estimate.value for estimate in (one.cpr, one.cmd, *one.others.values())]
            for one in told.judged
        ]
    )


def table(title: str, methods: Sequence[str], values: FloatArray) -> str:
    lines = [f"{title:24}     CPR     CMD correct  diverg"]
    for name, row in zip(methods, values, strict=True):
        lines.append(f"{name:24}" + "".join(f"{value:8.2f}" for value in row))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--layers", type=int, nargs=2, default=(0, 29), metavar=("FIRST", "LAST"))
    parser.add_argument("--every", type=int, default=1, help="3: every third layer, 90 heads")
    parser.add_argument("--units", choices=("heads", "all"), default="heads", help="all: MLPs too")
    parser.add_argument("--ablation", choices=("zero", "mean", "resample"), default="zero")
    parser.add_argument("--explain", type=int, default=32, help="items to find circuits on")
    parser.add_argument("--report", type=int, default=64, help="items to judge them by, at most")
    parser.add_argument("--seeds", type=int, nargs="+", default=range(5))
    parser.add_argument(
        "--budget", type=int, default=390, help="ablations of Interplay and of other searches"
    )
    parser.add_argument("--training-steps", type=int, default=200)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--device", default="cpu", help="where torch runs the model")
    parser.add_argument(
        "--dtype", default="float32", help="bfloat16: up to twice as fast, and gradients in float32"
    )
    parser.add_argument("--out", type=Path, default=Path("out/case-circuits"))
    parser.add_argument("--record", type=Path, metavar="CSV", help="a file to add results to")
    parser.add_argument(
        "--medians", type=Path, metavar="CSV", help="print those of a file, and end"
    )
    chosen = parser.parse_args()
    if chosen.medians is not None:
        print_medians(chosen.medians)
        return
    model, tokenizer = ip.text.load_model(
        "smollm2", threads=1, device=chosen.device, dtype=chosen.dtype
    )
    in_full = model
    if chosen.dtype != "float32":
        in_full, _ = ip.text.load_model("smollm2", threads=1, device=chosen.device)
    first, last = chosen.layers
    numbers = range(first, last + 1, chosen.every)
    players: tuple[Unit, ...] = heads(model, numbers)
    if chosen.units == "all":
        players += mlps(model, numbers)
    by_task = []
    for task in chosen.tasks:
        whole, by_seed = Task.from_file(FOLDER / f"{task}.jsonl", SCORES), []
        for seed in chosen.seeds:
            explain, rest = whole.split(1 - chosen.explain / len(whole.items), random_state=seed)
            report = Task(rest.items[: chosen.report], SCORES)
            game, precise = (
                ComponentGame(
                    one,
                    tokenizer,
                    explain,
                    players,
                    ablation=chosen.ablation,
                    hints="attribution",
                )
                for one in (model, in_full)
            )
            print(
                f"{task}, seed {seed}: {len(players)} players, {len(explain.items)} items to "
                "explain",
                flush=True,
            )
            store = chosen.out / "ablations.db"
            n_first = int(FIRST[chosen.units] * chosen.budget)
            run = Run(game, precise, seed, chosen.training_steps, chosen.budget, n_first, store)
            told = compare_circuits(
                with_divergence(game.on(report)),
                {name: stored(name, run) for name in chosen.methods},
                store=store,
                progress=False,
            )
            print(told)
            if OURS in chosen.methods and len(chosen.methods) > 1:
                print(differences(told), flush=True)
            if chosen.record is not None:
                draw = (chosen.units, chosen.ablation, task, seed)
                record(chosen.record, draw, told)
            by_seed.append(areas(told))
        by_task.append(np.median(by_seed, axis=0))
        if len(by_seed) > 1:
            title = f"{task}, {len(by_seed)} seeds"
            print(table(title, chosen.methods, by_task[-1]), flush=True)
    if len(by_task) > 1:
        print(table("median over tasks", chosen.methods, np.median(by_task, axis=0)))


if __name__ == "__main__":
    main()
