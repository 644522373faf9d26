"""Characters that matplotlib's own font lacks come from another one, or a warning says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager

import interplay as ip
from interplay import plots
from interplay.plots import fonts
from tests.plots.test_plots import Review

mpl.use("Agg")
WORDS = ("这部", "电影", "很好", "ไทย", "film", "देश", "$x$", "أهلا")
CHARACTERS = frozenset("这部电影很好ไทยदेश")


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    fonts._further.cache_clear()
    yield
    fonts._further.cache_clear()
    from matplotlib import pyplot

    pyplot.close("all")


@pytest.fixture
def explanation() -> ip.Explanation:
    return ip.explain(Review(words=WORDS), budget=256, progress=False)


def font(path: Path, name: str, characters: str) -> str:
    """Write a font with a square for each character."""
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for corner in ((100, 700), (700, 700), (700, 0)):
        pen.lineTo(corner)
    pen.closePath()
    glyphs = {".notdef": pen.glyph()} | {f"u{ord(c):X}": pen.glyph() for c in characters}
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(list(glyphs))
    builder.setupCharacterMap({ord(c): f"u{ord(c):X}" for c in characters})
    builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (800, 100)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": name, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)
    return str(path)


def test_other_fonts_give_what_the_first_lacks(
    explanation: ip.Explanation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = (
        font(tmp_path / "one.ttf", "Interplay One", "这部电影很"),
        font(tmp_path / "none.ttf", "Interplay None", "ж"),
        font(tmp_path / "two.ttf", "Interplay Two", "很好ไทยदेश"),
    )
    monkeypatch.setattr(fonts, "_candidates", lambda: paths)
    before = list(font_manager.fontManager.ttflist)
    default = list(mpl.rcParams["font.family"])
    try:
        assert fonts.families(["film", "Zoë Жук"]) == default
        assert fonts.families(["电影"]) == [*default, "Interplay One"]
        assert fonts.families(["电影", "ไทย\u200b"]) == [*default, "Interplay One", "Interplay Two"]
        for name in ("bars", "text", "network", "upset"):
            plot = getattr(plots, name)(explanation)  # a warning would be an error here
            figure = getattr(plot, "figure", plot)
            figure.savefig(tmp_path / f"{name}.png")
            drawn = [
                text
                for text in figure.findobj(mpl.text.Text)
                if text.get_visible() and "电" in text.get_text()
            ]
            assert drawn
            assert all("Interplay One" in text.get_fontfamily() for text in drawn)
    finally:
        font_manager.fontManager.ttflist[:] = before


def test_what_no_font_has_is_said(
    explanation: ip.Explanation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fonts, "_candidates", lambda: ())
    told = (
        r"no font of this machine has these characters, which will show as boxes: CJK \(.\), "
        r"Devanagari \(.\), Thai \(.\); install one, such as by `apt install fonts-noto-cjk "
        r"fonts-noto-core`"
    )
    for _ in range(2):  # each time
        with pytest.warns(UserWarning, match=told):
            assert fonts.families(CHARACTERS) == mpl.rcParams["font.family"]
    with pytest.warns(UserWarning, match="as boxes: CJK"):
        plots.bars(explanation)


def test_fonts_of_boxes_are_none_and_unreadable_ones_have_nothing(tmp_path: Path) -> None:
    assert not any("lastresort" in Path(path).stem.lower() for path in fonts._candidates())
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"no font")
    assert fonts._characters(str(broken)) == frozenset()
    assert fonts._characters(str(tmp_path / "absent.ttf")) == frozenset()
