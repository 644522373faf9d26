from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from interplay import FunctionGame, Game, GameError
from interplay._types import BoolArray, FloatArray, Json
from interplay.ablation.runner import Evaluated, evaluate
from interplay.ablation.store import Store
from interplay.masks import keys, uniform

MASKS = uniform(100, 20, np.random.default_rng(0))


class Counting:
    """A game that remembers what it was asked, and wants batches of seven by falling cost."""

    n_players = 20
    players = tuple(map(str, range(20)))
    fingerprint = "counting"
    batch_size = 7

    def __init__(self) -> None:
        self.batches: list[BoolArray] = []

    def __call__(self, masks: BoolArray, /) -> FloatArray:
        self.batches.append(masks)
        return masks @ np.arange(20.0)

    def cost(self, masks: BoolArray, /) -> FloatArray:
        return masks.sum(axis=1).astype(float)

    def describe(self) -> Json:
        return {"lens": None}

    @property
    def asked(self) -> list[bytes]:
        return [key for batch in self.batches for key in keys(batch)]


def run(game: Game, masks: BoolArray, store: Store, **settings: Any) -> Evaluated:
    settings = {"progress": False, **settings}
    return evaluate(game, masks, store, fingerprint=game.fingerprint, **settings)


def test_a_game_may_work_on_its_masks_in_place() -> None:
    def f(masks: BoolArray) -> FloatArray:
        masks ^= True
        return masks @ np.arange(20.0)

    with Store() as store:
        done = run(FunctionGame(f, 20, fingerprint="in place"), MASKS, store)
        np.testing.assert_array_equal(done.values, ~MASKS @ np.arange(20.0))


def test_an_interruption_keeps_what_was_evaluated() -> None:
    class Interrupted(Counting):
        def __call__(self, masks: BoolArray, /) -> FloatArray:
            if len(self.batches) == 3:
                raise KeyboardInterrupt
            return super().__call__(masks)

    with Store() as store:
        with pytest.raises(KeyboardInterrupt) as caught:
            run(Interrupted(), MASKS, store)
        assert len(caught.value.masks) == 21  # type: ignore[attr-defined]
        assert "21 of 100 masks are evaluated" in caught.value.__notes__[0]
        np.testing.assert_array_equal(
            caught.value.values,  # type: ignore[attr-defined]
            caught.value.masks @ np.arange(20.0),  # type: ignore[attr-defined]
        )


def test_each_mask_is_asked_once_and_values_go_where_they_belong() -> None:
    game = Counting()
    repeated = np.concatenate([MASKS, MASKS[::3]])
    with Store() as store:
        done = run(game, repeated, store)
        np.testing.assert_array_equal(done.values, repeated @ np.arange(20.0))
        assert (done.n_new, done.n_stored) == (100, 0)
        assert sorted(game.asked) == sorted(keys(MASKS))
        again = run(game, MASKS, store)
        assert (again.n_new, again.n_stored) == (0, 100)
        assert len(game.asked) == 100


def test_batches_are_cut_by_cost_and_not_by_the_progress_bar() -> None:
    quiet, shown = Counting(), Counting()
    for game, progress in ((quiet, False), (shown, True)):
        with Store() as store:
            run(game, MASKS, store, progress=progress)
    assert [len(batch) for batch in quiet.batches] == [7] * 14 + [2]
    sizes = [int(mask.sum()) for batch in quiet.batches for mask in batch]
    assert sizes == sorted(sizes, reverse=True)
    assert quiet.asked == shown.asked
    assert [len(b) for b in quiet.batches] == [len(b) for b in shown.batches]


def test_batch_size_can_be_set() -> None:
    game = Counting()
    with Store() as store:
        run(game, MASKS, store, batch_size=40)
        assert [len(batch) for batch in game.batches] == [40, 40, 20]
        with pytest.raises(ValueError, match="batch_size=0 is below 1"):
            run(game, MASKS, store, batch_size=0)


@pytest.mark.parametrize("failure", ["raise", "nan"])
def test_a_failure_names_the_mask_and_loses_nothing(failure: str) -> None:
    culprit = MASKS[42]

    def f(masks: BoolArray) -> FloatArray:
        bad = (masks == culprit).all(axis=1)
        if failure == "raise" and bad.any():
            raise RuntimeError("out of luck")
        return np.where(bad, np.nan, masks.sum(axis=1))

    game = FunctionGame(f, 20, fingerprint="failing")
    with Store() as store:
        with pytest.raises(GameError) as caught:
            run(game, MASKS, store, batch_size=10)
        removed = ", ".join(map(str, np.flatnonzero(~culprit)))
        kept = ", ".join(map(str, np.flatnonzero(culprit)))
        assert f"removed: {removed}" in str(caught.value) or f"kept: {kept}" in str(caught.value)
        assert isinstance(caught.value.__cause__, RuntimeError) == (failure == "raise")
        assert caught.value.masks is not None
        assert caught.value.values is not None
        # all batches before the culprit's, and the good masks of its own
        assert len(caught.value.masks) == (42 if failure == "raise" else 49)
        np.testing.assert_array_equal(caught.value.values, caught.value.masks.sum(axis=1))
        assert store.count("failing") == len(caught.value.masks)


def test_a_batch_that_fails_as_a_whole_is_tried_mask_by_mask() -> None:
    def f(masks: BoolArray) -> FloatArray:
        if len(masks) > 1:
            raise MemoryError("too many at once")
        return masks.sum(axis=1)

    with Store() as store:
        done = run(FunctionGame(f, 20), MASKS, store)
        np.testing.assert_array_equal(done.values, MASKS.sum(axis=1))


_SLOW_RUN = """
import sys, time
import numpy as np
import interplay as ip

log = open(sys.argv[2], "a")

def f(masks):
    time.sleep(0.01)
    for mask in masks:
        print("".join(map(str, mask.astype(int))), file=log, flush=True)
    return masks[:, 0] * 2.0 - masks[:, 1] * masks[:, 2]

game = ip.FunctionGame(f, 30, fingerprint="slow")
explanation = ip.explain(game, budget=300, store=sys.argv[1], batch_size=4, progress=False)
explanation.save(sys.argv[3])
"""


def test_a_killed_run_resumes_where_it_was(tmp_path: Path) -> None:
    """SIGKILL in the middle: the next run asks only for what is missing, and one batch again."""
    store, log, saved = tmp_path / "a.db", tmp_path / "log", tmp_path / "a.interplay"
    command = [sys.executable, "-c", _SLOW_RUN, str(store), str(log), str(saved)]
    first = subprocess.Popen(command)
    deadline = time.monotonic() + 60
    while not log.exists() or len(log.read_text().splitlines()) < 100:
        assert first.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    assert not saved.exists()
    before = log.read_text().splitlines()
    assert 100 <= len(before) < 300
    subprocess.run(command, check=True, timeout=120)
    asked = log.read_text().splitlines()
    assert len(set(asked)) == 300
    assert len(asked) <= 304
    # and the result is that of a run that was never killed
    from interplay import load

    whole = tmp_path / "whole.interplay"
    subprocess.run(
        [sys.executable, "-c", _SLOW_RUN, str(tmp_path / "b.db"), str(tmp_path / "l"), str(whole)],
        check=True,
        timeout=120,
    )
    np.testing.assert_array_equal(
        load(saved).spectrum.coefficients, load(whole).spectrum.coefficients
    )
    assert load(saved).provenance["budget"]["from_store"] >= 96
