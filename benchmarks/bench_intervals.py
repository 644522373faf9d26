"""How often the 90 % intervals of the Gaussian process hold the true value.

Intervals of coefficients and indices are checked on planted hierarchical functions, intervals of
predictions on the held-out masks of recorded games. Masks are those of the optimal design. Near the
intact input, what the removal of each player and of each pair changes is checked on complete games.
"""

from __future__ import annotations

import numpy as np

import interplay as ip
from common import hierarchical
from interplay.decoders.decode import get_decoder, run_decoder
from interplay.designs.base import PlainDesign
from interplay.designs.optimal import optimal_design
from planted_games import spectrum_of
from race_indices import functions
from record_games import own, read, recorded

SETTINGS = ((20, 200, 0.0), (20, 400, 0.3), (40, 500, 0.0), (64, 800, 0.3))
"""Players, masks, and the noise's share of the standard deviation."""
INDICES = (("Fourier", None), ("BII", 2), ("FSII", 2), ("SV", None))
N_SEEDS = 6
ALPHAS = (0.5, 1.0, 2.0)
NEAR, NEAR_BUDGETS = (ip.Keep(0.9), ip.Keep(0.5, 0.97)), (60, 200)


def main() -> None:
    planted()
    predictions()
    near_the_intact_input()


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


def near_the_intact_input() -> None:
    """Compare intervals of the co-Moebius transform with complete tables."""
    print("share of intervals that hold, of single players and of pairs, mean over complete games")
    games = [game for game in functions(None, (), ()) if game.n_players >= 10]
    for measure in NEAR:
        for budget in NEAR_BUDGETS:
            shares = []
            for game in games:
                n = game.n_players
                truth = spectrum_of(game.function).to("Co-Moebius", order=n)
                explanation = ip.explain(
                    ip.FunctionGame(game.function, n),
                    decoder="gp",
                    measure=measure,
                    budget=budget,
                    progress=False,
                )
                listed = explanation.interactions("Co-Moebius", order=2).filter()
                assert listed.low is not None
                assert listed.high is not None
                actual = np.array([float(truth[players]) for players in listed.sets])
                inside = (listed.low <= actual) & (actual <= listed.high)
                shares.append([inside[listed.orders == size].mean() for size in (1, 2)])
            single, pair = np.mean(shares, axis=0)
            lowest = np.min(shares)
            print(
                f"{measure}, {budget} masks, {len(games)} games: {single:.2f}, {pair:.2f}; the "
                f"lowest of a game {lowest:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
