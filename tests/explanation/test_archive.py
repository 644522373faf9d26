"""Saved explanations from anybody: what is malformed is one ValueError, what loads can be shown."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rich.console import Console

import interplay as ip
from interplay import plots
from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.cli import tables
from interplay.designs.base import uniform_design
from interplay.explanation import archive as archives
from interplay.explanation import schema
from tests.conftest import replaced

pytestmark = pytest.mark.slow

mpl.use("agg")

Arrays = dict[str, NDArray[Any]]
DOCUMENT = "explanation.json"


class Game(ip.FunctionGame):
    """A game that describes itself, and counts its calls."""

    batch_size = 64

    def __init__(
        self, description: Any = None, n_players: int = 12, scale: float = 1.0, k: int = 0
    ) -> None:
        self.description = {} if description is None else description
        self.n_calls = 0
        self.scale, self.k = scale, k
        super().__init__(self._values, n_players)

    def _values(self, masks: BoolArray) -> FloatArray:
        self.n_calls += 1
        kept = masks.astype(np.float64)
        values = kept[:, 0] * kept[:, 1] - 0.5 * kept[:, 2] + 0.01 * np.sin(7 * kept.sum(axis=1))
        values = self.scale * values
        return values if not self.k else np.stack([values] * self.k, axis=1)

    def arrange(self, masks: BoolArray, /) -> IntArray:
        return np.arange(len(masks))

    def cost(self, masks: BoolArray, /) -> FloatArray:
        return np.ones(len(masks))

    def describe(self) -> Any:
        return self.description


DESCRIPTIONS: dict[str, Json] = {
    "text": {
        "lens": "text",
        "text": "a b c d e f g h i j k l",
        "spans": [[2 * i, 2 * i + 1] for i in range(12)],
        "view": {"kind": "text", "title": "The input"},
        "model": "m",
        "targets": [{"kind": "Response", "text": "x", "score": "logprob"}],
    },
    "components": {
        "lens": "components",
        "view": {"kind": "grid", "title": "The components"},
        "units": [[[i // 4, "head", i % 4]] for i in range(12)],
        "n_heads": [4, 4, 4],
        "scores": ["margin"],
    },
    "training": {
        "lens": "training",
        "view": {"kind": "tiles", "mean_first": True, "table": "relations"},
        "trainer": {"kind": "ridge"},
        "score": "margin",
        "classes": ["a", "b"],
        "rows_by_class": [[1, 0]] * 12,
        "test_points": ["p", "q"],
        "outputs": ["p", "q"],
        "snippets": ["s"] * 12,
    },
}


@cache
def good(lens: str) -> bytes:
    """The bytes of a good file: with deviations, a surrogate and a confirmation."""
    game = Game(DESCRIPTIONS[lens], k=2 if lens == "training" else 0)
    explanation = ip.explain(game, decoder="gp", budget=100, until=0.99, progress=False)
    explanation = replace(
        explanation, confirmation=explanation.confirm(2, budget=250, progress=False)
    )
    buffer = io.BytesIO()
    folder = Path(os.environ.get("TMPDIR", "/tmp"))
    path = explanation.save(folder / f"good-{lens}-{os.getpid()}.interplay")
    buffer.write(path.read_bytes())
    path.unlink()
    return buffer.getvalue()


def parts(lens: str = "text") -> tuple[Json, Arrays]:
    """The document and the arrays of a good file."""
    with zipfile.ZipFile(io.BytesIO(good(lens))) as archive:
        document = json.loads(archive.read(DOCUMENT))
        arrays = {
            name.removesuffix(".npy"): np.load(io.BytesIO(archive.read(name)))
            for name in archive.namelist()
            if name != DOCUMENT
        }
    return document, arrays


def npy(array: NDArray[Any], pickle: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=pickle)
    return buffer.getvalue()


def pack(
    path: Path,
    document: Any,
    arrays: Arrays,
    stored: dict[str, bytes] | None = None,
    **more: bytes,
) -> Path:
    """Write a file as anybody could: nothing is checked.

    ``more`` replaces or adds arrays; ``stored`` replaces members, which are not compressed.
    """
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    members = {DOCUMENT: text} | {f"{name}.npy": npy(array, True) for name, array in arrays.items()}
    members |= {f"{name}.npy": contents for name, contents in more.items()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, contents in members.items():
            if name not in (stored or {}):
                archive.writestr(name, contents)
        for name, contents in (stored or {}).items():
            archive.writestr(name, contents, zipfile.ZIP_STORED)
    return path


def edited(document: Json, at: str, value: Any) -> Json:
    """A copy of a document with one entry replaced; ``...`` removes it."""
    document = json.loads(json.dumps(document))
    *path, last = (int(key) if key.isdigit() else key for key in at.split("."))
    entry: Any = document
    for key in path:
        entry = entry[key]
    if value is ...:
        del entry[last]
    else:
        entry[last] = value
    return document


def show_all(explanation: ip.Explanation, folder: Path) -> None:
    """Everything that shows an explanation."""
    for index in ("FSII", "BII", "Moebius", "SV"):
        len(str(explanation.interactions(index)))
    explanation.predict(explanation.held_out.masks)
    explanation.surrogate_r2  # noqa: B018
    explanation.to_html(folder / "page.html")
    explanation.to_json(folder / "page.json")
    explanation.to_markdown(folder / "page.md")
    explanation._repr_html_()
    with console_to(io.StringIO()):
        tables.print_explanation(explanation, "FSII", 3, 5)
    from matplotlib import pyplot

    plots.bars(explanation, min_order=1)
    plots.energy(explanation)
    plots.faithfulness(explanation)
    pyplot.close("all")
    description = explanation.provenance["game"]["description"]
    if "units" in description:
        ip.components.structure(explanation)
    if description.get("rows_by_class"):
        ip.training.relations(explanation)
    explanation.save(folder / "again.interplay")


@contextmanager
def console_to(file: io.StringIO) -> Iterator[None]:
    before = tables.console
    tables.console = Console(file=file, width=120)
    try:
        yield
    finally:
        tables.console = before


@pytest.mark.parametrize("lens", DESCRIPTIONS)
def test_a_good_file_loads_and_can_be_shown(lens: str, tmp_path: Path) -> None:
    path = tmp_path / "good.interplay"
    path.write_bytes(good(lens))
    explanation = ip.load(path)
    show_all(explanation, tmp_path)
    again = ip.load(tmp_path / "again.interplay")
    assert again.provenance == explanation.provenance
    assert again.confirmation == explanation.confirmation
    np.testing.assert_array_equal(again.spectrum.coefficients, explanation.spectrum.coefficients)
    np.testing.assert_array_equal(again.fit.values, explanation.fit.values)
    again.fit.values[0] = 1.0  # what was loaded may be changed


# --- malformed documents ------------------------------------------------------------------------

GAME = "provenance.game"
TOLD = f"{GAME}.description"
TESTED = "confirmation.tested.0"
WRONG_ENTRIES: list[tuple[str, Any, str]] = [
    ("format", 2, "it has format 2, but this version"),
    ("format", True, "it has format True"),
    ("format", ..., "it has no 'format'"),
    ("n_players", 13, "players has 12 names; 13 are expected"),
    ("n_players", "12", "n_players is '12'; a whole number is expected"),
    ("n_players", 0, "n_players is 0; at least 1 is expected"),
    ("n_players", 1e3, "n_players is 1000.0; a whole number is expected"),
    ("players", "abcdefghijkl", "players is 'abcdefghijkl'; a list is expected"),
    ("players.3", 3, r"players\[3\] is 3; text is expected"),
    ("players.3", None, r"players\[3\] is None; text is expected"),
    ("players.3", "a\ud800", "lone surrogate"),
    ("more", 1, "the document has 'more'"),
    ("faithfulness", ..., "no 'faithfulness', which is expected"),
    ("faithfulness", [], r"faithfulness is \[\]; an object is expected"),
    ("faithfulness.r2", "1", "faithfulness.r2 is '1'; a number is expected"),
    ("faithfulness.r2", True, "faithfulness.r2 is True; a number is expected"),
    ("faithfulness.r2", None, "faithfulness.r2 is null; a number is expected"),
    ("faithfulness.level", 95, "faithfulness.level is 95"),
    ("faithfulness.by_output", [1.0, 1.0], "has 2 scores; 1 are expected"),
    ("faithfulness.by_output", {}, "a list is expected"),
    ("faithfulness.n_masks", 11, "held_masks.npy: it has 48 masks; 11 are expected"),
    ("faithfulness.exact", 0, "faithfulness.exact is 0; true or false is expected"),
    ("provenance", ..., "no 'provenance'"),
    ("provenance.created", 3, "provenance.created is 3; text is expected"),
    ("provenance.versions", {"python": 3}, "provenance.versions.python is 3; text"),
    ("provenance.seconds.total", "1", "provenance.seconds.total is '1'; a number"),
    ("provenance.seconds", ..., "provenance has no 'seconds'"),
    ("provenance.budget.spent", -1, "provenance.budget.spent is -1; at least 0"),
    ("provenance.budget.spent", 1.5, "provenance.budget.spent is 1.5; a whole number"),
    ("provenance.budget.interrupted", None, "interrupted is None; true or false"),
    ("provenance.decoder.settings", None, "settings is None; an object"),
    ("provenance.decoder.settings.order", "5", "order is '5'; a whole number"),
    ("provenance.decoder.diagnosis", [1], r"diagnosis is \[1\]; an object"),
    ("provenance.decoder.diagnosis.summary", 1, "summary is 1; text"),
    ("provenance.decoder.diagnosis.cv_r2", {"a": 1}, "cv_r2 is .*; a number or a list or null"),
    ("provenance.until.steps", [{"ablations": 3}], r"steps\[0\] has no 'cv_r2'"),
    ("provenance.until", 3, "provenance.until is 3; an object"),
    ("provenance.random_state", -3, "random_state is -3"),
    ("provenance.random_state", "0", "random_state is '0'"),
    ("provenance.request.options", [], r"options is \[\]; an object"),
    (f"{GAME}.fingerprint", 3, "fingerprint is 3; text"),
    (f"{GAME}.n_players", 11, "n_players is 11; 12 is expected"),
    (f"{GAME}.n_outputs", 3, "has 1 scores; 3 are expected"),
    (f"{GAME}.n_outputs", 1, r"coefficients.npy: its shape is \(\d+,\)"),
    (f"{GAME}.description", None, "description is None; an object"),
    (f"{TOLD}.lens", 3, "lens is 3; text"),
    (f"{TOLD}.view", "text", "view is 'text'; an object"),
    (f"{TOLD}.text", ..., "has 'spans' but no 'text'"),
    (f"{TOLD}.text", "short", r"spans\[3\] is \[6, 7\]; a span within the text of 5"),
    (f"{TOLD}.spans", [[0, 1]], "spans has 1 entries; 12 are expected"),
    (f"{TOLD}.spans.3", [6, "7"], r"spans\[3\]\[1\] is '7'"),
    (f"{TOLD}.spans.3", [6, 7, 8], r"spans\[3\] is \[6, 7, 8\]; a list of 2"),
    (f"{TOLD}.targets", "x", "targets is 'x'; a list"),
    (f"{TOLD}.targets", [3], r"targets\[0\] is 3; an object"),
    (f"{TOLD}.outputs", [3], r"outputs\[0\] is 3; text"),
    (f"{TOLD}.scores", [3], r"scores\[0\] is 3; text"),
    (f"{TOLD}.trainer", "sgd", "trainer is 'sgd'; an object"),
    (f"{TOLD}.snippets", ["a"], "snippets has 1 entries; 12"),
    (f"{TOLD}.units", [[[0, "head"]]] * 12, r"units\[0\]\[0\] is .*; a list of 3"),
    (f"{TOLD}.units", [[[0, "head", 0]]] * 12, "has 'units' but no 'n_heads'"),
    (f"{TOLD}.rows_by_class", [[1]] * 12, "has 'rows_by_class' but no 'score'"),
    ("confirmation", [], r"confirmation is \[\]; an object"),
    ("confirmation.more", 1, "confirmation has 'more'; only"),
    ("confirmation.output", 1, "confirmation.output is 1"),
    ("confirmation.measure", "keep:2", "confirmation.measure is 'keep:2'"),
    ("confirmation.level", "x", "confirmation.level is 'x'; a number"),
    (f"{TESTED}.players", [0, 99], "numbers of players from 0 to 11 are expected"),
    (f"{TESTED}.players", [1, 0], "ascending numbers of players"),
    (f"{TESTED}.players", [], "ascending numbers of players"),
    (f"{TESTED}.labels", ["a"], "labels has 1 entries; 2 are expected"),
    (f"{TESTED}.verdict", "perfect", "verdict is 'perfect'; one of 'holds'"),
    (f"{TESTED}.low", None, "low is None; a number"),
    (f"{TESTED}.removed", 3, "removed is 3; an object"),
    (f"{TESTED}.removed.alone", [1.0], "removed.alone has 1 entries; 2"),
    (f"{TESTED}.measured", ..., "no 'measured'"),
]


@pytest.mark.parametrize(("at", "value", "told"), WRONG_ENTRIES)
def test_a_malformed_document_is_one_error(at: str, value: Any, told: str, tmp_path: Path) -> None:
    document, arrays = parts()
    path = pack(tmp_path / "bad.interplay", edited(document, at, value), arrays)
    with pytest.raises(ValueError, match=told) as raised:
        ip.load(path)
    assert str(raised.value).startswith(f"{path} is not a saved explanation: ")
    assert ".json: " in str(raised.value) or ".npy: " in str(raised.value)
    assert len(str(raised.value)) < 700


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff\xfe", "not text in UTF-8"),
        (b"[]", "it has no 'format'"),
        (b'"format"', "it has no 'format'"),
        (b"null", "it has no 'format'"),
        (b"[" * 200_000, "more than 64 levels"),
        (b'{"format": 1, "a": ' + b"[" * 500 + b"]" * 500 + b"}", "more than 64 levels"),
        (b'{"format": NaN}', "it has NaN; only finite numbers"),
        (b'{"format": -Infinity}', "it has -Infinity"),
        (b'{"format": 1e999}', "it has '1e999'"),
        (b'{"format": ' + b"1" * 5000 + b"}", "a number of 5000 digits"),
        (b'{"format": 1, "format": 1}', "it has 'format' twice in one object"),
        (b'{"format": 1, "a": "\\udc00"}', "lone surrogate"),
        (b'{"format": 1, "\\udc00": 1}', "lone surrogate"),
        (b"[" + b"{}," * 5_000_000 + b"{}]", "values; at most 4,000,000"),
        (b'"' + b"a" * (33 << 20) + b'"', r"it has 34,603,010 bytes; at most 33,554,432"),
    ],
)
def test_malformed_json_is_one_error(text: bytes, told: str, tmp_path: Path) -> None:
    path = pack(tmp_path / "bad.interplay", text, parts()[1])
    with pytest.raises(ValueError, match=rf"explanation\.json: .*{told}"):
        ip.load(path)


def test_a_score_that_is_not_known_loads(tmp_path: Path) -> None:
    explanation = ip.explain(ip.FunctionGame(lambda m: np.ones(len(m)), 3), progress=False)
    again = ip.load(explanation.save(tmp_path / "a.interplay"))
    assert again.faithfulness.known is False
    show_all(again, tmp_path)


def test_older_files_load(tmp_path: Path) -> None:
    """Entries that older versions did not record, and a description without a view."""
    document, arrays = parts()
    for at in ("provenance.request", "provenance.ablations", "provenance.until", "confirmation"):
        document = edited(document, at, ...)
    document = edited(document, f"{TOLD}.view", ...)
    explanation = ip.load(pack(tmp_path / "old.interplay", document, arrays))
    show_all(explanation, tmp_path)


# --- malformed arrays ---------------------------------------------------------------------------


def header(shape: str, descr: str = "'<f8'", version: bytes = b"\x01\x00") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text


def with_number(array: NDArray[Any], number: float) -> NDArray[Any]:
    array = array.copy()
    array.flat[-1] = number
    return array


WRONG_ARRAYS: dict[str, tuple[Callable[[Arrays], Any], str]] = {
    "coefficients": (lambda a: a["coefficients"][:-1], r"coefficients.npy: its shape is"),
    "coefficients nan": (lambda a: with_number(a["coefficients"], np.nan), "it has nan; finite"),
    "coefficients inf": (lambda a: with_number(a["coefficients"], -np.inf), "it has -inf; finite"),
    "coefficients huge": (
        lambda a: with_number(a["coefficients"], 1e154),
        r"it has 1e\+154; finite",
    ),
    "fit_values nan": (
        lambda a: with_number(a["fit_values"], np.nan),
        "fit_values.npy: it has nan",
    ),
    "fit_values huge": (
        lambda a: with_number(a["fit_values"], -2e150),
        "fit_values.npy: it has -2e",
    ),
    "held_values inf": (lambda a: with_number(a["held_values"], np.inf), "held_values.npy: .* inf"),
    "deviations nan": (
        lambda a: with_number(a["deviations"], np.nan),
        "deviations.npy: it has nan",
    ),
    "surrogate_coefficients nan": (
        lambda a: with_number(a["surrogate_coefficients"], np.nan),
        "surrogate_coefficients.npy: it has nan",
    ),
    "coefficients type": (lambda a: a["coefficients"].astype("<f4"), "of type '<f4'; <f8 is"),
    "coefficients integers": (lambda a: a["coefficients"].astype("<i8"), "of type '<i8'; <f8"),
    "coefficients order": (lambda a: a["coefficients"].astype(">f8"), "no header of a plain array"),
    "coefficients complex": (lambda a: a["coefficients"].astype("<c16"), "no header of a plain"),
    "coefficients objects": (lambda a: a["coefficients"].astype(object), "no header of a plain"),
    "coefficients sides": (lambda a: a["coefficients"][:, None], "coefficients.npy: its shape"),
    "coefficients scalar": (lambda a: np.array(1.0), "no header of a plain array"),
    "supports": (lambda a: a["supports"][:, :1], r"supports.npy: its shape is \(\d+, 1\)"),
    "supports flat": (lambda a: a["supports"].ravel(), "supports.npy: its shape"),
    "supports twice": (lambda a: a["supports"][[0, *range(len(a["supports"]) - 1)]], "there twice"),
    "supports bits": (lambda a: a["supports"] | np.uint8(16), "a player above 11"),
    "surrogate_supports bits": (lambda a: a["surrogate_supports"] | np.uint8(128), "above 11"),
    "fit_masks bits": (lambda a: a["fit_masks"] | np.uint8(32), "fit_masks.npy: .* above 11"),
    "fit_masks": (lambda a: a["fit_masks"][:5], "fit_values.npy: its shape"),
    "held_masks": (lambda a: a["held_masks"][:0], "held_values.npy: its shape"),
    "held_masks bits": (lambda a: a["held_masks"] | np.uint8(64), "held_masks.npy: .* above 11"),
    "deviations": (lambda a: a["deviations"][1:], "deviations.npy: its shape"),
    "deviations empty": (lambda a: a["deviations"][:, :0], "no side of length 0"),
    "deviations flat": (lambda a: a["deviations"].ravel(), "deviations.npy: its shape"),
    "fit_values raw": (lambda a: b"", "fit_values.npy: it has no header"),
    "fit_values junk": (lambda a: b"junk" * 99, "fit_values.npy: it has no header"),
    "fit_values pickle": (
        lambda a: npy(np.array([{"a": 1}], dtype=object), True),
        "fit_values.npy: it has no header",
    ),
    "fit_values shape": (lambda a: header("(100000000000, 1000000000)"), "fit_values.npy: its sh"),
    "fit_values digits": (lambda a: header("(" + "9" * 400 + ",)"), "has no header"),
    "fit_values negative": (lambda a: header("(-1,)"), "has no header"),
    "fit_values code": (lambda a: header("(__import__('os').getpid(),)"), "has no header"),
    "fit_values deep": (lambda a: header("(" * 400), "has no header"),
    "fit_values version": (lambda a: header("(3,)", version=b"\x03\x00"), "has no header"),
    "fit_values void": (lambda a: header("(3,)", descr="[('a', '<f8')]"), "has no header"),
    "fit_values short": (
        lambda a: npy(a["fit_values"])[:-1],
        "has .* bytes, but an array of shape",
    ),
    "fit_values long": (lambda a: npy(a["fit_values"]) + b"0", "has .* bytes, but an array"),
}


@pytest.mark.parametrize("case", WRONG_ARRAYS)
def test_a_malformed_array_is_one_error(case: str, tmp_path: Path) -> None:
    name, (make, told) = case.split()[0], WRONG_ARRAYS[case]
    document, arrays = parts()
    array = make(arrays)
    path = pack(
        tmp_path / "bad.interplay",
        document,
        arrays,
        **{name: array if isinstance(array, bytes) else npy(array, True)},
    )
    with pytest.raises(ValueError, match=told) as raised:
        ip.load(path)
    assert str(raised.value).startswith(f"{path} is not a saved explanation: ")
    assert ".npy: " in str(raised.value)


@pytest.mark.parametrize("name", [*list(schema.ARRAYS)[:6], "surrogate_supports"])
def test_a_missing_array_is_told(name: str, tmp_path: Path) -> None:
    document, arrays = parts()
    del arrays[name]
    with pytest.raises(ValueError, match=rf"it has no {name}\.npy|one array of the surrogate"):
        ip.load(pack(tmp_path / "bad.interplay", document, arrays))


def test_rows_in_the_order_of_fortran_load(tmp_path: Path) -> None:
    document, arrays = parts("training")
    expected = arrays["fit_values"]
    arrays["fit_values"] = np.asfortranarray(expected)
    loaded = ip.load(pack(tmp_path / "a.interplay", document, arrays))
    np.testing.assert_array_equal(loaded.fit.values, expected)


def test_a_set_of_very_many_players_is_refused(tmp_path: Path) -> None:
    """Its subsets would fill the memory, and its weights are beyond the largest number."""
    n_players = 2000
    document, arrays = parts()
    document = edited(document, TOLD, {"lens": None})
    document = edited(document, f"{GAME}.n_players", n_players) | {
        "n_players": n_players,
        "players": list(map(str, range(n_players))),
    }
    del document["confirmation"]
    for name in ("supports", "fit_masks", "held_masks", "surrogate_supports"):
        wide = np.zeros((len(arrays[name]), n_players // 8), dtype=np.uint8)
        wide[:, : arrays[name].shape[1]] = arrays[name]
        arrays[name] = wide
    ip.load(pack(tmp_path / "wide.interplay", document, arrays))
    arrays["supports"][-1] = 255
    with pytest.raises(ValueError, match="a set has 2000 players; at most 64"):
        ip.load(pack(tmp_path / "bad.interplay", document, arrays))


# --- malformed archives -------------------------------------------------------------------------


def test_members_that_nobody_expects_are_refused(tmp_path: Path) -> None:
    document, arrays = parts()
    for name in ("../../evil.npy", "evil.npy", "/etc/passwd", "a" * 3000, "\x1b[31mred"):
        path = tmp_path / "bad.interplay"
        pack(path, document, arrays)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(name, b"x")
        with pytest.raises(ValueError, match=r"it has a member|it lists 14 members") as raised:
            ip.load(path)
        assert "\x1b" not in str(raised.value)
        assert len(str(raised.value)) < 700


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    document, arrays = parts()
    del arrays["deviations"]
    path = pack(tmp_path / "bad.interplay", document, arrays)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(DOCUMENT, json.dumps(document))
    with pytest.raises(ValueError, match=r"two members explanation\.json; one is expected"):
        ip.load(path)


def test_other_archives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.interplay"
    contents = good("text")
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(70_000):
            archive.writestr(str(number), b"")
    with pytest.raises(ValueError, match=r"with an extension; a plain one|it lists"):
        ip.load(path)
    document, _ = parts()
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with zipfile.ZipFile(path, "w", method) as archive:
            archive.writestr(DOCUMENT, json.dumps(document))
        with pytest.raises(ValueError, match="encrypted or compressed in another way"):
            ip.load(path)
    for end in (0, 10, 1000, len(contents) // 2, len(contents) - 1):
        path.write_bytes(contents[:end])
        with pytest.raises(ValueError, match="is not a saved explanation: "):
            ip.load(path)
    path.write_bytes(contents + b"0")
    with pytest.raises(ValueError, match="does not end as a zip archive"):
        ip.load(path)


def test_a_folder_and_a_pipe_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a regular file"):
        ip.load(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="not a regular file"):
        ip.load(tmp_path / "pipe")
    with pytest.raises(ValueError, match="not a regular file"):
        ip.load("/dev/zero")


def bomb(path: Path, member: str, megabytes: int) -> Path:
    """A good file but for one member, which is so many megabytes of zeros, and says so."""
    document, arrays = parts()
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    last = zlib.compressobj(9, zlib.DEFLATED, -15).flush()
    pack(path, document, arrays, stored={member: block * megabytes + last})
    contents = bytearray(path.read_bytes())
    at = directory(bytes(contents), member)
    local = int.from_bytes(contents[at + 42 : at + 46], "little")
    for start, method, size in ((local, 8, 22), (at, 10, 24)):
        contents[start + method : start + method + 2] = (8).to_bytes(2, "little")
        contents[start + size : start + size + 4] = (megabytes << 20).to_bytes(4, "little")
    path.write_bytes(bytes(contents))
    return path


BOMB = """
import resource, sys, time
import interplay as ip
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
started = time.perf_counter()
try:
    ip.load(sys.argv[1])
