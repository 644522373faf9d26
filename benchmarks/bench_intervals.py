"""How often the 90 % intervals of the Gaussian process hold the true value.

Intervals of coefficients and indices are checked on planted hierarchical functions, intervals of
predictions on the held-out masks of recorded games. Masks are those of the optimal design.
"""

from __future__ import annotations

import numpy as np

from common import hierarchical
from interplay.decoders.decode import get_decoder, run_decoder
from interplay.designs.base import PlainDesign
from interplay.designs.optimal import optimal_design
from record_games import own, read, recorded

SETTINGS = ((20, 200, 0.0), (20, 400, 0.3), (40, 500, 0.0), (64, 800, 0.3))
"""Players, masks, and the noise's share of the standard deviation."""
INDICES = (("Fourier", None), ("BII", 2), ("FSII", 2), ("SV", None))
N_SEEDS = 6
ALPHAS = (0.5, 1.0, 2.0)


def main() -> None:
    planted()
    predictions()


def planted() -> None:
    """Compare intervals of coefficients and indices with the function's own values."""
    print("share of intervals that hold; in brackets, of sets whose true value is not zero")
    for n_players, n_masks, noise in SETTINGS:
        held: dict[str, list[tuple[float, float]]] = {}
        for seed in range(N_SEEDS):
            rng = np.random.default_rng(seed)
            truth = hierarchical(n_players, rng)
            masks = optimal_design(n_masks, n_players, rng).masks
            values = truth.predict(masks)
            values = values + noise * values.std() * rng.normal(size=n_masks)
            found = run_decoder(
                get_decoder("gp"),
                PlainDesign("planted", masks),
                values,
                5,
                np.random.default_rng(0),
                {},
            ).spectrum
            for index, order in INDICES:
                listed, true = found.to(index, order=order), truth.to(index, order=order)
                actual = np.array([float(true[players]) for players in listed.sets])
                assert listed.low is not None
                assert listed.high is not None
                inside = (listed.low <= actual) & (actual <= listed.high)
                there = inside[actual != 0]
                held.setdefault(index, []).append((inside.mean(), there.mean()))
        cells = [
            f"{index} {np.mean([a for a, _ in some]):.2f} ({np.mean([b for _, b in some]):.2f})"
            for index, some in held.items()
        ]
        print(f"n={n_players}, {n_masks} masks, noise {noise:g}: " + ", ".join(cells), flush=True)


def predictions() -> None:
    """Compare intervals of predictions with held-out values."""
    print("share of held-out masks whose value is within the prediction interval")
    for name in recorded():
        game = read(name)
        if not game.reported:
            continue
        cells = []
        for alpha in ALPHAS:
            masks, values = own(game, game.budget(alpha))
            design = PlainDesign("recorded", masks)
            found = run_decoder(get_decoder("gp"), design, values, 5, np.random.default_rng(0), {})
            assert found.surrogate is not None
            wrong = np.abs(found.surrogate.predict(game.held_masks) - game.held_values)
            inside = wrong <= found.diagnosis["prediction_interval"][0]
            cells.append(f"alpha={alpha:g}: {inside.mean():.3f}")
        print(f"{name:20} " + ", ".join(cells), flush=True)


if __name__ == "__main__":
    main()
