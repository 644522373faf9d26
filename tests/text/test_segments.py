from __future__ import annotations

import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interplay.errors import MissingDependencyError
from interplay.text.prompts.build import mask_prompt
from interplay.text.prompts.languages import detect
from interplay.text.prompts.masking import DELETE, Replace
from interplay.text.prompts.passage import Passage
from interplay.text.prompts.segments import split
from tests.text.boundaries import Marked, counted, marked


def pieces(text: str, by: str, language: str | None = None) -> list[str]:
    return [text[start:stop] for start, stop in split(text, by, language)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The acting is not bad.", ["The", "acting", "is", "not", "bad."]),
        (' "Good," he said -- twice!', ['"Good,"', "he", "said", "--", "twice!"]),
        ("It's a well-made film (2.5 hours)", ["It's", "a", "well-made", "film", "(2.5", "hours)"]),
        ("Müller's café: naïve", ["Müller's", "café:", "naïve"]),
        ("苹果，他", ["苹果，", "他"]),
        ("and/or e.g. this_one", ["and/or", "e.g.", "this_one"]),
        ("one\n\ntwo\tthree", ["one", "two", "three"]),
        ("Venez-vous ? « Oui »", ["Venez-vous ?", "« Oui »"]),
        ("𠮷と😀iPhoneを買う。", ["𠮷", "と😀", "iPhone", "を", "買う。"]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert pieces(text, "word") == words


def test_sentences_survive_abbreviations_and_quotes() -> None:
    text = 'Dr. Smith came at 3 p.m. yesterday.  "Is it done?" he asked. Yes!\n\nA new paragraph.'
    assert pieces(text, "sentence") == [
        "Dr. Smith came at 3 p.m. yesterday.",
        '"Is it done?" he asked.',
        "Yes!",
        "A new paragraph.",
    ]
    assert pieces("今天天气很好。我们去公园吧！", "sentence", "zh") == [
        "今天天气很好。",
        "我们去公园吧！",
    ]


texts = st.text(
    st.sampled_from([*"ab.!?,-\"'() \n\té中文🙂ไทかな…。«»", "\u00a0", "\u200f"]),
    min_size=1,
    max_size=60,
)


@given(text=texts, by=st.sampled_from(["word", "sentence"]), seed=st.integers(0, 99))
def test_round_trip_and_order(text: str, by: str, seed: int) -> None:
    if not text.strip():
        return
    spans = split(text, by)
    assert all(a < b <= c < d for (a, b), (c, d) in pairwise(spans))
    assert all(text[start:stop].strip() == text[start:stop] for start, stop in spans)
    covered = "".join(text[start:stop] for start, stop in spans)
    assert covered.split() == [] or "".join(covered.split()) == "".join(text.split())
    for masking in (DELETE, Replace("...")):
        assert Passage(text, spans, 0).render(np.ones(len(spans), dtype=bool), masking) == text
    mask = np.random.default_rng(seed).random(len(spans)) < 0.5
    left = Passage(text, spans, 0).render(mask)
    kept = "".join(text[a:b] for (a, b), keep in zip(spans, mask, strict=True) if keep)
    assert "".join(left.split()) == "".join(kept.split())


def masked(
    text: str, by: str | list[tuple[int, int]], kept: str, replacement: str | None = None
) -> str:
    mask = np.array([bit == "1" for bit in kept])
    masking = DELETE if replacement is None else Replace(replacement)
    return Passage(text, split(text, by), 0).render(mask, masking)


def test_deletion_joins_what_is_left() -> None:
    assert masked("not bad, but slow", "word", "1011") == "not but slow"
    assert masked("not bad, but slow", "word", "1100") == "not bad,"
    assert masked("not bad, but slow", "word", "0011") == "but slow"
    assert masked("not bad, but slow", "word", "0000") == ""
    assert masked(" a b \n", "word", "10") == " a \n"
    # a paragraph break outlives the sentences beside it
    assert masked("One. Two.\n\nThree. Four.", "sentence", "1001") == "One.\n\nFour."


def test_replacement_keeps_the_places() -> None:
    assert masked("not bad, but slow", "word", "1001", "[...]") == "not [...] [...] slow"


def test_characters_outside_the_spans_are_fixed() -> None:
    text = "Q: is it good? A: yes"
    spans = [(3, 8), (9, 14)]
    assert masked(text, spans, "01") == "Q: good? A: yes"
    assert masked(text, spans, "00") == "Q: A: yes"


def test_bad_texts() -> None:
    with pytest.raises(ValueError, match=r"the text ' \\n' is empty"):
        split(" \n", "word")
    with pytest.raises(ValueError, match="by='letter' is unknown; choose one of token, word"):
        split("a", "letter")
    for spans in ([(0, 2), (1, 3)], [(0, 0)], [(2, 9)], [(2, 3), (0, 1)]):
        with pytest.raises(ValueError, match="empty, out of order, overlapping, or outside"):
            split("abcd", spans)
    with pytest.raises(ValueError, match=r"the span \(1, 3\) holds only white space"):
        split("a  b", [(0, 1), (1, 3)])
    with pytest.raises(ValueError, match="no spans were given"):
        split("abcd", [])


TEXTS = list(marked())


@pytest.mark.parametrize(
    ("held_out", "unit", "missed", "wrong"),
    [
        (False, "sentence", 2, 1),
        (False, "word", 10, 23),
        (True, "sentence", 1, 3),
        (True, "word", 7, 6),
    ],
)
def test_borders_in_ten_languages(held_out: bool, unit: str, missed: int, wrong: int) -> None:
    """What docs/text.md says of texts whose borders are marked; `make bench-segments` prints it."""
    chosen = [entry for entry in TEXTS if (entry.held_out, entry.unit) == (held_out, unit)]
    by_language = counted(chosen, lambda text, unit, language: pieces(text, unit))
    assert len(by_language) == (3 if held_out and unit == "word" else 10)
    assert sum(count["missed"] for count in by_language.values()) <= missed
    assert sum(count["wrong"] for count in by_language.values()) <= wrong
    assert sum(count["right"] for count in by_language.values()) > 3 * (missed + wrong)


def test_borders_are_counted_by_characters_that_show() -> None:
    entry = Marked("en", "word", False, "a b c", ("a", "b c"))
    (count,) = counted([entry], lambda text, unit, language: ["a ", "b", " c"]).values()
    assert count == {"right": 1, "missed": 0, "wrong": 1}


@pytest.mark.parametrize(
    "text", ["ມື້ນີ້ອາກາດດີຫຼາຍ", "ថ្ងៃនេះអាកាសធាតុល្អណាស់", "ဒီနေ့ရာသီဥတုအရမ်းကောင်းတယ်"], ids=["lo", "km", "my"]
)
def test_words_of_other_scripts_without_spaces(text: str) -> None:
    words = pieces(text, "word")
    assert "".join(words) == text
    assert 3 <= len(words) <= 8


def test_words_without_the_dictionaries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "icu4py.breakers", None)
    assert pieces("Ein Wort", "word") == ["Ein", "Wort"]
    with pytest.raises(MissingDependencyError, match=r'package icu4py: pip install "interplay'):
        pieces("今天天气很好", "word")


def test_the_language_is_guessed_and_recorded() -> None:
    assert sum(detect(entry.text) != entry.language for entry in TEXTS) <= 2
    for text, language in [
        ("", "en"),
        ("12 + 30 = 42", "en"),
        ("東京は雨だ。", "ja"),
        ("서울은 비가 온다.", "ko"),
        ("Це моє місто.", "uk"),
        ("این شهر بزرگ است. چرا؟", "fa"),
        ("Γειά σου Κόσμε", "el"),
        ("Il gatto è sul tavolo con la mela.", "it"),
        ("Os meninos não estão em casa.", "pt"),
        ("Het is niet de eerste keer.", "nl"),
        ("Det är inte första gången som jag ser den.", "sv"),
        ("To nie jest pierwszy raz.", "pl"),
    ]:
        assert detect(text) == language, text
    text = "Der Termin mit Hrn. Weber ist am 3. Liegenschaftstag. Er kommt nicht."
    assert len(pieces(text, "sentence")) == 2
    assert len(pieces(text, "sentence", "de")) == 2
    assert len(pieces(text, "sentence", "en")) == 3
    for code, recorded in ((None, "de"), ("en", "en")):
        prompt = mask_prompt(text, language=code)
        assert prompt.language == recorded
        assert prompt.describe()["view"]["language"] == recorded
        assert prompt.n_players == (2 if recorded == "de" else 3)
        coarse = mask_prompt(text, by="paragraph", language=code)
        assert coarse.refined([0], "sentence")[0].n_players == prompt.n_players
        assert coarse.refined([0], "sentence", "en")[0].n_players == 3
    documents = [{"text": "Dr. Weber"}, {"text": "Das ist nicht der erste Fall."}]
    assert mask_prompt(documents).language == "de"
    chat = [{"role": "user", "content": "Das ist nicht der erste Fall."}]
    assert mask_prompt(chat).language == "de"


@pytest.mark.parametrize("language", ["German", "de-DE", "", 3])
def test_what_is_no_code_of_a_language(language: object) -> None:
    with pytest.raises(ValueError, match=r"is no code of a language; give one such as 'en'"):
        split("A text.", "sentence", language)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="is no code of a language"):
        mask_prompt("A text.", by="word", language=language)  # type: ignore[arg-type]


def test_line_breaks_are_not_joined() -> None:
    text = "See the works of Dr.\nSmith was there.\n\nFig.\n\n3 apples."
    assert "3 apples." in pieces(text, "sentence")
    assert pieces("Punkt 1.\n\nTeil zwei.", "sentence", "de") == ["Punkt 1.", "Teil zwei."]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Frau Prof. Weber kommt am 3. Mai um 10 Uhr.", "de"),
        ("Mein Bruder wohnt in Berlin. Er arbeitet als Koch.", "de"),
        ("Mrs. Hill takes aspirin. Mr. Cole no.", "en"),
        ("El Sr. López no vino.", "es"),
        ("O Sr. Silva não veio.", "pt"),
        ("M. Dupont est arrivé.", "fr"),
    ],
)
def test_the_language_of_a_short_text(text: str, language: str) -> None:
    assert detect(text) == language
