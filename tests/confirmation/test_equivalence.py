"""The test of equivalence: exact intervals, interactions in view, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
from scipy.stats import binom

import interplay as ip
from interplay.confirmation.changes import prompts_needed, share_interval
from interplay.confirmation.equivalence import equivalence_of


def hidden(masks: np.ndarray) -> np.ndarray:
    """Player 0 matters only where player 1 is removed."""
    return masks[:, 2] + 0.5 * masks[:, 0] * ~masks[:, 1]


def shared(masks: np.ndarray) -> np.ndarray:
    return masks[:, 1:].sum(axis=1) + 0.01 * masks[:, 0]


def test_the_interval_is_exact() -> None:
    for n_prompts in (1, 7, 60):
        for n_within in range(n_prompts + 1):
            low, high = share_interval(n_within, n_prompts)
            # Clopper and Pearson: at each end, what was seen or more of it has probability 0.05
            if n_within:
                assert binom.sf(n_within - 1, n_prompts, low) == pytest.approx(0.05)
            if n_within < n_prompts:
                assert binom.cdf(n_within, n_prompts, high) == pytest.approx(0.05)
    assert share_interval(0, 7)[0] == 0
    assert share_interval(7, 7)[1] == 1


@pytest.mark.parametrize("n_exceptions", [0, 1, 5])
def test_how_many_prompts_are_needed(n_exceptions: int) -> None:
    needed = prompts_needed(n_exceptions, 0.95)
    assert needed is not None
    assert share_interval(needed - n_exceptions, needed)[0] >= 0.95
    assert share_interval(needed - 1 - n_exceptions, needed - 1)[0] < 0.95
    assert prompts_needed(0, 0.95) == 59


def test_an_effect_that_is_none_on_the_intact_input_is_an_exception() -> None:
    seen = ip.equivalence([ip.FunctionGame(hidden, 6)] * 20, 0, margin=0.02)
    assert seen.verdict == "different"
    assert seen.n_hidden == 20
    (first, *_) = seen.exceptions
    assert first.intact == 0
    assert first.largest == 0.5
    assert "1" in first.removed
    assert "20 of the 20 exceptions are within the margin on the intact input" in str(seen)
    # whoever looks at the intact input alone sees nothing
    intact = ip.equivalence([ip.FunctionGame(hidden, 6)] * 60, 0, margin=0.02, n_backgrounds=0)
    assert intact.verdict == "equivalent"
    assert "up to 100% of a prompt's backgrounds" in intact.summary


def test_no_effect_is_not_shown_by_few_prompts() -> None:
    few = ip.equivalence([ip.FunctionGame(shared, 5)] * 30, 0, margin=0.02)
    assert few.verdict == "not shown"
    assert few.exceptions == ()
    assert "at least 59 prompts" in few.summary
    assert ip.equivalence([ip.FunctionGame(shared, 5)] * 59, 0, margin=0.02).verdict == "equivalent"


def test_few_players_are_looked_at_on_all_backgrounds() -> None:
    seen = ip.equivalence([ip.FunctionGame(hidden, 4)] * 3, 0, margin=0.02)
    assert all(change.exhaustive for change in seen.changes)
    assert seen.n_ablations == 3 * 16
    assert seen.may_be_missed == 0
    assert seen.changes[0].mean == pytest.approx(0.25)
    assert seen.changes[0].spread == pytest.approx(0.25)


def test_games_are_taken_one_after_another_and_seeds_count_by_number() -> None:
    alive: list[int] = []

    def games(n_games: int) -> Iterator[ip.FunctionGame]:
        for number in range(n_games):
            alive.append(number)
            yield ip.FunctionGame(hidden, 12, players=[f"p{i}" for i in range(12)])

    some = ip.equivalence(games(2), "p0", margin=0.02, random_state=3)
    more = ip.equivalence(games(4), "p0", margin=0.02, random_state=3)
    assert some.changes == more.changes[:2]
    assert alive == [0, 1, 0, 1, 2, 3]
    document = json.loads(json.dumps(more.to_json()))
    assert document["verdict"] == more.verdict
    assert document["interval"] == list(more.interval)


def test_changes_that_were_measured_elsewhere() -> None:
    table = np.zeros((100, 4))
    table[:2, 3] = 0.3
    test = equivalence_of(table, margin=0.02, player="age")
    assert test.n_within == 98
    assert test.n_hidden == 2
    assert test.verdict == "not shown"
    assert equivalence_of(table[:, 0], margin=0.02).verdict == "equivalent"
    with pytest.raises(ValueError, match="finite"):
        equivalence_of([0.1, np.nan], margin=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"margin": 0}, "margin=0"),
        ({"share": 1.0}, "share=1.0"),
        ({"n_backgrounds": -1}, "n_backgrounds=-1"),
        ({"player": "nobody"}, "0 players of .* are named 'nobody'"),
        ({"player": 9}, "player=9 is none of the 5"),
        ({"games": []}, "no games"),
        ({"output": 1}, "output=1"),
        (
            {"games": [ip.FunctionGame(lambda m, seeds: m[:, 0] * 1.0, 5, n_repeats=2)]},
            "is random",
        ),
    ],
)
def test_what_is_refused(arguments: dict[str, object], message: str) -> None:
    usual = {"games": [ip.FunctionGame(shared, 5)], "player": 0, "margin": 0.02}
    with pytest.raises(ValueError, match=message):
        ip.equivalence(**(usual | arguments))  # type: ignore[arg-type]
