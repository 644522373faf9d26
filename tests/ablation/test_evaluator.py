from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import interplay as ip
from interplay import FunctionGame, Game, GameError, StoreError
from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.ablation import evaluator
from interplay.ablation.blocks import cut
from interplay.ablation.evaluator import Evaluator
from interplay.ablation.retry import BlockSettings, evaluate_block
from interplay.ablation.store import Store
from interplay.ablation.table import Evaluated
from interplay.fourier.masks import keys, sorted_by_prefix, uniform
from tests.conftest import replaced

MASKS = uniform(100, 20, np.random.default_rng(0))


class Counting:
    """A game that remembers what it was asked, and wants calls of seven neighbours."""

    n_players = 20
    players = tuple(map(str, range(20)))
    fingerprint = "counting"
    batch_size = 7

    def __init__(self) -> None:
        self.batches: list[BoolArray] = []

    def __call__(self, masks: BoolArray, /) -> FloatArray:
        self.batches.append(masks)
        return masks @ np.arange(20.0)

    def arrange(self, masks: BoolArray, /) -> IntArray:
        return sorted_by_prefix(masks)

    def cost(self, masks: BoolArray, /) -> FloatArray:
        return masks.sum(axis=1).astype(float)

    def describe(self) -> Json:
        return {"lens": None}

    @property
    def asked(self) -> list[bytes]:
        return [key for batch in self.batches for key in keys(batch)]


def run(game: Game, masks: BoolArray, store: Store, **settings: Any) -> Evaluated:
    settings = {"progress": False, **settings}
    wait = settings.pop("wait", True)
    return replace(Evaluator.of(game, **settings), store=store)(masks, wait=wait)


def test_a_game_may_work_on_its_masks_in_place() -> None:
    def f(masks: BoolArray) -> FloatArray:
        masks ^= True
        return masks @ np.arange(20.0)

    with Store() as store:
        done = run(FunctionGame(f, 20, fingerprint="in place"), MASKS, store)
        np.testing.assert_array_equal(done.values, ~MASKS @ np.arange(20.0))


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


def test_neighbours_come_into_one_call_whether_or_not_progress_is_shown() -> None:
    quiet, shown = Counting(), Counting()
    for game, progress in ((quiet, False), (shown, True)):
        with Store() as store:
            run(game, MASKS, store, progress=progress)
    assert sorted(len(batch) for batch in quiet.batches) == [6] * 5 + [7] * 10
    by_prefix = keys(MASKS[sorted_by_prefix(MASKS)])
    places = [[by_prefix.index(key) for key in keys(batch)] for batch in quiet.batches]
    assert all(place == list(range(place[0], place[0] + len(place))) for place in places)
    # but the calls themselves come in an order that has nothing to do with the masks
    firsts = [place[0] for place in places]
    assert firsts != sorted(firsts)
    assert quiet.asked == shown.asked
    assert [len(b) for b in quiet.batches] == [len(b) for b in shown.batches]


def test_batch_size_can_be_set() -> None:
    game = Counting()
    with Store() as store:
        run(game, MASKS, store, batch_size=40)
        assert sorted(len(batch) for batch in game.batches) == [33, 33, 34]
        with pytest.raises(ValueError, match="batch_size=0 is below 1"):
            run(game, MASKS, store, batch_size=0)
    assert np.array_equal(np.sort(np.concatenate(cut(game, MASKS))), np.arange(100))


