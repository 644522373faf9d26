"""The task files of ``examples/tasks``: format, balance, and what the model makes of them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "tasks"
NAMES = ("agreement", "indirect_object", "facts", "greater_than")
# singular to plural
VERBS = {
    " is": " are",
    " was": " were",
    " has": " have",
    " does": " do",
    " needs": " need",
    " looks": " look",
    " seems": " seem",
    " makes": " make",
    " comes": " come",
}


def items(name: str) -> list[dict[str, Any]]:
    lines = (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_the_folder_holds_these_files() -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(f"{n}.jsonl" for n in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_items_are_distinct_and_as_stated(name: str) -> None:
    read = items(name)
    assert len(read) >= 120
    assert len({item["prompt"] for item in read}) == len(read)
    for item in read:
        assert list(item) == ["prompt", "answer", "wrong"]
        prompt, answers = item["prompt"], [item["answer"], *item["wrong"]]
        assert prompt == " ".join(prompt.split()) != ""
        assert len(answers) >= 2
        assert len(set(answers)) == len(answers), item
        if name == "greater_than":
            continue
        # one space, then letters: the answer continues the prompt
        assert all(answer[0] == " " and answer[1:].isalpha() for answer in answers), item


def test_agreement_is_balanced() -> None:
    read = items("agreement")
    count = Counter(item["answer"] for item in read)
    for singular, plural in VERBS.items():
        assert count[singular] == count[plural] > 0
    assert set(count) == {*VERBS, *VERBS.values()}
    other = {**VERBS, **{plural: singular for singular, plural in VERBS.items()}}
    assert all(item["wrong"] == [other[item["answer"]]] for item in read)


def test_indirect_objects_are_balanced() -> None:
    read = items("indirect_object")
    answers, givers, firsts, templates = Counter(), Counter(), 0, set()
    for item in read:
        answer, (giver,) = item["answer"].strip(), item["wrong"]
        giver = giver.strip()
        words = item["prompt"].replace(",", "").replace(".", "").split()
        # the receiver is named once, the giver twice, the second time as the last of the names
        named = [word for word in words if word in (answer, giver)]
        assert sorted(named) == sorted([answer, giver, giver])
        assert named[-1] == giver
        firsts += named[0] == answer
        answers[answer] += 1
        givers[giver] += 1
        templates.add(item["prompt"].replace(answer, "_").replace(giver, "_"))
    assert firsts * 2 == len(read)
    assert len(templates) >= 10
    assert answers == givers
    assert len(set(answers.values())) == 1


def test_facts_have_three_others_and_many_kinds_of_answers() -> None:
    read = items("facts")
    assert all(len(item["wrong"]) == 3 for item in read)
    count = Counter(item["answer"] for item in read)
    assert len(count) >= 100
    assert max(count.values()) <= len(read) // 20


def test_years_end_after_they_begin() -> None:
    read = items("greater_than")
    for item in read:
        first, century = item["prompt"].split()[-5], item["prompt"].split()[-1]
        assert first[:2] == century
        assert item["answer"].isdigit()
        assert item["answer"] > first[2]
        # every digit that would end it before it began
        assert item["wrong"] == [str(digit) for digit in range(int(first[2]))]
    assert len(Counter(item["prompt"].split()[1] for item in read)) >= 15


@pytest.mark.model
@pytest.mark.parametrize("name", NAMES)
def test_every_answer_is_one_token(name: str, smollm: tuple[Any, Any]) -> None:
    _, tokenizer = smollm
    for item in items(name):
        for answer in (item["answer"], *item["wrong"]):
            alone = tokenizer(answer, add_special_tokens=False)["input_ids"]
            assert len(alone) == 1, answer
            # and behind the prompt it is that same token
            prompt = tokenizer(item["prompt"])["input_ids"]
            assert tokenizer(item["prompt"] + answer)["input_ids"] == [*prompt, *alone]


@pytest.mark.model
@pytest.mark.parametrize(
    ("name", "least"),
    [("agreement", 0.9), ("indirect_object", 0.85), ("facts", 0.85), ("greater_than", 0.95)],
)
def test_the_model_is_far_from_chance(name: str, least: float, smollm: tuple[Any, Any]) -> None:
    import torch

    model, tokenizer = smollm
    sample = items(name)[::4]
    right = 0
    with torch.inference_mode():
        for item in sample:
            ids = tokenizer(item["prompt"], return_tensors="pt")
            logits = model(**ids, logits_to_keep=1).logits[0, -1]
            options = [
                tokenizer(answer, add_special_tokens=False)["input_ids"][0]
                for answer in (item["answer"], *item["wrong"])
            ]
            right += int(logits[options].argmax()) == 0
    assert right / len(sample) >= least
