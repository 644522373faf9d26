"""The worked examples run, and find what they say."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "examples"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))


SMALLER: dict[str, dict[str, object]] = {
    "long_answer": {"FIXED": re.compile("café|opened"), "MOST_TOKENS": 12},
    "reasoning": {
        "REPEATS": 1, "REPEATS_OF_REST": 2, "MOST_TOKENS": 4, "OTHERS": [(6, 3, 7)],
    },
}  # fmt: skip
"""Settings with which the dearest examples are quick; docs/examples.md has figures of the whole."""


def example(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.model
@pytest.mark.parametrize("name", NAMES)
def test_the_stated_interactions_are_the_strongest(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    module = example(name)
    for setting, value in SMALLER.get(name, {}).items():
        assert hasattr(module, setting)
        monkeypatch.setattr(module, setting, value)
    explanation = module.main()
    order = getattr(module, "ORDER", 3)
    # not by the explanation, which warns where a uniform run says little of FSII
    interactions = explanation.spectrum.to("FSII", order=order, players=explanation.players)
    found = interactions.top(len(module.EXPECTED), min_order=2)
    names = [{explanation.players[player] for player in members} for members in found.sets]
    assert sorted(map(sorted, names)) == sorted(map(sorted, module.EXPECTED))
    if name == "failing_prompt":
        said = capsys.readouterr().out
        assert "answered by:  Shakespeare" in said
        assert "It is answered by:  Brown" in said
    if name == "two_documents":
        assert found.values[0] > 0.1
    if name == "training_data":
        assert max(found.values.mean(axis=1)) < -1
        assert "it is 'threes, labelled as fives'" in capsys.readouterr().out
    if name == "agent_tools":
        said = capsys.readouterr().out
        assert "Of 2 interactions: 2 hold" in said
        assert "without example: map(Rome), sun; probability of weather 0.03" in said
        assert "without example and map: weather(Rome), rain; probability of weather 0.83" in said
    if name == "long_answer":
        said = capsys.readouterr().out
        assert "The cellar was flooded by a storm in 1954" in said
        assert said.count("Of 1 interaction: 1 hold") == 2
        assert re.search(r"-1\d\.\d+  In 1987 a storm .*\n +\+\d+\.\d+  A fire destroyed", said)
    if name == "cheaper_model":
        said = capsys.readouterr().out
        assert "took part with the weight 0.9" in said
        assert "1 hold, 0 do not hold, 0 unclear" in said
        alone, with_it = re.findall(r"R2 = (\S+) \(", said)[:2]
        assert float(alone) < 0.5 < float(with_it)
    if name == "reasoning":
        said = capsys.readouterr().out
        assert "left out: 2.30 with all steps, 0.17 with none" in said
        assert "Of 2 interactions: 2 hold" in said
        assert re.search(r"-0\.05 .* ± .*  He eats 2", said)
    if name == "words_and_heads":
        said = capsys.readouterr().out
        assert "1 hold, 0 do not hold" in said
        assert "interaction: 2.15, without the head 1.39" in said
    if name == "photograph":
        said = capsys.readouterr().out
        assert "Of 2 interactions: 2 hold" in said
        assert said.count("interaction +1.") == 3  # whatever stands in for the storeys
        assert 'class="picture"' in Path("out/photograph.html").read_text(encoding="utf-8")
    if name == "swapped_attribute":
        said = capsys.readouterr().out
        for line in (
            r"-0.31 \(-0.52 to -0.11\)  A case with a low fever is routine.\n +on fresh .* -0.29",
            r"removed +\+0.99\n +swapped +\+1.53\n",
            r"Different: 'gender' changes the score by at most 0.1 in 0 of 6 prompts",
        ):
            assert re.search(line, said), line
    if name == "heads":
        assert max(found.values) < -0.1