@pytest.mark.parametrize(
    ("n_masks", "n_players", "size"), [(100, 10, 352), (400, 10, 352), (900, 40, 20), (900, 99, 20)]
)
def test_strides_are_beginnings_of_the_order_that_was_given(
    n_masks: int, n_players: int, size: int
) -> None:
    """A stride is evaluated before the next; within it, neighbours come together."""
    masks = uniform(n_masks, n_players, np.random.default_rng(0))
    game = Counting()
    game.n_players = n_players
    blocks = cut(game, masks, size, in_strides=True)
    assert np.array_equal(np.sort(np.concatenate(blocks)), np.arange(n_masks))
    done = np.cumsum([len(block) for block in blocks])
    latest = np.maximum.accumulate([block.max() for block in blocks]) + 1
    stops = done[done == latest]
    shares = np.diff([0, *stops]) / n_masks
    assert stops[-1] == n_masks
    assert len(stops) >= 3
    # wherever a run is stopped, little of it is lost
    assert shares.max() < 0.38
    assert (stops[1:] / stops[:-1]).max() <= 4
    if n_players == 99:  # where a mask is mostly read anew, strides are finer at no more cost
        assert shares.max() < 0.15
        assert -(shares * np.log2(shares)).sum() <= 0.06 * (99 - np.log2(n_masks) + 2)
    for start, stop in zip([0, *stops], stops, strict=False):
        inside = [block for block in blocks if start <= block[0] < stop]
        by_prefix = start + sorted_by_prefix(masks[start:stop])
        place = {int(row): at for at, row in enumerate(by_prefix)}
        for block in inside:
            places = [place[int(row)] for row in block]
            assert places == list(range(places[0], places[0] + len(block)))


@given(st.integers(1, 150), st.integers(8, 70), st.integers(1, 80))
def test_blocks_of_any_run_are_its_masks_each_once(n_masks: int, n_players: int, size: int) -> None:
    game = Counting()
    game.n_players = n_players
    blocks = cut(game, uniform(n_masks, n_players, np.random.default_rng(0)), size, in_strides=True)
    assert np.array_equal(np.sort(np.concatenate(blocks)), np.arange(n_masks))
    assert 0 < min(map(len, blocks)) <= max(map(len, blocks)) <= size


def test_without_work_to_share_each_block_is_a_stride() -> None:
    game = FunctionGame(lambda masks: masks.sum(axis=1), 20)
    blocks = cut(game, MASKS, 30, in_strides=True)
    np.testing.assert_array_equal(np.concatenate(blocks), np.arange(100))
    assert cut(game, MASKS[:0], 30, in_strides=True) == []
    assert cut(Counting(), MASKS[:0], 30, in_strides=True) == []


def test_the_order_of_evaluation_is_given_as_rows_of_the_masks() -> None:
    """Also where masks repeat, or are in the store."""
    repeated = np.concatenate([MASKS, MASKS[::3]])
    order = np.random.default_rng(0).permutation(len(repeated))
    asked: list[bytes] = []

    def f(masks: BoolArray) -> FloatArray:
        asked.extend(keys(masks))
        return masks @ np.arange(20.0)

    game = FunctionGame(f, 20, fingerprint="f")
    with Store() as store:
        run(game, MASKS[:10], store)
        asked.clear()
        done = replace(Evaluator.of(game, progress=False), store=store)(repeated, order=order)
    np.testing.assert_array_equal(done.values, repeated @ np.arange(20.0))
    stored = set(keys(MASKS[:10]))
    assert asked == [key for key in dict.fromkeys(keys(repeated[order])) if key not in stored]


@pytest.mark.parametrize("failure", ["raise", "nan"])
def test_a_failure_names_the_mask_and_loses_nothing(failure: str) -> None:
    culprit = MASKS[42]
    asked: list[BoolArray] = []

    def f(masks: BoolArray) -> FloatArray:
        bad = (masks == culprit).all(axis=1)
        if failure == "raise" and bad.any():
            raise RuntimeError("out of luck")
        asked.append(masks)
        return np.where(bad, np.nan, masks.sum(axis=1))

    game = FunctionGame(f, 20, fingerprint="failing")
    with Store() as store:
        with pytest.raises(GameError) as caught:
            run(game, MASKS, store, batch_size=10)
        removed = ", ".join(map(str, np.flatnonzero(~culprit)))
        kept = ", ".join(map(str, np.flatnonzero(culprit)))
        assert f"removed: {removed}" in str(caught.value) or f"kept: {kept}" in str(caught.value)
        assert ("out of luck" in str(caught.value)) == (failure == "raise")
        assert isinstance(caught.value.__cause__, RuntimeError) == (failure == "raise")
        assert caught.value.masks is not None
        assert caught.value.values is not None
        # everything that the game returned, the culprit's neighbours in its call included
        returned = {key for batch in asked for key in keys(batch)} - {keys(culprit[None])[0]}
        assert len(returned) >= 2
        assert set(keys(caught.value.masks)) == returned
        np.testing.assert_array_equal(caught.value.values, caught.value.masks.sum(axis=1))
        assert store.count("failing") == len(caught.value.masks)


