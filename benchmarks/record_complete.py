"""Records complete games of real models, all 2^n values of each, for the race of indices.

Each file ``benchmarks/games/complete/NAME.npz`` has ``values`` (2^n float32, in the order of
:func:`interplay.fourier.masks.every_mask`), ``names`` (of the players) and ``about`` (its kind,
fingerprint and description, as JSON). float32 loses less than the model's own rounding does.
Recording goes through a store: a run that was stopped continues where it was.

The texts were written for this purpose.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits, load_wine

import interplay as ip
from interplay._types import IntArray
from interplay.ablation.evaluator import Evaluator
from interplay.components import ComponentGame, Task, heads
from interplay.fourier.masks import every_mask
from interplay.game import PlannedGame
from interplay.text.prompts.build import Text
from interplay.training import Logistic, Network, TrainingData, TrainingGame, within_classes
from record_games import SENTIMENT, record_chosen

FOLDER = Path(__file__).with_name("games") / "complete"
FACTS = Path("examples/tasks/facts.jsonl")
N_ITEMS, N_HEADS, FIRST_LAYER = 8, 12, 12
N_GROUPS, N_POINTS = 12, 30
DIGITS = (3, 8, 9)

REVIEW = "The plot is thin, but the cast is charming and never once dull."
NEGATION = "I would not say that it was not worth the long wait."
KEYS = """\
The office was locked at six. \
Clara gave the key to Victor. \
Victor works on the second floor. \
The cleaner found an umbrella. \
Victor handed the key to Miriam. \
Miriam was late for her train. \
The porter says that Miriam has the key. \
The lamp in the hall was left on. \
Clara locked the window herself. \
Oscar asked Clara for the key. \
The gate is opened at seven."""
LETTERS = [
    {
        "id": "letter-1",
        "text": "Dear Ruth, the wedding will be in Dover. The harvest was good. Bring a coat.",
    },
    {
        "id": "letter-2",
        "text": "Dear Ruth, the wedding will be in Dover. Uncle Ned is unwell. Bring the dog. "
        "The roof needs new tiles.",
    },
    {
        "id": "letter-3",
        "text": "Dear Ruth, the party was in Leeds. The rain was cold. Ned likes Leeds.",
    },
]
CHAT = [
    {"role": "user", "content": "Please answer with one word."},
    {"role": "assistant", "content": "Of course."},
    {"role": "user", "content": "My dog is called Biscuit."},
    {"role": "assistant", "content": "A nice name!"},
    {"role": "user", "content": "My cat is called Pepper."},
    {"role": "assistant", "content": "Lovely."},
    {"role": "user", "content": "The dog is brown and the cat is black."},
    {"role": "assistant", "content": "I see."},
    {"role": "user", "content": "Biscuit ran after Pepper today."},
    {"role": "assistant", "content": "Is your cat Pepper well?"},
    {"role": "user", "content": "What is the name of my cat?", "fixed": True},
]


def _text(text: Text, target: Any, by: Any, prompt: str = "{text}") -> PlannedGame:
    model = ip.text.load_model("smollm2", threads=1)
    return ip.text.TextGame(*model, text, target, by=by, prompt=prompt)


def _sentiment(text: str) -> PlannedGame:
    target = ip.text.LogitDifference(" positive", " negative")
    return _text(text, target, "word", SENTIMENT)


def _answer(text: Text, question: str, answer: str) -> PlannedGame:
    target = ip.text.Response(answer, score="prob")
    return _text(text, target, "sentence", "{text}\n\n" + question)


def _chat() -> PlannedGame:
    target = ip.text.Contrast("Your cat's name is Pepper", "Your cat's name is Biscuit")
    return _text(CHAT, target, "message")


def _heads() -> PlannedGame:
    """The heads whose removal alone changes the score most."""
    model, tokenizer = ip.text.load_model("smollm2", threads=1)
    task = Task.from_file(FACTS, "margin")
    task = Task(task.items[:: len(task.items) // N_ITEMS][:N_ITEMS], ("margin",))
    layers = range(FIRST_LAYER, model.config.num_hidden_layers)
    every = heads(model, layers=layers)
    game = ComponentGame(model, tokenizer, task, every)
    n = len(every)
    values = game(np.concatenate([np.ones((1, n), np.bool_), ~np.eye(n, dtype=np.bool_)])).ravel()
    strongest = np.sort(np.argsort(-np.abs(values[1:] - values[0]), kind="stable")[:N_HEADS])
    return ComponentGame(model, tokenizer, task, tuple(every[row] for row in strongest))


def _training(trainer: Any, rows: Any, labels: IntArray, seed: int) -> PlannedGame:
    """One test point: of 30 the one whose margin with all data is nearest to zero."""
    order = np.random.default_rng(seed).permutation(len(labels))
    test, train = order[:N_POINTS], order[N_POINTS:]
    groups = within_classes(labels[train], N_GROUPS, seed)

    def game(points: IntArray) -> TrainingGame:
        data = TrainingData.checked(
            rows[train], labels[train], rows[points], labels[points], groups
        )
        return TrainingGame(trainer, data, "margin")

    margins = game(test)(np.ones((1, N_GROUPS), dtype=np.bool_))[0]
    return game(test[[int(np.abs(margins).argmin())]])


def _wine() -> PlannedGame:
    rows, labels = load_wine(return_X_y=True)
    return _training(Logistic(), (rows - rows.mean(axis=0)) / rows.std(axis=0), labels, 0)


def _digits() -> PlannedGame:
    images, labels = load_digits(return_X_y=True)
    chosen = np.isin(labels, DIGITS)
    return _training(Network(), images[chosen] / 16, labels[chosen], 1)


@dataclass(frozen=True)
class Source:
    kind: str
    make: Callable[[], PlannedGame]


SOURCES: dict[str, Source] = {
    "wine-groups": Source("training", _wine),
    "digits-groups": Source("training", _digits),
    "letters": Source(
        "text",
        partial(_answer, LETTERS, "According to the letters, the wedding will be in", " Dover"),
    ),
    "chat": Source("text", _chat),
    "key": Source(
        "text", partial(_answer, KEYS, "Therefore: The key of the office is with", " Miriam")
    ),
    "negation": Source("text", partial(_sentiment, NEGATION)),
    "review": Source("text", partial(_sentiment, REVIEW)),
    "fact-heads": Source("heads", _heads),
}


def record(name: str, store: Path) -> None:
    """Evaluate all masks of a game and write its file."""
    source = SOURCES[name]
    game = source.make()
    n_players = game.n_players
    started = time.process_time()
    with Evaluator.of(game, store=store, progress=False) as evaluator:
        values = evaluator.values(every_mask(n_players))[:, 0]
    about = {
        "name": name,
        "kind": source.kind,
        "n_players": n_players,
        "fingerprint": game.fingerprint,
        "description": game.describe(),
    }
    FOLDER.mkdir(exist_ok=True)
    np.savez_compressed(
        FOLDER / f"{name}.npz",
        values=values.astype(np.float32),
        names=np.array(game.players),
        about=np.array(json.dumps(about)),
    )
    print(
        f"{name}: n={n_players}, {len(values)} masks, {time.process_time() - started:.0f} CPU s, "
        f"empty {values[0]:+.3f}, full {values[-1]:+.3f}, mean {values.mean():+.3f} "
        f"(sd {values.std():.3f})",
        flush=True,
    )


def main() -> None:
    record_chosen(__doc__, SOURCES, FOLDER, "complete.db", record)


if __name__ == "__main__":
    main()
