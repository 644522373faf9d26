"""Models from files that run no code: skops (checked types) and ONNX. Never a pickle."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from interplay._types import FloatArray
from interplay.errors import MissingDependencyError
from interplay.extensions import unknown
from interplay.tabular.features import text_of

CALLS = ("predict_proba", "decision_function", "predict")
"""What a model can be asked, the first that it has by default."""
_EXTRA = "tabular"
_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}
"""The types of an ONNX model's inputs."""


@dataclass(frozen=True, eq=False)
class FileModel:
    """A model from a file: a function of rows. :func:`load_model` makes one.

    Attributes:
        name: what the model is, and what of it is called; not its file, which may move.
        columns: the names of the columns that it takes, in their order; ``None``: it knows none.
        outputs: the names of its outputs; ``None``: it has one, or does not name them.
        fingerprint: the file's hash, and what of it is called.
    """

    name: str
    columns: tuple[str, ...] | None
    outputs: tuple[str, ...] | None
    fingerprint: str
    _call: Callable[[Any], Any]

    def __call__(self, rows: Any) -> FloatArray:
        """The predictions for rows, a ``DataFrame`` or an array: ``(r,)`` or ``(r, k)``."""
        return np.asarray(self._call(rows))


def load_model(
    path: str | Path, *, call: str | None = None, trusted: Sequence[str] = ()
) -> FileModel:
    """Load a model from a ``.skops`` or an ``.onnx`` file.

    A skops file names the types that it is made of. Those that skops itself trusts are loaded: most
    of scikit-learn, NumPy and SciPy. Others could run code, and are refused unless they are named;
    for skops, scikit-learn's trees (``sklearn.tree._tree.Tree``) are among them, since a damaged
    one reads memory that is not its own. ONNX files hold no code; those with weights in other files
    are refused.

    Args:
        path: the file.
        call: what of the model is called: ``"predict_proba"``, ``"decision_function"`` or
            ``"predict"``; by default the first that it has. Of an ONNX model the name of the output
            that is read; by default that of the probabilities, or else the last.
        trusted: types of a skops file that you trust beyond those, by their full names.

    Raises:
        ValueError: another kind of file, one that cannot be read, a type that is not trusted, or
            nothing of that name to call.
        MissingDependencyError: skops or onnxruntime is not installed.
    """
    path = Path(path)
    if path.suffix not in (".skops", ".onnx"):
        raise ValueError(
            f"{path} is no .skops or .onnx file; write the model with skops.io.dump, or convert it "
            "to ONNX (a pickle can run code, and is never loaded)"
        )
    data = path.read_bytes()
    if path.suffix == ".skops":
        return _from_skops(path, data, call, trusted)
    return _from_onnx(path, data, call)


def _from_skops(path: Path, data: bytes, call: str | None, trusted: Sequence[str]) -> FileModel:
    try:
        from skops import io
    except ImportError as error:
        raise MissingDependencyError("skops", _EXTRA, f"reading {path.name}") from error
    try:
        types = io.get_untrusted_types(data=data)
    except Exception as error:  # of whatever is in the file
        raise ValueError(f"{path} is no skops file that can be read: {error}") from error
    refused = sorted(set(types) - set(trusted))
    if refused:
        raise ValueError(
            f"{path} is made of types that are not trusted: {', '.join(refused)}; loading them can "
            "run code of whoever wrote them. If you trust these, name each one "
            "(trusted=[...], --trust-type NAME)"
        )
    try:
        model = io.loads(data, trusted=list(types))
    except Exception as error:
        raise ValueError(f"{path} is no skops file that can be read: {error}") from error
    names = [call] if call else [name for name in CALLS if hasattr(model, name)]
    if not names or names[0] not in CALLS or not hasattr(model, names[0]):
        has = [name for name in CALLS if hasattr(model, name)]
        raise ValueError(
            f"{path} holds a {type(model).__name__}, which has no "
            f"{call or ' or '.join(CALLS)}; it has {', '.join(has) or 'none of these'}"
        )
    columns = getattr(model, "feature_names_in_", None)
    asked = getattr(model, names[0])
    classes = getattr(model, "classes_", ())
    # of two classes, decision_function gives one number
    named = names[0] == "predict_proba" or (names[0] == "decision_function" and len(classes) > 2)
    return FileModel(
        f"{type(model).__name__}.{names[0]}",
        None if columns is None else tuple(map(str, columns)),
        tuple(map(text_of, classes)) if named and len(classes) else None,
        _fingerprint(data, names[0]),
        (lambda rows: asked(_values(rows))) if columns is None else asked,
    )


def onnx_session(path: str | Path, data: bytes, extra: str, task: str) -> Any:
    """An ONNX model that can be called, with one thread.

    Args:
        path: its file, for messages.
        data: what is in it.
        extra: the extra that onnxruntime comes with.
        task: what it is for.

    Raises:
        ValueError: it is none.
        MissingDependencyError: onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependencyError("onnxruntime", extra, task) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        # from bytes: weights in other files are not looked for
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ValueError(f"{path} is no ONNX model that can be read: {error}") from error


def _from_onnx(path: Path, data: bytes, call: str | None) -> FileModel:
    session = onnx_session(path, data, _EXTRA, f"reading {path.name}")
    names = [output.name for output in session.get_outputs()]
    likely = [name for name in names if "prob" in name.lower()]
    chosen = call or (likely or names)[-1]
    if chosen not in names:
        raise unknown("call", chosen, names)
    inputs = session.get_inputs()
    for entry in inputs:
        if entry.type not in _TYPES:
            raise ValueError(
                f"{path}: the input {entry.name!r} is a {entry.type}; known are {', '.join(_TYPES)}"
            )
    one_table = len(inputs) == 1

    def ask(rows: Any) -> Any:
        if one_table:
            fed = {inputs[0].name: _values(rows).astype(_TYPES[inputs[0].type])}
        else:
            fed = {
                entry.name: _column(rows, entry.name, place).astype(_TYPES[entry.type])[:, None]
                for place, entry in enumerate(inputs)
            }
        (answer,) = session.run([chosen], fed)
        return _table_of(answer)

    columns = None if one_table else tuple(entry.name for entry in inputs)
    return FileModel(f"ONNX model, {chosen}", columns, None, _fingerprint(data, chosen), ask)


def _table_of(answer: Any) -> Any:
    """An ONNX model's answer as an array: some give a dict of classes for each row."""
    if isinstance(answer, list) and answer and isinstance(answer[0], dict):
        return np.array([list(entry.values()) for entry in answer])
    return answer


def _values(rows: Any) -> Any:
    """Rows without their names."""
    return rows if isinstance(rows, np.ndarray) else rows.to_numpy()


def _column(rows: Any, name: str, place: int) -> Any:
    return rows[:, place] if isinstance(rows, np.ndarray) else rows[name].to_numpy()


def _fingerprint(data: bytes, call: str) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}:{call}"