except ValueError as error:
    print(error)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(time.perf_counter() - started, (after - before) / 1024)
"""


@pytest.mark.parametrize("member", ["coefficients.npy", DOCUMENT])
def test_a_bomb_is_refused_at_once(member: str, tmp_path: Path) -> None:
    path = bomb(tmp_path / "bomb.interplay", member, 3 << 10)
    assert path.stat().st_size < 4 << 20
    run = subprocess.run(
        [sys.executable, "-c", BOMB, str(path)], capture_output=True, text=True, check=True
    )
    told, numbers = run.stdout.strip().splitlines()
    assert f"{member}: it has 3,221,225,472 bytes; at most " in told
    seconds, megabytes = map(float, numbers.split())
    assert seconds < 2.0
    assert megabytes < 30


def test_what_shrinks_too_well_is_refused(tmp_path: Path) -> None:
    path = bomb(tmp_path / "bomb.interplay", "fit_values.npy", 100)
    with pytest.raises(ValueError, match=r"fit_values\.npy: it expands .* at most 100 times"):
        ip.load(path)


def test_members_that_are_large_together_are_refused() -> None:
    """Each of them is within its limit, and so is how much it shrinks."""
    sizes = dict.fromkeys(("coefficients", "fit_values"), archives.LARGEST_MEMBER)
    with pytest.raises(ValueError, match=r"members have 2,147,483,648 bytes in all; at most"):
        archives._check_sizes(sizes)


def directory(contents: bytes, name: str) -> int:
    """Where the directory of an archive has the entry of a member."""
    at = contents.index(b"PK\x01\x02")
    while contents[at + 46 : at + 46 + len(name)] != name.encode():
        at = contents.index(b"PK\x01\x02", at + 1)
    return at


@pytest.mark.parametrize(("offset", "size"), [(20, 4), (24, 4), (10, 2), (8, 2), (42, 4), (16, 4)])
@pytest.mark.parametrize("value", [0, 1, 7, 1 << 12, (1 << 32) - 1])
def test_an_archive_that_lies_about_a_member_is_refused(
    offset: int, size: int, value: int, tmp_path: Path
) -> None:
    """Its sizes, its method, its flags, its place or its checksum are not what they are."""
    contents = bytearray(good("text"))
    at = directory(bytes(contents), "fit_values.npy") + offset
    told = (value % (1 << 8 * size)).to_bytes(size, "little")
    if contents[at : at + size] == told:
        return
    contents[at : at + size] = told
    path = tmp_path / "bad.interplay"
    path.write_bytes(bytes(contents))
    load_and_show(path, tmp_path)  # flags may mean nothing here


def test_the_extension_for_huge_archives_is_refused(tmp_path: Path) -> None:
    contents = good("text")
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1)
    path = tmp_path / "bad.interplay"
    path.write_bytes(contents[:-22] + locator + contents[-22:])
    with pytest.raises(ValueError, match="with an extension; a plain one is expected"):
        ip.load(path)


# --- fuzz ---------------------------------------------------------------------------------------

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None), max_size=5)
    | st.sampled_from([10**400, 1e308, -0.0, 5e-324, "\ud800", "\x1b[31m", "$x$", "[red]", "", []])
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


_DEEPEST = 7


def places(entry: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the entries of a document are."""
    yield at
    if len(at) == _DEEPEST:
        return
    if isinstance(entry, dict):
        for key, member in entry.items():
            yield from places(member, (*at, key))
    elif isinstance(entry, list):
        for number, member in enumerate(entry[:3]):
            yield from places(member, (*at, number))


