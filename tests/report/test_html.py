from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np

import interplay as ip
from interplay._types import BoolArray, FloatArray, Json

HOSTILE = ['<script>alert("x")</script>', "a & b", "<img src=x onerror=alert(1)>", "'\"><b>"]


class HostileText:
    """What a TextGame describes, with a text full of markup."""

    text = " ".join(HOSTILE)
    fingerprint = "hostile"
    batch_size = 16

    @property
    def spans(self) -> list[tuple[int, int]]:
        spans = []
        at = 0
        for piece in HOSTILE:
            spans.append((at, at + len(piece)))
            at += len(piece) + 1
        return spans

    @property
    def players(self) -> list[str]:
        return HOSTILE

    @property
    def n_players(self) -> int:
        return len(HOSTILE)

    def __call__(self, masks: BoolArray, /) -> FloatArray:
        return masks[:, 0] * 1.0 + 2.0 * (masks[:, 1] & masks[:, 2]) - masks[:, 3]

    def cost(self, masks: BoolArray, /) -> FloatArray:
        return np.ones(len(masks))

    def describe(self) -> Json:
        return {
            "lens": "text",
            "model": "</title><script>1</script>",
            "targets": [{"kind": "Response", "text": "<i>"}],
            "template": "<u>{text}</u>",
            "text": self.text,
            "spans": [list(span) for span in self.spans],
        }


class Collector(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_escapes_everything_and_needs_nothing(tmp_path: Path) -> None:
    explanation = ip.explain(HostileText())
    page = explanation.to_html(tmp_path / "a.html").read_text(encoding="utf-8")
    seen = Collector()
    seen.feed(page)
    assert not {"script", "img", "b", "iu", "link", "iframe"} & (set(seen.tags) - {"i"})
    assert all(not re.match(r"(on|src|href)", name) for name, _ in seen.attributes)
    for piece in HOSTILE:
        assert piece in seen.text
    assert "default-src 'none'" in page
    assert "http://" not in page
    assert "https://" not in page


def test_the_page_says_what_was_found(tmp_path: Path) -> None:
    explanation = ip.explain(HostileText())
    seen = Collector()
    seen.feed(explanation.to_html(tmp_path / "a.html").read_text(encoding="utf-8"))
    assert str(explanation.faithfulness) in seen.text
    assert explanation.interactions("FSII", 3).top(1, min_order=2).sets == [(1, 2)]
    assert "+2" in seen.text
    assert '"masks_sha256"' in seen.text
