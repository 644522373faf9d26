"""Swap: what it matches, what the players are, and what a model reads."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import interplay as ip
from interplay.text import Replace, Swap
from interplay.text.prompts.build import mask_prompt
from interplay.text.prompts.prompt import MaskedPrompt

GENDER = {"gender": {"Ms": "Mr", "she": "he", "her": "his"}}
TEXT = "Ms Reed has a debt. She works.  Her file (SHE signed) is here."


def rendered(prompt: MaskedPrompt, *removed: int, version: int = 0) -> str:
    mask = np.ones(prompt.n_players, dtype=bool)
    mask[list(removed)] = False
    return prompt.render(mask, version)


def only(values: Any, text: str, **settings: Any) -> MaskedPrompt:
    return mask_prompt(text, masking=Swap(values, otherwise=None), **settings)


# --- what is matched ------------------------------------------------------------------------------


def test_all_occurrences_of_a_group_are_one_player_and_keep_their_case() -> None:
    prompt = only(GENDER, TEXT, prompt="{text}\nSo she is")
    assert prompt.players == ("gender: Ms → Mr, She → He, Her → His, SHE → HE, she → he",)
    assert rendered(prompt) == f"{TEXT}\nSo she is"
    swapped = "Mr Reed has a debt. He works.  His file (HE signed) is here.\nSo he is"
    assert rendered(prompt, 0) == swapped


@pytest.mark.parametrize(
    ("values", "text", "swapped"),
    [
        (
            {"he": "she"},
            "The hero hears he. He's the he-man.",
            "The hero hears she. She's the she-man.",
        ),
        ({"Amina": "Anna"}, "amina Amina Aminas", "amina Anna Aminas"),
        ({"Amina": "Anna", "Amina Khan": "Eva Berg"}, "Amina Khan, Amina", "Eva Berg, Anna"),
        ({"g": {"he": "she", "she": "he"}}, "he and she", "she and he"),
        ({"g": {"he": "she", "HE": "them"}}, "he He HE", "she She them"),
        ({"C++": "Rust"}, "C++ or C", "Rust or C"),
        ({"北京": "上海"}, "我在北京住", "我在上海住"),
        ({re.compile(r"\b(\d+) years"): r"\1 months"}, "9 years, 10 years", "9 months, 10 months"),
        ({re.compile(r"(?i)\bmadam\b"): "sir"}, "Madam, madam", "Sir, sir"),
        ({"a": "b"}, "a A", "b B"),
    ],
)
def test_what_a_text_stands_for(values: Any, text: str, swapped: str) -> None:
    prompt = only(values, text)
    assert rendered(prompt, *range(prompt.n_players)) == swapped


def test_a_pattern_that_takes_too_long_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interplay.text.prompts.swap.PATTERN_SECONDS", 0.2)
    with pytest.raises(ValueError, match=r"took more than 0.2 s .* repeats inside of repeats"):
        only({re.compile(r"(x|xx)+$"): "z"}, f"{'x' * 60}y")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "nothing to swap"),
        ({"Amina": ""}, "empty or has white space"),
        ({"Amina": " Anna"}, "empty or has white space"),
        ({"Amina": []}, "is no swap"),
        ({"Amina": 3}, "is no swap"),
        ({"g": {}}, "no name or no texts"),
        ({"g": {"he": "she"}, "he": "it"}, "'he' is swapped in two places"),
        ({"a": ["b", "c"], "d": ["e", "f", "g"]}, "2 and 3 alternatives"),
        ({"a": [str(n) for n in range(40)]}, "40 alternatives, above the 32"),
        ({re.compile("(R)eed"): r"\2"}, "cannot be used"),
        ({re.compile("Reed( )?"): r"\1"}, "comes out as"),
        ({"Nobody": "Anna"}, "Nobody to be swapped occurs nowhere"),
        ({"g": {"x": "y", "z": "w"}}, r"the group 'g' \(x, z\) to be swapped occurs nowhere"),
    ],
)
def test_what_is_refused(values: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        only(values, TEXT)


@pytest.mark.parametrize("otherwise", ["attention", "mask_token", Swap({"a": "b"})])
def test_a_swap_changes_characters(otherwise: Any) -> None:
    with pytest.raises(ValueError, match="does not fit a swap"):
        Swap(GENDER, otherwise=otherwise)


# --- players --------------------------------------------------------------------------------------


def test_one_game_of_what_is_swapped_and_what_is_removed() -> None:
    prompt = mask_prompt(TEXT, masking=Swap(GENDER))
    assert prompt.players[:3] == (
        "Ms Reed has a debt.",
        "She works.",
        "Her file (SHE signed) is here.",
    )
    assert prompt.n_swaps == 1
    assert rendered(prompt) == TEXT
    assert rendered(prompt, 1) == "Ms Reed has a debt.  Her file (SHE signed) is here."
    assert rendered(prompt, 1, 3) == "Mr Reed has a debt.  His file (HE signed) is here."
    gap = mask_prompt(TEXT, masking=Swap(GENDER, Replace("[...]")))
    assert rendered(gap, 0, 3) == "[...] He works.  His file (HE signed) is here."


def test_without_a_swapped_player_removed_it_is_the_plain_masking() -> None:
    plain, swap = mask_prompt(TEXT), mask_prompt(TEXT, masking=Swap(GENDER))
    for row in range(8):
        mask = np.array([bool(row >> bit & 1) for bit in range(3)])
        assert swap.render(np.append(mask, True)) == plain.render(mask)


def test_a_segment_that_is_swapped_wholly_is_no_other_player() -> None:
    prompt = mask_prompt("Amina, a nurse, sings.", by="word", masking=Swap({"Amina": "Anna"}))
    assert prompt.players == ("a", "nurse,", "sings.", "Amina → Anna")
    assert rendered(prompt, 1, 3) == "Anna, a sings."


def test_lines_replaced_by_other_lines() -> None:
    text = "good: yes\nbad: no\nfine: yes"
    values = {"good: yes": ["nice: yes", "fair: yes"], "bad: no": ["poor: no", "grim: no"]}
    prompt = mask_prompt(text, by="line", masking=Swap(values))
    assert prompt.players[0] == "fine: yes"
    assert prompt.n_players == 3
    assert rendered(prompt, 1) == "nice: yes\nbad: no\nfine: yes"
    assert rendered(prompt, 1, 2, version=1) == "fair: yes\ngrim: no\nfine: yes"


def test_over_a_border_is_refused() -> None:
    with pytest.raises(ValueError, match="reaches over the border of the segment"):
        mask_prompt("One two. Three four.", masking=Swap({"two. Three": "x"}))
    with pytest.raises(ValueError, match="between the text that is ablated and the prompt"):
        mask_prompt("One two.", "{text} Three", masking=Swap({"two. Three": "x"}))
    # of whole segments it is not
    assert rendered(
        mask_prompt("In New York now", by="word", masking=Swap({"New York": "Bonn"})), 2
    ) == ("In Bonn now")


def test_chats_documents_and_fields() -> None:
    chat = [
        {"role": "system", "content": "She is Ms Reed.", "fixed": True},
        {"role": "user", "content": "What is her name?"},
        {"role": "user", "content": "Be brief."},
    ]
    prompt = mask_prompt(chat, by="message", masking=Swap(GENDER))
    assert prompt.n_players == 3
    mask = np.array([True, False, False])
    contents = [message["content"] for message in prompt.messages(mask)]
    assert contents == ["He is Mr Reed.", "What is his name?"]
    documents = [{"id": "a", "text": "She left."}, {"id": "b", "text": "Ms Reed"}]
    of_documents = mask_prompt(documents, by="document", masking=Swap(GENDER))
    assert of_documents.players[:2] == ("[a] She left.", "[b] Ms Reed")
    assert rendered(of_documents, 0, 2) == "Mr Reed"
    fields = mask_prompt('{"name": "Amina", "age": 9}', by="field", masking=Swap({"Amina": "Anna"}))
    assert rendered(fields, 2) == '{"name": "Anna", "age": 9}'
    assert rendered(fields, 1, 2) == '{"name": "Anna"}'


def test_refinement_keeps_swaps() -> None:
    prompt = mask_prompt(TEXT, masking=Swap({"Ms Reed": "Mr Hill", "she": "he"}))
    finer, children = prompt.refined([0], "word")
    assert finer.players[:4] == ("has", "a", "debt.", "She works.")
    assert children[0] == (0, 1, 2)
    assert children[-1] == (finer.n_players - 1,)
    everyone = (finer.n_players - 2, finer.n_players - 1)
    assert rendered(finer, 2, *everyone) == "Mr Hill has a He works.  Her file (HE signed) is here."


def test_the_description_shows_both_values_and_is_another_for_each() -> None:
    described = mask_prompt(TEXT, masking=Swap(GENDER)).describe()
    assert "".join(text for text, _ in described["pieces"]) == (
        "Ms → Mr Reed has a debt. She → He works.  Her → His file (SHE → HE signed) is here."
    )
    assert [text for text, player in described["pieces"] if player == 0] == ["Reed has a debt."]
    assert "spans" not in described
    assert described["swapped"][0] == [0, 2, 3, ["Mr"]]
    assert mask_prompt(TEXT).describe().keys() >= {"spans"}
    other = mask_prompt(TEXT, masking=Swap({"gender": {**GENDER["gender"], "Ms": "Dr"}})).describe()
    assert other["masking"] != described["masking"]


# --- values ---------------------------------------------------------------------------------------


class Echo:
    """A provider whose score is a sum over the words of a prompt."""

    def get_logprobs(self, prompt: str, answer: str) -> list[float]:
        words = re.findall(r"\w+", prompt)
        return [-sum(len(word) ** 2 for word in words) / 100]


def test_several_alternatives_are_an_exact_mean() -> None:
    values: Any = {"Amina": ["Anna", "Evelyn", "Jo"], "nurse": ["cook", "baker", "judge"]}
    text = "Amina is a nurse. It rains."
    answer = ip.text.Response(" yes")
    game = ip.text.ProviderGame(Echo(), text, answer, prompt="{text} So", masking=Swap(values))
    singles = [
        ip.text.ProviderGame(
            Echo(),
            text,
            answer,
            prompt="{text} So",
            masking=Swap({key: several[k] for key, several in values.items()}),
        )
        for k in range(3)
    ]
    masks = np.array([[bool(row >> bit & 1) for bit in range(4)] for row in range(16)])
    mean = np.mean([single(masks) for single in singles], axis=0)
    np.testing.assert_allclose(game(masks), mean, rtol=1e-12)
    assert game.fingerprint is None or game.fingerprint != singles[0].fingerprint
    np.testing.assert_array_equal(
        game.masked.n_prompts(masks), np.where(masks[:, 2] & masks[:, 3], 1, 3)
    )


def test_a_models_values_are_those_of_the_texts_themselves(
    smollm: tuple[Any, Any], tmp_path: Any
) -> None:
    swap = Swap({"gender": {"Ms": ["Mr", "Mrs"], "she": ["he", "she"]}})
    target = ip.text.Response(" declined")
    prompt = "{text} The application is"
    text = "Ms Reed has a debt. She works."
    game = ip.text.TextGame(*smollm, text, target, prompt=prompt, masking=swap)

    def value(text: str) -> float:
        alone = ip.text.TextGame(*smollm, text, target, prompt=prompt)
        return float(alone(np.ones((1, alone.n_players), dtype=bool))[0])

    texts = [
        ["Ms Reed has a debt. She works."],
        ["Mr Reed has a debt. He works.", "Mrs Reed has a debt. She works."],
        ["Mr Reed has a debt.", "Mrs Reed has a debt."],
    ]
    masks = np.array([[True, True, True], [True, True, False], [True, False, False]])
    expected = [np.mean([value(text) for text in of_mask]) for of_mask in texts]
    np.testing.assert_allclose(game(masks), expected, atol=1e-4)
    plain = ip.text.TextGame(*smollm, text, target, prompt=prompt)
    assert game.fingerprint != plain.fingerprint
    explanation = ip.explain(game, budget=8, progress=False)
    page = explanation.save(tmp_path / "a.interplay")
    html = ip.load(page).to_html(tmp_path / "a.html").read_text(encoding="utf-8")
    assert "Ms → Mr | Mrs" in html
