"""``interplay components`` on a tiny model in a folder."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import transformers as hf

import interplay as ip
from tests.cli.running import run
from tests.components.test_units import SMALL
from tests.text.tiny import tiny, word_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("components")
    model = tiny(hf.AutoModelForCausalLM, hf.LlamaConfig(**SMALL, num_key_value_heads=2))
    model.save_pretrained(path / "model")
    word_tokenizer(framed=False).save_pretrained(path / "model")
    items = [
        {"prompt": f"w{n} w{n + 1} w3", "answer": f" w{n + 5}", "wrong": [f" w{n + 6}"]}
        for n in range(12)
    ]
    (path / "task.jsonl").write_text("\n".join(map(json.dumps, items)))
    return path


def test_help() -> None:
    assert "Explain a transformer's score on a task" in run("components", "--help")


@pytest.mark.slow
def test_a_run_explains_prunes_and_goes_on_from_its_store(folder: Path, tmp_path: Path) -> None:
    given = ("components", "--model", folder / "model", "--task", folder / "task.jsonl")
    given = (*given, "--units", "heads", "--units", "mlps", "--layers", "1-2", "--threads", 1)
    out = tmp_path / "out"
    planned = run(*given, "--budget", 60, "--keep", 5, "--plan", "--out", out)
    assert "30 for the fit + 28 held out in turn + 2 ends = 60 distinct" in planned
    tried = re.search(r"\((\d+) tried\)", planned)
    assert tried is not None
    assert int(tried[1]) <= 32  # of 60
    assert "pruning       at most" in planned
    assert "judging       at most" in planned
    assert not (out / "explanation.html").exists()
    first = run(*given, "--budget", 60, "--keep", 0.66, "--keep", 5, "--random", 5, "--out", out)
    assert "10 players; 6 questions to explain by" in first
    assert "On 6 questions held out" in first
    for method in ("none", "gp", "lasso", "single", "random"):
        assert method in first
    assert "7 of 10" in first
    assert "5 of 10" in first
    assert "linear " in first
    assert "gp, 7 kept, removes L" in " ".join(first.split())
    assert "gp, 5 kept, removes L" in " ".join(first.split())
    explanation = ip.load(out / "explanation.interplay")
    assert explanation.players[:2] == ("L1.H0", "L1.H1")
    assert explanation.outputs == ("margin", "correct")
    assert "<html" in (out / "explanation.html").read_text()
    again = run(*given, "--budget", 60, "--keep", 0.66, "--keep", 5, "--random", 5, "--out", out)
    assert "(0 evaluated, 60 from the store)" in again
    pruned = ("--keep", 5, "--rounds", 1, "--objective", "faithful")
    adapted = run(*given, "--budget", 60, *pruned, "--out", out)
    assert "gp after rounds" in adapted
    assert "gp after rounds: 1 round, " in " ".join(adapted.split())
    assert "from the target" in " ".join(adapted.split())
    assert "--out" in run(*given, "--budget", 60, "--score", "prob", "--out", out, code=2)


@pytest.mark.slow
def test_a_run_until_it_is_good_enough(folder: Path, tmp_path: Path) -> None:
    given = ("components", "--model", folder / "model", "--task", folder / "task.jsonl")
    said = run(*given, "--threads", 1, "--until", 0.2, "--out", tmp_path / "out")
    explanation = ip.load(tmp_path / "out" / "explanation.interplay")
    assert explanation.provenance["until"]["goal"] == 0.2
    why = explanation.provenance["until"]["stopped_since"]
    assert f"Stopped since {why}; the goal was a cross-validated R2 of 0.2 (" in said


def test_layers_in_groups_with_a_mean_for_reference(folder: Path, tmp_path: Path) -> None:
    reference = tmp_path / "reference.txt"
    reference.write_text("w1 w2\n\nw3 w4 w5\n")
    said = run(
        *("components", "--model", folder / "model", "--task", folder / "task.jsonl"),
        *("--units", "layers", "--group", 2, "--ablation", "mean", "--reference", reference),
        *("--score", "logprob", "--threads", 1, "--out", tmp_path / "out"),
    )
    assert "2 players; 12 questions to explain by" in said
    description = ip.load(tmp_path / "out" / "explanation.interplay").provenance["game"][
        "description"
    ]
    assert description["ablation"] == {"kind": "mean", "texts": ["w1 w2", "w3 w4 w5"]}
    assert description["units"][1] == [[2, "layer", 0]]


def test_parts_of_heads_and_mlps(folder: Path, tmp_path: Path) -> None:
    said = run(
        *("components", "--model", folder / "model", "--task", folder / "task.jsonl"),
        *("--units", "kv-groups", "--units", "neurons", "--blocks", 3, "--layers", "1-2"),
        *("--threads", 1, "--budget", 60, "--decoder", "lasso", "--out", tmp_path / "out"),
    )
    assert "10 players; 12 questions to explain by" in said
    explanation = ip.load(tmp_path / "out" / "explanation.interplay")
    assert explanation.players[:5] == ("L1.KV0", "L1.KV1", "L2.KV0", "L2.KV1", "L1.N0-15")
    assert "the game is the one that was explained" in run(
        "verify", tmp_path / "out", "--allow-outside"
    )


def test_hints_from_gradients_are_recorded_and_given_again(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = ("components", "--model", folder / "model", "--task", folder / "task.jsonl")
    run(*given, "--threads", 1, "--budget", 60, "--hints", "attribution", "--out", out)
    hints = ip.load(out / "explanation.interplay").provenance["hints"]
    assert hints["kind"] == "attribution"
    assert len(hints["values"]) == 12
    assert "the game is the one that was explained" in run("verify", out, "--allow-outside")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--layers", "3"), "layer 3 does not exist: the model has 3 layers"),
        (("--layers", "a-b"), "--layers 'a-b' is not like 9-11"),
        (("--layers", "0,2-1"), "--layers '0,2-1': 2-1 ends before it begins"),
        (("--keep", "3", "--random", "-3"), "'--random'"),
        (("--keep", "0.01"), "keep=0.01 of 12 players is none; keep a larger share"),
        (("--units", "latents"), "--units latents is unknown; choose one of heads, kv-groups"),
        (("--units", "neurons", "--blocks", "49"), "blocks=49 of the 48 neurons in layer 0"),
        (("--blocks", "4"), "--blocks goes with --units neurons"),
        (("--score", "accuracy"), "--score accuracy is unknown"),
        (("--kind", "seq2seq"), "--kind seq2seq is unknown"),
        (("--ablation", "noise"), "--ablation noise is unknown"),
        (("--hints", "tokens"), "--hints tokens is unknown; choose one of attribution"),
        (("--hints", "attribution", "--score", "correct"), "'correct' is a step function"),
        (("--random", "5"), "--random is about pruning; give --keep too"),
        (("--rounds", "2"), "--rounds is about pruning; give --keep too"),
        (("--keep", "3", "--objective", "least"), "choose one of best, faithful"),
        (("--ablation", "mean", "--rescale"), "--rescale goes with --ablation zero"),
        (("--keep", "13", "--threads", "1", "--budget", "40"), "keep=13.0 is neither a share"),
        (("--keep", "3", "--test", "1.5"), "test=1.5 is not a share"),
    ],
)
def test_bad_options_are_one_line(
    folder: Path, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    given = ("--model", folder / "model", "--task", folder / "task.jsonl", "--out", tmp_path)
    assert message in run("components", *given, *options, code=2)


def test_an_empty_task_is_one_line(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "none.jsonl").write_text("\n")
    given = ("--model", folder / "model", "--task", tmp_path / "none.jsonl", "--out", tmp_path)
    assert "holds no items" in run("components", *given, code=2)
