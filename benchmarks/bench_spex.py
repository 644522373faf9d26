"""SPEX against spectralexplain on planted functions, in the same run, and how it grows.

We and the peer decode each task, one after the other: 100 terms of order 1 to 5, with the same
b = 8, t = 5 and C = 3, hence the same number of evaluations. Recall is of the planted supports. R2
is on 2,000 uniform masks against the function without noise. A peer that decodes for longer than
the limit is stopped. Its ratio is then a lower bound, and its scores are unknown.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np

import interplay as ip
from common import PEER_PYTHON
from interplay._types import BoolArray, FloatArray, Players
from interplay.decoders.spex.bch import bch_code
from interplay.decoders.spex.peel import decode_coded
from interplay.decoders.spex.refit import refit
from interplay.explanation.faithfulness import r2
from interplay.fourier.masks import uniform
from interplay.fourier.sets import members, tuples

BITS, ERRORS, GROUPS, TERMS = 8, 5, 3, 100
ROW = "{:>5} {:>5} {:>9} {:>7} {:>7} {:>6} {:>10} {:>9}  {}"


def planted(n_players: int, seed: int) -> ip.Spectrum:
    """Plant 100 terms of order 1 to 5, of size 0.5 to 1.5, and a mean."""
    rng = np.random.default_rng(seed)
    terms: dict[Players, float] = {(): 0.7}
    while len(terms) <= TERMS:
        size = int(rng.integers(1, ERRORS + 1))
        players = tuple(sorted(rng.choice(n_players, size, replace=False).tolist()))
        terms[players] = float(rng.choice([-1, 1]) * rng.uniform(0.5, 1.5))
    return ip.Spectrum.from_dict(n_players, terms)


def ours(
    truth: ip.Spectrum, budget: int, noise: float, test: BoolArray, n_groups: int | None
) -> dict[str, Any]:
    n_players = truth.n_players
    design = ip.spex.design(n_players, budget, random_state=0, n_groups=n_groups)
    values = truth.predict(design.masks)
    values += noise * np.random.default_rng(0).normal(size=len(values))
    decode_coded(design, values)
    started = time.perf_counter()
    packed, _ = decode_coded(design, values)
    seconds = time.perf_counter() - started
    started = time.perf_counter()
    found = ip.decode(design, values, decoder="spex")
    whole = time.perf_counter() - started
    supports = set(tuples(members(packed, n_players), n_players))
    return {
        **score(truth, supports, found.predict(test), test),
        "masks": len(design.masks),
        "decode_s": seconds,
        "note": f"with refit {whole:.2f} s",
    }


def score(
    truth: ip.Spectrum, found: set[Players], predictions: FloatArray, test: BoolArray
) -> dict[str, Any]:
    planted = set(truth.sets)
    return {
        "recall": len(found & planted) / len(planted),
        "false": len(found - planted),
        "r2": float(r2(truth.predict(test), predictions)[0]),
    }


def peer(truth: ip.Spectrum, noise: float, test: BoolArray, limit: float) -> dict[str, Any] | None:
    task = {
        "n": truth.n_players,
        "b": BITS,
        "t": ERRORS,
        "noise": noise,
        "seed": 0,
        "limit": limit,
        "coefs": truth.coefficients.tolist(),
        "supports": truth.sets,
        "holdout": np.packbits(test, axis=1).tolist(),
    }
    done = subprocess.run(
        [PEER_PYTHON, str(Path(__file__).with_name("peer_spex.py"))],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        check=False,
    )
    if "TimeoutError" in done.stderr:  # the alarm rang inside a compiled kernel
        return None
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found = json.loads(done.stdout[done.stdout.index("{") :])
    if "stopped" in found:
        return None
    supports = {tuple(players) for players in found["found"]}
    planted = set(truth.sets)
    return {
        "recall": len(supports & planted) / len(planted),
        "false": len(supports - planted),
        "r2": found["r2"],
        "masks": found["masks"],
        "decode_s": found["decode_s"],
        "note": f"{found['distinct']} distinct",
    }


def compare(players: list[int], snrs: list[str], limit: float) -> None:
    print(ROW.format("n", "dB", "who", "masks", "recall", "false", "R2", "decode s", ""))
    for n_players in players:
        budget = GROUPS * (bch_code(n_players, ERRORS).n_parity + 1) << BITS
        for snr in snrs:
            truth = planted(n_players, 0)
            test = uniform(2000, n_players, np.random.default_rng(1))
            noise = 0.0 if snr == "inf" else truth.predict(test).std() * 10 ** (-float(snr) / 20)
            rows: dict[str, dict[str, Any] | None] = {
                "ours C=3": ours(truth, budget, noise, test, GROUPS),
                "ours": ours(truth, budget, noise, test, None),
                "peer": peer(truth, noise, test, limit),
            }
            same = rows["ours C=3"]
            assert same is not None
            for name, row in rows.items():
                if row is None:
                    print(
                        f"{n_players:5} {snr:>5} {name:>9} stopped after {limit:.0f} s: "
                        f"ours is more than {limit / same['decode_s']:.0f}x faster",
                        flush=True,
                    )
                    continue
                ratio = f"{row['decode_s'] / same['decode_s']:.0f}x" if name == "peer" else ""
                print(
                    ROW.format(
                        n_players,
                        snr,
                        name,
                        row["masks"],
                        f"{row['recall']:.3f}",
                        row["false"],
                        f"{row['r2']:.6f}",
                        f"{row['decode_s']:.3f}",
                        f"{ratio} {row['note']}",
                    ),
                    flush=True,
                )


def growth() -> None:
    print(
        f"\n{'n':>5} {'b':>3} {'masks':>7} {'design s':>9} {'decode s':>9} {'peak MB':>8}  (10 dB)"
    )
    for n_players, bits in [(n, 8) for n in (30, 100, 300, 1000, 2000)] + [
        (100, b) for b in (5, 6, 7, 9, 10)
    ]:
        budget = GROUPS * (bch_code(n_players, ERRORS).n_parity + 1) << bits
        started = time.perf_counter()
        design = ip.spex.design(n_players, budget, random_state=0, n_groups=GROUPS)
        designed = time.perf_counter() - started
        values = planted(n_players, 0).predict(design.masks)
        values += np.random.default_rng(0).normal(size=len(values)) * values.std() * 10**-0.5
        started = time.perf_counter()
        decode_coded(design, values)
        decoded = time.perf_counter() - started
        tracemalloc.start()
        decode_coded(design, values)
        peak = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        print(
            f"{n_players:5} {bits:3} {len(values):7} {designed:9.2f} {decoded:9.3f} {peak:8.0f}",
            flush=True,
        )
    rng = np.random.default_rng(0)
    sets = [rng.choice(1000, rng.integers(1, 6), replace=False).tolist() for _ in range(2000)]
    spectrum = ip.Spectrum.from_terms(1000, sets, np.ones(2000))
    masks = rng.random((40_000, 1000)) < 0.5
    started = time.perf_counter()
    refit(masks, rng.normal(size=40_000), spectrum.supports)
    seconds = time.perf_counter() - started
    print(f"refit of {len(spectrum)} terms on 40,000 masks: {seconds:.1f} s")


def large(n_players: int, n_terms: int, snr: float) -> None:
    """Decode and refit at many players, with noise; CPU seconds and peak memory of this process."""
    rng = np.random.default_rng(0)
    terms: dict[Players, float] = {(): 0.7}
    while len(terms) <= n_terms:
        players = rng.choice(n_players, int(rng.integers(1, ERRORS + 1)), replace=False)
        terms[tuple(sorted(players.tolist()))] = float(rng.choice([-1, 1]) * rng.uniform(0.5, 1.5))
    truth = ip.Spectrum.from_dict(n_players, terms)
    budget = 48 * (bch_code(n_players, ERRORS).n_parity + 1)
    if n_terms > TERMS // 10:
        budget = 3 * (bch_code(n_players, ERRORS).n_parity + 1) << BITS - 1
    started = time.process_time()
    design = ip.spex.design(n_players, budget, random_state=0)
    designed = time.process_time()
    values = truth.predict(design.masks)
    values += np.random.default_rng(0).normal(size=len(values)) * values.std() * 10 ** (-snr / 20)
    evaluated = time.process_time()
    found = ip.decode(design, values, decoder="spex")
    decoded = time.process_time()
    test = np.random.default_rng(1).random((500, n_players)) < 0.5
    supports = {players for players, value in found if abs(value) > 0.1}
    scores = score(truth, supports, found.predict(test), test)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{n_players:6} players, {n_terms:3} terms, {snr:.0f} dB, {len(values):6} masks: recall "
        f"{scores['recall']:.3f}, false {scores['false']}, R2 {scores['r2']:.6f}; CPU seconds: "
        f"design {designed - started:.1f}, decoding {decoded - evaluated:.1f}; peak {peak:.2f} GiB",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-timeout", type=float, default=900.0)
    parser.add_argument("--n", type=int, nargs="+", default=[30, 100, 300, 1000])
    parser.add_argument("--snr", nargs="+", default=["inf", "20", "10"])
    parser.add_argument("--large", type=int, help="only this: so many players, without the peer")
    options = parser.parse_args()
    if options.large:
        for n_terms in (TERMS // 10, TERMS):
            large(options.large, n_terms, 10.0)
        return
    growth()
    compare(options.n, options.snr, options.peer_timeout)


if __name__ == "__main__":
    main()
