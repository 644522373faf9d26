"""The worked pages in docs/toolkits run, and print what they say.

The Python blocks of a page run one after another in one namespace, in an empty folder. A block that
is followed by one marked ``text`` prints that, up to the last digits of its numbers.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from interplay.errors import MissingDependencyError

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "toolkits").glob("*.md"))
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def assert_prints(shown: str, printed: str) -> None:
    """Words equal, but for the width of blanks; numbers within a hundredth or 0.02."""
    assert _words(printed) == _words(shown), printed
    for number, expected in zip(NUMBER.findall(printed), NUMBER.findall(shown), strict=True):
        assert float(number) == pytest.approx(float(expected), rel=0.01, abs=0.02), printed


def _words(text: str) -> list[str]:
    return re.sub(r"([\[\]])", r" \1 ", NUMBER.sub("0", text)).split()  # as "[0.1 ]" and "[0.12]"


# inseq leaves a file open when it is imported
@pytest.mark.filterwarnings("ignore:Exception ignored:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.model
@pytest.mark.slow
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_runs_and_prints_what_it_says(
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    try:
        import_module(f"interplay.toolkits.{path.stem}")
    except MissingDependencyError as error:
        pytest.skip(str(error))
    import matplotlib as mpl

    mpl.use("Agg")
    monkeypatch.chdir(tmp_path)
    text, names = path.read_text(encoding="utf-8"), dict[str, Any](__name__="page")
    blocks = re.finditer(r"^```(python|text)\n(.*?)^```$", text, re.M | re.S)
    printed = ""
    for block in blocks:
        if block[1] == "text":
            assert_prints(block[2], printed)
            continue
        code = compile("\n" * text[: block.start(2)].count("\n") + block[2], path, "exec")
        capsys.readouterr()
        try:
            exec(code, names)
        except MissingDependencyError as error:  # a page of several packages
            pytest.skip(str(error))
        printed = capsys.readouterr().out
