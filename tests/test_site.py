"""The documentation site: it builds without a warning, needs no network, and its tutorials run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import interplay as ip
from tests.toolkits.test_pages import assert_prints

ROOT = Path(__file__).parents[1]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.ipynb"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it, but elsewhere: ten seconds of CPU time."""
    pytest.importorskip("mkdocs", reason="needs mkdocs: pip install 'interplay[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr  # strict: a warning fails
    return folder


@pytest.mark.slow
def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 50
    loaded = re.compile(r"<(?:script|img|iframe|source)[^>]*\ssrc=\"([^\"]+)|<link[^>]*>", re.S)
    for page in pages:
        for element in loaded.finditer(page.read_text(encoding="utf-8")):
            is_loaded = element[1] or re.search(r'rel="(?:stylesheet|icon|preload)"', element[0])
            assert not (is_loaded and re.search(r"[\"']?https?://", element[0])), (page, element[0])
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import )[\"']?https?:", sheet.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_the_site_has_the_pages_that_are_made(site: Path) -> None:
    """Of notebooks, recorded explanations, docstrings, commands and the changelog."""
    for made, words in {
        "tutorials/heads.html": "stands in for the others",
        "gallery/handover.html": "penicillin",
        "reference/interplay.html": "confirm",
        "reference/command-line.html": "--fail-under",
        "changelog.html": "Unreleased",
    }.items():
        assert words in (site / made).read_text(encoding="utf-8"), made
    reference = (site / "reference" / "interplay.html").read_text(encoding="utf-8")
    for name in ip.__all__:
        assert f">{name}</span>" in reference or not callable(getattr(ip, name)), name
    assert "&gt;&gt;&gt;" in reference  # examples
    assert ":meth:" not in reference


def test_the_spelling() -> None:
    pytest.importorskip("codespell_lib", reason="needs codespell: pip install 'interplay[docs]'")
    files = [ROOT / f"{name}.md" for name in ("README", "CHANGELOG", "CONTRIBUTING", "SECURITY")]
    command = [sys.executable, "-m", "codespell_lib", *map(str, files), str(ROOT / "docs")]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_prints_what_it_shows(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, smollm: tuple[Any, Any]
) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    monkeypatch.syspath_prepend(ROOT / "docs" / "site")
    monkeypatch.setattr(ip.text, "load_model", lambda *_, **__: smollm)
    monkeypatch.chdir(tmp_path)
    import notebooks

    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell, outputs in notebooks.run(notebook, path.name):
        assert_prints(notebooks.printed(cell["outputs"]), notebooks.printed(outputs))
        drawn = ["data" in output for output in cell["outputs"]]
        assert drawn == ["data" in output for output in outputs]