def mutate(draw: Callable[[Any], Any], document: Json) -> Any:
    """Drop, replace, retype, wrap, double or rename an entry of a document."""
    at = draw(st.sampled_from(sorted(places(document), key=str)))
    if not at:
        return draw(values)
    *path, last = at
    entry: Any = document
    for key in path:
        entry = entry[key]
    how = draw(st.sampled_from(["drop", "replace", "retype", "wrap", "double", "add"]))
    if how == "drop":
        del entry[last]
    elif how == "replace":
        entry[last] = draw(values)
    elif how == "retype":
        entry[last] = draw(st.sampled_from([str, repr, lambda old: [old], lambda old: {"a": old}]))(
            entry[last]
        )
    elif how == "wrap":
        for _ in range(draw(st.sampled_from([1, 70, 2000]))):
            entry[last] = [entry[last]]
    elif how == "double" and isinstance(entry[last], list):
        entry[last] = entry[last] * 2
    elif isinstance(entry[last], dict):
        entry[last][draw(st.text(max_size=3))] = draw(values)
    return document


def mutate_array(draw: Callable[[Any], Any], array: NDArray[Any]) -> bytes:
    """Change the type, the shape, the numbers or the bytes of an array."""
    how = draw(st.sampled_from(["number", "type", "shape", "rows", "bytes", "header"]))
    if how == "number" and array.size:
        array = array.copy()
        at = draw(st.integers(0, array.size - 1))
        number = draw(st.floats(width=64) | st.sampled_from([1e150, -1e153, 5e-324]))
        with np.errstate(all="ignore"):
            array.flat[at] = draw(st.integers(0, 255)) if array.dtype == np.uint8 else number
    elif how == "type":
        kind = draw(st.sampled_from(["<f4", "<f8", ">f8", "|u1", "<i8", "|b1", "<U3", "<M8[s]"]))
        with np.errstate(all="ignore"):
            array = np.zeros(array.shape, kind)
    elif how == "shape":
        array = draw(
            st.sampled_from([array.ravel(), array[None], array[..., None], array.T, array[:0]])
        )
    elif how == "rows" and len(array):
        rows = draw(st.lists(st.integers(0, len(array) - 1), max_size=4))
        array = array[rows]
    contents = npy(np.ascontiguousarray(array) if array.ndim else array)
    if how == "bytes":
        at = draw(st.integers(0, len(contents) - 1))
        contents = contents[:at] + draw(st.binary(max_size=4)) + contents[at + 2 :]
    if how == "header":
        sides = draw(st.lists(st.integers(-1, 1 << 70), max_size=3))
        contents = header(str(tuple(sides))) + contents[128:]
    return contents


