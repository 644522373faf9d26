"""Benchmark items as games: the layouts of the harness's files, what is right, what is scored.

The layouts are those of lm-eval 0.4.2 (a list, of lists) and 0.4.13 (lines, numbers as text).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, GPT2Config

import interplay as ip
from interplay.cli.samples import excerpt
from interplay.cli.text import TextOptions
from interplay.text import Contrast, Options, Response, Sample, read_samples
from tests.cli.running import run
from tests.text.tiny import VOCABULARY, tiny, word_tokenizer

CONTEXT = "w1 w2 w3 w4\nw5 w6\nw7 w8"


def line(
    doc_id: Any, requests: list[list[Any]], given: list[Any], target: Any, new: bool, **more: Any
) -> str:
    """A line of a file: of the newer layout, or of the older one."""
    responses: list[Any] = [[one] for one in given]
    arguments: Any = requests
    if new:
        arguments = {
            f"gen_args_{i}": {f"arg_{j}": part for j, part in enumerate(request)}
            for i, request in enumerate(requests)
        }
        responses = [
            [[str(part) for part in one] if isinstance(one, list) else one] for one in given
        ]
        target = str(target)
    document = {
        "doc_id": doc_id,
        "doc": {"question": "w1", "n": float("nan")},
        "target": target,
        "arguments": arguments,
        "resps": responses,
        "filtered_resps": [one[0] for one in responses],
        "prompt_hash": "1" * 64,
    }
    return json.dumps(document | more)


def choices(
    context: str | list[str], answers: list[str], logprobs: list[float], target: Any, **more: Any
) -> dict[str, Any]:
    contexts = [context] * len(answers) if isinstance(context, str) else context
    return {
        "requests": [list(pair) for pair in zip(contexts, answers, strict=True)],
        "given": [[logprob, False] for logprob in logprobs],
        "target": target,
        **more,
    }


def read(tmp_path: Path, *lines: str) -> tuple[Sample, ...]:
    path = tmp_path / "samples.jsonl"
    path.write_text("\n\n".join(lines) + "\n", encoding="utf-8")
    return read_samples(path)


def only(tmp_path: Path, new: bool = True, **item: Any) -> Sample:
    (sample,) = read(tmp_path, line(item.pop("doc_id", 3), new=new, **item))
    return sample


@pytest.fixture(scope="module")
def model() -> tuple[Any, Any]:
    config = GPT2Config(vocab_size=VOCABULARY, n_embd=16, n_layer=2, n_head=2, n_positions=64)
    return tiny(AutoModelForCausalLM, config), word_tokenizer(framed=False)


def loglikelihood(model: tuple[Any, Any], context: str, answer: str) -> float:
    """What the harness computes: the answer's tokens after the context's, white space moved."""
    network, tokenizer = model
    answer = context[len(context.rstrip()) :] + answer
    n_context = len(tokenizer(context.rstrip())["input_ids"])
    ids = tokenizer(context.rstrip() + answer)["input_ids"]
    with torch.inference_mode():
        logprobs = network(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return sum(float(logprobs[at - 1, ids[at]]) for at in range(n_context, len(ids)))


def value(game: Any) -> Any:
    return game(np.ones((1, game.n_players), dtype=bool))[0]


@pytest.mark.parametrize("new", [False, True])
def test_a_choice_is_scored_as_the_harness_did(
    new: bool, tmp_path: Path, model: tuple[Any, Any]
) -> None:
    context, answers = CONTEXT + "\n", [" w9", " w10 w11", " w12"]
    logprobs = [loglikelihood(model, context, answer) for answer in answers]
    worst = int(np.argmin(logprobs))
    item = choices(context, answers, logprobs, worst, acc=0.0, acc_norm=1.0)
    sample = only(tmp_path, new, **item)
    assert (sample.doc_id, sample.kind, sample.is_right) == ("3", "choices", False)
    assert sample.right == (worst,)
    assert sample.answers == tuple(f"\n{answer}" for answer in answers)
    best = int(np.argmax(logprobs))
    assert sample.target == Contrast(f"\n{answers[worst]}", f"\n{answers[best]}")
    game = sample.game(*model, by="word")
    assert game.players == ("w1", "w2", "w3", "w4", "w5", "w6")  # the last line stays
    assert game.prompt(np.zeros(6, dtype=bool)).split() == ["w7", "w8"]
    assert value(game) == pytest.approx(sample.recorded[0], abs=1e-5)
    every = sample.game(*model, sample.options(), by="line")
    assert value(every) == pytest.approx(logprobs, abs=1e-5)
    # a prompt that holds the placeholder's name is text like any other
    assert only(tmp_path, **choices("w1 {text}\nw2", answers, logprobs, 0)).game(*model).n_players


def test_the_other_kinds(tmp_path: Path, model: tuple[Any, Any]) -> None:
    # what follows is the same, and the option stands in the context
    contexts, after = ["w1 w2 w3 w4", "w1 w2 w3 w5"], " w6 w7"
    logprobs = [loglikelihood(model, context, after) for context in contexts]
    item = choices(contexts, [after] * 2, logprobs, "w6 w7", acc=0.0)
    for new in (False, True):
        sample = only(tmp_path, new, **item)
        assert sample.kind == "options in context"
        assert sample.right == (int(np.argmin(logprobs)),)
        game = sample.game(*model, by="word")
        assert game.players == ("w1", "w2")
        assert value(game) == pytest.approx(logprobs, abs=1e-5)
        assert sample.recorded == pytest.approx(logprobs)
    # one text, and whether the model would have written it
    logprob = loglikelihood(model, CONTEXT, " w9")
    item = choices(CONTEXT, [" w9"], [logprob], " w9", perplexity=logprob, acc=0)
    sample = only(tmp_path, **item)
    assert (sample.kind, sample.is_right, sample.target) == ("continuation", False, Response(" w9"))
    assert value(sample.game(*model)) == pytest.approx(logprob, abs=1e-5)
    # an answer that was written, by several filters
    asked = [[CONTEXT, {"until": ["\n"]}]]
    lines = [
        line(7, asked, [" w9 w10"], "w9", True, filter=name, metrics=["exact_match"], exact_match=x)
        for name, x in (("strict", 0.0), ("flexible", 1.0))
    ]
    (sample,) = read(tmp_path, *lines)
    assert sample.scores == {"exact_match,strict": 0.0, "exact_match,flexible": 1.0}
    assert (sample.kind, sample.is_right, sample.lines) == ("generated", False, (1, 3))
    assert sample.target == Response(" w9 w10")
    assert sample.recorded == ()
    with pytest.raises(ValueError, match="does not say which of its 1 answers is right"):
        _ = sample.compared
    empty = only(tmp_path, requests=asked, given=[""], target="w9")
    assert empty.is_right is None
    with pytest.raises(ValueError, match=r"is empty: the model stopped at once.*Response\('w9'\)"):
        _ = empty.target


RIGHT: list[tuple[Any, dict[str, float], tuple[int, ...]]] = [
    (1, {}, (1,)),
    ("1", {}, (1,)),
    ([0, 2], {}, (0, 2)),
    ("[0, 2]", {}, (0, 2)),
    ("2", {"acc": 1.0}, (1,)),  # a text, since the number would be wrong
    ("2", {"acc": 0.0}, (2,)),
    ("0", {}, (0,)),
    ("w9", {}, ()),
    ("w9", {"acc": 1.0}, (1,)),
    ("w9", {"acc": 0.0}, ()),
    ("[" * 5000, {}, ()),
    (None, {}, ()),
]


@pytest.mark.parametrize(("target", "scores", "right"), RIGHT)
def test_which_answer_is_right(
    target: Any, scores: dict[str, float], right: tuple[int, ...], tmp_path: Path
) -> None:
    item = choices(CONTEXT, [" 4", " 2", " 0"], [-3.0, -1.0, -2.0], target, **scores)
    assert only(tmp_path, new=False, **item).right == right
    if not right:
        with pytest.raises(ValueError, match="does not say which of its 3 answers is right"):
            _ = only(tmp_path, **item).target


def test_what_is_left_out(tmp_path: Path) -> None:
    """Unconditional answers, and wrong answers that read like the right one."""
    item = choices([CONTEXT] * 2 + [""] * 2, [" a", " b"] * 2, [-1.0, -2.0, -3.0, -4.0], 1)
    sample = only(tmp_path, **item)
    assert (sample.answers, sample.logprobs) == ((" a", " b"), (-1.0, -2.0))
    item = choices([CONTEXT, ""] * 2, [" a", "a", " b", "b"], [-1.0, -3.0, -2.0, -4.0], 1)
    assert only(tmp_path, new=False, **item) == sample  # as version 0.4.2 has them
    sample = only(tmp_path, **choices(CONTEXT, [" a", " a", " b"], [-1.0, -1.0, -2.0], 0))
    assert sample.target == Contrast(" a", " b")
    with pytest.raises(ValueError, match="not two or more different answers"):
        sample.options()
    with pytest.raises(ValueError, match="no answer beside the right one"):
        _ = only(tmp_path, **choices(CONTEXT, [" a", " a"], [-1.0, -1.0], 0)).target


def test_chats(tmp_path: Path, smollm: tuple[Any, Any]) -> None:
    """Of a chat in its template the template stays; one of a server is messages."""
    messages = [
        {"role": "user", "content": "The door is green. It rains.\nWhich colour?", "type": "text"},
        {"role": "assistant", "content": "Red."},
        {"role": "user", "content": "Are you sure?"},
    ]
    _, tokenizer = smollm
    context = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    sample = only(tmp_path, requests=[[context, {}]], given=["No."], target="")
    game = sample.game(*smollm, by="sentence")
    everything = np.ones(game.n_players, dtype=bool)
    assert game.prompt(everything) == context
    assert "The door is green." in game.players
    assert not [name for name in game.players if "<|" in name or name == "user"]
    nothing = game.prompt(~everything)
    assert nothing.count("<|im_start|>") == context.count("<|im_start|>")
    assert "green" not in nothing
    assert "Are you sure?" in sample.game(*smollm, by="message").players
    assert sample.snippet == "The door is green. It rains. Which colour?"
    for wrapped in ([json.dumps(messages)], json.dumps(messages)):
        sample = only(tmp_path, requests=[[wrapped, {}]], given=["No."], target="")
        assert isinstance(sample.text, tuple)
        game = sample.game(*smollm, by="message")
        assert game.prompt(everything[: game.n_players]) == context
        assert game.players[1] == "Red."


DAMAGED = [
    ("{", "not JSON"),
    ('{"a": ' + "[" * 100_000, "not JSON"),
    ("1", "an object is expected, not 1"),
    ("{}", "it has no 'doc_id'"),
    ('{"doc_id": 1}', "it has no 'arguments'"),
    ('{"doc_id": [1], "arguments": []}', r"doc_id=\[1\] is neither a number nor a text"),
    ('{"doc_id": 1, "arguments": []}', r"arguments=\[\] are no requests"),
    ('{"doc_id": 1, "arguments": {"a": {"arg_0": ""}}}', "are no requests"),
    ('{"doc_id": 1, "arguments": [["the text"]]}', "the whole text, as of a perplexity"),
    ('{"doc_id": 1, "arguments": [[5, " a"]]}', "the context 5 is neither a text nor a chat"),
    ('{"doc_id": 1, "arguments": [["a b", " c"]], "resps": [[["x"]]]}', "a log-likelihood for"),
    ('{"doc_id": 1, "arguments": [["a b", " c"]], "resps": [[[NaN]]]}', "a log-likelihood for"),
    ('{"doc_id": 1, "arguments": [["a b", " c"]]}', "does not have a log-likelihood for each of 1"),
    ('{"doc_id": 1, "arguments": [["a b", {}]], "resps": [[3]]}', "has no answer that was gen"),
    ('{"doc_id": 1, "arguments": [["ab", " c"]], "resps": [[-1]]}', "too short for anything"),
    ('{"doc_id": 0, "arguments": [["a b", " c"]], "resps": [[-2]]}', "was there before"),
]


@pytest.mark.parametrize(("damaged", "message"), DAMAGED)
def test_a_bad_line_is_told_by_its_number(damaged: str, message: str, tmp_path: Path) -> None:
    good = '{"doc_id": 0, "arguments": [["a b", " c"]], "resps": [[-1]]}'
    with pytest.raises(ValueError, match=f"samples.jsonl, line 3: .*{message}"):
        read(tmp_path, good, damaged)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to all parts of a JSON document."""
    yield at
    if isinstance(value, dict | list):
        for name, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(part, (*at, name))


