"""Two games on the same masks: what changed, and what must not be claimed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import interplay as ip
from interplay._types import BoolArray, FloatArray
from interplay.audit.pair import Pair
from interplay.explanation.findings import findings

N = 16


def old_value(masks: BoolArray) -> FloatArray:
    return np.asarray(
        2.0 * (masks[:, 0] & masks[:, 1]) - masks[:, 2] + 0.7 * (masks[:, 6] & masks[:, 7])
    )


def new_value(masks: BoolArray) -> FloatArray:
    """0 × 1 has the other sign, 6 × 7 is gone, 4 × 5 is there."""
    return np.asarray(
        -1.5 * (masks[:, 0] & masks[:, 1]) - masks[:, 2] - 0.9 * (masks[:, 4] & masks[:, 5])
    )


OLD = ip.FunctionGame(old_value, N, fingerprint="old")
NEW = ip.FunctionGame(new_value, N, fingerprint="new")


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> ip.Comparison:
    return ip.compare(
        OLD,
        NEW,
        names=("old", "new"),
        budget=150,
        margin=0.1,
        store=tmp_path_factory.mktemp("compare") / "runs.db",
        progress=False,
    )


def test_what_appeared_vanished_and_changed_its_sign(comparison: ip.Comparison) -> None:
    changes = {change.players: change for change in comparison.changes()}
    assert {players: change.kind for players, change in changes.items() if change.confirmed} == {
        (0, 1): "reversed",
        (4, 5): "appeared",
        (6, 7): "vanished",
    }
    value, low, high = changes[4, 5].difference
    assert low <= value <= high < 0
    assert value == pytest.approx(-0.9, abs=0.05)
    assert changes[0, 1].first[0] == pytest.approx(2.0, abs=0.1)
    assert changes[0, 1].second[0] == pytest.approx(-1.5, abs=0.1)
    assert "vanished" in str(comparison)
    assert comparison.explanation.outputs == ("old", "new", "new less old")


def test_the_page_the_file_and_the_audit_of_a_comparison(
    comparison: ip.Comparison, tmp_path: Path
) -> None:
    explanation = comparison.explanation
    loaded = ip.load(explanation.save(tmp_path / "a.interplay"))
    assert "new less old" in loaded.to_html(tmp_path / "a.html").read_text()
    pair = Pair(OLD, NEW, ("old", "new"))
    result = ip.verify(loaded, pair, sample=5)
    assert {check.status for check in result.checks} <= {"match", "not checked", "left out"}
    assert "mismatch" not in {check.status for check in result.checks}


def test_the_same_game_has_not_changed() -> None:
    same = ip.compare(OLD, OLD, names=("a", "b"), budget=120, margin=0.1, progress=False)
    assert same.changes() == ()
    assert same.explanation.confirmation is None
    assert same.equivalence is not None
    assert same.equivalence.verdict == "equivalent"
    assert "same value on every mask" in same.summary


def test_several_outputs() -> None:
    def two(masks: BoolArray) -> FloatArray:
        return np.stack([old_value(masks), new_value(masks)], axis=1)

    def swapped(masks: BoolArray) -> FloatArray:
        return two(masks)[:, ::-1]

    games = [ip.FunctionGame(f, N) for f in (two, swapped)]
    comparison = ip.compare(games[0], games[1], budget=150, confirm=0, progress=False)
    assert comparison.n_outputs == 2
    first, second = (
        {change.players: change.difference[0] for change in comparison.changes(output=output)}
        for output in (0, 1)
    )
    assert first[4, 5] == pytest.approx(-second[4, 5], abs=0.05)
    with pytest.raises(ValueError, match="output=2; the games have 2"):
        comparison.changes(output=2)


def test_values_of_stored_runs_are_used_again(tmp_path: Path) -> None:
    calls: list[int] = []

    def counted(masks: BoolArray) -> FloatArray:
        calls.append(len(masks))
        return old_value(masks)

    game = ip.FunctionGame(counted, N, fingerprint="counted")
    ip.explain(game, budget=100, store=tmp_path / "old.db", progress=False)
    before = sum(calls)
    ip.compare(game, NEW, budget=100, confirm=0, stores=(tmp_path / "old.db", None), progress=False)
    assert before == 100
    assert sum(calls) == before


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (ip.FunctionGame(old_value, N + 1), "first has 16 players and second has 17"),
        (
            ip.FunctionGame(old_value, N, players=[f"p{i}" for i in range(N)]),
            "player 0 is '0' of first and 'p0' of second",
        ),
    ],
)
def test_other_players_are_refused(other: ip.Game, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ip.compare(OLD, other)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="give two different names"):
        ip.compare(OLD, NEW, names=("a", "a"))
    with pytest.raises(ValueError, match="confirm=-1 is below 0"):
        ip.compare(OLD, NEW, confirm=-1)
    two = ip.FunctionGame(lambda masks: np.zeros((len(masks), 2)), N)
    with pytest.raises(ip.GameError, match="outputs"):
        ip.compare(OLD, two, progress=False)


@pytest.mark.slow
def test_noise_within_the_margin_is_called_a_change_in_few_runs() -> None:
    def noisy(masks: BoolArray) -> FloatArray:
        packed = np.packbits(masks, axis=1)
        noise = [np.random.default_rng(row.tolist()).normal(scale=0.03) for row in packed]
        return old_value(masks) + np.array(noise)

    game = ip.FunctionGame(noisy, N)
    wolf = 0
    for seed in range(10):
        comparison = ip.compare(
            OLD, game, budget=120, margin=0.1, random_state=seed, progress=False
        )
        assert comparison.equivalence is not None
        assert comparison.equivalence.verdict != "different"
        wolf += bool(comparison.confirmed)
    assert wolf <= 1


def test_changes_of_a_larger_order_are_told_where_they_were_asked_for() -> None:
    def triple(masks: BoolArray) -> FloatArray:
        return old_value(masks) + 3.0 * (masks[:, 8] & masks[:, 9] & masks[:, 10])

    new = ip.FunctionGame(triple, 11)
    old = ip.FunctionGame(old_value, 11)
    comparison = ip.compare(old, new, budget=1 << 11, order=3, confirm=1, progress=False)
    first = comparison.to_json()["changes"][0][0]
    assert first["players"] == (8, 9, 10)
    assert first["confirmed"]
    assert str(comparison).count("8 × 9 × 10") == 1
    assert [change.players for change in comparison.confirmed] == [(8, 9, 10)]
    assert all(len(change.players) < 3 for change in comparison.changes(order=2))


def rounded(masks: BoolArray) -> FloatArray:
    """Both games, off by what no set of players explains."""
    rows = masks @ (1 << np.arange(N))
    return np.asarray(old_value(masks) + 0.02 * np.random.default_rng(0).normal(size=1 << N)[rows])


@pytest.fixture(scope="module")
def of_rounding() -> ip.Comparison:
    return ip.compare(
        OLD, ip.FunctionGame(rounded, N), names=("old", "new"), budget=150, progress=False
    )


def test_the_score_and_the_verdict_are_of_the_difference(of_rounding: ip.Comparison) -> None:
    explanation = of_rounding.explanation
    score, verdict = explanation.faithfulness, explanation.verdict
    old, new, difference = score.by_output
    assert old > 0.9
    assert new > 0.9
    assert difference < 0.3
    assert score.r2 == difference
    assert score.low < 0.0
    assert verdict.level == "not usable"
    assert verdict.reasons[0].startswith("It predicts the difference on held-out ablations no")
    assert verdict.trusted == (True, True, False)
    assert of_rounding.changes() == ()
    assert "nothing can be said of what changed" in of_rounding.summary
    assert verdict.certain_players == verdict.certain_interactions == 0


def test_it_is_derived_again_with_that_score(of_rounding: ip.Comparison, tmp_path: Path) -> None:
    loaded = ip.load(of_rounding.explanation.save(tmp_path / "a.interplay"))
    assert loaded.faithfulness == of_rounding.explanation.faithfulness
    result = ip.verify(loaded, None)
    (check,) = (check for check in result.checks if check.name == "faithfulness")
    assert check.status == "match"


def test_what_is_tested_are_the_changes_that_are_listed() -> None:
    comparison = ip.compare(OLD, NEW, budget=150, confirm=4, order=3, progress=False)
    tested = comparison.explanation.confirmation
    assert tested is not None
    assert (tested.order, tested.output) == (3, 2)
    listed = [change.players for change in comparison.changes()]
    assert [test.players for test in tested.tested] == listed[: len(tested.tested)]
    assert comparison.explanation.shown_order == 3
    assert all(change.confirmed is not None for change in comparison.changes()[:4])


def test_what_is_confirmed_is_told_whatever_the_score() -> None:
    noise = 0.16 * np.random.default_rng(0).normal(size=1 << N)

    def new(masks: BoolArray) -> FloatArray:
        rows = masks @ (1 << np.arange(N))
        return np.asarray(old_value(masks) + noise[rows] + 0.17 * masks[:, 3])

    game = ip.FunctionGame(new, N)
    comparison = ip.compare(OLD, game, names=("old", "new"), budget=110, progress=False)
    explanation = comparison.explanation
    assert explanation.verdict.level == "not usable"
    (change,) = comparison.changes()
    assert (change.players, change.confirmed) == ((3,), True)
    (told,) = findings(explanation)
    assert told.players == (3,)
    assert "is confirmed by fresh ablations" in comparison.summary
    assert "only what fresh ablations confirm is a finding" in explanation.verdict.reasons[0]


def test_values_that_both_stores_have_are_not_called_evaluated(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    for game in (OLD, NEW):
        ip.explain(game, budget=100, store=path, progress=False)
    comparison = ip.compare(OLD, NEW, budget=100, stores=(path, path), confirm=0, progress=False)
    budget = comparison.explanation.provenance["budget"]
    assert (budget["evaluated"], budget["from_store"]) == (0, 100)
