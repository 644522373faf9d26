"""Circuits of attention heads of SmolLM2-135M, by every baseline and by Interplay, as MIB judges.

Each seed draws the items to find circuits on and the items to report, the random circuits, the
noise of the learned masks and the masks of Interplay. The same items serve all methods. Printed are
CPR, CMD, accuracy and the divergence from the whole model on the report items, with intervals over
items, and what Interplay has more than each baseline, paired. Ablations and what gradients found
are stored: a run that was stopped continues where it was.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import interplay as ip
from interplay._types import BoolArray
from interplay.components import (
    Circuits,
    Comparison,
    ComponentGame,
    Ranking,
    Task,
    compare_circuits,
    heads,
    prune,
    with_divergence,
)
from interplay.components.analysis.baselines import (
    attribution_patching,
    eap_ig,
    random_search,
    single_importance,
)
from interplay.components.analysis.circuits import FRACTIONS, sizes_of
from interplay.components.analysis.learned import learned_mask

TASKS = Path("examples/tasks")
SCORES = ("margin", "correct")
OURS = "interplay"
MEASURE = ip.Keep(0.1, 0.97)
ROUNDS = 3


@dataclass(frozen=True)
class Run:
    game: ComponentGame
    seed: int
    training_steps: int
    budget: int
    store: Path


def interplay_circuits(run: Run) -> Circuits:
    """gp near the intact model with attribution patching as hints, then three rounds a size."""
    game, n = run.game, run.game.n_players
    explanation = ip.explain(
        game,
        decoder="gp",
        measure=MEASURE,
        budget=run.budget,
        store=run.store,
        random_state=run.seed,
        progress=False,
    )
    sizes = sizes_of(FRACTIONS, n).tolist()
    parts = [size for size in sorted(set(sizes)) if 0 < size < n]
    circuits: dict[str, BoolArray] = {}
    cost = run.budget + 4.0  # the hints: a pass for values, and a gradient
    for objective in ("best", "faithful"):
        pruned = prune(
            game,
            game,
            parts,
            {OURS: explanation},
            rounds=ROUNDS,
            objective=objective,
            single=False,
            store=run.store,
            random_state=run.seed,
            progress=False,
        )
        by_size = {one.n_kept: one.mask for one in pruned}
        by_size[0] = np.zeros(n, dtype=bool)
        circuits[objective] = np.stack([by_size[size] for size in sizes])
        cost += max(one.spent for one in pruned)
    return Circuits(circuits["best"], circuits["faithful"], cost)


METHODS: Mapping[str, Callable[[Run], Ranking | Circuits]] = {
    "single": lambda run: single_importance(run.game, store=run.store, progress=False),
    "attribution": lambda run: attribution_patching(run.game),
    "eap-ig": lambda run: eap_ig(run.game, steps=5),
    "eap-ig by layer": lambda run: eap_ig(run.game, steps=5, by_layer=True),
    "learned mask, best": lambda run: learned_mask(
        run.game, "best", steps=run.training_steps, random_state=run.seed
    ),
    "learned mask, faithful": lambda run: learned_mask(
        run.game, "faithful", steps=run.training_steps, random_state=run.seed
    ),
    "random": lambda run: random_search(
        run.game, run.budget, store=run.store, random_state=run.seed, progress=False
    ),
    OURS: interplay_circuits,
}


def stored(name: str, run: Run) -> Ranking | Circuits:
    """What a method finds, or found before with the same settings."""
    settings = f"{run.game.fingerprint} {name} {run.seed} {run.training_steps} {run.budget}"
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="agreement", help="a file in examples/tasks")
    parser.add_argument("--layers", type=int, nargs=2, default=(0, 29), metavar=("FIRST", "LAST"))
    parser.add_argument("--every", type=int, default=1, help="3: every third layer, 90 heads")
    parser.add_argument("--explain", type=int, default=16, help="items to find circuits on")
    parser.add_argument("--report", type=int, default=64, help="items to judge them by, at most")
    parser.add_argument("--seeds", type=int, nargs="+", default=range(5))
    parser.add_argument("--budget", type=int, default=288, help="ablations, before the rounds")
    parser.add_argument("--training-steps", type=int, default=200)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--out", type=Path, default=Path("out/case-circuits"))
    chosen = parser.parse_args()
    model, tokenizer = ip.text.load_model("smollm2", threads=1)
    whole = Task.from_file(TASKS / f"{chosen.task}.jsonl", SCORES)
    first, last = chosen.layers
    players = heads(model, range(first, last + 1, chosen.every))
    all_areas = []
    for seed in chosen.seeds:
        explain, rest = whole.split(1 - chosen.explain / len(whole.items), random_state=seed)
        report = Task(rest.items[: chosen.report], SCORES)
        game = ComponentGame(model, tokenizer, explain, players, hints="attribution")
        print(
            f"seed {seed}: {len(players)} heads, {len(explain.items)} items to explain", flush=True
        )
        run = Run(game, seed, chosen.training_steps, chosen.budget, chosen.out / "ablations.db")
        found = {name: stored(name, run) for name in chosen.methods}
        told = compare_circuits(
            with_divergence(game.on(report)), found, store=run.store, progress=False
        )
        print(told)
        if OURS in found and len(found) > 1:
            print(differences(told))
        all_areas.append(
            [
                [estimate.value for estimate in (one.cpr, one.cmd, *one.others.values())]
                for one in told.judged
            ]
        )
    if len(all_areas) > 1:
        print(f"median of {len(all_areas)} seeds")
        for name, areas in zip(found, np.median(all_areas, axis=0), strict=True):
            print(f"{name:24}" + "".join(f"{value:8.2f}" for value in areas))


if __name__ == "__main__":
    main()
