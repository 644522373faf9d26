"""What was asked of every prompt of a set: the score, the model, the parts that are removed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from interplay._types import Json
from interplay.explanation.titles import entry_of, in_common, question
from interplay.explanation.wording import score_of

Facts: TypeAlias = tuple[tuple[str, str], ...]
"""Names and what stands under them."""

_ENTRIES = {
    "model": "model",
    "base_url": "server",
    "dtype": "dtype",
    "by": "parts",
    "masking": "removal",
}
"""Entries of descriptions that are told, and their names."""
_DIFFERS = "differs from prompt to prompt"


class Asked:
    """What the games of a set have in common, collected one by one.

    Args:
        given: what the prompts themselves say of how they were made, in the place of what their
            games say: ``template`` and ``parts``.
    """

    def __init__(self, given: Mapping[str, str] | None = None) -> None:
        self._given = given or {}
        self._question: str | None = None
        self._score, self._has_answers = "", True
        self._entries: dict[str, str] = {}

    def add(self, description: Json) -> None:
        """Add the description of a game."""
        asked, score = question(description, ""), score_of(description)
        entries = {key: entry_of(description.get(key)) for key in _ENTRIES}
        self._has_answers &= bool(description.get("targets"))
        if self._question is None:
            self._question, self._score, self._entries = asked, score, entries
            return
        self._question = in_common(self._question, asked)
        self._score = score if self._score == score else _DIFFERS
        for key, entry in entries.items():
            if self._entries[key] != entry:
                self._entries[key] = _DIFFERS

    @property
    def facts(self) -> Facts:
        """The score first, then the model, then how the prompt was made and what was removed."""
        facts = {
            "score": self._scored(),
            **{name: self._entries.get(key, "") for key, name in _ENTRIES.items()},
            **self._given,
        }
        return tuple((name, said) for name, said in facts.items() if said)

    def _scored(self) -> str:
        """What was scored, of all prompts."""
        if self._question:
            return self._question
        if not self._has_answers:
            return "" if self._score == "score" else self._score
        # the answers differ, as where a row has its own
        of_each = self._score != _DIFFERS
        return f"{self._score} of each prompt's answer" if of_each else _DIFFERS
