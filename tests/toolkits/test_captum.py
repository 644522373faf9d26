"""captum: our method against its own, results that its plots draw, and its inputs as games."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForCausalLM, LlamaConfig

import interplay as ip
from interplay._types import BoolArray, FloatArray
from interplay.text import Response
from tests.text.tiny import VOCABULARY, tiny, word_tokenizer

pytest.importorskip("captum", minversion="0.9")
attr = pytest.importorskip("captum.attr")
bridge = ip.toolkits.captum
mpl.use("Agg")


@pytest.fixture
def net() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(5, 16), torch.nn.Tanh(), torch.nn.Linear(16, 3)
    ).eval()


@pytest.fixture
def rows() -> torch.Tensor:
    return torch.randn(4, 5, generator=torch.Generator().manual_seed(1))


ARGUMENTS: dict[str, dict[str, Any]] = {
    "one output": {"target": 1},
    "in batches": {"target": 1, "perturbations_per_eval": 7},
    "a target for each example": {
        "target": torch.tensor([0, 1, 2, 0]),
        "perturbations_per_eval": 3,
    },
    "targets in a list": {"target": [2, 1, 0, 0]},
    "all outputs": {},
    "all outputs, in batches": {"perturbations_per_eval": 4},
    "grouped features": {"target": 2, "feature_mask": torch.tensor([[0, 0, 1, 2, 1]])},
    "groups of each example": {
        "target": 0,
        "feature_mask": torch.tensor(
            [[0, 0, 1, 2, 1], [0, 1, 1, 2, 2], [0, 1, 2, 2, 2], [2, 1, 0, 1, 1]]
        ),
    },
    "baselines": {"target": 0, "baselines": torch.arange(5.0)[None] / 5},
    "a number as baseline": {"target": 0, "baselines": 0.5},
}


@pytest.mark.parametrize("arguments", ARGUMENTS.values(), ids=ARGUMENTS)
def test_equals_captum_on_a_table(
    net: torch.nn.Module, rows: torch.Tensor, arguments: dict[str, Any]
) -> None:
    expected = attr.ShapleyValues(net).attribute(rows, **arguments)
    method = bridge.Interplay(net)
    values = method.attribute(rows, **arguments)
    assert values.shape == expected.shape
    assert values.dtype == expected.dtype
    torch.testing.assert_close(values, expected, atol=1e-6, rtol=0)
    assert len(method.interplay) == 4
    assert all(one.faithfulness.exact for one in method.interplay)


def test_several_tensors_and_further_arguments() -> None:
    draw = torch.Generator().manual_seed(2)
    inputs = torch.randn(4, 5, generator=draw), torch.randn(4, 2, 3, generator=draw)
    scale = torch.randn(4, generator=draw)
    masks = torch.tensor([[0, 1, 1, 0, 2]]), torch.tensor([[3, 3, 0], [1, 4, 4]])

    def forward(x: torch.Tensor, y: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return x.prod(1) + (x[:, :3] * y[:, 0]).sum(1) * scale + y[:, 1, 0] * x[:, 4]

    for at_once in (1, 3):
        arguments: dict[str, Any] = {
            "feature_mask": masks,
            "additional_forward_args": (scale,),
            "perturbations_per_eval": at_once,
        }
        expected = attr.ShapleyValues(forward).attribute(inputs, **arguments)
        values = bridge.Interplay(forward).attribute(inputs, **arguments)
        assert isinstance(values, tuple)
        for value, of_captum in zip(values, expected, strict=True):
            torch.testing.assert_close(value, of_captum, atol=1e-6, rtol=0)


def test_one_number_for_all_examples(rows: torch.Tensor) -> None:
    def forward(x: torch.Tensor) -> float:
        return float((x[:, 0] * x[:, 1]).sum() + (x**2).sum())

    expected = attr.ShapleyValues(forward).attribute(rows)
    method = bridge.Interplay(forward)
    torch.testing.assert_close(method.attribute(rows), expected, atol=1e-5, rtol=0)
    assert len(method.interplay) == 1
    with pytest.raises(ValueError, match=r"4 rows; perturbations_per_eval=2 needs a row for each"):
        method.attribute(rows, perturbations_per_eval=2)
    with pytest.raises(ValueError, match="below 1"):
        method.attribute(rows, perturbations_per_eval=0)


def test_interactions_are_at_hand(rows: torch.Tensor) -> None:
    method = bridge.Interplay(lambda x: x[:, 0] * x[:, 1] * x[:, 2] + x[:, 3], order=3)
    method.attribute(rows)
    for row, explanation in zip(rows.double(), method.interplay, strict=True):
        moebius = explanation.interactions("Moebius", order=3)
        assert moebius[(0, 1, 2)] == pytest.approx(row[:3].prod().item(), abs=1e-6)
        assert moebius[(3,)] == pytest.approx(row[3].item(), abs=1e-6)
        assert moebius[(0, 1)] == pytest.approx(0, abs=1e-6)
    assert len(method.interplay) == 4


def test_a_budget_counts_masks_and_all_examples_share_them() -> None:
    draw = torch.Generator().manual_seed(3)
    rows, weights = torch.randn(3, 12, generator=draw), torch.randn(12, generator=draw)
    sizes = []

    def forward(x: torch.Tensor) -> torch.Tensor:
        sizes.append(len(x))
        return x @ weights + x[:, 0] * x[:, 1]

    method = bridge.Interplay(forward, decoder="lasso", order=2, random_state=1)
    values = method.attribute(rows, n_samples=150, perturbations_per_eval=40)
    assert sum(sizes) == 150 * 3
    assert max(sizes) <= 40 * 3
    expected = rows * weights
    both = rows[:, 0] * rows[:, 1] / 2
    expected[:, 0] += both
    expected[:, 1] += both
    torch.testing.assert_close(values, expected, atol=0.05, rtol=0)
    assert not any(one.faithfulness.exact for one in method.interplay)
    assert {str(one.measure) for one in method.interplay} == {"shapley"}
    again = method.attribute(rows, n_samples=150, perturbations_per_eval=40)
    assert torch.equal(values, again)
    with pytest.raises(NotImplementedError, match="call attribute"):
        method.attribute_future(rows)


def test_settings_that_attribute_takes_are_refused() -> None:
    for name, instead in [("budget", "n_samples"), ("batch_size", "perturbations_per_eval")]:
        with pytest.raises(ValueError, match=rf"{name}=9 is no setting here; .*{instead}="):
            bridge.Interplay(len, **{name: 9})
    with pytest.raises(ValueError, match="decoder='lass' is unknown"):
        bridge.Interplay(len, decoder="lass")
    assert bridge.Interplay(len, decoder="spex").settings == {"decoder": "spex"}  # its own masks


def test_pixels_in_groups() -> None:
    torch.manual_seed(4)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3), torch.nn.Flatten(), torch.nn.Linear(8, 2)
    ).eval()
    images, groups = torch.randn(2, 1, 4, 4), torch.arange(4).reshape(2, 2)
    mask = groups.repeat_interleave(2, 0).repeat_interleave(2, 1)[None]
    expected = attr.ShapleyValues(net).attribute(images, target=0, feature_mask=mask)
    values = bridge.Interplay(net).attribute(images, target=0, feature_mask=mask)
    torch.testing.assert_close(values, expected, atol=1e-6, rtol=0)


TEMPLATE = ("w1 {} w2 {} {}", ["w3", "w4", "w4"])
BASELINES = ["w5", "", "w7"]


@pytest.fixture(scope="module")
def lm() -> tuple[Any, Any]:
    """A small random language model whose tokens are the words w0 to w39."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
    )
    return tiny(AutoModelForCausalLM, config, scale=4.0), word_tokenizer(framed=False)


