"""Hierarchical refinement against a flat run of the same budget, on more than 1,000 words.

The document is a ward's log of sixteen paragraphs, composed by rule. It is asked for one fact. Two
sentences in different paragraphs state the fact, and a third, about another patient, is a
distractor. Both runs have the same budget: the flat one explains by word, ``drill`` by paragraph,
then by sentence, then by word. Both are scored on the same two sets of masks that neither was
fitted to:

- uniform masks of all words, as in the flat run. They keep only some words of a coarse player of
  ``drill``. Its prediction is the multilinear extension: a player with a share p of its words kept
  counts as a player that is kept with probability p.
- masks of the finest players of ``drill``, which the flat run reads word by word.

Then the three strongest interactions of each run are tested by fresh ablations.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import interplay as ip
from interplay._arrays import unpack
from interplay._types import BoolArray, FloatArray
from interplay.explanation.faithfulness import r2
from interplay.fourier.masks import uniform
from interplay.text import Response, TextGame

PEOPLE = ["Mr Alder", "Mrs Birch", "Mr Cedar", "Mrs Elm", "Mr Hazel", "Mrs Linden", "Mr Oakes"]
DOINGS = [
    "{p} slept well and asked for tea at six.",
    "{p} walked to the end of the corridor with the new frame.",
    "{p} had soup and half a roll, and left the pudding.",
    "The dressing on the left arm of {p} was changed before noon.",
    "{p} read the paper by the window and did not want the radio.",
    "The daughter of {p} telephoned and will come on Sunday afternoon.",
    "{p} was weighed this morning and has lost a little.",
    "The physiotherapist spent half an hour with {p} after lunch.",
    "{p} could not find the blue slippers, which were under the bed.",
    "{p} had the hair washed and was pleased with it.",
    "Blood pressure of {p} was taken twice and was normal both times.",
    "{p} moved to the bed beside the door because of the draught.",
    "{p} asked for a second blanket during the night.",
    "A letter came for {p} and was read aloud.",
]
HOUSE = [
    "The lift was out of order until four.",
    "New linen came in the morning and was counted.",
    "The window in the day room still does not close.",
    "The kitchen sent the wrong trolley again.",
    "The corridor was painted and smells of it.",
    "The evening shift was one person short.",
]
FACTS = {
    2: "The chart says that Mrs Hill is allergic to penicillin.",
    7: "Mr Cole in the next bed is allergic to aspirin.",
    13: "Her daughter warned that Mrs Hill is allergic to penicillin.",
}
PROMPT = "{text}\n\nTherefore: Mrs Hill is allergic to"


def document(n_paragraphs: int, seed: int = 0) -> str:
    """Compose the log: six or seven sentences a paragraph, each fact in the middle of one."""
    rng = np.random.default_rng(seed)
    paragraphs = []
    for number in range(n_paragraphs):
        person = PEOPLE[number % len(PEOPLE)]
        doings = rng.choice(len(DOINGS), 5, replace=False)
        sentences = [DOINGS[doing].format(p=person) for doing in doings]
        sentences.insert(1, HOUSE[rng.integers(len(HOUSE))])
        if number in FACTS:
            sentences.insert(3, FACTS[number])
        paragraphs.append(" ".join(sentences))
    return "\n\n".join(paragraphs)


def extended(explanation: ip.Explanation, presence: FloatArray) -> FloatArray:
    """Evaluate the multilinear extension at shares ``(m, n)``: chi_i becomes 1 - 2 p_i."""
    spectrum = explanation.spectrum
    supports = unpack(spectrum.supports, spectrum.n_players)
    result = np.zeros(len(presence))
    for support, coefficient in zip(supports, spectrum.coefficients, strict=True):
        result += coefficient * np.prod(1.0 - 2.0 * presence[:, support], axis=1)
    return result


def words_of(coarse: TextGame, flat: TextGame) -> BoolArray:
    """Find the words of each player of ``drill``, ``(players, words) bool``."""
    return np.array(
        [
            [start <= a and b <= stop for a, b in flat.masked.spans]
            for start, stop in coarse.masked.spans
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=int, default=600, help="of each run, at all levels")
    parser.add_argument("--test", type=int, default=100, help="masks of each test set")
    parser.add_argument("--paragraphs", type=int, default=16)
    parser.add_argument("--confirm", type=int, default=200, help="ablations to confirm each")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--store", type=Path, default=Path("out/bench/drill.db"))
    arguments = parser.parse_args()
    console = Console(width=110)
    model, tokenizer = ip.text.load_model("smollm2", dtype=arguments.dtype, threads=1)
    text = document(arguments.paragraphs)
    target = Response(" penicillin", score="logit")

    def game(by: str) -> TextGame:
        return TextGame(model, tokenizer, text, target, by=by, prompt=PROMPT)

    flat_game = game("word")
    console.print(
        f"{flat_game.n_players} words, {game('sentence').n_players} sentences, "
        f"{game('paragraph').n_players} paragraphs; "
        f"{len(tokenizer(flat_game.masked.text)['input_ids'])} tokens; target: {target}"
    )
    arguments.store.parent.mkdir(parents=True, exist_ok=True)
    run = {"store": arguments.store, "progress": False}
    drilled = ip.text.drill(game("paragraph"), ["sentence", "word"], budget=arguments.budget, **run)
    console.print(str(drilled), highlight=False)
    flat = ip.explain(flat_game, budget=arguments.budget, **run)

    fine_game = game("paragraph")
    for chosen, unit in zip(drilled.chosen, ("sentence", "word"), strict=False):
        fine_game, _ = fine_game.refined(chosen, unit)
    assert fine_game.players == drilled.finest.players
    words = words_of(fine_game, flat_game)
    share = words / words.sum(axis=1, keepdims=True)
    rng = np.random.default_rng(12345)
    uniform_words = uniform(arguments.test, flat_game.n_players, rng)
    uniform_fine = uniform(arguments.test, fine_game.n_players, rng)
    as_words = uniform_fine @ words
    table = Table("judged on", "drill-down", "flat by word", title="R2 on the same masks")
    for name, values, ours, theirs in (
        (
            "uniform masks of words",
            flat_game(uniform_words),
            extended(drilled.finest, uniform_words @ share.T),
            flat.spectrum.predict(uniform_words),
        ),
        (
            "masks of the finest players",
            fine_game(uniform_fine),
            drilled.finest.spectrum.predict(uniform_fine),
            flat.spectrum.predict(as_words),
        ),
    ):
        table.add_row(name, f"{r2(values, ours)[0]:.3f}", f"{r2(values, theirs)[0]:.3f}")
    table.add_row(
        "held out by the run itself", str(drilled.finest.faithfulness), str(flat.faithfulness)
    )
    console.print(table)
    for name, explanation in (("drill-down", drilled.finest), ("flat by word", flat)):
        console.rule(f"{name}: the strongest interactions")
        console.print(
            str(explanation.interactions("FSII", order=3).top(5, min_order=2)), highlight=False
        )
        console.rule(f"{name}: three of them on fresh ablations")
        confirmed = explanation.confirm(top=3, budget=arguments.confirm, store=arguments.store)
        console.print(str(confirmed), highlight=False)


if __name__ == "__main__":
    main()
