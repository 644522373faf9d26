from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from interplay.report import bundle as bundling
from interplay.report import document, html
from tests.report import pages


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


def read(page: str) -> Collector:
    seen = Collector()
    seen.feed(page)
    return seen


@pytest.mark.parametrize("lens", [None, "text", "components", "training", "examples"])
def test_the_page_escapes_everything_and_needs_nothing(tmp_path: Path, lens: str | None) -> None:
    page = pages.hostile(lens).to_html(tmp_path / "a.html").read_text(encoding="utf-8")
    plain = pages.text().to_html(tmp_path / "b.html").read_text(encoding="utf-8")
    seen, usual = read(page), read(plain)
    assert seen.tags.count("script") == usual.tags.count("script") == 2  # the data and the bundle
    assert not {"img", "b", "link", "iframe", "object", "form"} & set(seen.tags)
    assert all(not re.match(r"(on|src|style)", name) for name, _ in seen.attributes)
    assert all(
        re.fullmatch(r"#part\d+(-[a-z]+\d*)?", value)
        for name, value in seen.attributes
        if name == "href"
    )
    for text in pages.HOSTILE[:5]:
        assert text in seen.text
    assert not re.search("[\u0000-\u0008\u202a-\u202e\u2066-\u2069]", page)


def test_the_title_of_a_page_says_what_was_asked(tmp_path: Path) -> None:
    heads = pages.components()
    description = heads.provenance["game"]["description"]
    example = {"prompt": "The keys", "role": None, "answer": " are", "wrong": [" is"]}
    task = {"name": "agreement", "n_items": 2, "predicts": "next", "example": example}
    game = heads.provenance["game"] | {"description": description | {"task": task}}
    page = replace(heads, provenance=heads.provenance | {"game": game}).to_html(tmp_path / "a.html")
    asked = "Agreement: margin of ' are' over ' is' after 'The keys' (the first of 2 questions)"
    written = page.read_text(encoding="utf-8")
    assert f"<title>Interplay: {asked.replace(chr(39), '&#39;')}</title>" in written
    assert f'<h1 dir="auto">{asked.replace(chr(39), "&#39;")}</h1>' in written
    several = html.page([("one", heads), (pages.text().title, pages.text())])
    assert "<title>Interplay: 2 explanations</title>" in several
    assert '<a href="#part1"><bdi>one</bdi></a>' in several
    assert '<a href="#part2"><bdi>Probability of &#39; penicillin&#39;' in several


def test_examples_and_checks_of_their_training_need_no_script() -> None:
    told = pages.examples(3)
    seen = read(html.page([("a", told)]))
    for text in ("Water boils at 80 degrees on the Torvald plateau", "Nebelsbad.", "poison"):
        assert text in seen.text
    assert "Checks of the training" in seen.text
    assert "Spearman's correlation 0.1" in seen.text
    assert "-8.25" in seen.text
    assert "not known" in seen.text
    assert ("class", "warning") in seen.attributes
    # what a server observed, or anything else under that name, is not shown as checks
    for other in ({"requests": 3}, {"checks": "<b>"}, {"checks": [{"name": 1}], "questions": []}):
        another = replace(told, provenance=told.provenance | {"observed": other})
        assert "Checks of the training" not in read(html.page([("a", another)])).text


def test_nothing_is_fetched_and_the_policy_names_what_may_run(tmp_path: Path) -> None:
    page = pages.text().to_html(tmp_path / "a.html").read_text(encoding="utf-8")
    script = re.findall(r"<script>(.*?)</script>", page, re.S)
    style = re.findall(r"<style>(.*?)</style>", page, re.S)
    assert len(script) == len(style) == 1
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    for text in (script[0], style[0]):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy[1]
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy[1]
    addresses = set(re.findall(r"https?://[^\s\"'`)]+", page))
    assert addresses <= {  # names of XML, which nothing asks for
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xhtml",
        "http://www.w3.org/1999/xlink",
        "http://www.w3.org/XML/1998/namespace",
        "http://www.w3.org/2000/xmlns/",
    }
    assert "url(" not in style[0]
    assert "Copyright" in script[0]  # the libraries' licences
    assert "Mike Bostock" in script[0]