@pytest.fixture
def template() -> Any:
    return attr.TextTemplateInput(*TEMPLATE, baselines=BASELINES)


def assert_equals_captum(
    lm: tuple[Any, Any], inp: Any, response: str, goal: str = "log_prob", **options: Any
) -> ip.Explanation:
    """Compare within ``LLMAttribution``, and return the explanation."""
    model, tokenizer = lm
    method = bridge.Interplay(model)
    expected, values = (
        attr.LLMAttribution(one, tokenizer, attr_target=goal).attribute(
            inp, target=response, **options
        )
        for one in (attr.ShapleyValues(model), method)
    )
    torch.testing.assert_close(values.seq_attr, expected.seq_attr, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(values.token_attr, expected.token_attr, atol=1e-5, rtol=1e-5)
    assert values.input_tokens == expected.input_tokens
    (explanation,) = method.interplay  # the copy that LLMAttribution makes shares it
    return explanation


@pytest.mark.parametrize("goal", ["log_prob", "prob"])
@pytest.mark.parametrize("one_by_one", [True, False])
def test_within_llm_attribution(
    lm: tuple[Any, Any], template: Any, goal: str, one_by_one: bool
) -> None:
    explanation = assert_equals_captum(
        lm, template, "w8 w9 w10", goal, forward_in_tokens=one_by_one
    )
    assert explanation.players == ("w3", "w4", "w4")
    assert explanation.spectrum.n_outputs == 4  # the response, and each of its tokens
    assert explanation.interactions("SII", order=3).order == 3


def test_images_within_llm_attribution(lm: tuple[Any, Any]) -> None:
    """An image is read as four words, one for the brightness of each quarter."""
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 4
    regions = torch.arange(4).reshape(2, 2).repeat_interleave(2, 0).repeat_interleave(2, 1)

    def processor(image: Image.Image) -> dict[str, torch.Tensor]:
        means = np.array(image).mean(axis=2).reshape(2, 2, 2, 2).mean(axis=(1, 3))
        return {"input_ids": torch.tensor(means.ravel() // 8).long()[None] + 4}

    inp = attr.ImageMaskInput(Image.fromarray(pixels), regions, processor_fn=processor)
    explanation = assert_equals_captum(lm, inp, "w8 w9", forward_in_tokens=False)
    assert explanation.players == tuple(inp.values)


def test_within_remote_llm_attribution(lm: tuple[Any, Any], template: Any) -> None:
    model, tokenizer = lm

    class Provider:
        """A provider in this process: what a server would compute."""

        def get_logprobs(self, input_prompt: str, target_str: str, tokenizer: Any) -> list[float]:
            prompt, target = (tokenizer.encode(text) for text in (input_prompt, target_str))
            with torch.no_grad():
                logits = model(torch.tensor([prompt + target])).logits[0, len(prompt) - 1 : -1]
            rows = range(len(target))
            return [float(value) for value in logits.log_softmax(dim=1)[rows, target]]

    expected, values = (
        attr.RemoteLLMAttribution(
            method(attr.RemoteLLMAttribution.placeholder_model), tokenizer, Provider()
        ).attribute(template, target="w8 w9 w10")
        for method in (attr.ShapleyValues, bridge.Interplay)
    )
    torch.testing.assert_close(values.token_attr, expected.token_attr, atol=1e-5, rtol=1e-5)


def test_within_llm_attribution_on_a_language_model(smollm: tuple[Any, Any]) -> None:
    inp = attr.TextTemplateInput(
        "{} is in {}, so the capital is", ["Paris", "France"], ["It", "it"]
    )
    explanation = assert_equals_captum(smollm, inp, " Paris.", forward_in_tokens=False)
    assert explanation.players == ("Paris", "France")


@pytest.mark.parametrize("score", ["logprob", "prob"])
def test_a_text_template_as_a_game(
    lm: tuple[Any, Any], template: Any, score: Literal["logprob", "prob"], tmp_path: Path
) -> None:
    model, tokenizer = lm
    target = Response("w8 w9 w10", score=score, reduction="token")
    explanation = ip.explain(bridge.game(template, model, target, tokenizer))
    result = explanation.to_captum()
    goal = {"logprob": "log_prob", "prob": "prob"}[score]
    method = attr.LLMAttribution(bridge.Interplay(model), tokenizer, attr_target=goal)
    expected = method.attribute(template, target="w8 w9 w10", forward_in_tokens=False)
    assert expected.token_attr is not None
    torch.testing.assert_close(result.token_attr, expected.token_attr.double(), atol=1e-4, rtol=0)
    if score == "logprob":
        torch.testing.assert_close(result.seq_attr, expected.seq_attr.double(), atol=1e-4, rtol=0)
    else:  # the probability of the response is no sum
        assert result.seq_attr.isnan().all()
    assert result.output_tokens == [" w8", " w9", " w10"]
    assert result.input_tokens == ["w3", "w4", "w4 (2)"]
    assert len(result.seq_attr_dict) == 3
    full = explanation.full
    assert full is not None
    np.testing.assert_allclose(result.output_probs, full if score == "prob" else np.exp(full))
    assert "w4" in explanation.to_html(tmp_path / "page.html").read_text("utf-8")
    loaded = ip.load(explanation.save(tmp_path / "run.interplay")).to_captum()
    assert torch.equal(loaded.token_attr, result.token_attr)


def test_a_game_is_identified_by_all_that_its_values_depend_on(
    lm: tuple[Any, Any], template: Any
) -> None:
    model, tokenizer = lm

    def fingerprint(inp: Any, target: Any = "w8") -> str | None:
        return bridge.game(inp, model, target, tokenizer).fingerprint

    text, values = TEMPLATE
    others = [
        attr.TextTemplateInput(text, values),
        attr.TextTemplateInput(text + " w11", values, baselines=BASELINES),
        attr.TextTemplateInput(text, ["w9", *values[1:]], baselines=BASELINES),
        attr.TextTemplateInput(text, values, baselines=BASELINES, mask=[0, 1, 1]),
    ]
    seen = {fingerprint(template), *map(fingerprint, others), fingerprint(template, "w9")}
    assert len(seen) == 6
    assert None not in seen
    assert fingerprint(attr.TextTemplateInput(*TEMPLATE, baselines=BASELINES)) == fingerprint(
        template
    )
    assert fingerprint(attr.TextTemplateInput(text.format, values)) is None
    assert fingerprint(attr.TextTemplateInput(text, values, baselines=lambda: BASELINES)) is None


def test_groups_of_segments_are_players(lm: tuple[Any, Any]) -> None:
    model, tokenizer = lm
    inp = attr.TextTemplateInput(*TEMPLATE, baselines=BASELINES, mask=[7, 3, 3])
    game = bridge.game(inp, model, "w8", tokenizer)
    assert sorted(game.players) == ["w3", "w4 + w4"]
    expected = attr.LLMAttribution(attr.ShapleyValues(model), tokenizer).attribute(
        inp, target="w8", forward_in_tokens=False
    )
    values = dict(zip(game.players, ip.explain(game).to_captum().seq_attr.tolist(), strict=True))
    assert values["w3"] == pytest.approx(expected.seq_attr[0].item(), abs=1e-4)
    assert values["w4 + w4"] == pytest.approx(expected.seq_attr[1].item(), abs=1e-4)


def test_tokens_as_a_game(lm: tuple[Any, Any]) -> None:
    model, tokenizer = lm
    inp = attr.TextTokenInput("w1 w2 w3 w4", tokenizer, baselines=9, skip_tokens=["w1"])
    game = bridge.game(inp, model, "w8 w9", tokenizer)
    assert game.players == tuple(inp.values)
    expected = attr.LLMAttribution(attr.ShapleyValues(model), tokenizer).attribute(
        inp, target="w8 w9", forward_in_tokens=False
    )
    result = ip.explain(game).to_captum()
    torch.testing.assert_close(result.seq_attr, expected.seq_attr.double(), atol=1e-4, rtol=0)
    assert result.output_tokens == ["w8 w9"]
    assert result.token_attr is None


def test_image_regions_as_a_game() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (6, 6, 3)).astype(np.uint8)
    mask = torch.arange(4).reshape(2, 2).repeat_interleave(3, 0).repeat_interleave(3, 1)
    torch.manual_seed(5)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(108, 8), torch.nn.Tanh())
    head = torch.nn.Linear(8, 3)
    sizes = []

    def to_tensor(image: Image.Image) -> torch.Tensor:
        return torch.tensor(np.array(image)).permute(2, 0, 1)[None].float() / 255

    def model(images: torch.Tensor) -> torch.Tensor:
        sizes.append(len(images))
        return head(net(images))

    image = Image.fromarray(pixels)
    inp = attr.ImageMaskInput(image, mask, processor_fn=to_tensor)
    explanation = ip.explain(bridge.game(inp, model, 1))
    assert sum(sizes) == 16
    assert len(sizes) == 1

    def by_hand(present: BoolArray) -> float:
        changed = pixels.copy()
        changed[~present[mask.numpy()]] = 255
        with torch.no_grad():
            return float(head(net(to_tensor(Image.fromarray(changed))))[0, 1])

    masks = np.array([[True, False, True, True], [False, False, True, False]])
    np.testing.assert_allclose(
        explanation.predict(masks), [by_hand(row) for row in masks], atol=1e-6
    )
    result = explanation.to_captum()
    assert result.inp is inp
    figure, _ = result.plot_image_heatmap()
    assert figure.axes
    mpl.pyplot.close(figure)
    # not tensors: one by one; all outputs, and several of them
    plain = attr.ImageMaskInput(image, mask)
    game = bridge.game(plain, lambda image: model(to_tensor(image)))
    assert game(masks).shape == (2, 3)
    chosen = bridge.game(plain, lambda image: model(to_tensor(image)), [2, 0])
    np.testing.assert_allclose(chosen(masks), game(masks)[:, [2, 0]])
    assert ip.explain(chosen).outputs == ("2", "0")


def test_what_a_game_refuses(lm: tuple[Any, Any]) -> None:
    model, tokenizer = lm
    with pytest.raises(ValueError, match="with every feature removed the prompt has no tokens"):
        bridge.game(attr.TextTemplateInput("{}", ["w1"]), model, "w2", tokenizer)
    image = attr.ImageMaskInput(Image.new("RGB", (2, 2)))
    with pytest.raises(ValueError, match="neither a text nor a row of tokens"):
        bridge.game(image, model, "w2", tokenizer)
    with pytest.raises(ValueError, match="read off an encoder"):
        bridge.game(
            attr.TextTemplateInput("A {}", ["b"]), model, ip.text.Label("positive"), tokenizer
        )


def explained(
    function: Callable[[BoolArray], FloatArray], n_players: int, names: list[str]
) -> ip.Explanation:
    return ip.explain(ip.FunctionGame(function, n_players, players=names))


def test_results_of_any_explanation() -> None:
    single = explained(lambda masks: 2.0 * masks[:, 0] + masks[:, 1:].prod(1), 3, ["a", "b", "a"])
    result = single.to_captum()
    torch.testing.assert_close(result.seq_attr, torch.tensor([2.0, 0.5, 0.5]).double())
    assert (result.token_attr, result.output_tokens) == (None, ["value"])
    assert result.input_tokens == ["a", "b", "a (2)"]
    figure, _ = result.plot_seq_attr()
    mpl.pyplot.close(figure)

    several = explained(lambda masks: masks @ np.diag([1.0, 2.0, 3.0]), 3, ["x", "y", "z"])
    result = several.to_captum("BV")
    torch.testing.assert_close(result.token_attr, torch.diag(torch.tensor([1.0, 2, 3])).double())
    assert result.seq_attr.isnan().all()
    figure, axes = result.plot_token_attr()
    assert [label.get_text() for label in axes.get_xticklabels()] == ["x", "y", "z"]
    mpl.pyplot.close(figure)
    with pytest.raises(ValueError, match=r"index='FSII' is unknown; choose one of SV, BV"):
        several.to_captum("FSII")


def test_names_are_told_apart() -> None:
    names = ("the", "cat", "the", "the (2)", "the", "cat")
    assert bridge.apart(names) == ["the", "cat", "the (3)", "the (2)", "the (4)", "cat (2)"]