@given(data=st.data())
@settings(max_examples=300)
def test_any_change_of_a_line_is_read_or_refused(data: st.DataObject) -> None:
    new = data.draw(st.booleans())
    text = line(1, new=new, **choices(CONTEXT, [" a", " b"], [-1.0, -2.0], 1, acc=0.0))
    document = json.loads(text)
    *before, last = data.draw(st.sampled_from([at for at in places(document) if at]))
    part = document
    for name in before:
        part = part[name]
    part[last] = data.draw(
        st.sampled_from([None, True, -1, 10**400, float("nan"), "", "[[", "nan", [], {}, [[]]])
    )
    with TemporaryDirectory() as folder:
        path = Path(folder) / "samples.jsonl"
        path.write_text(json.dumps(document), encoding="utf-8")
        with suppress(ValueError):
            for sample in read_samples(path):
                assert sample.snippet is not None
                assert sample.target


def test_a_list_of_older_versions(tmp_path: Path) -> None:
    """Versions before 0.4.3 write one list with indents, and no names of filters."""
    asked = [[CONTEXT, {"until": ["\n"]}]]
    items = [
        json.loads(line(doc_id, asked, [answer], "w9", False, exact_match=score))
        for doc_id, answer, score in ((0, " w9", 0.0), (1, " \u2028w8", 0.0), (0, " w9", 1.0))
    ]
    path = tmp_path / "old.jsonl"
    path.write_text(json.dumps(items, indent=2, ensure_ascii=False), encoding="utf-8")
    first, second = read_samples(path)
    assert first.scores == {"exact_match": 0.0, "exact_match,2": 1.0}
    assert second.answers == (" \u2028w8",)
    assert path.read_text(encoding="utf-8").split("\n")[first.lines[1] - 1].strip() == "{"
    for sample in (first, second):
        copy = excerpt(path, sample, tmp_path / "run")
        (again,) = read_samples(copy)
        lines = tuple(range(1, len(sample.lines) + 1))
        assert again == replace(sample, lines=lines)
    items[2]["resps"] = [[" other"]]
    path.write_text(json.dumps(items, indent=2), encoding="utf-8")
    with pytest.raises(ValueError, match=r"old.jsonl, line \d+: document 0 was there before"):
        read_samples(path)
    path.write_text(json.dumps(items[:2], indent=2)[:-30], encoding="utf-8")
    with pytest.raises(ValueError, match=r"old.jsonl, line \d+: not JSON"):
        read_samples(path)
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(ValueError, match="holds no samples"):
        read_samples(path)