@settings(max_examples=120)
@given(st.data())
def test_nothing_but_a_value_error_comes_of_a_changed_file(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    draw = data.draw
    folder = shared_folder(tmp_path_factory)
    document, arrays = parts(draw(st.sampled_from(sorted(DESCRIPTIONS))))
    more: dict[str, bytes] = {}
    if draw(st.booleans()):
        for _ in range(draw(st.integers(1, 2))):
            if isinstance(document, dict):
                document = mutate(draw, document)
    else:
        name = draw(st.sampled_from(sorted(arrays)))
        if draw(st.booleans()):
            more[name] = mutate_array(draw, arrays[name])
        else:
            del arrays[name]
    try:
        text = json.dumps(document).encode()
    except (RecursionError, ValueError):
        text = b"[" * 5000
    path = pack(folder / "fuzzed.interplay", text, arrays, **more)
    load_and_show(path, folder)


@settings(max_examples=150)
@given(st.data())
def test_nothing_but_a_value_error_comes_of_changed_bytes(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = shared_folder(tmp_path_factory)
    contents = bytearray(good("text"))
    first = contents.index(b"PK\x01\x02")
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(contents) - 1) | st.integers(first, len(contents) - 1))
        contents[at] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del contents[data.draw(st.integers(0, len(contents))) :]
    path = folder / "bytes.interplay"
    path.write_bytes(bytes(contents))
    load_and_show(path, folder)


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    folder = factory.getbasetemp() / "fuzz"
    folder.mkdir(exist_ok=True)
    return folder


