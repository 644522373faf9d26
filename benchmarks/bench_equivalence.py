"""How often the test of equivalence errs, on prompts with a planted bias of known size.

The prompts are loan files in plain sentences, made by rule. A bias of known size can only be
planted in a function, so a function of the text stands in for the model: it reads what is rendered
under each mask, as a model would. In a share of the prompts a woman's score is higher by
BIAS, but only where the sentence on her work is not there: on the intact prompt there is nothing to
see. In all prompts the gender shifts the score by a little, well within the margin, and every text
has a small value of its own, which nothing explains.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import numpy as np
from scipy.stats import norm

import interplay as ip
from interplay._types import BoolArray, FloatArray
from interplay.confirmation.equivalence import equivalence_of
from interplay.text import Swap
from interplay.text.prompts.build import mask_prompt

SEEDS, PROMPTS = 10, 80
MARGIN, SHARE = 0.02, 0.95
BIAS, PLANTED, SHIFT = 0.05, 0.3, 0.005
ROUGH = 0.002
"""The standard deviation of what each text has of its own."""
BUDGET, EXPLAINED = 150, 3
"""Ablations of an explanation, and how many prompts of a set are explained."""
SETS = 2_000
POLICY = (
    "An application with a high debt and a missed payment is declined.",
    "An application with a low debt is approved.",
    "Every decision is written to the file.",
)
SURNAMES = ("Reed", "Bell", "Cole", "Hill", "Ward", "Young", "Grant", "Ellis")
WEIGHTS = {"high debt": 0.2, "missed payment": 0.15, "low debt": -0.1, "garden": -0.03}
WORK = "has worked at"
GENDER = Swap({"gender": {"Ms": "Mr", "she": "he", "her": "his"}})


def main() -> None:
    rng_of = np.random.default_rng
    print(f"{PROMPTS} prompts, margin {MARGIN}, share {SHARE}, bias {BIAS} in {PLANTED:.0%}")
    tests: dict[str, list[ip.Equivalence]] = {"planted": [], "planted, intact": [], "none": []}
    right, sizes = [], []
    for seed in range(SEEDS):
        planted = rng_of(seed).random(PROMPTS) < PLANTED
        for name, flags, n_backgrounds in (
            ("planted", planted, 30),
            ("planted, intact", planted, 0),
            ("none", np.zeros(PROMPTS, dtype=bool), 30),
        ):
            tests[name].append(
                ip.equivalence(
                    games(flags, seed),
                    "gender",
                    margin=MARGIN,
                    share=SHARE,
                    n_backgrounds=n_backgrounds,
                    random_state=seed,
                )
            )
        exceptions = {change.title for change in tests["planted"][-1].exceptions}
        right.append(exceptions == {f"prompt {row}" for row in np.flatnonzero(planted)})
        sizes += interactions(seed, planted)
    for name, of_seeds in tests.items():
        verdicts = [test.verdict for test in of_seeds]
        counts = ", ".join(f"{verdicts.count(one)} {one}" for one in sorted(set(verdicts)))
        print(f"{name}: {counts}")
    covered = [low <= 1 - PLANTED <= high for low, high in (t.interval for t in tests["planted"])]
    print(f"share of prompts within the margin in its 90 % interval: {sum(covered)} of {SEEDS}")
    print(f"exceptions are just the planted prompts: {sum(right)} of {SEEDS}")
    hidden = [test.n_hidden == len(test.exceptions) for test in tests["planted"]]
    print(f"all of them within the margin on the intact prompt: {sum(hidden)} of {SEEDS}")
    largest = [change.largest for test in tests["planted"] for change in test.exceptions]
    print(f"largest changes: {min(largest):.4f} to {max(largest):.4f} (planted {BIAS + SHIFT})")
    within = sum(low <= -BIAS <= high for _, low, high in sizes)
    apart = sum(high < 0 for _, _, high in sizes)
    print(
        f"gender x work by {BUDGET} ablations: {-BIAS} in the 90 % interval of {within} of "
        f"{len(sizes)} explanations, an interval below zero in {apart}"
    )
    values = [value for value, _, _ in sizes]
    widths = [high - low for _, low, high in sizes]
    print(f"  {min(values):+.4f} to {max(values):+.4f}, median width {np.median(widths):.4f}")
    at_the_border()


def games(planted: BoolArray, seed: int) -> Iterator[ip.FunctionGame]:
    """The prompts of a set, in some of which there is a bias."""
    rng = np.random.default_rng([seed, 1])
    for biased in planted:
        yield game(rng, bool(biased))


def game(rng: np.random.Generator, biased: bool) -> ip.FunctionGame:
    """One prompt, scored by the function of its text."""
    title, name = rng.choice(["Ms", "Mr"]), rng.choice(SURNAMES)
    pronoun = "She" if title == "Ms" else "He"
    facts = [
        f"{title} {name} asks for {rng.choice(['two', 'five', 'nine'])} thousand.",
        f"{title} {name} has a {rng.choice(['high', 'low'])} debt.",
        f"{title} {name} has a missed payment.",
        f"{pronoun} wants to repair the {rng.choice(['roof', 'garden', 'car'])}.",
        f"{pronoun} {WORK} the {rng.choice(['library', 'school', 'bakery'])} for six years.",
        "The form was signed in May.",
    ]
    text = " ".join([*POLICY, *(facts[row] for row in rng.permutation(len(facts)))])
    swap = GENDER if title == "Ms" else Swap({"gender": {"Mr": "Ms", "he": "she", "his": "her"}})
    prompt = mask_prompt(text, f"{{text}}\n\nSo the application of {title} {name} is", masking=swap)
    sign = 1.0 if title == "Ms" else -1.0  # the change is that of the value as written
    score = scorer(biased)

    def values(masks: BoolArray) -> FloatArray:
        return sign * np.array([score(prompt.render(mask)) for mask in masks])

    return ip.FunctionGame(values, prompt.n_players, players=prompt.players)


def scorer(biased: bool) -> Callable[[str], float]:
    """A score of what a text says, higher for women where it does not say what they work."""

    def score(text: str) -> float:
        value = sum(weight for words, weight in WEIGHTS.items() if words in text)
        value -= 0.1 * ("high debt" in text and "missed payment" in text)
        is_woman = "of Ms " in text
        hashed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")
        value += ROUGH * float(norm.ppf((hashed + 0.5) / 2**48))
        return value + SHIFT * is_woman + BIAS * (biased and is_woman and WORK not in text)

    return score


def interactions(seed: int, planted: BoolArray) -> list[tuple[float, float, float]]:
    """The interaction of gender and work in some biased prompts, each with its interval."""
    measured = []
    chosen = np.flatnonzero(planted)[:EXPLAINED]
    for row, one in enumerate(games(planted, seed)):
        if row not in chosen:
            continue
        explanation = ip.explain(
            one, decoder="gp", measure="uniform", budget=BUDGET, random_state=seed, progress=False
        )
        players = explanation.players
        work = next(number for number, name in enumerate(players) if WORK in name)
        listed = explanation.interactions("BII", order=2)
        at = list(listed.sets).index((work, len(players) - 1))
        assert listed.low is not None
        assert listed.high is not None
        measured.append((float(listed.values[at]), float(listed.low[at]), float(listed.high[at])))
    return measured


def at_the_border() -> None:
    """Sets in which exactly the asked share of all prompts is within: how often either verdict."""
    rng = np.random.default_rng(0)
    for n_prompts in (60, 80, 200, 500):
        verdicts = []
        for _ in range(SETS):
            changes = np.where(rng.random(n_prompts) < 1 - SHARE, BIAS, SHIFT)
            verdicts.append(equivalence_of(changes, margin=MARGIN, share=SHARE).verdict)
        rates = {one: verdicts.count(one) / SETS for one in ("equivalent", "different")}
        print(f"at the border, {n_prompts} prompts: "
              + ", ".join(f"{one} in {rate:.1%}" for one, rate in rates.items()))  # fmt: skip


if __name__ == "__main__":
    main()
