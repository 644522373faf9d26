"""Runs spectralexplain's SPEX on one planted function, in that package's own environment.

It reads the task from standard input as JSON and prints a JSON line. It needs nothing of Interplay.
The peer samples by itself. Kernels are compiled before the clock starts, and only decoding is
timed.
"""

import json
import signal as signal_module
import sys
import time

import numpy as np
import spectralexplain as spex
from sparse_transform.qsft.codes.BCH import BCH


def stop(number, frame):
    raise TimeoutError


def main() -> None:
    """Read the task from standard input, and run it."""
    signal_module.signal(signal_module.SIGALRM, stop)
    task = json.loads(sys.stdin.read())
    n, b, t, noise = task["n"], task["b"], task["t"], task["noise"]
    np.random.seed(task["seed"])  # noqa: NPY002 - the peer draws from the global state
    rng = np.random.default_rng(task["seed"] + 1)
    supports = [tuple(s) for s in task["supports"]]
    coefs = np.array(task["coefs"])
    one_hot = np.zeros((len(supports), n), dtype=np.float32)
    for i, s in enumerate(supports):
        one_hot[i, list(s)] = 1.0
    asked: list[np.ndarray] = []

    def clean(masks: np.ndarray) -> np.ndarray:
        out = np.empty(len(masks))
        for i in range(0, len(masks), 8192):
            odd = (np.asarray(masks[i : i + 8192], dtype=np.float32) @ one_hot.T).astype(int) & 1
            out[i : i + 8192] = (1.0 - 2.0 * odd) @ coefs
        return out

    def value(masks):
        masks = np.asarray(masks)
        asked.append(np.packbits(masks.astype(bool), axis=1))
        return clean(masks) + noise * rng.normal(size=len(masks))

    # compile galois' kernels for this field before the clock starts, on one parity function
    warm, _ = spex.sampling_strategy(
        lambda m: list(1.0 - 2.0 * np.asarray(m)[:, :2].sum(axis=1) % 2), 3, 3, n, None, t=t
    )
    spex.support_recovery("soft", warm, 3, t)
    code = BCH(n, t)
    for word in rng.normal(size=(2, code.get_parity_length())):
        code.parity_decode_2chase_t2_max_likelihood(list(word), chase_depth=2 * t)
    asked.clear()
    start = time.perf_counter()
    signal, _ = spex.sampling_strategy(lambda m: list(value(m)), b, b, n, None, t=t)
    sampled = time.perf_counter()
    signal_module.setitimer(signal_module.ITIMER_REAL, task["limit"])  # the decoding alone
    try:
        found = spex.support_recovery("soft", signal, b, t)
    except TimeoutError:
        json.dump({"stopped": task["limit"]}, sys.stdout)
        return
    signal_module.setitimer(signal_module.ITIMER_REAL, 0)
    done = time.perf_counter()
    masks = np.array(task["holdout"], dtype=np.uint8)
    masks = np.unpackbits(masks, axis=1, count=n)
    keys = np.array(list(found), dtype=np.float32).reshape(-1, n)
    guess = np.zeros(len(masks))
    if len(keys):
        odd = (masks.astype(np.float32) @ keys.T).astype(int) & 1
        guess = (1.0 - 2.0 * odd) @ np.array(list(found.values()))
    truth = clean(masks)
    rows = np.concatenate(asked)
    json.dump(
        {
            "found": [np.flatnonzero(k).tolist() for k in keys],
            "r2": float(1 - np.sum((truth - guess) ** 2) / np.sum((truth - truth.mean()) ** 2)),
            "sample_s": sampled - start,
            "decode_s": done - sampled,
            "masks": len(rows),
            "distinct": len(np.unique(rows, axis=0)),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