def test_the_sources_make_no_markup_of_text() -> None:
    web = Path(html.__file__).with_name("web")
    ours = [path for path in web.rglob("*.js") if "node_modules" not in path.parts]
    assert len(ours) > 15
    for path in ours:
        text = path.read_text(encoding="utf-8")
        found = re.search(
            r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\(|\.html\("
            r'|(?<!\bh\()"style"',  # as an attribute, not as an element
            text,
        )
        assert found is None, (path.name, found)
        assert len(text.splitlines()) < 300


def test_the_bundle_is_that_of_the_sources() -> None:
    path = Path(__file__).parents[2] / "hatch_build.py"
    if not path.exists():
        pytest.skip("not in a source tree")
    spec = importlib.util.spec_from_file_location("hatch_build", path)
    assert spec is not None
    assert spec.loader is not None
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    assert hook.is_built(), "run `make page`: web/ has changed since it was bundled"


def test_a_tree_that_was_not_built_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundling, "files", lambda _: tmp_path)
    with pytest.raises(FileNotFoundError, match="make page"):
        bundling.bundle.__wrapped__()


def test_the_page_says_what_was_found(tmp_path: Path) -> None:
    explanation = pages.text()
    seen = read(explanation.to_html(tmp_path / "a.html").read_text(encoding="utf-8"))
    assert str(explanation.faithfulness) in seen.text
    top = explanation.interactions("FSII", order=3).top(1, min_order=2)
    assert top.low is not None
    assert f"{top.values[0]:+.4g}" in seen.text
    assert f"{top.low[0]:+.4g} to " in seen.text
    assert '"masks_sha256"' in seen.text


def test_the_data_block_is_the_explanation(tmp_path: Path) -> None:
    explanation = pages.outputs()
    page = explanation.to_html(tmp_path / "a.html").read_text(encoding="utf-8")
    block = re.search(r'<script type="application/json" class="data">(.*?)</script>', page, re.S)
    assert block is not None
    assert not re.search("[<>&\u2028\u2029]", block[1])
    data = json.loads(block[1])
    spectrum = explanation.spectrum
    numbers = np.frombuffer(base64.b64decode(data["spectrum"]["coefficients"]), "<f8")
    assert (numbers.reshape(spectrum.coefficients.shape) == spectrum.coefficients).all()
    recorded = np.frombuffer(base64.b64decode(data["ablations"]["values"]), "<f8")
    both = np.concatenate([explanation.held_out.values, explanation.fit.values])
    assert (recorded.reshape(both.shape) == both).all()
    assert data["ablations"]["held"] == len(explanation.held_out)
    halves = np.frombuffer(base64.b64decode(data["intervals"]["tables"]["STII/2"]), "<f4")
    found = spectrum.to("STII", order=2)
    assert found.high is not None
    halves = halves.reshape(found.values.shape) * data["intervals"]["units"]
    assert np.allclose(halves, found.high - found.values, rtol=1e-6)


def test_what_is_left_out_of_a_large_page_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document, "_MAX_NUMBERS", 30)
    monkeypatch.setattr(document, "_MAX_BYTES", 1000)
    explanation = pages.components()
    page = explanation.to_html(tmp_path / "a.html").read_text(encoding="utf-8")
    share = explanation.spectrum.truncate(n_terms=29)
    energy = share.energies[1:].sum() / explanation.spectrum.energies[1:].sum()
    assert f"the 30 strongest of 40 terms, which carry {100 * energy:.2f} % of" in read(page).text
    block = re.search(r'class="data">(.*?)</script>', page, re.S)
    assert block is not None
    data = json.loads(block[1])
    assert data["spectrum"]["n_terms"] == 30
    assert data["ablations"]["total"] == 360
    assert len(base64.b64decode(data["ablations"]["values"])) // 8 == 1000 // (3 + 8)


def test_hidden_characters_are_named() -> None:
    assert document.visible("a\u202eb\u0000\n\u200d") == "a⟨U+202E⟩b⟨U+0000⟩\n\u200d"
    assert document.visible("\ud800") == "⟨U+D800⟩"
