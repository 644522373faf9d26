"""The prompt on the command line: files of text, documents and chats."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Written:
    """A text and its prompt, as the games take them.

    Attributes:
        text: a string, documents, or messages.
        prompt: a string, or messages.
        template: what the chat's file gives the chat template besides the messages, by name.
    """

    text: Any
    prompt: Any
    template: dict[str, Any] | None = None


def read_prompt(
    file: Path | None,
    docs: Path | None,
    chat: Path | None,
    question: str | None,
    prompt: str | None,
) -> Written:
    """Read the text and the prompt that the options name.

    Raises:
        ValueError: options that exclude each other, or a file of another kind.
    """
    if prompt is not None and question is not None:
        raise ValueError("--prompt and --question were both given; write the question in --prompt")
    if chat is not None and (prompt or question):
        raise ValueError(
            "--chat was given together with --prompt or --question; write them into its messages"
        )
    if file is not None and docs is not None:
        raise ValueError("--file and --docs were both given; put the text among the documents")
    if file is None and docs is None and chat is None:
        raise ValueError("there is nothing to ablate; give --file, --docs or --chat")
    messages, template = (None, None) if chat is None else _chat(chat)
    if file is not None:
        text: Any = file.read_text(encoding="utf-8").strip()
    elif docs is not None:
        text = _documents(docs)
    else:
        return Written(messages, "{text}", template)
    around = f"{{text}}\n\n{question}" if question else "{text}"
    return Written(text, messages or prompt or around, template)


def read_swap(path: Path) -> dict[Any, Any]:
    """Read what is swapped; ``regex:PATTERN`` is a pattern.

    Raises:
        ValueError: the file is no JSON object.
    """
    swapped = _json(path.read_text(encoding="utf-8"), str(path))
    if not isinstance(swapped, dict):
        raise ValueError(
            f'{path} is no object of texts and what they are swapped for, {{"Amina": "Anna"}}'
        )

    return {
        unit(key): {unit(text): other for text, other in value.items()}
        if isinstance(value, dict)
        else value
        for key, value in swapped.items()
    }


def unit(written: str) -> str | re.Pattern[str]:
    """The unit of the players: a name, or a pattern after ``regex:``."""
    return pattern(written.removeprefix("regex:")) if written.startswith("regex:") else written


def pattern(written: str) -> re.Pattern[str]:
    """A regular expression.

    Raises:
        ValueError: it is not valid.
    """
    try:
        return re.compile(written)
    except re.error as error:
        raise ValueError(f"{written!r} is no regular expression: {error}") from error


def _chat(path: Path) -> tuple[list[Any], dict[str, Any] | None]:
    """The messages, and what the template is given by name, as in the body of a request."""
    chat: Any = _json(path.read_text(encoding="utf-8"), str(path))
    template: dict[str, Any] = {}
    if isinstance(chat, dict):
        given = chat.get("chat_template_kwargs") or {}
        if not isinstance(given, dict):
            raise ValueError(f'"chat_template_kwargs" of {path} is {given!r}, but no object')
        named = {name: chat[name] for name in ("tools", "documents") if chat.get(name)}
        template, chat = {**given, **named}, chat.get("messages")
    if not isinstance(chat, list) or not chat:
        raise ValueError(
            f'{path} holds no chat; it needs a list of messages, or {{"messages": [...]}}'
        )
    return chat, template or None


def _documents(path: Path) -> list[Any]:
    lines = path.read_text(encoding="utf-8").split("\n")  # texts may have other line separators
    documents = [
        _json(line, f"line {number} of {path}")
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]
    if not all(isinstance(document, dict) for document in documents):
        raise ValueError(
            f'{path} holds no documents; it needs a line of {{"id": ..., "text": ...}} for each'
        )
    return documents


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{where} is not JSON: {error}") from error
