"""What reports say was asked of all prompts of a set."""

from __future__ import annotations

import pytest

from interplay.audit.asked import Asked


def described(text: str, answer: str, **more: object) -> dict[str, object]:
    target = {"kind": "Response", "text": answer, "score": "prob", "reduction": "sum"}
    return {"lens": "text", "text": text, "targets": [target], "model": "m", "by": "word", **more}


def facts_of(
    *descriptions: dict[str, object], given: dict[str, str] | None = None
) -> dict[str, str]:
    asked = Asked(given)
    for description in descriptions:
        asked.add(description)
    return dict(asked.facts)


def test_one_prompt_is_told_in_full() -> None:
    facts = facts_of(described("Is it so?", " no", masking={"kind": "delete"}))
    assert facts == {
        "score": "Probability of ' no' after 'Is it so?'",
        "model": "m",
        "parts": "word",
        "removal": "delete",
    }


def test_what_all_prompts_share_is_told() -> None:
    facts = facts_of(described("Is it so?", " no"), described("Is that so?", " no"))
    assert facts["score"] == "Probability of ' no'"
    assert facts["model"] == "m"


def test_answers_that_differ_are_not_named() -> None:
    facts = facts_of(described("One.", " a"), described("Two.", " b"), described("Two.", " b"))
    assert facts["score"] == "probability of each prompt's answer"


@pytest.mark.parametrize("key", ["model", "by", "dtype"])
def test_an_entry_that_differs_says_so(key: str) -> None:
    facts = facts_of(described("One.", " a"), described("One.", " a", **{key: "other"}))
    assert "differs from prompt to prompt" in facts.values()


def test_prompts_say_themselves_how_they_were_made() -> None:
    given = {"parts": "fields of the template", "template": "{a} and {b}"}
    facts = facts_of(described("One.", " a"), given=given)
    assert facts | given == facts


def test_a_game_without_answers_has_its_score_alone() -> None:
    assert facts_of({"lens": None}) == {}
    assert facts_of({"lens": None, "score": "margin"}) == {"score": "margin"}