def test_a_wrong_number_of_outputs_is_refused() -> None:
    calls: list[int] = []

    def f(masks: BoolArray) -> FloatArray:
        calls.append(len(masks))
        return np.ones((len(masks), len(calls)))

    with Store() as store, pytest.raises(GameError, match="must return as many outputs each time"):
        run(FunctionGame(f, 20), MASKS, store, batch_size=50)


def test_a_call_that_is_too_large_is_halved_and_the_size_remembered() -> None:
    sizes: list[int] = []

    def f(masks: BoolArray) -> FloatArray:
        sizes.append(len(masks))
        if len(masks) > 10:
            raise MemoryError("too many at once")
        return masks.sum(axis=1)

    with Store() as store:
        done = run(FunctionGame(f, 20), MASKS, store, batch_size=32)
        np.testing.assert_array_equal(done.values, MASKS.sum(axis=1))
    assert sum(size > 10 for size in sizes) <= 3  # 32 and 16, in the first block only
    assert max(sizes[7:]) <= 8


@given(st.sets(st.integers(0, 99)), st.integers(1, 100))
def test_a_block_gives_all_values_that_the_game_can_give(bad: set[int], max_masks: int) -> None:
    failing = {MASKS[row].tobytes() for row in bad}

    def f(masks: BoolArray) -> FloatArray:
        if any(mask.tobytes() in failing for mask in masks):
            raise RuntimeError
        return masks.sum(axis=1)

    settings = BlockSettings(1, skip_failures=True)
    result = evaluate_block(FunctionGame(f, 20), MASKS, settings, max_masks)
    assert {row for row, _ in result.failures} == bad
    if len(bad) == len(MASKS):
        assert result.values is None
    else:
        assert result.values is not None
        good = np.array([row not in bad for row in range(100)])
        np.testing.assert_array_equal(result.known, good)
        np.testing.assert_array_equal(result.values[good], MASKS[good].sum(axis=1))
    assert result.max_masks == max_masks


def test_failures_can_be_skipped_up_to_one_percent() -> None:
    masks = uniform(1000, 20, np.random.default_rng(1))
    asked: list[bytes] = []

    def f(values: BoolArray, limit: int) -> FloatArray:
        asked.extend(keys(values))
        bad = np.isin([hash(mask.tobytes()) for mask in values], hashes[:limit])
        return np.where(bad, np.inf, values.sum(axis=1))

    hashes = [hash(mask.tobytes()) for mask in masks]
    with Store() as store:
        game = FunctionGame(lambda m: f(m, 10), 20, fingerprint="ten")
        done = run(game, masks, store, on_error="skip")
        assert (done.n_skipped, done.n_new) == (10, 990)
        np.testing.assert_array_equal(np.isnan(done.values), np.arange(1000) < 10)
        np.testing.assert_array_equal(done.values[10:], masks[10:].sum(axis=1))
        game = FunctionGame(lambda m: f(m, 11), 20, fingerprint="eleven")
        with pytest.raises(GameError, match="11 masks failed, above the 1% of 1000 that may be"):
            run(game, masks, store, on_error="skip")
        with pytest.raises(ValueError, match="on_error='ignore' is unknown; choose one of raise"):
            run(game, masks, store, on_error="ignore")


