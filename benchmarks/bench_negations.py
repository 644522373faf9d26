"""LASSO, ProxySPEX and SPEX on film reviews with negations, by word, on a real model.

The reviews are chosen by a rule. Of the 10,605 scored snippets of Hutto and Gilbert (ICWSM 2014) it
takes those with a negation word (``NEGATION``), 12 to 25 words and a mean score of at least 1.5 of
4 away from zero, and draws a seeded random sample of these. The data come with the source
distribution of vaderSentiment 3.3.2, which pip fetches into the user's cache folder and checks.

Every method gets the same number of ablations of a snippet, and all are scored on the same 200
masks, which took part in no fit. The ablations are stored: a run that was stopped continues where
it was.
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, comb, log2
from pathlib import Path
from typing import Any

import numpy as np
from platformdirs import user_cache_path

import interplay as ip
from interplay._types import BoolArray, FloatArray
from interplay.ablation.evaluator import Evaluator
from interplay.decoders.spex import CodedDesign
from interplay.explanation.faithfulness import r2
from interplay.fourier.masks import uniform

NEGATION = re.compile(
    r"(?i)(?<!\w)(not|no|never|nothing|nobody|none|neither|nor|cannot|without|hardly|barely"
    r"|scarcely)(?!\w)|n't(?!\w)"
)
WORDS = range(12, 26)
LEAST_SCORE = 1.5
PROMPT = "Movie review: {text}\nThe sentiment of this review is"
N_HELD_OUT = 200
BUDGETS = {"2 n log2 n": 2, "4 n log2 n": 4, "SPEX's least": None}
LARGEST = "SPEX's least"
METHODS = ("LASSO, order 1", "LASSO, order 2", "ProxySPEX", "SPEX", "SPEX for pairs")
# the smallest code that has a chance: t = 2 errors, 12 bins in all
PAIRS = {"t": 2, "min_bits": 2}

_SDIST = "vaderSentiment-3.3.2"
_SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
_INNER = "additional_resources/hutto_ICWSM_2014.tar.gz"
_TABLE = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"


@dataclass(frozen=True)
class Snippet:
    number: int
    score: float
    text: str


@dataclass(frozen=True)
class Result:
    snippet: Snippet
    players: tuple[str, ...]
    masks: dict[str, int]
    """Ablations of the fit, by budget."""
    scores: dict[tuple[str, str], float]
    """Held-out R2 by budget and method; no entry where a method does not run."""
    energy: FloatArray
    strongest: tuple[int, ...]
    single: tuple[int, ...]

    @property
    def negations(self) -> set[int]:
        return {i for i, player in enumerate(self.players) if NEGATION.search(player)}


def fetch(folder: Path) -> list[Snippet]:
    """Fetch the snippets. pip checks the hash before it opens the archive."""
    archive = folder / f"{_SDIST}.tar.gz"
    if not archive.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as part:
            wanted = Path(part) / "wanted.txt"
            wanted.write_text(f"{_SDIST.replace('-', '==')} --hash=sha256:{_SHA256}\n")
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            only = ["--disable-pip-version-check", "--no-binary", "vaderSentiment"]
            subprocess.run([*pip, *only, "--dest", part, "-r", str(wanted)], check=True)
            (Path(part) / archive.name).replace(archive)
    with tarfile.open(archive) as outer:
        inner = _member(outer, f"{_SDIST}/{_INNER}")
    with tarfile.open(fileobj=io.BytesIO(inner)) as tables:
        lines = _member(tables, _TABLE).decode("utf-8").splitlines()
    rows = (line.split("\t") for line in lines)
    return [Snippet(int(number), float(score), text) for number, score, text in rows]


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise FileNotFoundError(f"{name} is no file in the archive")
    return file.read()


def choose(snippets: list[Snippet], count: int, seed: int) -> tuple[list[Snippet], int]:
    """Draw the sample; return it and the number of snippets that fit the rule."""
    fitting = [
        snippet
        for snippet in snippets
        if abs(snippet.score) >= LEAST_SCORE
        and NEGATION.search(snippet.text)
        and len(ip.text.split(snippet.text, "word")) in WORDS
    ]
    rows = np.random.default_rng(seed).choice(len(fitting), count, replace=False)
    return [fitting[row] for row in np.sort(rows)], len(fitting)


def study(model: Any, tokenizer: Any, snippet: Snippet, store: Path) -> Result:
    """Run all methods on one snippet."""
    target = ip.text.LogitDifference(" positive", " negative")
    game = ip.text.TextGame(model, tokenizer, snippet.text, target, by="word", prompt=PROMPT)
    n = game.n_players
    rngs = [np.random.default_rng(seed) for seed in np.random.SeedSequence(snippet.number).spawn(4)]
    fixed = {
        name: ceil(factor * n * log2(n)) if factor else ip.spex.minimum_budget(n)
        for name, factor in BUDGETS.items()
    }
    plain = uniform(max(fixed.values()), n, rngs[0])
    coded = {("SPEX", LARGEST): ip.spex.design(n, fixed[LARGEST], random_state=rngs[1])}
    for budget, count in fixed.items():
        if count >= fixed[LARGEST]:
            continue
        try:
            coded["SPEX for pairs", budget] = ip.spex.design(
                n, count, random_state=rngs[2], **PAIRS
            )
        except ValueError:  # too few masks even for this code
            continue
    used = np.concatenate([plain, *(design.masks for design in coded.values())])
    held = uniform(N_HELD_OUT, n, rngs[3], exclude=used)
    value = _values(game, np.concatenate([used, held]), store)
    actual = np.array([value[mask.tobytes()] for mask in held])

    def score(spectrum: ip.Spectrum) -> float:
        return float(r2(actual, spectrum.predict(held))[0])

    scores = {}
    for budget, count in fixed.items():
        masks = plain[:count]
        values = np.array([value[mask.tobytes()] for mask in masks])
        for order in (1, 2):
            linear = ip.decode(masks, values, decoder="lasso", order=order)
            scores[budget, f"LASSO, order {order}"] = score(linear)
        proxy = ip.decode(masks, values, decoder="proxyspex")
        scores[budget, "ProxySPEX"] = score(proxy)
        for method in ("SPEX", "SPEX for pairs"):
            if (method, budget) in coded:
                scores[budget, method] = score(_spex(coded[method, budget], value))
    # the last budget is the largest
    found = proxy.to("FSII", order=3)
    return Result(
        snippet,
        game.players,
        fixed,
        scores,
        proxy.energy_by_order()[1:] / proxy.energy_by_order()[1:].sum(),
        found.top(1, min_order=2).sets[0],
        found.top(1, max_order=1).sets[0],
    )


def _values(game: Any, masks: BoolArray, path: Path) -> Mapping[bytes, float]:
    """Evaluate the masks, or take their values from the store; return values by mask."""
    with Evaluator.of(game, store=path) as evaluator:
        values = evaluator.values(masks)[:, 0].tolist()
    return {mask.tobytes(): value for mask, value in zip(masks, values, strict=True)}


def _spex(design: CodedDesign, value: Mapping[bytes, float]) -> ip.Spectrum:
    values = [value[mask.tobytes()] for mask in design.masks]
    return ip.decode(design, values, decoder="spex", order=min(5, design.plan.t))


def table(results: list[Result]) -> str:
    """Tabulate R2 by budget and method over the snippets."""
    head = f"{'budget':13} {'masks':>10} {'method':15} {'runs':5} {'median':>7}"
    lines = [f"{head} {'quartiles':>14} {'mean':>7} {'best':>5}"]
    for budget in BUDGETS:
        counts = [result.masks[budget] for result in results]
        best = [max(METHODS, key=lambda m: r.scores.get((budget, m), -np.inf)) for r in results]
        for method in METHODS:
            scores = [r.scores[budget, method] for r in results if (budget, method) in r.scores]
            if not scores and method != "SPEX":
                continue
            start = (
                f"{budget:13} {_span(counts):>10} {method:15} {len(scores):>2}/{len(results):<2}"
            )
            if not scores:
                least = _span([result.masks[LARGEST] for result in results])
                lines.append(f"{start} does not run: it needs {least} masks")
                continue
            low, median, high = np.quantile(scores, [0.25, 0.5, 0.75])
            spread = f"{low:.3f} to {high:.3f}"
            lines.append(
                f"{start} {median:>7.3f} {spread:>14} {np.mean(scores):>7.3f}"
                f" {best.count(method):>5}"
            )
    return "\n".join(lines)


def _span(counts: list[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low}" if low == high else f"{low} to {high}"


def orders(results: list[Result]) -> str:
    """The share of the energy at each order."""
    width = max(len(result.energy) for result in results)
    shares = np.stack([np.pad(r.energy, (0, width - len(r.energy))) for r in results])
    listed = "  ".join(f"{order}: {share:.1%}" for order, share in enumerate(shares.mean(0), 1))
    return f"energy by order (ProxySPEX, largest budget; mean): {listed}"


def negations(results: list[Result]) -> str:
    """Count how often the strongest sets hold a negation word, against sets drawn by chance."""
    lines = []
    for what, sets in (
        ("strongest interaction (order >= 2, FSII 3)", [r.strongest for r in results]),
        ("strongest single word", [r.single for r in results]),
    ):
        hits = sum(bool(r.negations & set(s)) for r, s in zip(results, sets, strict=True))
        chances = [
            1 - comb(len(r.players) - len(r.negations), len(s)) / comb(len(r.players), len(s))
            for r, s in zip(results, sets, strict=True)
        ]
        number = np.ones(1)  # how many hits there are by chance, as a distribution
        for chance in chances:
            number = np.convolve(number, [1 - chance, chance])
        lines.append(
            f"negation word in the {what}: {hits} of {len(results)}; by chance "
            f"{sum(chances):.1f}, so many or more with probability {number[hits:].sum():.1g}"
        )
    return "\n".join(lines)


def rows(result: Result) -> str:
    """List the results of one snippet."""
    joint = " × ".join(result.players[i] for i in result.strongest)
    lines = [
        f"{result.snippet.number} ({result.snippet.score:+.2f}, {len(result.players)} words) "
        f"{result.snippet.text}",
        f"    strongest interaction: {joint}",
    ]
    for budget, count in result.masks.items():
        scores = [
            f"{method} {result.scores[budget, method]:.3f}"
            for method in METHODS
            if (budget, method) in result.scores
        ]
        lines.append(f"    {budget:13} {count:>4}  {';  '.join(scores)}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, default=Path("out/bench/negations.db"))
    parser.add_argument("--snippets", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--all", action="store_true", help="print every snippet")
    options = parser.parse_args()
    chosen, n_fitting = choose(
        fetch(user_cache_path("interplay") / "benchmarks"), options.snippets, options.seed
    )
    print(f"{len(chosen)} of the {n_fitting} snippets that fit the rule", flush=True)
    model, tokenizer = ip.text.load_model("smollm2", threads=1)
    started, results = time.perf_counter(), []
    for number, snippet in enumerate(chosen, 1):
        results.append(study(model, tokenizer, snippet, options.store))
        seconds = time.perf_counter() - started
        print(f"{number} of {len(chosen)} after {seconds:.0f} s", file=sys.stderr, flush=True)
        if options.all:
            print(rows(results[-1]), flush=True)
    print(table(results))
    print(orders(results))
    print(negations(results))


if __name__ == "__main__":
    main()