def load_and_show(path: Path, folder: Path) -> None:
    """Load a file and show it, or be told in one error what is wrong with it."""
    refusal = None
    try:
        explanation = ip.load(path)
    except ValueError as error:
        refusal = str(error)
    if refusal is None:
        show_all(explanation, folder)
    else:
        assert refusal.startswith(f"{path} is not a saved explanation: ")
        assert refusal.isprintable()


# --- writing ------------------------------------------------------------------------------------


def test_an_old_file_stays_if_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.interplay"
    path.write_bytes(good("text"))
    explanation = ip.load(path)

    class Full(zipfile.ZipFile):
        def writestr(self, name: Any, data: Any, *args: Any, **kwargs: Any) -> None:
            if name == "held_values.npy":
                raise OSError(28, "No space left on device")
            super().writestr(name, data, *args, **kwargs)

    monkeypatch.setattr(archives, "zipfile", replaced(zipfile, ZipFile=Full))
    with pytest.raises(OSError, match="No space left"):
        explanation.save(path)
    assert path.read_bytes() == good("text")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.interplay"]


def test_nothing_is_left_where_a_file_cannot_be_put(tmp_path: Path) -> None:
    path = tmp_path / "a.interplay"
    path.write_bytes(good("text"))
    explanation = ip.load(path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=r"[Dd]irectory"):
        explanation.save(tmp_path / "folder")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.interplay", "folder"]


