"""Records the games of the race: masks and values of real models, in ``benchmarks/games/*.npz``.

Each file holds uniform masks (packed bits), the model's values (float32) and where they come from.
The first 8 n log2 n masks (4 of the longest text, 2 of the smallest games for tuning) are to be
fitted to, smaller budgets to the first of them; the last 1,500 are held out. Each file also holds
masks of the design of ``gp``, others for each order of the race: those that distinguish players
(``foldover``), at most 2,000. Recording goes through a store: a run that was stopped continues
where it was.

The texts beside the files were written for this purpose. The games named ``tune`` are those that
settings were chosen on; the race reports the others.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from math import ceil, log2
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits, load_wine

import interplay as ip
from interplay._arrays import pack, unpack
from interplay._types import BoolArray, FloatArray, Json
from interplay.ablation.evaluator import Evaluator
from interplay.components import ComponentGame, Task, heads
from interplay.designs.optimal import MAX_OPTIMAL, foldover, most_informative
from interplay.fourier.masks import keys, uniform
from interplay.game import PlannedGame
from interplay.training import Logistic, Network, TrainingData, TrainingGame, within_classes

FOLDER = Path(__file__).with_name("games")
LARGEST = 8
"""Budgets go up to so many n log2 n."""
N_HELD_OUT = 1500
N_ORDERS, MOST_PLAYERS = 3, 100
"""Orders of a game's masks; games with more players take too long for more than one."""
MOST_DESIGNED = 2000
SENTIMENT = "Movie review: {text}\nThe sentiment of this review is"
AGREEMENT = Path("examples/tasks/agreement.jsonl")


@dataclass(frozen=True, eq=False)
class Recorded:
    """A recorded game.

    Attributes:
        name: the file's.
        masks: ``(m, n)``, those that may be fitted to.
        values: ``(m,)``.
        held_masks: ``(1500, n)``.
        held_values: ``(1500,)``.
        designed: masks of ``gp``'s own, for each order, ``(o, d, n)``.
        designed_values: ``(o, d)``.
        about: where it comes from.
    """

    name: str
    masks: BoolArray
    values: FloatArray
    held_masks: BoolArray
    held_values: FloatArray
    designed: BoolArray
    designed_values: FloatArray
    about: Json

    @property
    def n_players(self) -> int:
        return self.masks.shape[1]

    @property
    def reported(self) -> bool:
        """Whether it took no part in the choice of settings."""
        return not self.about["tune"]

    def budget(self, alpha: float) -> int:
        """alpha n log2 n."""
        return budget(self.n_players, alpha)


def budget(n_players: int, alpha: float) -> int:
    """alpha n log2 n masks."""
    return ceil(alpha * n_players * log2(n_players))


def read(name: str) -> Recorded:
    """A recorded game, from its file."""
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as file:
        about = json.loads(str(file["about"]))
        masks = unpack(file["masks"], about["n_players"])
        values = file["values"].astype(np.float64)
        designed = unpack(file["designed"], about["n_players"])
        designed_values = file["designed_values"].astype(np.float64)
    n_fit = len(masks) - N_HELD_OUT
    return Recorded(
        name,
        masks[:n_fit],
        values[:n_fit],
        masks[n_fit:],
        values[n_fit:],
        designed.reshape(*designed_values.shape, -1),
        designed_values,
        about,
    )


def orders(game: Recorded, count: int) -> list[Recorded]:
    """The game with its masks as they were recorded, and in other orders; each has its design."""
    found = []
    for seed in range(min(count, len(game.designed))):
        order = np.arange(len(game.masks))
        if seed:
            order = np.random.default_rng(seed).permutation(order)
        found.append(
            replace(
                game,
                masks=game.masks[order],
                values=game.values[order],
                designed=game.designed[seed : seed + 1],
                designed_values=game.designed_values[seed : seed + 1],
            )
        )
    return found


