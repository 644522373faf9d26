"""Runs one peer on given ablations, in the peer's own environment (standard library + the peer).

    python peer.py shapiq|shapiq-default|spectralexplain INPUT.npz OUTPUT.npz

INPUT: masks (m, n) bool, values (m,), test (h, n) bool. OUTPUT: predictions (h,), seconds, terms,
and cpu_seconds.
"""

from __future__ import annotations

import contextlib
import sys
import time
import warnings
from functools import partial

import numpy as np


def shapiq_proxyspex(masks, values, search=True):
    """Run shapiq's ProxySPEX (hpo=search), with its sampling replaced by the given masks."""
    from shapiq.approximator import ProxySPEX

    class Given:
        coalitions_matrix = masks.astype(float)

        def sample(self, budget):
            pass

    approximator = ProxySPEX(
        n=masks.shape[1], max_order=2, index="FBII", hpo=search, random_state=0
    )
    approximator._sampler = Given()
    found = {}
    refine = approximator._refine

    def keep(*arguments):
        found.update(refine(*arguments))
        return found

    class DoneError(Exception):
        pass

    def stop(**_):
        raise DoneError

    approximator._refine = keep
    approximator._process_moebius = stop  # the conversion to an index is not what is timed
    with contextlib.suppress(DoneError):
        approximator.approximate(len(masks), lambda _: values)
    return found


def spectralexplain_proxyspex(masks, values):
    """Run the authors' ProxySPEX as published: its grid, 95 % of the energy, its refit."""
    from spectralexplain.utils import proxy_spex

    found = proxy_spex((masks.astype(int), values), max_order=5)
    return {tuple(np.flatnonzero(bits)): value for bits, value in found.items()}


PEERS = {
    "shapiq": shapiq_proxyspex,
    "shapiq-default": partial(shapiq_proxyspex, search=False),
    "spectralexplain": spectralexplain_proxyspex,
}


def main():
    import lightgbm.sklearn

    # the peers ask for all cores; two busy threads would wait for each other on small data
    lightgbm.sklearn._LGBMCpuCount = lambda only_physical_cores=True: 1
    warnings.filterwarnings("ignore")
    peer, source, target = sys.argv[1:]
    with np.load(source) as data:
        masks, values, test = data["masks"], data["values"], data["test"]
    PEERS[peer](masks[:60], values[:60])  # imports and first-call costs are not timed
    started, cpu_started = time.perf_counter(), time.process_time()
    found = PEERS[peer](masks, values)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    predictions = np.zeros(len(test))
    for players, coefficient in found.items():
        predictions += coefficient * (-1.0) ** test[:, list(players)].sum(axis=1)
    np.savez(
        target, predictions=predictions, seconds=seconds, terms=len(found), cpu_seconds=cpu_seconds
    )


if __name__ == "__main__":
    main()
