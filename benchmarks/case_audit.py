"""Is a planted flaw the first finding of an audit, and is its frequency inside the interval?

Thirty retrieval prompts are composed by rule: the passage that has the answer, a note, and four
passages about something else. In a third of them, drawn at random, the note names another place for
the same thing. The roles of the audit are the fields, so that nothing tells it which notes do.

First a function stands in for the model, so that the truth is known: it reads what is rendered
under each mask, halves the score where such a note stands beside the answer's passage, and gives
every text a small value of its own. Then the packaged language model is asked. That audit is
interrupted at prompt 12 and goes on; a second run of this command evaluates nothing.

One command: ``python benchmarks/case_audit.py [--out FOLDER]``.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

import interplay as ip
from interplay._types import BoolArray, FloatArray, Json
from interplay.audit.result import Audit
from interplay.text import Response, RowPrompt, from_rows
from interplay.text.prompts.build import mask_prompt
from interplay.text.rows import RowPrompts

PROMPTS, SEEDS, STOPPED_AT = 30, 20, 12
SHORT = "{evidence}\n{note}\n{lunch}\nTherefore, the {thing} is in the"
LEASTS = (0.05, 0.1, 0.2)
TEMPLATE = (
    "{evidence}\n{note}\n{weather}\n{lunch}\n{visitor}\n{office}\nTherefore, the {thing} is in the"
)
THINGS = ("key", "coin", "book", "map", "ring", "letter", "lamp", "photo", "knife", "watch")
PLACES = (
    "garden",
    "drawer",
    "office",
    "car",
    "box",
    "kitchen",
    "cellar",
    "tower",
    "school",
    "shop",
)
NAMES = ("Ann", "Ben", "Eva", "Tom", "Mia", "Paul")
OTHERS = {
    "weather": ("It rained all day.", "The sun was out.", "A cold wind blew.", "It was warm."),
    "lunch": ("Lunch was served at noon.", "There was soup for lunch.", "Lunch was late."),
    "visitor": ("A visitor came at ten.", "Nobody came to visit.", "Two visitors had a question."),
    "office": ("The phone rang twice.", "The printer was out of paper.", "The mail was early."),
}
NEUTRAL = ("{} said that the meeting was short.", "{} said that the train was late.")
FLAW = ("evidence", "note")
OWN = 0.01
"""The standard deviation of what each text has of its own, for the stand-in."""


def rows(seed: int, n_prompts: int = PROMPTS) -> list[Json]:
    """The fields of the prompts; ``planted`` is for the check, and no player."""
    rng = np.random.default_rng(seed)
    composed = []
    for planted in rng.random(n_prompts) < 1 / 3:
        thing, name = rng.choice(THINGS), rng.choice(NAMES)
        place, other = rng.choice(PLACES, size=2, replace=False)
        neutral = str(rng.choice(NEUTRAL)).format(name)
        note = f"{name} said that the {thing} is in the {other}." if planted else neutral
        fields: Json = {name: str(rng.choice(texts)) for name, texts in OTHERS.items()}
        fields |= {"evidence": f"The {thing} is in the {place}.", "note": note}
        composed.append(
            fields | {"thing": str(thing), "answer": str(place), "planted": str(planted)}
        )
    return composed


def stand_in(text: str, answer: str, by: Any) -> ip.FunctionGame:
    """A function of the rendered text, as a model is."""
    masked = mask_prompt(text, by=by)

    def value_of(rendered: str) -> float:
        statement, said = f"is in the {answer}.", "said that the"
        digest = hashlib.sha256(rendered.encode()).digest()
        own = (int.from_bytes(digest[:4], "big") / 2**31 - 1) * OWN * 3**0.5
        contradicted = any(said in line and "is in the" in line for line in rendered.splitlines())
        return (statement in rendered) * (0.5 if contradicted else 1.0) + own

    def values(masks: BoolArray) -> FloatArray:
        return np.array([value_of(masked.render(mask)) for mask in masks])

    return ip.FunctionGame(
        values,
        masked.n_players,
        players=masked.players,
        fingerprint=hashlib.sha256(f"{text}{answer}".encode()).hexdigest(),
    )


def prompts(seed: int, game: Any, target: Any, n_prompts: int = PROMPTS) -> RowPrompts:
    return from_rows(rows(seed, n_prompts), game, template=TEMPLATE, target=target, keep=("thing",))


def known_truth() -> None:
    first, covered, others, few = 0, 0, 0, list[int]()
    cpu = time.process_time()
    for seed in range(SEEDS):
        audit = ip.audit_prompts(prompts(seed, stand_in, lambda row: row["answer"]), progress=False)
        leading = audit.findings[0]
        first += leading.roles == FLAW and leading.sign < 0
        (pair,) = (one for one in audit.results.listed if (one.roles, one.sign) == (FLAW, -1))
        low, high = pair.share.interval
        covered += low <= 1 / 3 <= high
        few += [] if pair.survives else [pair.share.shown]
        # a note that contradicts also lowers what each does alone, as does the evidence raise it
        true = {FLAW, ("evidence",), ("note",)}
        others += sum(finding.roles not in true for finding in audit.findings)
    print(f"stand-in, {SEEDS} sets of {PROMPTS} prompts, a third of them flawed in expectation:")
    print(f"  the planted pair is the first finding: {first} of {SEEDS}")
    print(f"  prompts that show it where it does not survive the correction: {few}")
    print(f"  its frequency, 1/3, is inside the 90 % interval: {covered} of {SEEDS}")
    print(f"  findings of anything else: {others} in all sets")
    print(f"  CPU seconds per prompt: {(time.process_time() - cpu) / SEEDS / PROMPTS:.3f}")


def large(n_prompts: int) -> None:
    """Memory and time of a large set of short prompts, in a folder of its own."""
    given = from_rows(
        rows(0, n_prompts),
        stand_in,
        template=SHORT,
        target=lambda row: row["answer"],
        keep=("thing",),
    )
    before, cpu = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with TemporaryDirectory() as folder:
        audit = ip.audit_prompts(given, folder=folder, progress=False)
    seconds = time.process_time() - cpu
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{n_prompts} short prompts: {grown:.0f} MiB more, {seconds / n_prompts:.3f} CPU s each")
    print(f"  first: {audit.findings[0].sentence}")


def interrupted(given: RowPrompts) -> Iterator[RowPrompt]:
    for number, prompt in enumerate(given):
        if number == STOPPED_AT:
            raise KeyboardInterrupt
        yield prompt


def real_model(folder: Path) -> None:
    torch.set_num_threads(1)
    model, tokenizer = ip.text.load_model("smollm2", threads=1)
    asked = partial(
        prompts,
        0,
        partial(ip.text.TextGame, model, tokenizer),
        lambda row: Response(f" {row['answer']}", score="prob"),
    )
    n_planted = sum(row["planted"] == "True" for row in rows(0))
    print(f"SmolLM2-135M, {PROMPTS} prompts, {n_planted} of them flawed:")
    cpu = time.process_time()
    part = ip.audit_prompts(interrupted(asked()), folder=folder, by="planted", progress=False)
    print(f"  interrupted after {len(part.prompts)} prompts: {part.interrupted}")
    for least in LEASTS:
        audit = ip.audit_prompts(asked(), folder=folder, by="planted", least=least, progress=False)
        report(audit, n_planted)
        if least == LEASTS[0]:
            print(f"  CPU seconds: {time.process_time() - cpu:.0f}")
    audit.to_html()
    audit.save(folder / "audit.json")
    print(f"  page: {folder / 'audit.html'}")


def report(audit: Audit, n_planted: int) -> None:
    print(
        f"  effects of at least {audit.least:.0%} of the range; {audit.n_evaluated} explained now"
    )
    leading = audit.findings[0]
    low, high = leading.share.interval
    inside = low <= n_planted / PROMPTS <= high
    print(f"    first: {leading.sentence}; the planted frequency is inside: {inside}")
    print(f"    parts: {', '.join(f'{name} {part}' for name, part in leading.slices.items())}")
    for finding in audit.findings[1:8]:
        print(f"    then: {finding.sentence}, weight {finding.weight:.2f}")
    print(f"    {len(audit.findings)} of {audit.results.n_tested} survive")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out") / "case_audit")
    parser.add_argument("--large", type=int, default=10_000, help="prompts of the large set")
    arguments = parser.parse_args()
    folder = arguments.out
    known_truth()
    large(arguments.large)
    real_model(folder)


if __name__ == "__main__":
    main()