def own(game: Recorded, n_masks: int) -> tuple[BoolArray, FloatArray]:
    """Choose masks by the optimal design of ``gp``, with their recorded values.

    The first are those that were designed for the game's first order. The next are chosen among the
    recorded ones by predictive variance, and from the thousandth on they are taken in order, as in
    :func:`interplay.designs.optimal.optimal_design`.
    """
    masks, values = game.designed[0][:n_masks], game.designed_values[0][:n_masks]
    seen = set(keys(masks))
    new = np.array([key not in seen for key in keys(game.masks)])
    pool, of_pool = game.masks[new], game.values[new]
    chosen = most_informative(pool, max(min(n_masks, MAX_OPTIMAL) - len(masks), 0), known=masks)
    further = np.setdiff1d(np.arange(len(pool)), chosen)[: n_masks - len(masks) - len(chosen)]
    rows = np.concatenate([chosen, further])
    return np.concatenate([masks, pool[rows]]), np.concatenate([values, of_pool[rows]])


def recorded() -> list[str]:
    """The names of the recorded games, in the order of their players."""
    found = [path.stem for path in FOLDER.glob("*.npz")]
    return sorted(found, key=lambda name: (int(name.rsplit("-", 1)[1]), name))


def _model(dtype: str) -> Any:
    return ip.text.load_model("smollm2", threads=1, dtype=dtype)


def _review(name: str, dtype: str = "float32") -> PlannedGame:
    text = (FOLDER / f"{name}.txt").read_text(encoding="utf-8").strip()
    target = ip.text.LogitDifference(" positive", " negative")
    return ip.text.TextGame(*_model(dtype), text, target, by="word", prompt=SENTIMENT)


def _question(name: str, question: str, answer: str) -> PlannedGame:
    text = " ".join((FOLDER / f"{name}.txt").read_text(encoding="utf-8").split("\n")).strip()
    target = ip.text.Response(answer, score="prob")
    prompt = "{text}\n\n" + question
    return ip.text.TextGame(*_model("float32"), text, target, by="sentence", prompt=prompt)


def _heads(layers: range, n_items: int) -> PlannedGame:
    model, tokenizer = _model("float32")
    task = Task.from_file(AGREEMENT, "margin").split(test=1 - n_items / 134)[0]
    return ComponentGame(model, tokenizer, task, heads(model, layers=list(layers)))


