"""Circuits of SmolLM2-135M on four tasks, by every baseline and by Interplay, as MIB judges them.

A draw is a task, a set of units and a seed, which draws the items to find circuits on and the items
to report, the random circuits, the noise of the learned masks and the masks of Interplay. The same
items serve all methods. Printed are CPR, CMD, accuracy and the divergence from the whole model on
the report items, with intervals over items; what Interplay has more than each baseline, paired over
items; and, at the end, medians over draws and over tasks.

By default one draw of each task, with heads and with heads and MLPs, by all methods but learned
masks. Ablations, what each method found and the results (``draws.csv``) are kept in ``--out``: a
run that was stopped continues where it was, further ``--seeds`` add to the medians of those before,
and further ``--methods`` to the draws. One command at a time may use the folder.
``--medians draws.csv`` only prints what is in such a file.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, fields
from functools import cache, partial
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import wait
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
    predicted_circuits,
    with_divergence,
)
from interplay.components.analysis.baselines import (
    attribution_patching,
    eap_ig,
    random_search,
    single_importance,
)
from interplay.components.analysis.learned import learned_mask

FOLDER = Path(__file__).resolve().parents[1] / "examples" / "tasks"
TASKS = ("agreement", "indirect_object", "facts", "greater_than")
SCORES = ("margin", "correct")
UNITS = ("heads", "all")
OURS = "interplay"
MEASURE = ip.Keep(0.1, 0.97)
FIRST = {"heads": 3 / 8, "all": 1 / 8}
"""The share of our ablations that masks of the measure have; the others are proposed. A mask that
removes half of the MLPs tells next to nothing."""
FEWEST = 32
"""Masks that a Gaussian process of so many players needs."""


@dataclass(frozen=True)
class Draw:
    """A draw of items and masks, by its names in the file of results. Medians are over draws that
    differ in the seed alone."""

    units: str
    ablation: str
    dtype: str
    explain: int
    report: int
    budget: int
    task: str
    seed: int

    def __str__(self) -> str:
        return f"{self.units}, {self.ablation}, {self.task}, seed {self.seed}"


@dataclass(frozen=True)
class Run:
    """What methods are given.

    Attributes:
        draw: of items and masks.
        game: the items to find circuits on.
        precise: the same in float32, for methods of gradients alone: in bfloat16 what EAP-IG finds
            is another ranking, and a worse one.
        training_steps: of learned masks.
        store: the values of ablations.
    """

    draw: Draw
    game: ComponentGame
    precise: ComponentGame
    training_steps: int
    store: Path

    @property
    def n_first(self) -> int:
        """Our ablations that are masks of the measure."""
        return int(FIRST[self.draw.units] * self.draw.budget)


def explained(run: Run, budget: int, **given: object) -> ip.Explanation:
    return ip.explain(
        run.game,
        budget=budget,
        store=run.store,
        random_state=run.draw.seed,
        progress=False,
        **given,  # type: ignore[arg-type]
    )


def interplay_circuits(run: Run) -> Circuits:
    """gp near the intact model with attribution patching as hints, then rounds of proposals."""
    explanation = explained(run, run.n_first, decoder="gp", measure=MEASURE)
    return adaptive_circuits(
        run.game,
        explanation,
        run.draw.budget - run.n_first,
        store=run.store,
        random_state=run.draw.seed,
        progress=False,
    )


def by_optimum(run: Run, **given: object) -> Circuits:
    """The optimum of a spectrum at each size, as it is predicted, and nothing else."""
    return predicted_circuits(run.game, explained(run, run.draw.budget, **given))


BY_GRADIENTS: Mapping[str, Callable[[Run], Ranking | Circuits]] = {
    "attribution": lambda run: attribution_patching(run.precise),
    "eap-ig": lambda run: eap_ig(run.precise, steps=5),
    "eap-ig by layer": lambda run: eap_ig(run.precise, steps=5, by_layer=True),
    "learned mask, best": lambda run: learned_mask(
        run.precise, "best", steps=run.training_steps, random_state=run.draw.seed
    ),
    "learned mask, faithful": lambda run: learned_mask(
        run.precise, "faithful", steps=run.training_steps, random_state=run.draw.seed
    ),
}
METHODS: Mapping[str, Callable[[Run], Ranking | Circuits]] = {
    "single": lambda run: single_importance(run.game, store=run.store, progress=False),
    **BY_GRADIENTS,
    "random": lambda run: random_search(
        run.game, run.draw.budget, store=run.store, random_state=run.draw.seed, progress=False
    ),
    "proxyspex": partial(by_optimum, decoder="proxyspex", measure="uniform"),
    "gp, order 1": partial(by_optimum, decoder="gp", order=1, measure=MEASURE),
    OURS: interplay_circuits,
}
DEFAULT = [name for name in METHODS if not name.startswith("learned mask")]


def found(name: str, run: Run) -> Ranking | Circuits:
    """What a method finds, or what it found before with the same settings and version."""
    game = run.precise if name in BY_GRADIENTS else run.game
    settings = f"{ip.__version__} {game.fingerprint} {name} {run.draw.seed} {run.training_steps}"
    path = run.store.parent / f"{digest(f'{settings} {run.draw.budget}')}.npz"
    if not path.exists():
        started, part = time.process_time(), path.with_suffix(".part.npz")
        np.savez(part, **vars(METHODS[name](run)))
        part.replace(path)
        print(f"  {run.draw}: {name}: {time.process_time() - started:.0f} CPU s", flush=True)
    with np.load(path) as saved:
        if "scores" in saved:
            return Ranking(saved["scores"], float(saved["cost"]), bool(saved["is_effect"]))
        return Circuits(saved["best"], saved["faithful"], float(saved["cost"]))


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def differences(told: Comparison) -> str:
    """What ours has more than each other method, if it is among them."""
    names = [one.method for one in told.judged]
    if OURS not in names or len(names) == 1:
        return ""
    columns = ("cpr", "cmd", *told.judged[0].others)
    lines = [f"{OURS + ' less':24}" + "".join(f"{column:26}" for column in columns)]
    for name in names:
        if name != OURS:
            cells = (str(told.difference(OURS, name, column)) for column in columns)
            lines.append(f"{name:24}" + "".join(f"{cell:26}" for cell in cells))
    return "\n".join(lines)


KEYS = tuple(field.name for field in fields(Draw))
SETTINGS = KEYS[: KEYS.index("task")]
COLUMNS = ("cpr", "cmd", "correct", "divergence")
Rows = Sequence[Mapping[str, str]]


def record(path: Path, draw: Draw, told: Comparison) -> None:
    """Put the results of a draw into a file in place of earlier ones of the same draw, a row for
    each method: each value and its interval, and for another method than ours, what ours has more,
    with the interval."""
    rows = []
    for one in told.judged:
        row: dict[str, object] = {**vars(draw), "method": one.method, "ablations": round(one.cost)}
        estimates = {"cpr": one.cpr, "cmd": one.cmd, **one.others}
        if one.method != OURS and any(other.method == OURS for other in told.judged):
            estimates |= {less(of): told.difference(OURS, one.method, of) for of in COLUMNS}
        for name, estimate in estimates.items():
            ends = {"": estimate.value, " low": estimate.low, " high": estimate.high}
            row |= {f"{name}{end}": f"{value:.3f}" for end, value in ends.items()}
        rows.append(row)
    earlier = recorded(path) if path.exists() else []
    kept = [row for row in earlier if of_draw(row) != of_draw(rows[0])]
    names = list(dict.fromkeys(name for row in [*rows, *kept] for name in row))
    part = path.with_suffix(".part")
    with part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows([*kept, *rows])
    part.replace(path)


def less(column: str) -> str:
    return f"{OURS} less: {column}"


def of_draw(row: Mapping[str, object]) -> list[str]:
    return [str(row[key]) for key in KEYS]


def recorded(path: Path) -> list[dict[str, str]]:
    """The rows of a file of results.

    Raises:
        ValueError: it is not one.
        OSError: it cannot be read.
    """
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        wanted = (*KEYS, "method", "ablations", *COLUMNS)
        missing = [name for name in wanted if name not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(f"{path} has no column {missing[0]!r}; give a draws.csv of --out")
        return list(reader)


def print_medians(rows: Rows) -> None:
    """Medians over draws, and over tasks; and ours against the best other method of each draw."""
    for settings in dict.fromkeys(tuple(row[key] for key in SETTINGS) for row in rows):
        here = [row for row in rows if tuple(row[key] for key in SETTINGS) == settings]
        print(f"\n{', '.join(f'{k} {v}' for k, v in zip(SETTINGS, settings, strict=True))}")
        methods = [name for name in METHODS if any(row["method"] == name for row in here)]
        tasks = [task for task in TASKS if any(row["task"] == task for row in here)]
        medians = np.full((len(tasks), len(methods), len(COLUMNS)), np.nan)
        for i, task in enumerate(tasks):
            for j, method in enumerate(methods):
                draws = [r for r in here if (r["task"], r["method"]) == (task, method)]
                if draws:
                    values = [[float(row[column]) for column in COLUMNS] for row in draws]
                    medians[i, j] = np.median(values, axis=0)
            n_draws = len({row["seed"] for row in here if row["task"] == task})
            print(table(f"{task}, draws: {n_draws}", methods, medians[i]))
        print(table(f"median of tasks: {len(tasks)}", methods, np.median(medians, axis=0)))
        if any(row.get(less("cpr")) for row in here):
            for column, sign in (("cpr", 1), ("cmd", -1), ("correct", 1)):
                print(against_the_best(here, column, sign))


def against_the_best(rows: Rows, column: str, sign: int) -> str:
    """What ours has more (``sign`` 1) or less (-1) than the best other method of each draw."""
    lines, n_better, n_beyond = [], 0, 0
    for draw in sorted({(row["task"], int(row["seed"])) for row in rows}):
        others = [r for r in rows if (r["task"], int(r["seed"])) == draw and r.get(less(column))]
        if not others:
            continue
        top = max(others, key=lambda row: sign * float(row[column]))
        value, low, high = (float(top[less(column) + end]) for end in ("", " low", " high"))
        n_better += sign * value > 0
        n_beyond += min(sign * low, sign * high) > 0
        task, seed = draw
        lines.append(f"  {task}, {seed}: {value:.2f} ({low:.2f} to {high:.2f}) {top['method']}")
    better = f"{OURS} better than the best other in {n_better} of {len(lines)} draws"
    return "\n".join([f"{column}: {better}, beyond chance in {n_beyond}", *lines])


def table(title: str, methods: Sequence[str], values: FloatArray) -> str:
    """A row for each method; a dash where it did not run."""
    lines = [f"{title:24}     CPR     CMD correct  diverg"]
    for name, row in zip(methods, values, strict=True):
        cells = ("-" if np.isnan(value) else f"{value:.2f}" for value in row)
        lines.append(f"{name:24}" + "".join(f"{cell:>8}" for cell in cells))
    return "\n".join(lines)


@cache
def models(device: str, dtype: str) -> tuple[object, object, object]:
    """The model, the same in float32, and the tokenizer, once for each process."""
    model, tokenizer = ip.text.load_model("smollm2", threads=1, device=device, dtype=dtype)
    if dtype == "float32":
        return model, model, tokenizer
    return model, ip.text.load_model("smollm2", threads=1, device=device)[0], tokenizer


def compared(draw: Draw, methods: Sequence[str], chosen: argparse.Namespace) -> Comparison:
    """Some methods on one draw."""
    model, in_full, tokenizer = models(chosen.device, draw.dtype)
    players: tuple[Unit, ...] = heads(model)
    if draw.units == "all":
        players += mlps(model)
    whole = Task.from_file(FOLDER / f"{draw.task}.jsonl", SCORES)
    explain, rest = whole.split(1 - draw.explain / len(whole.items), random_state=draw.seed)
    report = Task(rest.items[: draw.report], SCORES)
    game, precise = (
        ComponentGame(one, tokenizer, explain, players, ablation=draw.ablation, hints="attribution")
        for one in (model, in_full)
    )
    run = Run(draw, game, precise, chosen.training_steps, chosen.out / "ablations.db")
    print(f"{draw}: {len(players)} players, {len(explain.items)} items to explain", flush=True)
    return compare_circuits(
        with_divergence(game.on(report)),
        {name: found(name, run) for name in methods},
        store=run.store,
        progress=False,
    )


def begin() -> None:
    """A worker leaves interrupts to the first process, and ends where that one ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None

    def end() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end, daemon=True).start()


