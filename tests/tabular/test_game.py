"""TabularGame: its values against brute force, what the model is given, and its names."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

import interplay as ip
from interplay.game import described
from interplay.tabular import TabularGame, one_hot
from interplay.tabular import game as module
from interplay.tabular.tables import Table

PEOPLE = pd.DataFrame(
    {
        "age": [40, 31, 65, 22],
        "city": pd.Categorical(["a", "b", "a", "c"]),
        "job": ["cook", "nurse", "cook", None],
        "income": [1.5, 2.0, np.nan, 0.25],
        "member": [True, False, True, True],
    }
)


def all_masks(n_players: int) -> Any:
    return np.array(list(product([False, True], repeat=n_players)))


def brute_force(model: Callable[[Any], Any], row: Any, background: Any) -> Any:
    values = []
    for mask in all_masks(len(row)):
        rows = background.copy()
        rows[:, mask] = row[mask]
        values.append(model(rows).mean(axis=0))
    return np.array(values)


@pytest.mark.parametrize("cells", [1 << 21, 12])
def test_the_values_are_means_over_the_background(
    cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CELLS", cells)
    rng = np.random.default_rng(0)
    background, row = rng.normal(size=(9, 4)), rng.normal(size=4)
    asked: list[int] = []

    def model(rows: Any) -> Any:
        asked.append(len(rows))
        return np.stack([rows[:, 0] * rows[:, 1] + rows[:, 2], np.sin(rows[:, 3])], axis=1)

    game = TabularGame(model, row, background=background)
    values = game(all_masks(4))
    np.testing.assert_allclose(values, brute_force(model, row, background), rtol=0, atol=1e-14)
    assert max(asked[: len(asked) // 2]) <= cells // 4
    masks = all_masks(4)
    assert game.cost(masks).tolist() == [9.0] * 15 + [1.0]  # of the intact row one is enough
    np.testing.assert_array_equal(game(masks[[3]]), values[[3]])


def test_shapley_values_of_a_linear_model() -> None:
    rng = np.random.default_rng(1)
    background, row, slopes = rng.normal(size=(30, 5)), rng.normal(size=5), rng.normal(size=5)
    game = TabularGame(lambda rows: rows @ slopes, row, background=background)
    shapley = ip.explain(game).interactions("SV", order=1)
    expected = slopes * (row - background.mean(axis=0))
    for (player,), value in zip(shapley.sets, shapley.values, strict=True):
        assert value == pytest.approx(expected[player], abs=1e-12)


ROWS = {
    "series": PEOPLE.iloc[1],
    "frame": PEOPLE.iloc[[1]],
    "mapping": PEOPLE.iloc[1].to_dict(),
    "list": PEOPLE.iloc[1].tolist(),
    "other order": PEOPLE.iloc[1][::-1],
}


@pytest.mark.parametrize("kind", list(ROWS))
def test_a_model_is_given_frames_with_their_dtypes(kind: str) -> None:
    def model(rows: pd.DataFrame) -> Any:
        assert rows.dtypes.tolist() == PEOPLE.dtypes.tolist()
        assert rows.columns.tolist() == PEOPLE.columns.tolist()
        city = rows["city"].cat.codes.to_numpy().astype(int)
        return rows["age"] + 100 * city + 1000 * (rows["job"] == "cook") + rows["income"].isna()

    game = TabularGame(model, ROWS[kind], background=PEOPLE)
    assert game.players == ("age = 31", "city = b", "job = nurse", "income = 2", "member = False")
    values = game(np.array([[True] * 5, [True, False, False, False, False], [False] * 5]))
    ages = (40 + 31 + 65 + 22) / 4
    assert values.tolist() == [31 + 100, 31 + 75 + 500 + 0.25, ages + 75 + 500 + 0.25]


def test_a_fraction_in_a_column_of_whole_numbers() -> None:
    background = pd.DataFrame({"rooms": [1, 2], "name": ["x", "y"]})
    game = TabularGame(lambda rows: rows["rooms"], [2.5, "x"], background=background)
    assert game(np.array([[True, True], [False, True]])).tolist() == [2.5, 1.5]


def test_rows_that_repeat_are_evaluated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    background = rng.integers(0, 2, (40, 5)).astype(float)
    asked: list[int] = []

    def model(rows: Any) -> Any:
        asked.append(len(rows))
        assert len(np.unique(rows, axis=0)) == len(rows) or not limited
        return (rows * [1, 2, 3, 4, 5]).sum(axis=1) ** 2

    limited = True
    game = TabularGame(model, background[0], background=background)
    values = game(all_masks(5))
    assert asked[1:] == [2**5]  # 0 and 1 is all that there is
    monkeypatch.setattr(module, "_WORTH_COMPARING", 2.0)
    limited = False
    np.testing.assert_array_equal(game(all_masks(5)), values)
    assert asked[-1] == 31 * 40 + 1


@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1, True, "0", None]), st.sampled_from([0.0, -0.0, 1.5])),
        min_size=2,
        max_size=6,
    ),
    st.integers(0, 15),
)
def test_keys_are_equal_where_rows_are(rows: list[Any], seed: int) -> None:
    pool = np.empty((len(rows), 2), dtype=object)
    pool[:] = rows
    table = Table(pool, ("a", "b"))
    kept = np.random.default_rng(seed).random((3, 2)) < 0.5
    masks, of_row = (part.ravel() for part in np.indices((3, table.n_rows)))
    keys = table.keys(kept, masks, of_row)
    composed = [tuple(map(repr, row)) for row in table.compose(kept[masks], of_row).tolist()]
    assert len(set(keys.tolist())) == len(set(composed))


def test_the_classes_name_the_outputs() -> None:
    table, classes = load_wine(return_X_y=True, as_frame=True)
    names = np.array(["barolo", "grignolino", "barbera"])[classes]
    model = DecisionTreeClassifier(max_depth=3, random_state=0).fit(table, names)
    game = TabularGame(model.predict_proba, table.iloc[0], background=table)
    assert game.outputs == tuple(model.classes_) == ("barbera", "barolo", "grignolino")
    assert described(game)["outputs"] == list(game.outputs)
    assert described(game)["imputation"]["n_background"] == 100
    masks = np.ones((2, 13), dtype=bool)
    masks[1] = False
    assert game(masks).shape == (2, 3)
    for output in ("barolo", 1):
        one = TabularGame(model.predict_proba, table.iloc[0], background=table, output=output)
        np.testing.assert_array_equal(one(masks), game(masks)[:, 1])
        assert one.describe()["score"] == "barolo"
        assert one.describe()["model"] == "DecisionTreeClassifier.predict_proba"
    with pytest.raises(ValueError, match=r"output='barol' is unknown; .*did you mean 'barolo'"):
        TabularGame(model.predict_proba, table.iloc[0], background=table, output="barol")
    named = TabularGame(
        model.predict_proba, table.iloc[0], background=table, outputs=["x", "y", "z"]
    )
    assert named.outputs == ("x", "y", "z")


def test_one_hot_columns_are_one_player() -> None:
    plain = pd.DataFrame(
        {"age": [40, 31, 65], "home_city": ["a", "new_york", "a"], "x_1": [0, 1, 1]}
    )
    background = pd.get_dummies(plain, columns=["home_city"], dtype=int).assign(x_2=[1, 1, 0])
    groups = one_hot(background)
    assert groups == {"home_city": ["home_city_a", "home_city_new_york"]}
    slopes = np.array([0.0, 10.0, 1.0, 5.0, 0.0])
    weights = dict(zip(background.columns, slopes, strict=True))
    game = TabularGame(
        lambda rows: sum(rows[name] * weight for name, weight in weights.items()),
        background.iloc[1],
        background=background,
        groups=groups,
    )
    assert game.players == ("age = 31", "x_1 = 1", "home_city = new_york", "x_2 = 1")
    assert game.features[2].columns == (2, 3)
    assert game.features[2].background == "33% have it"
    only_city = np.array([[False, False, True, False]])
    assert game(only_city)[0] == pytest.approx(10 * 2 / 3 + 5)  # never half of two cities
    pair = TabularGame(
        lambda rows: rows[:, 0], [3.0, 4.0, 5.0], background=np.eye(3), groups={"b": [1, 2]}
    )
    assert pair.players == ("0 = 3", "b = (1 4, 2 5)")


def identity(**changes: Any) -> str | None:
    rows = np.arange(12.0).reshape(4, 3)
    settings = {"row": rows[0], "background": rows, "fingerprint": "m"} | changes
    return TabularGame(lambda x: np.asarray(x)[:, 0], settings.pop("row"), **settings).fingerprint


def test_a_fingerprint_covers_everything() -> None:
    rows = np.arange(12.0).reshape(4, 3)
    assert identity(fingerprint=None) is None
    changes: list[dict[str, Any]] = [
        {},
        {"fingerprint": "n"},
        {"row": rows[1]},
        {"background": rows[:3]},
        {"background": pd.DataFrame(rows)},
        {"background": pd.DataFrame(rows, columns=list("abc")), "row": rows[0].tolist()},
        {"background": rows.astype(np.float32)},
        {"n_background": 2},
        {"n_background": 2, "random_state": 1},
        {"groups": {"g": [0, 1]}},
        {"imputation": "conditional"},
        {"imputation": "conditional", "bandwidth": 0.1},
        {"imputation": "gaussian"},
    ]
    prints = [identity(**change) for change in changes]
    # a row of float64 makes float64 of a background of float32
    assert len(set(prints)) == len(changes) - 1
    assert prints == [identity(**change) for change in changes]


def test_a_store_keeps_the_values(tmp_path: Any) -> None:
    rng = np.random.default_rng(3)
    rows, calls = rng.normal(size=(20, 6)), []

    def model(table: Any) -> Any:
        calls.append(len(table))
        return table[:, 0] * table[:, 1]

    for _ in range(2):
        game = TabularGame(model, rows[0], background=rows, fingerprint="product 1")
        explanation = ip.explain(game, store=tmp_path / "runs.db")
    assert explanation.provenance["budget"]["from_store"] == 64
    assert calls[-1] == 1  # the row itself, by which outputs are counted
    told = explanation.provenance["game"]["description"]
    assert told["features"][0]["columns"] == ["0"]


def test_a_page_shows_features_with_their_values(tmp_path: Any) -> None:
    table, classes = load_wine(return_X_y=True, as_frame=True)
    model = LogisticRegression(max_iter=10_000).fit(table[["alcohol", "hue"]], classes == 0)
    game = TabularGame(
        model.decision_function,
        table[["alcohol", "hue"]].iloc[0],
        background=table[["alcohol", "hue"]],
    )
    page = ip.explain(game).to_html(tmp_path / "a.html").read_text(encoding="utf-8")
    assert "alcohol = 14.23" in page
    assert "LogisticRegression.decision_function" in page


ARRAY = np.zeros((3, 2))
FRAME = pd.DataFrame({"a": [1, 2], "c": pd.Categorical(["x", "y"]), "b": [True, False]})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"predict": "m"}, "predict is a str, which cannot be called; give a function"),
        ({"row": [1.0]}, "background of shape (3, 2) and a row of 1 values do not match"),
        ({"background": ARRAY[:0]}, "background of shape (0, 2)"),
        ({"imputation": "mean"}, "imputation='mean' is unknown; choose one of marginal, cond"),
        ({"bandwidth": 0.1}, "bandwidth=0.1 does not belong to imputation='marginal'"),
        ({"imputation": "conditional", "bandwidth": 0}, "bandwidth=0 is not above 0"),
        ({"n_background": 0}, "n_background=0"),
        ({"groups": {"g": []}}, "the group 'g' is []; give a list of columns"),
        ({"groups": {"g": "01"}}, "the group 'g' is '01'; give a list of columns"),
        ({"groups": {"g": [5]}}, "names the column 5, which there is not; the columns are 0, 1"),
        ({"groups": {"g": [0], "h": [0]}}, "the column 0 is named twice in groups ('g', 'h')"),
        ({"outputs": ["a", "b"]}, "outputs=['a', 'b'] for a model of 1 output; give as many"),
        ({"output": 1}, "output=1 is not one of 0 to 0"),
        ({"predict": lambda rows: ["yes"] * len(rows)}, "give numbers"),
        ({"predict": lambda rows: 1.0}, "have the shape (); (1,) or (1, k) is expected"),
        ({"background": FRAME, "row": {"a": 1}}, "row lacks 'c', 'b' of the background's 3"),
        ({"background": FRAME, "row": [1, "z", True]}, "the row's c is 'z', which the background"),
        ({"background": FRAME, "row": ["one", "x", True]}, "the row's a is 'one', which the back"),
        ({"background": FRAME, "row": [1, "x", 7]}, "the row's b is 7, which the background's"),
        ({"background": FRAME, "row": FRAME}, "row has 2 rows; give one, such as X.iloc[[0]]"),
        ({"background": FRAME, "row": [1]}, "row has 1 values and the background 3 columns"),
        ({"background": FRAME.iloc[:0], "row": [1]}, "the background has 0 rows of 3 columns"),
        (
            {"background": FRAME, "row": [1, "x", True], "imputation": "gaussian"},
            "needs finite numbers, and column 'c' holds others; use imputation=\"conditional\"",
        ),
        (
            {"background": ARRAY[:1], "imputation": "gaussian"},
            "needs two background rows or more; 1 was given",
        ),
    ],
)
def test_what_does_not_fit_is_told(arguments: dict[str, Any], message: str) -> None:
    given_ = {"predict": len_of, "row": [1.0, 2.0], "background": ARRAY} | arguments
    with pytest.raises(ValueError, match=re.escape(message)):
        TabularGame(given_.pop("predict"), given_.pop("row"), **given_)


def len_of(rows: Any) -> Any:
    return np.zeros(len(rows))


def test_the_dtypes_of_pandas_own_keep_their_missing_values() -> None:
    background = pd.DataFrame(
        {
            "rooms": pd.array([1, None, 3, 4], dtype="Int64"),
            "built": pd.date_range("2020-01-01", periods=4, freq="YS"),
            "notes": [["a"], ["b"], None, "x"],
        }
    )

    def model(rows: pd.DataFrame) -> Any:
        assert rows.dtypes.tolist() == background.dtypes.tolist()
        return rows["built"].dt.year + rows["rooms"].fillna(0).astype(float)

    for row in (background.iloc[1], background.iloc[[1]]):
        game = TabularGame(model, row, background=background, fingerprint="m")
        assert game.players[0] == "rooms = missing"
        values = game(np.array([[True] * 3, [False] * 3, [True, False, False]]))
        assert values.tolist() == [2021.0, 2021.5 + 2.0, 2021.5]
        assert game.features[0].background == "median 3, 5 to 95 %: 1.2 to 3.9"
        assert game.fingerprint is not None
