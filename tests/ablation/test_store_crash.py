"""A store whose process is killed at any moment: what was put is there, and nothing else is."""

from __future__ import annotations

import os
import random
import signal
import struct
import time
from pathlib import Path

import numpy as np
import pytest

from interplay._types import BoolArray, FloatArray, IntArray
from interplay.ablation.soundness import verify
from interplay.ablation.store import Store
from tests.ablation.test_store import fork, sql

N_KILLS = 100
N_PLAYERS = 43
BLOCK = 8
FILE_EVERY = 10
"""A fresh file so often, so that kills also come while one is made."""
_ACKNOWLEDGED = struct.Struct("<q")


def numbers(block: int) -> IntArray:
    return np.arange(block * BLOCK, (block + 1) * BLOCK)


def mask_of(number: IntArray) -> BoolArray:
    scattered = number * 2_654_435_761 % (1 << N_PLAYERS)  # neighbours lie on different pages
    return np.asarray(scattered[:, None] >> np.arange(N_PLAYERS) & 1 == 1)


def value_of(number: IntArray) -> FloatArray:
    return np.stack([np.sin(number), number / 7.0], axis=1)


def fill_until_killed(path: Path, first: int, acknowledge: int, stop_at: int | None) -> None:
    """Put block after block; with the claim of the block ``stop_at``, wait for the end."""
    with Store(path) as store:
        store.register("game", N_PLAYERS, {"made": "to be killed"})
        block = first
        while True:
            number = numbers(block)
            assert store.claim("game", mask_of(number)).all()
            if block == stop_at:
                os.kill(os.getpid(), signal.SIGSTOP)
            store.put("game", mask_of(number), value_of(number))
            os.write(acknowledge, _ACKNOWLEDGED.pack(block))
            block += 1


def kill_after(blocks: int, seconds: float, path: Path, first: int, stops: bool) -> int:
    """Let a child fill the store from a block on, and kill it; returns the blocks acknowledged.

    It is killed so many seconds after it has acknowledged so many blocks; or, where it stops,
    as it holds the claim of the next one.
    """
    reading, writing = os.pipe()
    stop_at = first + blocks if stops else None
    child = fork(lambda: fill_until_killed(path, first, writing, stop_at))
    os.close(writing)
    acknowledged = b""
    while len(acknowledged) < blocks * _ACKNOWLEDGED.size:
        some = os.read(reading, 1 << 16)
        assert some, "the child failed by itself"
        acknowledged += some
    if stops:
        _, status = os.waitpid(child, os.WUNTRACED)
        assert os.WIFSTOPPED(status), "the child failed by itself"
    else:
        time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, "the child failed by itself"
    while some := os.read(reading, 1 << 16):
        acknowledged += some
    os.close(reading)
    blocks_put = [block for (block,) in _ACKNOWLEDGED.iter_unpack(acknowledged)]
    assert blocks_put == list(range(first, first + len(blocks_put)))
    return len(blocks_put)


@pytest.mark.slow
def test_a_hundred_kills(tmp_path: Path) -> None:
    chance = random.Random(0)
    n_acknowledged = n_unacknowledged = n_orphaned = n_stopped = 0
    for kill in range(N_KILLS):
        if kill % FILE_EVERY == 0:
            path, n_blocks = tmp_path / f"{kill}.db", 0
        # at any moment: also while the file is made, which takes up to 30 ms; one of ten in a claim
        stops, least = kill % FILE_EVERY == 5, chance.randrange(4)
        within = 0.03 if least == 0 else 0.005
        fresh = kill_after(least, chance.uniform(0, within), path, n_blocks, stops)
        n_stopped += stops
        n_acknowledged += fresh
        n_blocks += fresh

        with Store(path) as store:
            number = np.arange((n_blocks + 2) * BLOCK)
            found, values = store.get("game", mask_of(number))
            whole = found.reshape(-1, BLOCK)
            assert found[: n_blocks * BLOCK].all(), "a put was acknowledged and is not there"
            assert whole[-2].all() or not whole[-2].any(), "a put was cut in two"
            assert not whole[-1].any()
            np.testing.assert_array_equal(
                values.reshape(-1, 2), value_of(number[found]), "a value is wrong"
            )
            if whole[-2].all():  # committed, and killed before it could say so
                n_unacknowledged += 1
                n_blocks += 1
            assert store.count("game") == n_blocks * BLOCK
            orphaned = sql(path, "SELECT count(*) FROM claim")[0][0]
            assert orphaned in (0, BLOCK)
            n_orphaned += orphaned == BLOCK
            following = mask_of(numbers(n_blocks))
            assert store.claim("game", following).all(), "a dead process still claims"
        assert verify(path) == []
        assert sql(path, "SELECT count(*) FROM claim") == [(0,)]
    # the kills came while there was something to break
    assert n_acknowledged > N_KILLS
    assert n_unacknowledged + n_orphaned >= n_stopped > 0