def test_explaining_with_failures_skipped() -> None:
    """What failed is left out of fit and score; coded masks are decoded around it."""
    for decoder, budget, n in (("proxyspex", 600, 20), ("spex", 3000, 30)):
        rng = np.random.default_rng(0)
        unlucky = rng.integers(0, 2, size=n).astype(bool)

        def f(masks: BoolArray, unlucky: BoolArray = unlucky) -> FloatArray:
            distance = (masks[:, :8] != unlucky[:8]).sum(axis=1)
            values = masks[:, 0] * 2.0 - masks[:, 1] * masks[:, 2]
            return np.where(distance == 0, np.nan, values)

        explanation = ip.explain(
            FunctionGame(f, n), decoder=decoder, budget=budget, on_error="skip"
        )
        spent = explanation.provenance["budget"]
        assert 0 < spent["skipped"] <= 0.01 * budget, (decoder, spent)
        assert spent["spent"] == spent["planned"] - spent["skipped"]
        assert explanation.provenance["decoder"]["ran"] == decoder
        assert explanation.faithfulness.r2 > 0.99
        assert np.isfinite(explanation.fit.values).all()


def test_values_so_far_come_with_a_full_disk() -> None:
    class Full(Store):
        def put(self, fingerprint: str, masks: BoolArray, values: FloatArray) -> None:
            if self.count(fingerprint) >= 21:
                raise StoreError("no room")
            super().put(fingerprint, masks, values)

    with (
        Full() as store,
        pytest.raises(StoreError, match=r"no room \((2[67]|3.) of 100 masks") as caught,
    ):
        run(Counting(), MASKS, store)
    assert caught.value.masks is not None
    # the call that could not be written is there too
    np.testing.assert_array_equal(caught.value.values, caught.value.masks @ np.arange(20.0))


@pytest.mark.slow
def test_a_random_game_is_averaged_and_its_noise_known() -> None:
    def f(masks: BoolArray, seeds: IntArray) -> FloatArray:
        noise = [np.random.default_rng(seed).normal(scale=2.0) for seed in seeds]
        return masks[:, 0] * 4.0 + noise

    game = FunctionGame(f, 20, fingerprint="random", n_repeats=5)
    with Store() as store:
        done = run(game, MASKS, store)
        again = run(game, MASKS[::-1], store, batch_size=3)
        assert (again.n_new, again.n_stored) == (0, 100)
        np.testing.assert_array_equal(again.values, done.values[::-1])
    with Store() as store:  # seeds belong to masks, not to calls
        anew = run(game, MASKS[::-1], store, batch_size=3)
        np.testing.assert_array_equal(anew.values, done.values[::-1])
    assert done.noise is not None
    assert done.noise.mean() == pytest.approx(4.0 / 5, rel=0.2)
    many = ip.explain(game, budget=800, holdout=400)
    assert many.provenance["game"]["n_repeats"] == 5
    # 0.8 of noise beside 4.0 of signal
    assert many.faithfulness.noise == pytest.approx(0.8 / 4.8, abs=0.03)
    assert many.faithfulness.r2 == pytest.approx(1 - 0.8 / 4.8, abs=0.06)
    assert "of the variance is noise" in str(many.faithfulness)
    with pytest.raises(ValueError, match="n_repeats=0"):
        FunctionGame(f, 20, n_repeats=0)


def test_an_interruption_in_the_game_keeps_what_was_evaluated() -> None:
    class Interrupted(Counting):
        def __call__(self, masks: BoolArray, /) -> FloatArray:
            if len(self.batches) == 3:
                raise KeyboardInterrupt
            return super().__call__(masks)

    with Store() as store:
        with pytest.raises(KeyboardInterrupt) as caught:
            run(Interrupted(), MASKS, store)
        assert len(caught.value.masks) == 20  # type: ignore[attr-defined]
        assert "20 of 100 masks are evaluated" in caught.value.__notes__[0]
        np.testing.assert_array_equal(
            caught.value.values,  # type: ignore[attr-defined]
            caught.value.masks @ np.arange(20.0),  # type: ignore[attr-defined]
        )


