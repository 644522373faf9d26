"""Prompts as people write them: units, masking and round trips, without a model."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interplay.text.prompts.build import mask_prompt
from interplay.text.prompts.masking import Replace
from interplay.text.prompts.prompt import MaskedPrompt
from interplay.text.prompts.segments import split

TEXT = "One. Two three.\n\n  Four\tfive!\nSix (seven).  "
DOCUMENTS = [
    {"id": "a7", "text": "Anna has the key. It is red."},
    {"text": " Ben sleeps. "},
    {"id": 3, "text": "It rains.", "fixed": True},
    {"id": "d", "text": "The {text} stays."},
]
CHAT: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief. Be kind.", "fixed": True},
    {"role": "user", "content": "Where is Anna? I lost her."},
    {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "find"}}]},
    {"role": "tool", "name": "find", "content": '{"room": 5, "floor": {"level": 2}}'},
    {
        "role": "user",
        "content": [{"type": "text", "text": "So "}, {"type": "text", "text": "say!"}],
    },
]


def keep(prompt: MaskedPrompt, *players: int) -> Any:
    mask = np.zeros(prompt.n_players, dtype=bool)
    mask[list(players)] = True
    return mask


def whole(prompt: MaskedPrompt) -> Any:
    return np.ones(prompt.n_players, dtype=bool)


# --- units ----------------------------------------------------------------------------------------


def segments(text: str, by: Any, language: str = "en", tokenizer: Any = None) -> list[str]:
    return [text[start:stop] for start, stop in split(text, by, language, tokenizer)]


def test_lines_and_paragraphs() -> None:
    text = " a b \r\nc\n \n\nd.\n\t\ne\n"
    assert segments(text, "line") == ["a b", "c", "d.", "e"]
    assert segments(text, "paragraph") == ["a b \r\nc", "d.", "e"]


def test_a_pattern() -> None:
    assert segments("a=1, b=22;", re.compile(r"\w=\d*")) == ["a=1", "b=22"]
    assert segments("one  two", re.compile(r"\S+|\s+")) == ["one", "two"]
    with pytest.raises(ValueError, match="the pattern 'x' matches nothing in the text 'abc'"):
        split("abc", re.compile("x"))


@pytest.mark.parametrize(
    ("language", "text", "sentences"),
    [
        ("de", "Er kam um 5 Uhr an. Dr. Meier ging.", ["Er kam um 5 Uhr an.", "Dr. Meier ging."]),
        ("ja", "これはペンです。本ですか？はい。", ["これはペンです。", "本ですか？", "はい。"]),
        ("hi", "यह एक किताब है। वह घर गया।", ["यह एक किताब है।", "वह घर गया।"]),
        ("ar", "هذا كتاب. أين البيت؟ نعم.", ["هذا كتاب.", "أين البيت؟", "نعم."]),
        ("es", "¿Dónde está? ¡Aquí! Gracias.", ["¿Dónde está?", "¡Aquí!", "Gracias."]),
        ("ru", "Он пришёл в 5 ч. вечера. Да.", ["Он пришёл в 5 ч. вечера.", "Да."]),
    ],
)
def test_sentences_of_several_languages(language: str, text: str, sentences: list[str]) -> None:
    assert segments(text, "sentence", language) == sentences


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Der Müßiggänger sagt's", ["Der", "Müßiggänger", "sagt's"]),
        ("l\u2019été est là", ["l\u2019été", "est", "là"]),
        ("हिन्दी में लिखा", ["हिन्दी", "में", "लिखा"]),
        ("هذا كتابٌ جميل", ["هذا", "كتابٌ", "جميل"]),
        ("ein e\u0301 🙂👩‍👩‍👧 x", ["ein", "e\u0301", "🙂👩‍👩‍👧", "x"]),
    ],
)
def test_words_of_several_languages(text: str, words: list[str]) -> None:
    assert segments(text, "word") == words


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(st.sampled_from('a,]}"\\ {:[é'), max_size=6),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.sampled_from('ab,:"{'), max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)


def leaves(value: Any) -> int:
    inside = list(value.values() if isinstance(value, dict) else value)
    return sum(leaves(v) if isinstance(v, dict | list) and v else 1 for v in inside)


@given(value=JSON, seed=st.integers(0, 999), indent=st.sampled_from([None, 2]))
def test_what_is_left_of_json_is_json(value: Any, seed: int, indent: int | None) -> None:
    if not isinstance(value, dict | list) or not value:
        return
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    prompt = mask_prompt(text, by="field")
    assert prompt.n_players == leaves(value)
    assert prompt.render(whole(prompt)) == text
    rng = np.random.default_rng(seed)
    mask = rng.random(prompt.n_players) < rng.random()
    left = json.loads(prompt.render(mask))
    assert type(left) is type(value)
    kept = [name for name, keeps in zip(prompt.players, mask, strict=True) if keeps]
    assert scalars(left) == sum(not name.endswith(("{}", "[]")) for name in kept)
    try:
        some = mask_prompt(text, by="field", fixed=re.compile(r"a|\d|null"))
    except ValueError:  # all of it is fixed
        return
    left = some.render(rng.random(some.n_players) < rng.random())
    assert type(json.loads(left)) is type(value)


def scalars(value: Any) -> int:
    if not isinstance(value, dict | list):
        return 1
    return sum(map(scalars, value.values() if isinstance(value, dict) else value))


def test_json_fields() -> None:
    text = '{"name": "Hill, \\"Jo\\"", "age": 71, "drugs": ["aspirin", {"dose": 5}], "x": []}'
    prompt = mask_prompt(text, by="field")
    assert prompt.players == (
        'name: "Hill, \\"Jo\\""', "age: 71", 'drugs[0]: "aspirin"', "drugs[1].dose: 5", "x: []"
    )  # fmt: skip
    assert prompt.render(keep(prompt, 1, 3)) == '{"age": 71, "drugs": [{"dose": 5}]}'
    assert prompt.render(keep(prompt)) == '{"drugs": [{}]}'
    deep = "[" * 100_000 + "]" * 100_000
    refused = [
        ("{a: 1}", "is not JSON"),
        ("5", "holds no fields"),
        ("{}", "no fields"),
        (deep, "is nested too deeply"),
    ]
    for bad, message in refused:
        with pytest.raises(ValueError, match=message):
            mask_prompt(bad, by="field")


def at_path(value: Any, path: str) -> Any:
    """What a path leads to."""
    while path:
        match = re.match(r'\[("(?:[^"\\]|\\.)*"|\d+)\]|\.?([^.\[]+)', path)
        assert match is not None, path
        value = value[match[2] if match[1] is None else json.loads(match[1])]
        path = path[match.end() :]
    return value


@given(value=JSON)
def test_a_field_is_called_by_the_path_that_leads_to_it(value: Any) -> None:
    if not isinstance(value, dict | list) or not value:
        return
    names = mask_prompt(json.dumps(value, ensure_ascii=False), by="field").players
    for name in names:
        # values hold ": " too, so the path ends where the name leads to the value behind it
        ends = [match.start() for match in re.finditer(": ", name)]
        assert any(leads(value, name[:end], name[end + 2 :]) for end in ends), name
    paths = mask_prompt('{"a.b": 1, "": [{"c d": 2}, [3]], "Größe-1": {"x": 4}}', by="field")
    assert paths.players == ('["a.b"]: 1', '[""][0]["c d"]: 2', '[""][1][0]: 3', "Größe-1.x: 4")


def leads(value: Any, path: str, written: str) -> bool:
    try:
        return at_path(value, path) == json.loads(written)
    except (AssertionError, IndexError, KeyError, TypeError, ValueError):
        return False


@given(
    values=st.lists(
        JSON.filter(lambda value: isinstance(value, dict | list) and value), max_size=3
    ),
    seed=st.integers(0, 999),
    unit=st.sampled_from(["document", "message"]),
)
def test_what_is_left_of_refined_json_is_json(values: list[Any], seed: int, unit: str) -> None:
    """Documents and messages that are JSON, cut into fields; prose among them stays whole."""
    rng = np.random.default_rng(seed)
    texts = ["It rains.", *(json.dumps(value, ensure_ascii=False) for value in values), "[1] So."]
    given = [{"role": "tool", "content": text} if unit == "message" else {"text": text}
             for text in texts]  # fmt: skip
    coarse = mask_prompt(given, by=unit)
    if not values:
        with pytest.raises(ValueError, match="nothing of the unit 'field' in the players"):
            coarse.refined(range(coarse.n_players), "field")
        return
    finer, children = coarse.refined(range(coarse.n_players), "field")
    assert [len(own) for own in children] == [1, *map(leaves, values), 1]
    names = [name for text in texts[1:-1] for name in mask_prompt(text, by="field").players]
    assert finer.players == ("It rains.", *names, "[1] So.")
    mask = rng.random(finer.n_players) < rng.random()
    alone = [
        mask_prompt(text, by="field").render(mask[list(own)])
        for text, own in zip(texts[1:-1], children[1:-1], strict=True)
    ]
    if unit == "message":
        left = [message["content"] for message in finer.messages(mask)]
        assert left == ["It rains."] * int(mask[0]) + alone + ["[1] So."] * int(mask[-1])
    else:
        mask[[0, -1]] = True
        assert finer.render(mask).split() == " ".join(["It rains.", *alone, "[1] So."]).split()
    for text, value in zip(alone, values, strict=True):
        assert type(json.loads(text)) is type(value)
    assert finer.render(whole(finer)) == coarse.render(whole(coarse))


def test_commas_of_refined_json_are_told() -> None:
    """They change what is left, so runs with and without them must not share values."""
    documents = [{"text": '{"a": 1, "b": 2}'}, {"text": "It rains."}]
    for masking, n_told in (("delete", 1), ("attention", 0), (Replace("_"), 0)):
        prompt = mask_prompt(documents, by="document", masking=masking)
        finer, _ = prompt.refined([0, 1], "field")
        assert len(finer.describe().get("commas", ())) == n_told
    assert "commas" not in mask_prompt(documents[0]["text"], by="field").describe()
    matches, children = prompt.refined([0, 1], re.compile("rains"))
    assert (matches.players[-1], children) == ("rains", ((0,), (1,)))


# --- documents and chats --------------------------------------------------------------------------


def test_documents_have_their_ids() -> None:
    prompt = mask_prompt(DOCUMENTS, "{text}\n\nWhere is it?", by="document")
    assert prompt.players == (
        "[a7] Anna has the key. It is red.",
        "Ben sleeps.",
        "[d] The {text} stays.",
    )
    every = "Anna has the key. It is red.\n\n Ben sleeps. \n\nIt rains.\n\nThe {text} stays."
    assert prompt.render(whole(prompt)) == every + "\n\nWhere is it?"
    assert prompt.render(keep(prompt, 1)) == "Ben sleeps. \n\nIt rains.\n\nWhere is it?"
    by_sentence = mask_prompt(DOCUMENTS, by="sentence")
    assert by_sentence.players == (
        "Anna has the key.", "It is red.", "Ben sleeps.", "The {text} stays."
    )  # fmt: skip


def test_documents_go_before_the_last_message_of_the_user() -> None:
    asked = [{"role": "system", "content": "Hi."}, {"role": "user", "content": "Where?"}]
    prompt = mask_prompt(DOCUMENTS[:1], asked, by="document")
    said = prompt.messages(whole(prompt))
    assert said[1] == {"role": "user", "content": f"{DOCUMENTS[0]['text']}\n\nWhere?"}
    placed = [{"role": "system", "content": "Know: {text}!"}, asked[1]]
    prompt = mask_prompt(DOCUMENTS[:1], placed, by="document")
    assert prompt.messages(keep(prompt)) == [
        {"role": "system", "content": "Know: !"},
        {"role": "user", "content": "Where?"},
    ]
    with pytest.raises(ValueError, match=r"no message of a user, and no \{text\} where the doc"):
        mask_prompt(DOCUMENTS, asked[:1])
    with pytest.raises(ValueError, match=r"the chat holds \{text\} 0 times"):
        mask_prompt("a text", asked)


def test_a_chat_by_sentence_and_by_message() -> None:
    prompt = mask_prompt(CHAT[:2], by="sentence")
    assert prompt.players == ("Where is Anna?", "I lost her.")
    assert prompt.messages(keep(prompt, 1))[1] == {"role": "user", "content": "I lost her."}
    every = mask_prompt(CHAT, by="message")
    assert every.players == ("Where is Anna? I lost her.", CHAT[3]["content"], "So say!")
    left = every.messages(keep(every, 1))
    assert [message["role"] for message in left] == ["system", "assistant", "tool"]
    assert left[1] == {
        "role": "assistant", "content": None, "tool_calls": CHAT[2]["tool_calls"]
    }  # fmt: skip
    assert left[2]["name"] == "find"
    filled = mask_prompt(CHAT, by="message", masking=Replace("[...]"))
    assert [m["content"] for m in filled.messages(keep(filled))] == [
        "Be brief. Be kind.", "[...]", None, "[...]", "[...]"
    ]  # fmt: skip
    assert "tool: {" in every.text
    assert [every.text[a:b] for a, b in every.spans] == list(every.players)


def test_a_pattern_or_fields_in_some_messages() -> None:
    prompt = mask_prompt(CHAT, by=re.compile(r"Anna|say"))
    assert prompt.players == ("Anna", "say")
    prompt = mask_prompt(CHAT, by="field")
    assert prompt.players == ("room: 5", "floor.level: 2")
    assert prompt.messages(keep(prompt, 0))[3]["content"] == '{"room": 5, "floor": {}}'
    with pytest.raises(ValueError, match="no message or document has a segment"):
        mask_prompt(CHAT, by=re.compile("zebra"))


def test_what_is_fixed() -> None:
    prompt = mask_prompt("Not bad. Very long.", by="word", fixed=re.compile("bad|g"))
    assert prompt.players == ("Not", "Very")
    assert prompt.render(keep(prompt)) == "bad. long."
    with pytest.raises(ValueError, match="nothing is left to ablate"):
        mask_prompt("bad", by="word", fixed=re.compile("a"))
    with pytest.raises(ValueError, match="nothing is left to ablate"):
        mask_prompt(CHAT[:1])
    by_message = mask_prompt(CHAT, by="message", fixed=re.compile("room"))
    assert by_message.players == ("Where is Anna? I lost her.", "So say!")


texts = st.lists(
    st.sampled_from([*"ab.!?,-\"'() \n\té中🙂{}", "\u00a0", "\u200f", "\r\n", "\u2028", "{text}"]),
    min_size=1,
    max_size=40,
).map("".join)
UNITS = st.sampled_from(["word", "sentence", "line", "paragraph", re.compile(r"\w+\W?")])


@given(text=texts, before=texts, after=texts, by=UNITS, seed=st.integers(0, 99))
def test_all_kept_is_the_prompt_byte_for_byte(
    text: str, before: str, after: str, by: Any, seed: int
) -> None:
    before, after = (part.replace("{text}", "") for part in (before, after))
    for masking in ("delete", Replace("_")):
        try:
            prompt = mask_prompt(text, f"{before}{{text}}{after}", by=by, masking=masking)
        except ValueError:  # no words
            assert not re.search(r"\w", text)
            return
        assert prompt.render(whole(prompt)) == before + text + after
        assert prompt.text == before + text + after
        chat = mask_prompt(text, [{"role": "user", "content": f"{before}{{text}}{after}"}], by=by)
        assert chat.messages(whole(chat)) == [{"role": "user", "content": before + text + after}]
    # finer players are the same characters
    mask = np.random.default_rng(seed).random(prompt.n_players) < 0.5
    finer, children = prompt.refined(range(0, prompt.n_players, 2), "word")
    assert finer.render(whole(finer)) == before + text + after
    kept = np.zeros(finer.n_players, dtype=bool)
    for player, own in enumerate(children):
        kept[list(own)] = mask[player]
    coarse = mask_prompt(text, f"{before}{{text}}{after}", by=by)
    finer, _ = coarse.refined(range(0, prompt.n_players, 2), "word")
    assert "".join(finer.render(kept).split()) == "".join(coarse.render(mask).split())


@given(contents=st.lists(texts, min_size=1, max_size=4), by=st.sampled_from(["word", "message"]))
def test_messages_and_documents_round_trip(contents: list[str], by: str) -> None:
    chat = [{"role": "user", "content": content} for content in contents]
    if not any(content.strip() for content in contents):
        return
    prompt = mask_prompt(chat, by=by)
    assert prompt.messages(whole(prompt)) == chat
    documents = [{"id": 1, "text": content} for content in contents if content.strip()]
    prompt = mask_prompt(documents, by="document" if by == "message" else by)
    assert prompt.render(whole(prompt)) == "\n\n".join(d["text"] for d in documents)


def test_bad_prompts() -> None:
    refused: list[tuple[Any, dict[str, Any], str]] = [
        ([], {}, "no documents were given"),
        ([{"text": " "}], {}, 'is no document; it needs a "text" with words'),
        ({"text": "a"}, {}, "the text is a dict, but neither a string nor a list"),
        (["a", "b"], {}, "the text is a list, but neither"),
        (None, {}, "the text is a NoneType, but neither"),
        ("a b", {"fixed": "a"}, r"fixed='a' is no compiled pattern; give re.compile"),
        ([{"role": 3, "content": "a"}], {}, 'is no chat message; it needs "role"'),
        ([{"role": "user", "content": 3}], {}, "the content 3 of a user message is no text"),
        (
            [{"role": "user", "content": [{"type": "image_url"}]}],
            {},
            "the user message has parts that are no text",
        ),
        (CHAT, {"prompt": CHAT}, "both the text and the prompt are chat messages"),
        (CHAT, {"by": "document"}, 'by="document" needs documents as the text, but it is a chat'),
        ("a b", {"by": "document"}, "needs documents as the text, but it is one string"),
        ("a b", {"by": "message"}, 'by="message" needs the messages of a chat'),
        ("a b", {"by": "token"}, "needs a local model's tokenizer"),
        ("a b", {"masking": "blur"}, "masking='blur' is unknown; choose one of delete, mask_token"),
        ("a b", {"prompt": "{text} {text}"}, r"holds \{text\} 2 times"),
    ]
    for text, settings, message in refused:
        with pytest.raises(ValueError, match=message):
            mask_prompt(text, **settings)


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        ("half \ud800 of it. And more.", "{text}"),
        ("All of it. And more.", "{text} half \udc00"),
        (
            [{"role": "user", "content": "half \ud800"}, {"role": "user", "content": "so?"}],
            "{text}",
        ),
        ([{"text": "half \ud800"}, {"text": "b"}], "{text} So?"),
        ("All of it. And more.", [{"role": "user", "content": "{text} half \ud800"}]),
    ],
)
def test_half_characters_are_refused(text: Any, prompt: Any) -> None:
    by = "sentence" if isinstance(text, str) else "message" if "role" in text[0] else "document"
    with pytest.raises(ValueError, match="lone surrogate"):
        mask_prompt(text, prompt, by=by)