def test_what_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "a.interplay"
    path.write_bytes(good("text"))
    explanation = ip.load(path)
    for wrong, told in (
        (replace(explanation, provenance=explanation.provenance | {"created": np.nan}), "JSON"),
        (replace(explanation, provenance=explanation.provenance | {"created": 3}), "created is 3"),
        (replace(explanation, players=explanation.players[:-1]), "players has 11 names"),
        (replace(explanation, spectrum=explanation.spectrum * 1e155), "coefficients.npy: it has"),
    ):
        with pytest.raises(ValueError, match=f"cannot be written: .*{told}"):
            wrong.save(tmp_path / "new.interplay")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.interplay"]


@pytest.mark.parametrize("scale", [1e148, 1e29, 1e20, 1e-40, 1e-150, 1e-310])
def test_deviations_of_any_size_are_saved(scale: float, tmp_path: Path) -> None:
    explanation = ip.explain(Game(scale=scale), decoder="gp", budget=100, progress=False)
    again = ip.load(explanation.save(tmp_path / "a.interplay"))
    old, new = explanation.spectrum.deviations, again.spectrum.deviations
    if old is not None and len(explanation.spectrum):
        assert new is not None
        np.testing.assert_allclose(new, old, rtol=1e-6, atol=1e-7 * float(np.abs(old).max()))
    show_all(again, tmp_path)