def interrupting(calls: list[int], at: tuple[int, ...], n: int) -> FunctionGame:
    """A game at whose calls Ctrl-C is pressed."""

    def f(masks: BoolArray) -> FloatArray:
        calls.append(len(masks))
        if len(calls) in at:
            os.kill(os.getpid(), signal.SIGINT)
        return masks[:, 0] * 2.0 - masks[:, 1] * masks[:, 2]

    return FunctionGame(f, n)


@pytest.mark.parametrize(
    ("decoder", "budget", "n"), [("proxyspex", 600, 20), ("spex", 3000, 30), ("lasso", 1024, 10)]
)
def test_control_c_once_decodes_what_there_is(
    decoder: str, budget: int, n: int, capfd: Any
) -> None:
    """A uniform design, a coded one, and all masks."""
    calls: list[int] = []
    explanation = ip.explain(
        interrupting(calls, (6,), n), decoder=decoder, budget=budget, progress=False
    )
    assert len(calls) == 6  # the call in flight was ended, and none begun
    spent = explanation.provenance["budget"]
    assert spent["interrupted"]
    assert spent["spent"] == spent["evaluated"] == sum(calls)
    assert spent["planned"] > 600 - 1
    # SPEX needs all of its masks, and a table all there are; others take what comes
    ran = "proxyspex" if decoder == "spex" else decoder
    assert explanation.provenance["decoder"]["ran"] == ran
    assert explanation.provenance["design"]["kind"].startswith("part of ")
    assert explanation.faithfulness.n_masks >= 10
    assert not explanation.faithfulness.exact
    assert explanation.faithfulness.r2 > 0.9
    assert "Interrupted: ending after the ablations in flight" in capfd.readouterr().err
    # and Ctrl-C works as ever afterwards
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_control_c_before_there_is_enough(tmp_path: Path) -> None:
    calls: list[int] = []
    with pytest.raises(KeyboardInterrupt, match="too few to decode") as caught:
        ip.explain(interrupting(calls, (1,), 20), budget=600, batch_size=8, progress=False)
    assert len(caught.value.masks) == 8  # type: ignore[attr-defined]


def test_control_c_twice_stops_at_once() -> None:
    def f(masks: BoolArray) -> FloatArray:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
        went_on.append(True)
        return masks.sum(axis=1)

    went_on: list[bool] = []
    with Store() as store, pytest.raises(KeyboardInterrupt):
        run(FunctionGame(f, 20), MASKS, store)
    assert not went_on


def test_outside_the_main_thread() -> None:
    found: list[Evaluated] = []

    def work() -> None:
        with Store() as store:
            found.append(run(Counting(), MASKS, store))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found[0].n_new == 100


_HELD_RUN = """
import os, sys, time
import numpy as np
import interplay as ip

store, log, saved, hold, go = sys.argv[1:]
log = open(log, "a")
written = 0

def f(masks):
    global written
    for mask in masks:
        print("".join(map(str, mask.astype(int))), file=log, flush=True)
    written += len(masks)
    while written >= int(hold) and not os.path.exists(go):
        time.sleep(0.005)  # with a block in hand: claimed, evaluated, and not in the store
    return masks[:, 0] * 2.0 - masks[:, 1] * masks[:, 2]

game = ip.FunctionGame(f, 30, fingerprint="held")
explanation = ip.explain(game, budget=300, store=store, batch_size=4, progress=False)
explanation.save(saved)
"""
LONG = 600.0
"""Seconds after which something is taken for hung."""


