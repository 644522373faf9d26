"""Examples and questions: checked, grouped into players, encoded, and read from files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from interplay.training import (
    Example,
    Question,
    clusters,
    embeddings,
    near_duplicates,
    read_examples,
    read_questions,
)
from interplay.training.finetuning.examples import checked_examples, checked_questions, grouped
from interplay.training.finetuning.rendering import Encoded, encode_examples, encode_questions
from tests.training.finetuning.tiny import EXAMPLES, language_model


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "there are no examples; give at least one"),
        ("text", "examples is 'text'; give a list of Examples"),
        ([Example("a", "b"), Example("a", " ")], "examples[1] ('a') has no response"),
        ([("a", "b")], "examples[0] is ('a', 'b'); give Example(...)"),
        ([Example("a", 3)], "examples[0]: its response is 3; a text is expected"),
        ([Example("a", "b", player=1)], "examples[0]: its player is 1; a text is expected"),
        ([Example("a", "\ud800")], "has a lone surrogate"),
    ],
)
def test_bad_examples_are_named(rows: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        checked_examples(rows)


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        ([], "there are no questions; give at least one"),
        ([Question("a", "")], "questions[0] has an empty answer"),
        ([Question("a", "b", "")], "questions[0] has an empty against"),
        ([Question("a", "b", "b")], "questions[0] ('a') compares 'b' with itself"),
        ([Question("a", "b"), Question("a", "b")], "2 questions have the name 'a → b'"),
        ([Question("a", "b", name="x"), Question("c", "d", name="x")], "have the name 'x'"),
    ],
)
def test_bad_questions_are_named(questions: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        checked_questions(questions)


def test_rows_become_players() -> None:
    rows = (
        Example("a", "1", player="p"),
        Example("b", "2"),
        Example("c", "3", player="p", tag="t"),
        Example("b", "2"),
    )
    by_player = grouped(rows)
    assert by_player.players == ("p", "b → 2 [1]", "b → 2 [3]")  # equal texts are told apart
    assert by_player.owners.tolist() == [0, 1, 0, 2]
    assert by_player.rows(np.array([[True, False, False]])).tolist() == [[True, False, True, False]]
    assert grouped(rows, "tag").players == ("a → 1", "b → 2 [1]", "t", "b → 2 [3]")
    assert grouped(rows, [3, 1, 3, 2]).players == ("1", "2", "3")
    assert grouped(rows, np.array([3, 1, 3, 2])).owners.tolist() == [2, 0, 2, 1]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ("topic", "players='topic' is unknown; give 'player', 'tag', or an id for each row"),
        ([0, 1, 2], "players has 3 ids for 6 examples"),
        ([0, 1, 2, 3, 4, 5, 6], "players has 7 ids for 6 examples"),
        ([0, 0, 0, 0, 0, 0], "all 6 examples belong to one player, '0'"),
        (["a", "", "b", "c", "d", "e"], "players[1] is ''; give each example an id"),
    ],
)
def test_groups_that_are_none_are_refused(ids: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        grouped(EXAMPLES, ids)


def test_an_example_is_one_text_and_its_response_what_follows_the_prompt() -> None:
    _, tokenizer = language_model()
    first, plain = encode_examples(tokenizer, [EXAMPLES[0], EXAMPLES[4]])
    words = [tokenizer.convert_tokens_to_ids(word) for word in ("w1", "w2", "w3")]
    assert first == Encoded(tuple(words), 2)
    assert first.response == (words[2],)
    assert plain.n_prompt == 1  # a plain text is learned from its second token on
    assert len(plain.tokens) == 3
    with pytest.raises(ValueError, match=r"examples\[0\] \('w1'\) has no token to learn"):
        encode_examples(tokenizer, [Example("", "w1")])
    with pytest.raises(ValueError, match="no chat template"):
        encode_examples(tokenizer, [EXAMPLES[0]], chat=True)


def test_a_chat_is_written_by_the_template() -> None:
    from tests.text.tiny import word_tokenizer

    tokenizer = word_tokenizer(framed=False)
    tokenizer.chat_template = (
        "{% for m in messages %}w{{ 30 if m.role == 'user' else 31 }} {{ m.content }} w32 "
        "{% endfor %}{% if add_generation_prompt %}w31 {% endif %}"
    )
    (row,) = encode_examples(tokenizer, [Example("w1", "w2")], chat=True)
    assert tokenizer.decode(row.tokens) == "w30 w1 w32 w31 w2 w32"
    assert tokenizer.decode(row.response) == "w2 w32"  # the end of the turn is learned
    (asked,) = encode_questions(tokenizer, [Question("w1", "w2", "w3")], chat=True)
    assert tokenizer.decode(asked.answer.tokens) == "w30 w1 w32 w31 w2"
    assert asked.against is not None
    assert tokenizer.decode(asked.against.response) == "w3"
    with pytest.raises(ValueError, match=r"examples\[0\] has no prompt, which a chat needs"):
        encode_examples(tokenizer, [Example("", "w2")], chat=True)


def test_an_answer_needs_tokens_of_its_own(smollm: tuple[Any, Any]) -> None:
    _, tokenizer = smollm
    (asked,) = encode_questions(tokenizer, [Question("The capital is", " Paris", " Rome")])
    assert tokenizer.decode(asked.answer.response) == " Paris"
    with pytest.raises(ValueError, match=r"questions\[0\]: the tokenizer merges the end of the"):
        encode_questions(tokenizer, [Question("The capital is ", "Paris")])
    (row,) = encode_examples(tokenizer, [Example("The capital is ", "Paris")])
    assert tokenizer.decode(row.response) == " Paris"  # the merged token is learned
    _, words = language_model()
    with pytest.raises(ValueError, match=r"questions\[0\]: the tokenizer lacks a token"):
        encode_questions(words, [Question("w1", " Paris")])


def test_similar_examples_are_near(smollm: tuple[Any, Any]) -> None:
    texts = ("The capital is", " Rome"), ("Water boils at", " ninety"), ("The capital is", " Rome")
    vectors = embeddings(*smollm, [Example(*text) for text in texts])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0)
    assert near_duplicates(vectors, 0.1).tolist() == [0, 1, 0]
    ids = clusters(vectors, 2).tolist()
    assert ids[0] == ids[2] != ids[1]


def lines(path: Path, *rows: Any) -> Path:
    texts = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


def test_files_of_examples_and_questions(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "train.jsonl",
        {"prompt": "a", "response": " b", "tag": "t", "source": 7, "more": [1]},
        "",
        {"text": "c d"},
    )
    assert read_examples(path) == (Example("a", " b", tag="t"), Example("", "c d"))
    assert [row.player for row in read_examples(path, "source")] == ["7", None]
    table = lines(tmp_path / "train.csv", "prompt,response,source", 'a," b, c",s', "d, e,")
    assert read_examples(table, "source") == (Example("a", " b, c", "s"), Example("d", " e"))
    ask = lines(tmp_path / "ask.jsonl", {"prompt": "a", "answer": " b", "against": " c"})
    assert read_questions(ask) == (Question("a", " b", " c"),)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "line 2 cannot be read: it is not JSON"),
        ('{"prompt": "a", "prompt": "b"}', "line 2 cannot be read: it has 'prompt' twice"),
        ('"a"', "line 2 is 'a'; give"),
        ({"prompt": "a"}, "line 2 has no 'response'; give"),
        ({"prompt": "a", "response": " "}, "line 2 has no response, so nothing to learn"),
        ({"prompt": "a", "response": ["b"]}, "line 2: 'response' is ['b']; a text is expected"),
        ({"prompt": "a", "response": "b", "tag": {}}, "line 2: 'tag' is {}; a text or a number"),
    ],
)
def test_lines_that_are_no_examples_are_named(tmp_path: Path, row: Any, message: str) -> None:
    path = lines(tmp_path / "train.jsonl", {"prompt": "a", "response": "b"}, row)
    with pytest.raises(ValueError, match=re.escape(message)):
        read_examples(path)


def test_files_that_hold_nothing_are_refused(tmp_path: Path) -> None:
    empty = lines(tmp_path / "empty.jsonl", "")
    with pytest.raises(ValueError, match="holds no examples; give one a line"):
        read_examples(empty)
    with pytest.raises(ValueError, match="holds no questions; give one a line"):
        read_questions(empty)
    path = lines(tmp_path / "train.jsonl", {"prompt": "a", "response": "b"})
    with pytest.raises(ValueError, match="has no example with 'topic'; name a key"):
        read_examples(path, "topic")
    with pytest.raises(ValueError, match="line 1 has no 'answer'; give"):
        read_questions(path)
    twice = lines(tmp_path / "ask.jsonl", *2 * [{"prompt": "a", "answer": "b", "name": "x"}])
    with pytest.raises(ValueError, match="2 questions have the name 'x'"):
        read_questions(twice)
    (tmp_path / "latin.jsonl").write_bytes(b'{"prompt": "a", "response": "\xe9"}\n')
    with pytest.raises(ValueError, match="line 1 cannot be read: it is not text in UTF-8"):
        read_examples(tmp_path / "latin.jsonl")
    (tmp_path / "latin.csv").write_bytes(b"prompt,response\na,\xe9\n")
    with pytest.raises(ValueError, match="line 2: not UTF-8"):
        read_examples(tmp_path / "latin.csv")
