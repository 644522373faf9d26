"""What is expected of a game: met, not met, or not shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import interplay as ip
from interplay._types import BoolArray, FloatArray
from interplay.audit.wanted import read_expectations

N = 12
NAMES = (
    "document 1",
    "document 2",
    "document 3",
    "the applicant's name",
    *(f"other {i}" for i in range(8)),
)


def value(masks: BoolArray) -> FloatArray:
    """Documents 1 and 3 act together; the name shows only without the others."""
    without = ~masks[:, 4] & ~masks[:, 5]
    return np.asarray(
        1.0 * (masks[:, 0] & masks[:, 2]) + 0.5 * masks[:, 1] + 0.3 * (without & masks[:, 3])
    )


@pytest.fixture(scope="module")
def explanation() -> ip.Explanation:
    return ip.explain(ip.FunctionGame(value, N, players=NAMES), budget=150, progress=False)


def outcomes(explanation: ip.Explanation, wanted: dict[str, Any]) -> list[str]:
    return [one.outcome for one in ip.expect(explanation, wanted)]  # type: ignore[arg-type]


def test_what_matters(explanation: ip.Explanation) -> None:
    wanted = [
        {"players": ["document 1", "document 3"]},
        {"players": ["document 2"], "at_least": 0.4},
        {"players": ["document 2"], "at_least": 0.9},
        {"players": ["other 7"]},
        {"players": ["other 6", "other 7"], "at_least": 0.2},
    ]
    assert outcomes(explanation, {"matters": wanted}) == [
        "met",
        "met",
        "not met",
        "not shown",
        "not met",
    ]


def test_a_player_that_shows_only_in_an_interaction_is_not_indifferent(
    explanation: ip.Explanation,
) -> None:
    game = ip.FunctionGame(value, N, players=NAMES)
    intact = np.ones((2, N), dtype=bool)
    intact[1, 3] = False
    assert np.ptp(game(intact)) == 0.0
    wanted = {"indifferent": [{"players": ["name", "other 7"], "margin": 0.05}]}
    assert outcomes(explanation, wanted) == ["not met", "met"]


def test_the_score_is_expected_by_its_interval(explanation: ip.Explanation) -> None:
    assert outcomes(explanation, {"r2": 0.5}) == ["met"]
    noise = ip.FunctionGame(lambda masks: np.sin(1e4 * (masks @ np.arange(1.0, N + 1))), N)
    poor = ip.explain(noise, budget=100, progress=False)
    assert outcomes(poor, {"r2": 0.9}) == ["not met"]


def test_a_comparison_is_expected_not_to_change() -> None:
    old = ip.FunctionGame(value, N, players=NAMES)
    new = ip.FunctionGame(lambda masks: value(masks) + 0.2 * masks[:, 9], N, players=NAMES)
    wanted = {"unchanged": {"margin": 0.1}, "matters": [{"players": [9]}], "r2": 0.8}
    for other, expected in ((new, ["met", "met", "not met"]), (old, ["met", "not shown", "met"])):
        comparison = ip.compare(
            old,
            other,
            budget=150,
            confirm=0,
            expectations=wanted,  # type: ignore[arg-type]
            progress=False,
        )
        assert [one.outcome for one in comparison.expected] == expected
    with pytest.raises(ValueError, match="both given"):
        ip.compare(old, new, margin=0.1, expectations=wanted)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("r2 = 'x'", "r2"),
        ("", "is empty"),
        ("[[mattters]]\nplayers = ['a']", "mattters.*are known"),
        ("[[matters]]\nplayers = []", "without players"),
        ("[[indifferent]]\nplayers = ['a']", "margin"),
        ("[[indifferent]]\nplayers = ['a']\nmargin = 0", "margin = 0"),
        ("[[indifferent]]\nplayers = ['a']\nmargin = 1\nshare = 2", "share = 2"),
        ("[[indifferent]]\nplayers = ['a']\nmargin = 1\nshare = 0.99999", "up to 0.999"),
        ("[[indifferent]]\nplayers = ['a']\nmargin = nan", "margin = nan"),
        ("[unchanged]\nmargin = inf", "margin = inf"),
        ("[unchanged]\nmargin = 1\nshare = nan", "share = nan"),
        ("r2 = nan", "r2 is nan; a number up to 1"),
        ("r2 = -inf", "r2 is -inf"),
        ("r2 = 1.5", "r2 is 1.5"),
        ("[[matters]]\nplayers = ['a']\nat_least = nan", r"matters\[0\].at_least is nan"),
        ("[[matters]]\nplayers = ['a']\nat_least = -1", r"matters\[0\].at_least is -1"),
        ("[[matters]]\nplayers = ['a']\nat_lest = 1", r"matters\[0\] has 'at_lest'; players, "),
        ("[[indifferent]]\nplayers = [0]\nmargin = 1\nshares = 0.9", "has 'shares'"),
        ("[unchanged]\nmargin = 1\nshar = 0.9", "unchanged has 'shar'; margin, share are known"),
        ("matters = []", "is empty"),
        ("[[matters]]\nplayers = [-1]", "text or a whole number from 0 on is expected"),
        ("[[matters]]\nplayers = [0, 1, 2, 3, 4, 5, 6]", "7 players; at most 6"),
        ("r2 = ", "is not TOML"),
    ],
)
def test_files_that_are_no_expectations_are_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "checks.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_expectations(path)


@pytest.mark.parametrize(
    ("players", "message"),
    [
        (["document"], r"3 players are named or contain 'document'"),
        (["nobody"], "0 players are named"),
        ([12], "no player 12; there are 12"),
        (["document 1", 0], "'document 1' is named twice, once by 'document 1'"),
    ],
)
def test_players_that_are_not_there_are_refused(
    explanation: ip.Explanation, players: list[str | int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ip.expect(explanation, {"matters": [{"players": players}]})


def test_a_file_may_begin_with_the_mark_of_an_editor(tmp_path: Path) -> None:
    path = tmp_path / "checks.toml"
    path.write_text("r2 = 0.5", encoding="utf-8-sig")
    assert read_expectations(path) == {"r2": 0.5}


def test_nothing_is_evaluated_for_expectations_that_cannot_be_checked() -> None:
    asked: list[int] = []

    def counted(masks: BoolArray) -> FloatArray:
        asked.append(len(masks))
        return value(masks)

    games = [ip.FunctionGame(counted, N, players=NAMES) for _ in range(2)]
    for options in (
        {"expectations": {"matters": [{"players": ["nobody"]}]}},
        {"expectations": {"indifferent": [{"players": [N], "margin": 1.0}]}},
        {"margin": float("nan")},
        {"margin": 0.1, "share": 1.0},
        {"random_state": -1},
    ):
        with pytest.raises(ValueError, match=r"nobody|no player 12|margin|random_state"):
            ip.compare(*games, budget=50, progress=False, **options)  # type: ignore[arg-type]
    assert not asked


def test_many_sets_and_large_ones_are_tested_within_one_budget(
    explanation: ip.Explanation,
) -> None:
    pairs = [{"players": [0, 2 if other == 0 else other]} for other in (0, *range(3, N))]
    large = {"players": [0, 1, 2, 3, 4, 5]}
    came = outcomes(explanation, {"matters": [*pairs, large]})
    assert came[0] == "met"
    assert "met" not in came[2:-1]  # of 1 × 2 no effect was planted either


@pytest.mark.parametrize("share", [0.99, 0.999])
def test_a_large_share_takes_as_many_masks_as_can_show_it(share: float) -> None:
    game = ip.FunctionGame(lambda masks: masks[:, 0] * 1.0, 4)
    equal = ip.compare(game, game, margin=0.1, share=share, progress=False).equivalence
    assert equal is not None
    assert equal.verdict == "equivalent"
    needed = np.log(0.05) / np.log(share)
    assert needed <= len(equal.changes) <= needed + 2


def test_what_needs_a_game_or_two_says_so(explanation: ip.Explanation, tmp_path: Path) -> None:
    loaded = ip.load(explanation.save(tmp_path / "a.interplay"))
    with pytest.raises(ValueError, match="give expect"):
        ip.expect(loaded, {"matters": [{"players": [0]}]})
    with pytest.raises(ValueError, match="expected of two games"):
        ip.expect(explanation, {"unchanged": {"margin": 0.1}})
