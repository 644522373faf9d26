from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interplay.text.prompts.masking import DELETE, Passage, Replace
from interplay.text.prompts.segments import split


def pieces(text: str, by: str, language: str = "en") -> list[str]:
    return [text[start:stop] for start, stop in split(text, by, language)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The acting is not bad.", ["The", "acting", "is", "not", "bad."]),
        (' "Good," he said -- twice!', ['"Good,"', "he", "said", "--", "twice!"]),
        ("It's a well-made film (2.5 hours)", ["It's", "a", "well-made", "film", "(2.5", "hours)"]),
        ("Müller's café: naïve", ["Müller's", "café:", "naïve"]),
        ("苹果，他", ["苹", "果，", "他"]),
        ("and/or e.g. this_one", ["and/or", "e.g.", "this_one"]),
        ("one\n\ntwo\tthree", ["one", "two", "three"]),
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
    st.sampled_from([*"ab.!?,-\"'() \n\té中文🙂", "\u00a0", "\u200f"]),
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
