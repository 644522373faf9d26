"""Models from files: what is loaded, what is refused, and that nothing runs."""

from __future__ import annotations

import json
import pickle
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from interplay.errors import MissingDependencyError
from interplay.tabular import TabularGame, load_model

TABLE, NUMBERS = load_iris(return_X_y=True, as_frame=True)
CLASSES = load_iris().target_names[NUMBERS]
TREE = "sklearn.tree._tree.Tree"


def skops_file(path: Path, model: Any) -> Path:
    skops = pytest.importorskip("skops.io")
    skops.dump(model, path)
    return path


def test_a_skops_model(tmp_path: Path) -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(TABLE, CLASSES)
    loaded = load_model(skops_file(tmp_path / "iris.skops", model))
    assert loaded.name == "Pipeline.predict_proba"
    assert loaded.columns == tuple(TABLE.columns)
    assert loaded.outputs == ("setosa", "versicolor", "virginica")
    np.testing.assert_array_equal(loaded(TABLE), model.predict_proba(TABLE))
    game = TabularGame(loaded, TABLE.iloc[0], background=TABLE)
    assert game.outputs == loaded.outputs
    assert game.fingerprint is not None
    again = load_model(skops_file(tmp_path / "again.skops", model))
    assert again.fingerprint != load_model(tmp_path / "iris.skops", call="predict").fingerprint
    with pytest.raises(ValueError, match="has no transform; it has predict_proba, decision_fu"):
        load_model(tmp_path / "iris.skops", call="transform")


def test_a_model_of_arrays_is_given_arrays(tmp_path: Path) -> None:
    model = LinearRegression().fit(TABLE.to_numpy(), NUMBERS)
    loaded = load_model(skops_file(tmp_path / "m.skops", model))
    assert (loaded.columns, loaded.outputs) == (None, None)
    np.testing.assert_array_equal(loaded(TABLE), model.predict(TABLE.to_numpy()))


def test_types_that_are_not_trusted_are_listed(tmp_path: Path) -> None:
    model = DecisionTreeClassifier(max_depth=2, random_state=0).fit(TABLE, CLASSES)
    path = skops_file(tmp_path / "tree.skops", model)
    with pytest.raises(ValueError, match=f"types that are not trusted: {re.escape(TREE)};"):
        load_model(path)
    assert load_model(path, trusted=[TREE])(TABLE).shape == (150, 3)
    path = skops_file(tmp_path / "function.skops", FunctionTransformer(json.dumps))
    with pytest.raises(ValueError, match=r"not trusted: json\.dumps;"):
        load_model(path, trusted=[TREE])


class Harmful:
    """A pickle of it writes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["m.pkl", "m.joblib", "m.skops", "m.onnx"])
def test_a_pickle_is_never_loaded(name: str, tmp_path: Path) -> None:
    for package in ("skops", "onnxruntime"):
        pytest.importorskip(package)
    (tmp_path / name).write_bytes(pickle.dumps(Harmful(tmp_path / "harm")))
    with pytest.raises(ValueError, match=r"no \.skops or \.onnx file|that can be read"):
        load_model(tmp_path / name)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("zipmap", [False, True])
def test_an_onnx_model(zipmap: bool, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    skl2onnx = pytest.importorskip("skl2onnx")
    model = LogisticRegression(max_iter=1_000).fit(TABLE.to_numpy(), NUMBERS)
    sample = TABLE.to_numpy()[:1].astype(np.float32)
    onnx = skl2onnx.to_onnx(model, sample, options={"zipmap": zipmap})
    (tmp_path / "m.onnx").write_bytes(onnx.SerializeToString())
    loaded = load_model(tmp_path / "m.onnx")
    expected = model.predict_proba(TABLE.to_numpy())
    np.testing.assert_allclose(loaded(TABLE), expected, atol=1e-5)
    np.testing.assert_allclose(loaded(TABLE.to_numpy()), expected, atol=1e-5)
    assert "prob" in loaded.name
    labels = load_model(tmp_path / "m.onnx", call="label" if not zipmap else "output_label")
    assert labels(TABLE).tolist() == model.predict(TABLE.to_numpy()).tolist()
    with pytest.raises(ValueError, match="call='logits' is unknown; choose one of"):
        load_model(tmp_path / "m.onnx", call="logits")


def test_an_onnx_model_of_named_columns(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    skl2onnx = pytest.importorskip("skl2onnx")
    types = pytest.importorskip("skl2onnx.common.data_types")
    from sklearn.compose import make_column_transformer
    from sklearn.preprocessing import OneHotEncoder

    table = pd.DataFrame({"city": ["a", "b", "a", "c"], "age": [40.0, 31.0, 65.0, 22.0]})
    encoder = make_column_transformer((OneHotEncoder(), ["city"]), remainder="passthrough")
    model = make_pipeline(encoder, LinearRegression()).fit(table, [1.0, 2.0, 3.0, 4.0])
    inputs = [
        ("city", types.StringTensorType([None, 1])),
        ("age", types.FloatTensorType([None, 1])),
    ]
    onnx = skl2onnx.convert_sklearn(model, initial_types=inputs)
    (tmp_path / "m.onnx").write_bytes(onnx.SerializeToString())
    loaded = load_model(tmp_path / "m.onnx")
    assert loaded.columns == ("city", "age")
    game = TabularGame(loaded, table.iloc[0], background=table)
    plain = TabularGame(model.predict, table.iloc[0], background=table)
    masks = np.array([[True, True], [True, False], [False, True], [False, False]])
    np.testing.assert_allclose(game(masks), plain(masks), atol=1e-5)


@pytest.mark.parametrize("package", ["skops", "onnxruntime"])
def test_a_missing_package_is_told(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"m.{package.removesuffix('runtime')}"
    path.write_bytes(b"")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=r'pip install "interplay\[tabular\]"'):
        load_model(path)