def held_run(
    folder: Path, name: str, store: str = "a.db", hold: int = 1000, go: str = "go"
) -> tuple[list[str], Path, Path]:
    """A run that stops in the middle, with so many masks evaluated, until the file ``go`` is there.

    It returns the command, its log of masks, and where it saves the explanation.
    """
    log, saved = folder / f"{name}.log", folder / f"{name}.interplay"
    files = [str(folder / store), str(log), str(saved)]
    return [sys.executable, "-c", _HELD_RUN, *files, str(hold), str(folder / go)], log, saved


def wait_for_lines(log: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + LONG
    while not log.exists() or len(log.read_text().splitlines()) < count:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.slow
def test_a_killed_run_resumes_where_it_was(tmp_path: Path) -> None:
    """SIGKILL in the middle: the next run asks only for what is missing, and one call again."""
    command, log, saved = held_run(tmp_path, "a", hold=100)
    first = subprocess.Popen(command)
    wait_for_lines(log, 100, first)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    assert not saved.exists()
    assert 100 <= len(log.read_text().splitlines()) < 300
    (tmp_path / "go").touch()
    subprocess.run(command, check=True, timeout=LONG)
    asked = log.read_text().splitlines()
    assert len(set(asked)) == 300
    assert len(asked) <= 304
    # and the result is that of a run that was never killed
    command, _, whole = held_run(tmp_path, "b", "b.db")
    subprocess.run(command, check=True, timeout=LONG)
    np.testing.assert_array_equal(
        ip.load(saved).spectrum.coefficients, ip.load(whole).spectrum.coefficients
    )
    assert ip.load(saved).provenance["budget"]["from_store"] >= 96


@pytest.mark.slow
def test_two_processes_share_the_work(tmp_path: Path) -> None:
    """Run at the same time with one store, they ask for no mask twice and find the same."""
    runs = [held_run(tmp_path, name, hold=24) for name in ("one", "two")]
    processes = [subprocess.Popen(command) for command, _, _ in runs]
    for process, (_, log, _) in zip(processes, runs, strict=True):
        wait_for_lines(log, 24, process)  # neither goes on before the other has had its share
    (tmp_path / "go").touch()
    assert [process.wait(timeout=LONG) for process in processes] == [0, 0]
    asked = [log.read_text().splitlines() if log.exists() else [] for _, log, _ in runs]
    assert len(asked[0]) + len(asked[1]) == len({*asked[0], *asked[1]}) == 300
    assert min(map(len, asked)) > 20  # both had a share
    one, two = (ip.load(saved) for _, _, saved in runs)
    np.testing.assert_array_equal(one.spectrum.coefficients, two.spectrum.coefficients)


@pytest.mark.slow
def test_the_work_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    """One of two processes is killed while it holds claims: the other ends the run."""
    command, log, saved = held_run(tmp_path, "one", hold=8)
    other, other_log, _ = held_run(tmp_path, "two", hold=20, go="never")
    first = subprocess.Popen(command)
    second = subprocess.Popen(other)
    wait_for_lines(other_log, 20, second)  # it holds the claim of the block that it is at
    second.send_signal(signal.SIGKILL)
    second.wait()
    (tmp_path / "go").touch()
    assert first.wait(timeout=LONG) == 0
    asked = log.read_text().splitlines() + other_log.read_text().splitlines()
    assert len(set(asked)) == 300
    assert len(asked) <= 304
    assert ip.load(saved).provenance["budget"]["spent"] == 300


def test_two_processes_that_skip_different_masks_both_end(tmp_path: Path) -> None:
    """A mask that failed is not kept from others, who would wait for it for ever."""
    masks = uniform(1000, 20, np.random.default_rng(1))
    failing = {mask.tobytes() for mask in masks[:6]}
    found: list[Evaluated] = []

    def f(values: BoolArray) -> FloatArray:
        time.sleep(0.001)
        bad = np.array([mask.tobytes() in failing for mask in values])
        return np.where(bad, np.nan, values.sum(axis=1))

    def work() -> None:
        game = FunctionGame(f, 20, fingerprint="shared")
        with Store(tmp_path / "a.db") as store:
            found.append(run(game, masks, store, on_error="skip", batch_size=10))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=LONG)
    assert len(found) == 2
    for done in found:
        assert done.n_skipped == 6
        assert not done.interrupted
        np.testing.assert_array_equal(np.isnan(done.values), np.arange(1000) < 6)
    assert sum(done.n_new for done in found) == 994