# --- what cannot be saved is told before the first ablation -------------------------------------


class Loop(dict[str, Any]):
    """JSON that never ends."""

    def __init__(self) -> None:
        super().__init__()
        self["self"] = self


def deep() -> list[Any]:
    nested: list[Any] = []
    for _ in range(5000):
        nested = [nested]
    return nested


@pytest.mark.parametrize(
    ("description", "told"),
    [
        ({"array": np.ones(3)}, "is not JSON"),
        ({"a": np.nan}, "is not JSON"),
        ({"a": b"bytes"}, "is not JSON"),
        ({"a": {1, 2}}, "is not JSON"),
        ({("a", "b"): 1}, "is not JSON"),
        (Loop(), "is not JSON"),
        ({"a": deep()}, "is not JSON|cannot be saved: it has more than 64 levels"),
        ([], "is not JSON: .* is not a dict"),
        ("text", "is not JSON: .* is not a dict"),
        ({"a": "\ud800"}, "cannot be saved: the text .* lone surrogate"),
        ({1: "a", "1": "b"}, "cannot be saved: it has '1' twice"),
        ({"lens": 3}, "lens is 3; text is expected"),
        ({"spans": [[0, 1]], "text": "a"}, "spans has 1 entries; 12 are expected"),
        ({"classes": 3}, "classes is 3; a list is expected"),
        ({"outputs": "score"}, "outputs is 'score'; a list is expected"),
        ({"view": "text"}, "view is 'text'; an object is expected"),
        ({"targets": ["x"]}, r"targets\[0\] is 'x'; an object is expected"),
    ],
)
def test_a_description_that_cannot_be_saved_is_told_first(description: Any, told: str) -> None:
    game = Game(description)
    with pytest.raises(ValueError, match=rf"describe\(\) of .*{told}"):
        ip.explain(game, budget=100, progress=False)
    assert game.n_calls == 0