def run_draws(draws: Sequence[Draw], chosen: argparse.Namespace) -> None:
    """Compare the methods on each draw, with those that its results have already, and record."""
    path = chosen.out / "draws.csv"
    earlier = recorded(path) if path.exists() else []
    with ProcessPoolExecutor(chosen.workers, get_context("spawn"), begin) as pool:
        running = {}
        for draw in draws:
            known = {row["method"] for row in earlier if of_draw(row) == of_draw(vars(draw))}
            methods = [name for name in METHODS if name in known | set(chosen.methods)]
            running[pool.submit(compared, draw, methods, chosen)] = draw
        try:
            for done in as_completed(running):
                told = done.result()
                record(path, running[done], told)
                print(f"\n{running[done]}\n{told}\n{differences(told)}", flush=True)
        except BaseException:
            for worker in active_children():
                worker.terminate()
            raise


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
        "--dtype",
        choices=("float32", "bfloat16"),
        default="bfloat16",
        help="of ablations; gradients are always in float32",
    )
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--out", type=Path, default=Path("out/case-circuits"))
    parser.add_argument(
        "--medians", type=Path, metavar="CSV", help="print those of a file, and end"
    )
    chosen = parser.parse_args()
    if chosen.medians is not None:
        try:
            print_medians(recorded(chosen.medians))
        except (OSError, ValueError) as error:
            parser.error(str(error))
        return
    for name, least in (("explain", 2), ("report", 2), ("training_steps", 1), ("workers", 1)):
        if getattr(chosen, name) < least:
            option = "--" + name.replace("_", "-")
            parser.error(f"{option} is {getattr(chosen, name)}; give at least {least}")
    for task in chosen.tasks:
        n_items = len(Task.from_file(FOLDER / f"{task}.jsonl", SCORES).items)
        if chosen.explain > n_items - 2:
            parser.error(
                f"--explain {chosen.explain} leaves less than 2 of the {n_items} items of {task} "
                f"to judge by; give at most {n_items - 2}"
            )
    for units in chosen.units:
        least = math.ceil(FEWEST / FIRST[units])
        if chosen.budget < least:
            parser.error(f"--budget is {chosen.budget}; --units {units} takes at least {least}")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the workers
    chosen.out.mkdir(parents=True, exist_ok=True)
    draws = [
        Draw(
            units,
            chosen.ablation,
            chosen.dtype,
            chosen.explain,
            chosen.report,
            chosen.budget,
            task,
            seed,
        )
        for seed in chosen.seeds
        for units in chosen.units
        for task in chosen.tasks
    ]
    try:
        run_draws(draws, chosen)
    except KeyboardInterrupt:
        print(f"stopped; what was evaluated is in {chosen.out}, and the same command goes on")
        sys.exit(130)
    except ValueError as error:
        parser.exit(1, f"{error}\n")
    print_medians(recorded(chosen.out / "draws.csv"))


if __name__ == "__main__":
    main()
