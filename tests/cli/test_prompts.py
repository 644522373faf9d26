"""What the command line makes of files of text, documents and chats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import interplay as ip
from interplay.cli.prompts import pattern, read_prompt
from tests.cli.running import run


def test_what_is_ablated_and_what_is_around_it(tmp_path: Path) -> None:
    chat, docs, text = tmp_path / "chat.json", tmp_path / "docs.jsonl", tmp_path / "a.txt"
    messages = [{"role": "user", "content": "{text} So?"}]
    chat.write_text(json.dumps({"messages": messages, "tools": [{"name": "find"}]}))
    docs.write_text('{"id": 1, "text": "a"}\n\n{"text": "b"}\n')
    text.write_text(" a b \n")
    documents = [{"id": 1, "text": "a"}, {"text": "b"}]

    def read(*given: Any) -> tuple[Any, Any, Any]:
        found = read_prompt(*given)
        return found.text, found.prompt, found.template

    assert read(text, None, None, None, None) == ("a b", "{text}", None)
    assert read(text, None, None, "So", None) == ("a b", "{text}\n\nSo", None)
    assert read(text, None, None, None, "A {text}") == ("a b", "A {text}", None)
    assert read(None, docs, None, "So", None) == (documents, "{text}\n\nSo", None)
    assert read(None, docs, chat, None, None) == (
        documents,
        messages,
        {"tools": [{"name": "find"}]},
    )
    assert read(None, None, chat, None, None) == (messages, "{text}", {"tools": [{"name": "find"}]})
    body = {"messages": messages, "documents": [{"a": 1}], "chat_template_kwargs": {"think": False}}
    chat.write_text(json.dumps(body))
    given = {"think": False, "documents": [{"a": 1}]}
    assert read(None, None, chat, None, None) == (messages, "{text}", given)
    chat.write_text(json.dumps({"messages": messages, "chat_template_kwargs": [1]}))
    with pytest.raises(ValueError, match=r"chat_template_kwargs.* is \[1\], but no object"):
        read(None, None, chat, None, None)
    chat.write_text(json.dumps(messages))
    assert read(text, None, chat, None, None) == ("a b", messages, None)


def test_files_and_options_that_do_not_go(tmp_path: Path) -> None:
    broken, empty, numbers = (tmp_path / name for name in "abc")
    broken.write_text("{")
    empty.write_text("[]")
    numbers.write_text("[1]\n")
    refused: list[tuple[tuple[Any, ...], str]] = [
        ((None, None, None, None, None), "there is nothing to ablate; give --file, --docs or"),
        ((None, None, broken, None, None), "a is not JSON"),
        ((None, None, empty, None, None), "holds no chat; it needs a list of messages"),
        ((None, broken, None, None, None), "line 1 of .*a is not JSON"),
        ((None, numbers, None, None, None), "holds no documents; it needs a line of"),
        ((broken, broken, None, None, None), "--file and --docs were both given"),
        ((broken, None, empty, "So", None), "--chat was given together with --prompt"),
        ((broken, None, None, "So", "{text}"), "--prompt and --question were both given"),
    ]
    for given, message in refused:
        with pytest.raises(ValueError, match=message):
            read_prompt(*given)
    assert pattern("a|b").findall("abc") == ["a", "b"]
    with pytest.raises(ValueError, match=r"'\(' is no regular expression: "):
        pattern("(")


@pytest.mark.model
def test_the_language_is_an_option_and_is_recorded(tmp_path: Path) -> None:
    text = tmp_path / "a.txt"
    text.write_text(
        "Der Termin mit Hrn. Weber ist am 3. Oktober. Er kommt nicht.", encoding="utf-8"
    )
    prompt = ("--model", "smollm2", "--file", text, "--question", "Wer?", "--response", " Weber")
    said = run("text", *prompt, "--language", "German", code=2)
    assert "language='German' is no code of a language" in said
    out = tmp_path / "out"
    said = run("text", *prompt, "--budget", 32, "--out", out)
    assert "2 players by sentence" in said  # with English rules it would be three
    assert json.loads((out / "recipe.json").read_text())["options"]["language"] == "de"
    assert ip.load(out / "explanation.interplay").view["language"] == "de"
    assert "MATCH" in run("verify", out)


@pytest.mark.parametrize("separator", ["\u2028", "\u0085", "\x0c"])
def test_a_text_of_a_document_may_have_any_line_separator(tmp_path: Path, separator: str) -> None:
    docs = tmp_path / "docs.jsonl"
    document = {"text": f"One.{separator}Two."}
    docs.write_text(json.dumps(document, ensure_ascii=False) + "\n", encoding="utf-8")
    assert read_prompt(None, docs, None, "So?", None).text == [document]