class Named(Game):
    """A game that names its players as it likes."""

    def __init__(self, players: Any) -> None:
        super().__init__()
        self.players = players


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (b"x", "players.3. is b'x', which is not text"),
        (None, "players.3. is None, which is not text"),
        (1.5, "players.3. is 1.5, which is not text"),
        (True, "players.3. is True, which is not text"),
        (("a",), "which is not text"),
        ("half \ud83d", "lone surrogate"),
    ],
)
def test_a_name_that_cannot_be_saved_is_told_first(name: Any, told: str) -> None:
    names: list[Any] = list("abcdefghijkl")
    names[3] = name
    game = Named(names)
    with pytest.raises(ValueError, match=told):
        ip.explain(game, budget=100, progress=False)
    assert game.n_calls == 0
    with pytest.raises(ValueError, match=told):
        ip.FunctionGame(lambda masks: masks[:, 0], 12, players=names)


def test_a_seed_that_cannot_be_saved_is_told_first(tmp_path: Path) -> None:
    game = Game()
    with pytest.raises(ValueError, match="random_state has 1001 bits; give a seed of at most 512"):
        ip.explain(game, budget=100, random_state=1 << 1000, progress=False)
    assert game.n_calls == 0
    explanation = ip.explain(game, budget=100, random_state=1 << 500, progress=False)
    again = ip.load(explanation.save(tmp_path / "a.interplay"))
    assert again.provenance["random_state"] == 1 << 500


def test_numbers_are_names() -> None:
    game = ip.FunctionGame(lambda m: m[:, 0], 3, players=np.arange(3))  # type: ignore[arg-type]
    assert game.players == ("0", "1", "2")


def test_values_that_would_overflow_are_told_with_the_first_of_them() -> None:
    game = Game(scale=1e307)
    with pytest.raises(ip.GameError, match=r"values must be finite numbers of at most 1e\+150"):
        ip.explain(game, budget=100, progress=False)
    assert game.n_calls == 1
    masks = uniform_design(20, 5, np.random.default_rng(0)).masks
    with pytest.raises(ValueError, match="of at most"):
        ip.decode(masks, np.full(20, 1e308))


def test_what_a_decoder_says_is_saved_whatever_it_is() -> None:
    from interplay._types import plain

    given_by_decoder = {
        "cv_r2": [np.float64(np.nan), 0.5],
        "array": np.arange(3),
        "flag": np.bool_(True),
        3: (1, np.int64(2)),
        "half": "\ud800",
        "other": {1},
    }
    made = plain(given_by_decoder)
    assert made["cv_r2"] == [None, 0.5]
    assert made["3"] == [1, 2]
    assert made["array"] == [0, 1, 2]
    assert made["half"] == "\ufffd"
    assert json.loads(json.dumps(made, allow_nan=False)) == made


def test_fewer_names_of_outputs_than_outputs_do_no_harm(tmp_path: Path) -> None:
    explanation = ip.explain(Game({"outputs": ["one"]}, k=2), budget=100, progress=False)
    again = ip.load(explanation.save(tmp_path / "a.interplay"))
    assert again.outputs == ("0", "1")
    show_all(again, tmp_path)


def test_masks_that_would_be_large_in_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the file eight entries are one byte, and equal ones take hardly any."""
    path = pack(tmp_path / "a.interplay", *parts())
    ip.load(path)
    monkeypatch.setattr("interplay.explanation.schema.LARGEST_UNPACKED", 100)
    with pytest.raises(ValueError, match=r"fit_masks\.npy: .* masks of 12 players have more than"):
        ip.load(path)
