"""Training images that repeat each other, and some that mislead: threes, fives, eights and nines.

The images come from 27 sources. Fifteen threes were scanned twice, and one source has labelled its
threes as fives. A logistic regression is retrained on 700 choices of the sources. Its margin on
eight unseen threes is explained by the sources.

Run: python examples/training_data.py
"""

import numpy as np
from sklearn.datasets import load_digits

import interplay as ip
from interplay.training import (
    Logistic,
    TrainingData,
    TrainingGame,
    relations,
    removal_curves,
    within_classes,
)

EXPECTED = [{"threes, scanned", "threes, scanned again"}]
"""The strongest interaction, negative: either scan is enough."""
ORDER = 2


def sources() -> TrainingData:
    """Make the three special sources, and 24 ordinary ones."""
    images, labels = load_digits(return_X_y=True)
    images = images / 16
    rng = np.random.default_rng(0)
    rows = rng.permutation(np.flatnonzero(np.isin(labels, [3, 5, 8, 9])))
    train, test = rows[:240], rows[240:]
    threes = train[labels[train] == 3]
    scanned, wrong = threes[:15], threes[15:25]
    ordinary = np.setdiff1d(train, [*scanned, *wrong])
    rescanned = np.clip(images[scanned] + rng.normal(0, 0.05, (15, 64)), 0, 1)
    points = test[labels[test] == 3][:8]
    return TrainingData.checked(
        np.concatenate([images[scanned], rescanned, images[wrong], images[ordinary]]),
        np.concatenate([np.full(30, 3), np.full(10, 5), labels[ordinary]]),
        images[points],
        labels[points],
        groups=[
            *["threes, scanned"] * 15,
            *["threes, scanned again"] * 15,
            *["threes, labelled as fives"] * 10,
            *within_classes(labels[ordinary], 24),
        ],
    )


def main() -> ip.Explanation:
    """Explain the margin on threes, and remove the source that hurts it most."""
    game = TrainingGame(Logistic(), sources())
    explanation = ip.explain(game, budget=700, store="runs.db")
    print(explanation.faithfulness)
    print(relations(explanation, top=2))
    spectra = {"by the spectrum": explanation.spectrum}
    for curve in removal_curves(game, [0, 1], spectra, store="runs.db"):
        before, after = curve.actual
        print(f"mean margin, one source removed {curve.method}: {before:.2f} -> {after:.2f}")
        if curve.method in spectra:
            (source,) = np.flatnonzero(~curve.masks[1])
            print(f"  it is {explanation.players[source]!r}; predicted {curve.predicted[1]:.2f}")
    return explanation


if __name__ == "__main__":
    main()