def test_what_a_failing_game_hands_over_is_kept() -> None:
    """A game that raises with some values, as one behind a server does."""
    masks = uniform(400, 20, np.random.default_rng(1))
    bad = {mask.tobytes() for mask in masks[:3]}
    paid: list[bytes] = []

    def f(values: BoolArray) -> FloatArray:
        fine = np.array([mask.tobytes() not in bad for mask in values])
        fine[np.argmin(fine) :] &= fine.all()  # what comes after a failure is not tried
        paid.extend(keys(values[fine]))
        if fine.all():
            return values.sum(axis=1)
        done = values[fine]
        raise GameError("refused", *((done, done.sum(axis=1)) if len(done) else ()))

    with Store() as store:
        game = FunctionGame(f, 20, fingerprint="server")
        done = run(game, masks, store, on_error="skip", batch_size=50)
        assert (done.n_new, done.n_skipped) == (397, 3)
        assert sorted(paid) == sorted(keys(masks[3:]))  # each once
    paid.clear()
    with Store() as store, pytest.raises(GameError, match="refused") as caught:
        run(game, masks, store, batch_size=50)
    assert caught.value.masks is not None
    assert sorted(keys(caught.value.masks)) == sorted(paid)


def test_a_passing_error_does_not_make_calls_small() -> None:
    sizes: list[int] = []

    def f(masks: BoolArray) -> FloatArray:
        sizes.append(len(masks))
        if len(sizes) % 7 == 0:
            raise ConnectionError("for a moment")
        return masks.sum(axis=1)

    with Store() as store:
        run(FunctionGame(f, 20), uniform(1000, 20, np.random.default_rng(1)), store, batch_size=20)
    assert sizes.count(20) > 40


def test_an_order_that_loses_masks_is_refused() -> None:
    class Losing(Counting):
        def arrange(self, masks: BoolArray, /) -> IntArray:
            return np.arange(len(masks) - 5)

    with Store() as store, pytest.raises(GameError, match="gave no permutation of the 100 masks"):
        run(Losing(), MASKS, store)


def test_a_store_of_another_number_of_outputs_is_refused() -> None:
    with Store() as store:
        run(FunctionGame(lambda m: m.sum(axis=1), 20, fingerprint="f"), MASKS[:50], store)
        two = FunctionGame(lambda m: np.ones((len(m), 2)), 20, fingerprint="f")
        with pytest.raises(StoreError, match="holds single outputs under the fingerprint 'f'"):
            run(two, MASKS, store)


@pytest.mark.slow
def test_interrupted_while_others_hold_the_masks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def f(masks: BoolArray, seeds: IntArray) -> FloatArray:
        return masks.sum(axis=1) + 0.0

    game = FunctionGame(f, 20, fingerprint="held", n_repeats=3)
    with Store(tmp_path / "a.db") as other, Store(tmp_path / "a.db") as store:
        other.claim("held:repeats=3", MASKS)
        # interrupted as it waits for the others
        interrupt = replaced(time, sleep=lambda _: os.kill(os.getpid(), signal.SIGINT))
        monkeypatch.setattr(evaluator, "time", interrupt)
        done = run(game, MASKS, store)
        monkeypatch.undo()
        assert done.interrupted
        assert np.isnan(done.values).all()
        plan = ip.plan(game, budget=100, store=tmp_path / "a.db")  # does not wait for others
        assert plan.n_repeats == 3
