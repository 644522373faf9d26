from __future__ import annotations

import pytest

from interplay._types import Json
from interplay.report.grid import grid, units_of_scores

UNITS = [
    [[2, "head", 0], [2, "head", 2]],
    [[2, "mlp", 0]],
    [[5, "head", 1]],
    [[5, "latent", 7]],
    [[5, "latent", 3]],
    [],
]


def made(units: list[list[list[object]]], n_heads: list[int]) -> Json | None:
    return grid({"units": units, "n_heads": n_heads}, len(units))


def test_a_row_for_each_layer_and_a_column_for_each_head_and_kind() -> None:
    view = made(UNITS, [4, 4, 3, 4, 4, 2])
    assert view is not None
    assert view["columns"] == ["0", "1", "2", "MLP", "latents"]
    assert view["n_heads"] == 3
    assert [row["layer"] for row in view["rows"]] == [2, 5]
    assert view["rows"][0]["cells"] == [[0], [], [0], [1], []]
    # layer 5 has two heads; its latents, in the order of their numbers, share a cell
    assert view["rows"][1]["cells"] == [[], [2], None, [], [4, 3]]
    assert view["others"] == [5]


def test_the_first_players_of_a_joint_game_are_no_part_of_the_model() -> None:
    components = {"units": [[[1, "head", 0]], [[1, "mlp", 0]]]}
    view = grid({"components": components, "n_heads": [2, 2]}, 5)
    assert view is not None
    assert view["rows"] == [{"layer": 1, "cells": [[3], [], [4]]}]
    assert view["others"] == [0, 1, 2]
    # nothing promises what a file has there
    for wrong in (None, 3, {"units": 3}, {"units": [["a"]]}, {"units": [[], [], []]}):
        assert grid({"components": wrong, "n_heads": [2, 2]}, 2) is None
    assert grid({"components": components}, 5) is None


@pytest.mark.parametrize(
    ("unit", "n_heads"),
    [
        ([0, "head", 4], [4]),
        ([0, "head", -1], [4]),
        ([3, "head", 0], [4]),
        ([-1, "mlp", 0], [4]),
        ([0, "head", 0], [10**12]),
    ],
)
def test_what_no_model_has_is_not_drawn(unit: list[object], n_heads: list[int]) -> None:
    assert made([[unit]], n_heads) is None


def test_without_units_there_is_no_map() -> None:
    assert grid({}, 3) is None
    assert made([[], []], [4]) is None


def test_the_unit_is_that_of_a_known_score() -> None:
    scores = {"lens": "components", "scores": ["margin", "correct", "my own"]}
    assert units_of_scores(scores, 3) == ["nats", "accuracy", ""]
    assert units_of_scores(scores, 1) == [""]
    assert units_of_scores(scores | {"lens": "training"}, 3) == ["", "", ""]
    assert units_of_scores({"lens": None}, 2) == ["", ""]
