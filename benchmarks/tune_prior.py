"""The prior of the Gaussian process's hyperparameters, from the recorded games for tuning.

On each game the hyperparameters that all players share are learned from 500 masks, with a prior of
little weight; then the line along which games differ is fitted to them (factor analysis with one
factor). What this prints, rounded and a little widened, are the constants in
``src/interplay/decoders/gaussian/learn.py``.
"""

from __future__ import annotations

import numpy as np
from sklearn.decomposition import FactorAnalysis

from interplay.decoders.gaussian.inputs import Inputs
from interplay.decoders.gaussian.kernel import MAX_DEGREE
from interplay.decoders.gaussian.learn import learn
from record_games import read, recorded

N_MASKS = 500
TRUST = 0.1
NAMES = ("w1", "w2", "w3", "w4", "c", "b", "lambda", "noise")


def main() -> None:
    learned = []
    for name in recorded():
        game = read(name)
        if game.reported:
            continue
        masks = np.concatenate([game.masks, game.held_masks])[:N_MASKS]
        values = np.concatenate([game.values, game.held_values])[:N_MASKS, None]
        values = (values - values.mean()) / values.std()
        kernel = learn(Inputs.of(masks), values, MAX_DEGREE, trust=TRUST)
        learned.append(kernel.theta[game.n_players :])
        shared = " ".join(f"{value:6.2f}" for value in learned[-1])
        print(f"{name:16} {shared}", flush=True)
    found = np.array(learned)
    centre, scale = found.mean(axis=0), found.std(axis=0)
    factor = FactorAnalysis(1).fit((found - centre) / scale)
    print(f"{'':16} " + " ".join(f"{name:>6}" for name in NAMES))
    for label, row in (
        ("centre", centre),
        ("loading", factor.components_[0] * scale),
        ("residual", np.sqrt(factor.noise_variance_) * scale),
    ):
        print(f"{label:16} " + " ".join(f"{value:6.2f}" for value in row))


if __name__ == "__main__":
    main()
