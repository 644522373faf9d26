"""Rows of fields as prompts: templates, players and their roles, and rows that are wrong."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import interplay as ip
from interplay.text import Response, from_rows, from_samples, read_rows
from interplay.text.filled import fill, filled
from interplay.text.prompts.build import mask_prompt
from tests.cli.running import run
from tests.text.test_samples import choices, line

ROW: dict[str, Any] = {
    "docs": [{"id": "faq", "text": "It opens. At nine."}, {"text": "It is old."}],
    "who": " Ann ",
    "year": 1999,
}


def stand_in(text: str, target: Any, by: Any, **settings: Any) -> ip.FunctionGame:
    """The number of characters of what is left, read off the rendered prompt."""
    masked = mask_prompt(text, by=by, **settings)
    return ip.FunctionGame(
        lambda masks: np.array([float(len(masked.render(mask))) for mask in masks]),
        masked.n_players,
        players=masked.players,
        fingerprint=f"length of {text!r} {masked.spans}",
    )


def test_a_template_is_filled_and_its_players_have_roles() -> None:
    put = filled("{{x}} {docs}\n{who}, {year}?", ROW, keep=("year",))
    assert put.text == "{x} It opens. At nine.\n\nIt is old.\n Ann , 1999?"
    assert [put.text[start:stop] for start, stop in put.spans] == [
        "It opens. At nine.",
        "It is old.",
        "Ann",
    ]
    assert put.roles == (
        ("docs", "docs: faq", "docs 1", "the first"),
        ("docs", "docs 2"),
        ("who", "the last"),
    )
    assert fill(" {who}{{}}", ROW) == "  Ann {}"


def test_fields_are_cut_into_sentences() -> None:
    put = filled("{docs} {who}", ROW, by="sentence")
    assert [put.text[start:stop] for start, stop in put.spans] == [
        "It opens.",
        "At nine.",
        "It is old.",
        "Ann",
    ]
    assert put.roles[1] == ("docs", "docs: faq", "docs 1", "docs 1, last part")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"a": "x"}, "the field 'b' is missing; the row has a"),
        ({}, "the field 'a' is missing; the row has no fields"),
        ({"a": "x", "b": None}, "the field 'b' has no value; give"),
        ({"a": {"c": 1}, "b": "x"}, "the field 'a' is"),
        ({"a": [3], "b": "x"}, "item 1 of the field 'a'"),
        ({"a": " ", "b": ""}, "nothing is left to ablate"),
    ],
)
def test_a_row_that_does_not_fit_says_why(row: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        filled("{a} {b}", row)


def test_attributes_and_formats_are_no_fields() -> None:
    assert fill("{who.__class__} {0:>9} {who!r}", ROW) == "{who.__class__} {0:>9} {who!r}"


def test_rows_of_lines_and_of_a_table(tmp_path: Path) -> None:
    lines = tmp_path / "rows.jsonl"
    lines.write_text('{"a": 1}\n\n[1]\n{"a": NaN}\n')
    rows = list(read_rows(lines))
    assert [row.line for row in rows] == [1, 3, 4]
    assert rows[0].fields == {"a": 1}
    assert "no object of fields" in rows[1].fields
    assert "NaN" in rows[2].fields
    table = tmp_path / "rows.csv"
    table.write_text('a,b\n1,"two\nlines"\n3\n')
    rows = list(read_rows(table))
    assert rows[0].fields == {"a": "1", "b": "two\nlines"}
    assert [row.line for row in rows] == [3, 4]
    assert "2 columns" in rows[1].fields


def test_chats_have_the_roles_of_their_messages() -> None:
    messages = [
        {"role": "system", "content": "Be brief.", "fixed": True},
        {"role": "user", "content": "I am Ann. Who am I?"},
        {"role": "assistant", "content": "Ann."},
        {"role": "user", "content": "Sure?"},
    ]
    rows = [{"messages": messages}, {"text": "no chat"}]
    chat, wrong = from_rows(rows, stand_in, by="sentence", patterns={"question": re.compile(r"\?")})
    game = chat.game()
    assert ip.game.players_of(game) == ("I am Ann.", "Who am I?", "Ann.", "Sure?")
    assert chat.roles(game) == (
        ("user", "user message 1", "user, first part", "the first"),
        ("user", "user message 1", "user, last part", "question"),
        ("assistant", "assistant message 1"),
        ("user", "user message 2", "the last", "question"),
    )
    with pytest.raises(ValueError, match="needs messages"):
        wrong.game()


def test_items_of_a_benchmark(tmp_path: Path) -> None:
    path = tmp_path / "samples_task_2026.jsonl"
    item = choices("w1 w2 w3 w4\nw5 w6\nw7 w8", [" w1", " w2"], [-1.0, -2.0], 0)
    path.write_text(line(3, new=True, **item) + "\n")
    (prompt,) = from_samples(path, stand_in, by="word")
    assert prompt.columns["answered"] in ("right", "wrong", "unknown")
    game = prompt.game()
    assert len(prompt.roles(game)) == game.n_players
    assert prompt.roles(game)[0] == ("the first",)


def test_a_set_of_rows_is_audited() -> None:
    rows = [{"a": "long words here", "b": "x" * number, "kind": number % 2} for number in range(8)]
    prompts = from_rows(rows, stand_in, template="{a}: {b}", title="kind")
    audit = ip.audit_prompts(prompts, by="kind", progress=False)
    assert audit.findings[0].roles == ("a",)
    assert audit.findings[0].slices["0"].of == 4
    assert [refused.line for refused in audit.refused] == []
    # the first row has no b: one odd row makes no other role of it
    assert audit.results.also == {"a": ("the first",), "the last": ("b",)}


def test_an_audit_on_the_command_line(smollm: tuple[Any, Any], tmp_path: Path) -> None:
    rows = [
        {"fact": "The key is in the garden.", "note": "It rains.", "answer": "garden"},
        {"fact": "The key is in the box.", "answer": "box"},
        {"fact": "The key is in the cellar.", "note": "It is warm.", "answer": "cellar"},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    out = tmp_path / "out"
    options = ["--template", "{fact} {note} The key is in the", "--response", " {answer}"]
    options += ["--target", "prob", "--pattern", "weather=rain|warm", "--out", out]
    command = ["audit", path, "--model", "smollm2", "--threads", 1, *options]
    said = run(*command, code=3)
    assert "not explained: line 2: the field 'note' is missing" in said
    assert "2 prompts were explained, 2 of them now" in said
    document = json.loads((out / "audit.json").read_text())
    assert document["also"] == {"fact": ["the first"], "note": ["the last", "weather"]}
    raised = {tuple(found["roles"]): found for found in document["findings"] if found["sign"] > 0}
    assert raised["fact",]["shown"] == 2
    model, tokenizer = smollm
    game = ip.text.TextGame(
        model,
        tokenizer,
        "The key is in the garden. It rains. The key is in the",
        Response(" garden", score="prob"),
        by=[(0, 25), (26, 35)],
    )
    saved = [ip.load(file) for file in sorted((out / "prompts").glob("*.interplay"))]
    assert game.fingerprint in [one.provenance["game"]["fingerprint"] for one in saved]
    assert "0 of them now" in run(*command, code=3)
    assert run(*command, "--keep", "other", code=2)
    prompts = from_rows(
        rows[:1],
        partial(ip.text.TextGame, model, tokenizer),
        template="{fact} {note} So:",
        target=lambda row: Response(f" {row['answer']}"),
    )
    (prompt,) = prompts
    assert prompt.game().players == ("The key is in the garden.", "It rains.")
