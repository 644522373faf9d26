"""Imputation on data whose conditional means are known."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest

from interplay.tabular import TabularGame
from interplay.tabular.imputation import BANDWIDTH

MASKS = np.array(list(product([False, True], repeat=3)))


def test_conditional_is_exact_where_rows_repeat() -> None:
    """Of categories: the mean over the rows with the same ones, whatever the bandwidth."""
    rng = np.random.default_rng(0)
    first = rng.integers(0, 2, 400)
    background = pd.DataFrame(
        {
            "a": np.where(first, "x", "y"),
            "b": pd.Categorical(np.where(rng.random(400) < 0.9, first, 1 - first).astype(str)),
            "c": rng.integers(0, 3, 400).astype(str),
        }
    )
    table = np.stack([background["a"] == "x", background["b"] == "1", background["c"] == "2"], 1)

    def model(rows: Any) -> Any:
        columns = [rows["a"] == "x", rows["b"] == "1", rows["c"] == "2"]
        return (np.stack(columns, axis=1) * [1.0, 3.0, 5.0]).sum(axis=1) ** 2

    game = TabularGame(model, background.iloc[0], background=background, imputation="conditional")
    for mask, value in zip(MASKS, game(MASKS), strict=True):
        alike = (table == table[0])[:, mask].all(axis=1)
        expected = model(background[alike]).mean() if not mask.all() else model(background)[0]
        # of c, two rows are alike that hold the same value, not only the same indicator
        if mask[2]:
            alike &= background["c"] == background["c"][0]
            expected = model(background[alike]).mean()
        assert value == pytest.approx(expected, abs=1e-9)
    rows = game.rows_behind(MASKS)
    assert rows[0] == pytest.approx(400)
    assert rows[-1] == 1
    assert rows[1] == pytest.approx((background["c"] == background["c"][0]).sum())


def normal_rows(n_rows: int, correlation: float, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    first = rng.normal(size=n_rows)
    second = correlation * first + np.sqrt(1 - correlation**2) * rng.normal(size=n_rows)
    return np.stack([first, second, rng.normal(size=n_rows)], axis=1)


@pytest.mark.parametrize(
    ("imputation", "settings", "error"),
    [
        ("marginal", {}, 2.0),
        ("conditional", {}, 0.35),
        ("conditional", {"bandwidth": 0.1}, 0.06),
        ("gaussian", {}, 0.02),
    ],
)
def test_the_conditional_means_of_normal_columns(
    imputation: str, settings: dict[str, float], error: float
) -> None:
    """f = x0 x1 + x1^2 + x2 at (1.2, 0.8, -0.5), corr(x0, x1) = 0.8: E[f | x_S] in closed form."""
    correlation, row = 0.8, np.array([1.2, 0.8, -0.5])
    game = TabularGame(
        lambda rows: rows[:, 0] * rows[:, 1] + rows[:, 1] ** 2 + rows[:, 2],
        row,
        background=normal_rows(20_000, correlation),
        imputation=imputation,
        n_background=20_000,
        **settings,  # type: ignore[arg-type]
    )
    left = 1 - correlation**2
    pairs = {
        (False, False): correlation + 1,
        (True, False): correlation * row[0] ** 2 + (correlation * row[0]) ** 2 + left,
        (False, True): correlation * row[1] ** 2 + row[1] ** 2,
        (True, True): row[0] * row[1] + row[1] ** 2,
    }
    expected = np.array([pairs[mask[0], mask[1]] + mask[2] * row[2] for mask in MASKS.tolist()])
    worst = np.abs(game(MASKS) - expected).max()
    assert worst < error
    if imputation == "marginal":
        assert worst > 1.0  # what the others are for


def test_gaussian_is_exact_for_linear_dependence() -> None:
    """A column that is a sum of others is what the kept ones make it."""
    background = normal_rows(50, 0.0)
    background[:, 2] = background[:, 0] + background[:, 1]
    game = TabularGame(
        lambda rows: rows[:, 2], [1.0, 2.0, 3.0], background=background, imputation="gaussian"
    )
    values = game(np.array([[True, True, False], [False, False, True]]))
    np.testing.assert_allclose(values, [3.0, 3.0], atol=1e-5)


def test_gaussian_gives_frames_of_floats() -> None:
    background = pd.DataFrame({"a": [1, 2, 3], "b": [True, False, True]})

    def model(rows: Any) -> Any:
        assert (rows.dtypes == np.float64).all()
        return rows["a"]

    game = TabularGame(model, background.iloc[0], background=background, imputation="gaussian")
    assert game(np.array([[True, False]])).tolist() == [1.0]


def test_near_means_near() -> None:
    background = normal_rows(500, 0.8)
    row = background[0]

    def behind(**settings: Any) -> Any:
        game = TabularGame(
            lambda rows: rows[:, 0],
            row,
            background=background,
            imputation="conditional",
            **settings,
        )
        assert game.describe()["imputation"]["bandwidth"] == settings.get("bandwidth", BANDWIDTH)
        return game.rows_behind(np.array([[True, True, False]]))[0]

    assert behind(bandwidth=0.05) < behind() < behind(bandwidth=1.0) < 500


def test_missing_values_are_near_to_each_other() -> None:
    background = pd.DataFrame({"a": [np.nan, 1.0, np.nan, 3.0], "b": [1.0, 2.0, 3.0, 4.0]})
    game = TabularGame(
        lambda rows: rows["b"], background.iloc[0], background=background, imputation="conditional"
    )
    assert game.players[0] == "a = missing"
    assert game(np.array([[True, False]]))[0] == pytest.approx(2.0, abs=1e-3)
