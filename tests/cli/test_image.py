"""``interplay image``: a run, its audit, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import interplay as ip
from tests.cli.running import run
from tests.images.test_classifiers import written

PHOTO = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An image, a model whose classes are the mean colours, and their names."""
    Image.fromarray(PHOTO).save(tmp_path / "photo.png")
    written(tmp_path / "model.onnx", ["b", 3, 30, 40])
    (tmp_path / "classes.txt").write_text("red\ngreen\nblue\n", encoding="utf-8")
    return tmp_path


def given(folder: Path, *more: Any) -> tuple[Any, ...]:
    files = ("--model", folder / "model.onnx", "--labels", folder / "classes.txt")
    plain = ("--mean", 0, "--std", 255, "--out", folder / "out")
    return ("image", folder / "photo.png", *files, *plain, *more)


def test_a_run_and_its_audit(folder: Path) -> None:
    options = given(folder, "--target", "red", "--against", "blue", "--grid", "2x3")
    assert "6 regions, 2 × 3 grid; ONNX model, red - blue; fill mean" in run(*options)
    explanation = ip.load(folder / "out" / "explanation.interplay")
    assert explanation.faithfulness.exact
    assert explanation.players[4] == "row 2, column 2"
    means = PHOTO.mean(axis=(0, 1)) / 255
    whole = float(explanation.predict(np.ones((1, 6), dtype=bool))[0])
    assert whole == pytest.approx(means[0] - means[2], abs=1e-5)
    assert "data:image/jpeg;base64," in (folder / "out" / "explanation.html").read_text("utf-8")
    assert "(0 evaluated, 64 from the store)" in run(*options)
    assert "MATCH (" in run("verify", folder / "out")
    Image.fromarray(PHOTO[::-1]).save(folder / "out" / "inputs" / "image-photo.png")
    assert "MISMATCH (" in run("verify", folder / "out", code=1)


def test_superpixels_and_what_is_refused(folder: Path) -> None:
    said = run(*given(folder, "--superpixels", 6, "--fill", "blur", "--score", "logprob"))
    assert "superpixel; ONNX model," in said
    for more, words in (
        (("--grid", "4"), "not of the form 4x4"),
        (("--fill", "grey"), "--fill"),
        (("--target", "pink"), "pink"),
        (("--std", 1), "--std was given 2 times"),
    ):
        assert words in " ".join(run(*given(folder, *more), code=2).split())