def test_no_samples(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no samples"):
        read(tmp_path, "")
    (tmp_path / "samples.jsonl").write_bytes(b"\n\xff\n")
    with pytest.raises(ValueError, match="line 2: not UTF-8"):
        read_samples(tmp_path / "samples.jsonl")


def test_the_command(tmp_path: Path, model: tuple[Any, Any]) -> None:
    for part in model:
        part.save_pretrained(tmp_path / "tiny")
    answers, out = [" w9", " w10"], tmp_path / "out"
    logprobs = [loglikelihood(model, CONTEXT, answer) for answer in answers]
    right, wrong = np.argsort(logprobs)[::-1].tolist()
    path = tmp_path / "samples_tiny.jsonl"
    items = [
        line(4, new=True, **choices(CONTEXT, answers, logprobs, right, acc=1.0)),
        line(17, new=False, **choices(CONTEXT, answers, [0.0, 0.0], wrong, acc=0.0)),
        line("[b]", [[CONTEXT, {}]], [" w9\x1b[31m"], "w10", True, exact_match=1.0),
    ]
    path.write_text("\n".join(items), encoding="utf-8")
    asked = ("text", "--model", tmp_path / "tiny", "--samples", path, "--by", "word")
    listed = run(*asked, code=2)
    rows = [row.split()[:2] for row in listed.splitlines() if "w1 w2" in row]
    assert rows == [["17", "wrong"], ["4", "right"], ["[b]", "right"]]
    assert "--doc-id is missing; choose one of the 3 items" in listed
    assert "has no item '5'" in run(*asked, "--doc-id", 5, code=2)
    assert "an item has its prompt already" in run(*asked, "--doc-id", 4, "--question", "x", code=2)
    both = run("text", "--model", "smollm2", "--doc-id", 4, code=2)
    assert "--doc-id was given without --samples" in both

    said = run(*asked, "--doc-id", 4, "--out", out)
    assert f"target: logprob of '{answers[right]}' - logprob of '{answers[wrong]}'" in said
    assert f"recorded by the benchmark: {logprobs[right] - logprobs[wrong]:.4g}" in said
    assert "recorded another value" not in said
    (copied,) = (out / "inputs").iterdir()
    assert copied.read_text(encoding="utf-8") == f"{items[0]}\n"
    path.unlink()
    allowed = ("--allow-outside", "--sample", 2)
    assert "MATCH" in run("verify", out, *allowed).splitlines()[-1]
    path.write_text("\n".join(items), encoding="utf-8")
    other = run(*asked, "--doc-id", 17, "--out", tmp_path / "other")
    assert "the benchmark recorded another value than this model gives" in other
    assert "to evaluate" in run("plan", *asked[1:], "--doc-id", "[b]", "--no-warm-up")
    server = ("plan", "--model", "m", "--base-url", "http://127.0.0.1:9/v1", *asked[3:])
    assert "to evaluate" in run(*server, "--doc-id", 4)
    item = choices(["w1 w2 w3", "w1 w2 w4"], [" w5"] * 2, [-1.0, -2.0], "w5", acc=1.0)
    path.write_text(line(4, new=True, **item), encoding="utf-8")
    assert "a server gives one, so say what to score by --response" in run(
        *server, "--doc-id", 4, code=2
    )
    assert "to evaluate" in run(*server, "--doc-id", 4, "--response", " w3 w5")
    path.write_text("\n".join(items), encoding="utf-8")

    def scored(doc_id: str, **given: Any) -> Any:
        return TextOptions("", samples=path, doc_id=doc_id, **given).scored()

    first, second = answers[right], answers[wrong]
    assert scored("4") == scored("4", target="contrast") == Contrast(first, second)
    assert scored("4", against=" blue") == Contrast(first, " blue")
    assert scored("4", target="prob") == Response(first, "prob")
    assert scored("4", target="options") == Options(tuple(answers))
    written = " w9\x1b[31m"
    assert scored("[b]", reduction="token") == Response(written, reduction="token")
    assert scored("[b]", target="contrast", response=" w10") == Contrast(" w10", written)
    assert scored("[b]", response=" w5") == Response(" w5")
    with pytest.raises(ValueError, match="needs two answers"):
        scored("[b]", target="contrast")


def test_an_item_stays_what_it_was(tmp_path: Path, model: tuple[Any, Any]) -> None:
    """The game explains: planted by nothing, its ends are those of the contexts."""
    sample = only(tmp_path, **choices(CONTEXT, [" w9", " w10"], [-1.0, -2.0], 1))
    explanation = ip.explain(sample.game(*model, by="line"))
    assert explanation.faithfulness.exact
    assert explanation.full is not None
    expected = [loglikelihood(model, CONTEXT, answer) for answer in (" w10", " w9")]
    assert float(explanation.full) == pytest.approx(expected[0] - expected[1], abs=1e-5)