def _digits(trainer: Any, n_groups: int, seed: int) -> PlannedGame:
    """One test point: of 30 the one whose margin with all data is nearest to zero."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    test, train = order[:30], order[30:]
    groups = within_classes(labels[train], n_groups, seed)

    def game(points: Any) -> TrainingGame:
        data = TrainingData.checked(
            images[train] / 16, labels[train], images[points] / 16, labels[points], groups
        )
        return TrainingGame(trainer, data, "margin")

    margins = game(test)(np.ones((1, n_groups), dtype=np.bool_))[0]
    return game(test[[int(np.abs(margins).argmin())]])


def _wine(seed: int) -> PlannedGame:
    """Thirteen measurements of 178 wines; two a player."""
    rows, labels = load_wine(return_X_y=True)
    rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    order = np.random.default_rng(seed).permutation(len(labels))
    test, train = order[:18], order[18:]
    groups = within_classes(labels[train], 80, seed)

    def game(points: Any) -> TrainingGame:
        data = TrainingData.checked(
            rows[train], labels[train], rows[points], labels[points], groups
        )
        return TrainingGame(Logistic(), data, "margin")

    margins = game(test)(np.ones((1, 80), dtype=np.bool_))[0]
    return game(test[[int(np.abs(margins).argmin())]])


@dataclass(frozen=True)
class Source:
    make: Callable[[], PlannedGame]
    tune: bool = False
    largest: float = LARGEST


SOURCES: dict[str, Source] = {
    **{
        name: Source(partial(_review, name), tune=True, largest=2)
        for name in ("mess-20", "grief-22", "patience-22", "waste-22", "story-22")
    },
    "ferry-14": Source(
        lambda: _question("ferry-14", "Therefore: On Monday Mr Hale went to", " Orton"),
        tune=True,
        largest=2,
    ),
    "goats-18": Source(
        lambda: _question("goats-18", "Therefore: After the flood the goats lived on the", " hill"),
        tune=True,
        largest=2,
    ),
    "heads-early-27": Source(lambda: _heads(range(5, 8), 6), tune=True, largest=2),
    "heads-late-27": Source(lambda: _heads(range(20, 23), 6), tune=True, largest=2),
    "review-22": Source(lambda: _review("review-22"), tune=True),
    "wine-80": Source(lambda: _wine(0), tune=True),
    "digits-network-100": Source(lambda: _digits(Network(), 100, 1)),
    "digits-logistic-100": Source(lambda: _digits(Logistic(), 100, 0)),
    "review-59": Source(lambda: _review("review-59"), tune=True),
    "heads-18": Source(lambda: _heads(range(14, 16), 8), tune=True),
    "review-20": Source(lambda: _review("review-20")),
    "deposit-20": Source(
        lambda: _question(
            "deposit-20", "Therefore: The deposit of Mr Lang is kept at the", " Harbour"
        )
    ),
    "review-61": Source(lambda: _review("review-60")),
    "heads-27": Source(lambda: _heads(range(9, 12), 8)),
    "shipment-40": Source(
        lambda: _question("shipment-40", "Therefore: The medicine was sent to", " Kendal")
    ),
    "review-139": Source(lambda: _review("review-130")),
    "review-247": Source(lambda: _review("review-250", "bfloat16"), largest=4),
}


def record(name: str, store: Path) -> None:
    """Evaluate a game's masks and write them to its file."""
    source = SOURCES[name]
    game = source.make()
    n_players = game.n_players
    n_fit = budget(n_players, source.largest)
    rng = np.random.default_rng(20)
    masks = uniform(n_fit + N_HELD_OUT, n_players, rng)
    n_orders = N_ORDERS if n_players <= MOST_PLAYERS else 1
    designed = np.stack(
        [
            foldover(min(MOST_DESIGNED, n_fit), n_players, np.random.default_rng(order))
            for order in range(n_orders)
        ]
    )
    every = np.concatenate([masks, designed.reshape(-1, n_players)])
    started = time.perf_counter()
    with Evaluator.of(game, store=store) as evaluator:
        values = evaluator.values(every)[:, 0]
    values, designed_values = values[: len(masks)], values[len(masks) :]
    about = {
        "name": name,
        "tune": source.tune,
        "n_players": n_players,
        "n_fit": n_fit,
        "fingerprint": game.fingerprint,
        "description": game.describe(),
    }
    np.savez_compressed(
        FOLDER / f"{name}.npz",
        masks=pack(masks),
        values=values.astype(np.float32),
        designed=pack(designed.reshape(-1, n_players)),
        designed_values=designed_values.reshape(n_orders, -1).astype(np.float32),
        about=np.array(json.dumps(about)),
    )
    seconds = time.perf_counter() - started
    print(
        f"{name}: n={n_players}, {len(every)} masks, {seconds:.0f} s, value "
        f"{values.mean():+.3f} (sd {values.std():.3f})",
        flush=True,
    )


def record_chosen(
    about: str | None,
    sources: Iterable[str],
    folder: Path,
    store: str,
    record: Callable[[str, Path], None],
) -> None:
    """Record the games of the command line, by default all that the folder has not."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("games", nargs="*", help="by default all that are not recorded")
    parser.add_argument("--store", type=Path, default=Path("out/bench") / store)
    chosen = parser.parse_args()
    chosen.store.parent.mkdir(parents=True, exist_ok=True)
    for name in chosen.games or [n for n in sources if not (folder / f"{n}.npz").exists()]:
        record(name, chosen.store)


def main() -> None:
    record_chosen(__doc__, SOURCES, FOLDER, "games.db", record)


if __name__ == "__main__":
    main()
