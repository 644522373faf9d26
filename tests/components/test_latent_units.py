"""Latents as players, against hooks that are written here and against the untouched model."""

from __future__ import annotations

import warnings
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

import interplay as ip
from interplay import components
from interplay._types import FloatArray
from interplay.components.architecture import find_architecture
from tests.components.test_attribution import ITEMS, WORDS, by_differences
from tests.components.test_units import CAUSAL, FAMILIES, alone, made, task, tokenizer
from tests.text.tiny import tiny

WIDTH = 32
N_LATENTS = 48
PLACES = ("layer", "mlp", "transcoder")


class Sae(torch.nn.Module):
    """Tied weights and a TopK that are not trained: what it does not explain is large."""

    def __init__(self, k: int = 6, seed: int = 0, scale: float = 0.4) -> None:
        super().__init__()
        weights = torch.randn(WIDTH, N_LATENTS, generator=torch.Generator().manual_seed(seed))
        self.weights = torch.nn.Parameter(scale * weights / WIDTH**0.5)
        self.centre = torch.nn.Parameter(0.1 * torch.ones(WIDTH))
        self.k = k

    def encode(self, states: torch.Tensor) -> torch.Tensor:
        latents = ((states - self.centre) @ self.weights).relu()
        kept = latents.topk(self.k, dim=-1)
        return torch.zeros_like(latents).scatter(-1, kept.indices, kept.values)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return latents @ self.weights.T + self.centre


class Squashed(Sae):
    """A decoder that is not linear: what two latents stand for is not the sum of their parts."""

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return super().decode(latents).tanh()


def latents(model: Any, sae: Any = None, layer: int = 1, **options: Any) -> tuple[Any, ...]:
    sae = Sae() if sae is None else sae
    with warnings.catch_warnings():  # it explains little
        warnings.simplefilter("ignore")
        return components.latents(model, WORDS, components.Task(ITEMS), sae, layer, **options)


def game(model: Any, players: Any, ablation: Any = "zero", **options: Any) -> Any:
    own = components.Task(ITEMS, ("margin", "logprob"))
    return components.ComponentGame(model, WORDS, own, players, ablation, **options)


def hooked(
    model: Any, family: str, players: Any, removed: list[int], stand_in: Any = 0.0
) -> FloatArray:
    """The scores with latents taken out by a hook of one layer, one prompt at a time."""
    sae, at, limit = (getattr(players[0].dictionary, name) for name in ("codec", "at", "limit"))
    block = find_architecture(model).layers[1]
    read: list[torch.Tensor] = []

    def before(_: Any, args: Any) -> None:
        read[:] = [args[0]]

    def after(_: Any, args: Any, output: Any) -> Any:
        states = output[0] if isinstance(output, tuple) else output
        source = read[0] if at == "transcoder" else states
        flat = source.reshape(-1, WIDTH)
        z = sae.encode(flat)
        rest = z.clone()
        rest[:, removed] = stand_in
        error = states - sae.decode(z).reshape(states.shape)
        changed = sae.decode(rest).reshape(states.shape) + error
        massive = (flat.norm(dim=1) > limit).reshape(*states.shape[:-1], 1)
        changed = torch.where(massive, states, changed)
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    handles = [(block.module if at == "layer" else block.mlp).register_forward_hook(after)]
    if at == "transcoder":
        assert block.mlp_input is not None
        handles.append(block.mlp_input.register_forward_pre_hook(before))
    try:
        return alone(model, family)
    finally:
        for handle in handles:
            handle.remove()


@pytest.mark.parametrize("at", PLACES)
@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2", "gptj", "opt", "bert"])
def test_removal_is_that_of_a_plain_hook(family: str, at: str) -> None:
    assert family in FAMILIES
    model, sae = made(family), Squashed(seed=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        players = components.latents(
            model, tokenizer(family), task(family), sae, 1, at=at, top=None
        )
    own = components.ComponentGame(model, tokenizer(family), task(family), players)
    n = own.n_players
    masks = np.random.default_rng(0).random((4, n)) < 0.5
    masks[0], masks[1], masks[2] = True, False, True
    masks[2, 0] = False
    scores = own.item_scores(masks)
    np.testing.assert_allclose(scores[0], alone(model, family), rtol=1e-4, atol=1e-5)
    assert np.abs(scores[1] - scores[0]).max() > 1e-2
    for mask, scored in zip(masks[1:], scores[1:], strict=True):
        removed = [players[number].head for number in np.flatnonzero(~mask)]
        expected = hooked(model, family, players, removed)
        np.testing.assert_allclose(scored, expected, rtol=1e-3, atol=5e-4)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize("at", PLACES)
def test_all_kept_is_the_untouched_model_bit_by_bit(at: str) -> None:
    from interplay.components.patching import removing, sites_of

    model = made("llama")
    players = latents(model, at=at, top=None)
    ids = torch.arange(4, 24).reshape(2, 10)
    kept = torch.ones((2, len(players) + 1), dtype=torch.bool)
    with torch.inference_mode():
        plain = model(input_ids=ids).logits
        for gates in (kept, kept.double()):
            with removing(sites_of(find_architecture(model), players), gates, {}):
                assert torch.equal(model(input_ids=ids).logits, plain)


def test_a_mean_stands_in_for_activations() -> None:
    model, sae = made("llama"), Sae()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        players = components.latents(model, WORDS, task("llama"), sae, 1, top=5)
    own = components.ComponentGame(model, WORDS, task("llama"), players, "mean")
    numbers = [player.head for player in players]
    states = []
    handle = model.model.layers[1].register_forward_hook(
        lambda _, args, output: states.append(output if torch.is_tensor(output) else output[0])
    )
    alone(model, "llama")
    handle.remove()
    z = torch.cat([sae.encode(of_one[0]) for of_one in states])[:, numbers]
    expected = hooked(model, "llama", players, numbers, z.mean(dim=0))
    scored = own.item_scores(np.zeros((1, 5), dtype=bool))[0]
    np.testing.assert_allclose(scored, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("ablation", ["zero", "mean", "resample"])
@pytest.mark.parametrize("at", PLACES)
def test_attribution_is_that_of_differences(ablation: str, at: str) -> None:
    model = tiny(hf.AutoModelForCausalLM, CAUSAL["llama"](), scale=4.0).double()
    sae = Sae().double()
    players = latents(model, sae, at=at, top=8) + components.heads(model, [2])
    own = game(model, players, ablation)
    mask = np.ones(own.n_players, dtype=bool)
    np.testing.assert_allclose(own.attribution(), by_differences(own, mask), rtol=3e-3, atol=1e-3)
    assert own.attribution()[:8].any()


def test_massive_tokens_are_left_as_they_are() -> None:
    model = made("llama")
    swollen = model.model.embed_tokens.weight
    with torch.no_grad():
        swollen[5] *= 1e4  # w1, the first token of two of three prompts
    by_default, every = latents(model), latents(model, massive=True)
    assert by_default[0].dictionary.limit is not None
    assert every[0].dictionary.limit is None
    unit = by_default[0]
    alone = game(model, (unit,), "mean")
    with_all = game(model, latents(model, massive=True, indices=[unit.head]), "mean")
    none = np.zeros((1, 1), dtype=bool)
    assert alone.fingerprint != with_all.fingerprint
    assert (alone(none) != with_all(none)).any()
    dictionary = unit.dictionary
    states = torch.randn(6, WIDTH, generator=torch.Generator().manual_seed(1))
    states *= dictionary.limit / 2 / states.norm(dim=1, keepdim=True)
    states[2] *= 3
    moved = dictionary.difference(states, np.array([unit.head]), lambda z, _: z + 1)
    assert not moved[2].any()
    assert moved[[0, 1, 3, 4, 5]].any(dim=1).all()
    assert not dictionary.activations(states, np.arange(N_LATENTS))[2].any()


def test_they_stand_beside_heads_and_a_removed_layer() -> None:
    """Latents are parts of what the other units of their layer have made of the hidden states."""
    model, sae = made("llama"), Sae()
    players = latents(model, sae, top=6) + components.layers(model, [1])
    own = game(model, players)
    masks = np.array([[False] * 6 + [False], [False] * 6 + [True]])
    without = deepcopy(model)
    identity = without.model.layers[1]
    identity.forward = lambda hidden_states, **_: hidden_states
    numbers = [player.head for player in players[:6]]

    def removed(_: Any, args: Any, output: Any) -> Any:
        z = sae.encode(output[0])
        gone = torch.zeros_like(z)
        gone[:, numbers] = z[:, numbers]
        return output - sae.decode(gone)[None] + sae.centre

    by_hook = []
    for other in (without, model):
        handle = other.model.layers[1].register_forward_hook(removed)
        plain = components.ComponentGame(other, WORDS, own.task, components.mlps(other, [2]))
        ids = [list(s[0]) for s in plain._sequences]
        with torch.inference_mode():
            by_hook.append([other(input_ids=torch.tensor([i])).logits[0, -1] for i in ids])
        handle.remove()
    from interplay.components.patching import removing

    for mask, expected in zip(masks, by_hook, strict=True):
        kept = torch.from_numpy(np.append(mask, True)[None])
        for one, logits in zip(ids, expected, strict=True):
            with torch.inference_mode(), removing(own._passes.sites, kept, {}):
                found = model(input_ids=torch.tensor([one])).logits[0, -1]
            torch.testing.assert_close(found, logits, rtol=1e-4, atol=1e-3)


def test_the_most_active_come_first_and_numbers_may_be_given() -> None:
    model, sae = made("llama"), Sae()
    every = latents(model, sae, top=None)
    assert latents(model, sae, top=4) == every[:4]
    assert len({unit.head for unit in every}) == len(every) < N_LATENTS
    chosen = latents(model, sae, indices=[7, 3])
    assert [unit.name for unit in chosen] == ["L1.latent7", "L1.latent3"]
    assert latents(model, sae, -1, at="mlp", indices=[0])[0].name == "L2.MLP.latent0"
    silent = next(n for n in range(N_LATENTS) if n not in {unit.head for unit in every})
    own = game(model, latents(model, sae, indices=[silent, every[0].head]))
    values = own(np.array([[True, True], [False, True], [True, False]]))
    assert (values[1] == values[0]).all()
    assert (values[2] != values[0]).any()
    both = components.Group("both", every[:2])
    together = game(model, (both, *every[2:4]))(np.array([[False, True, True]]))
    apart = game(model, every[:4])(np.array([[False, False, True, True]]))
    np.testing.assert_allclose(together, apart, rtol=1e-5)


def test_a_fingerprint_knows_the_weights_and_the_code() -> None:
    model = made("llama")
    first = game(model, latents(model, Sae(), indices=[1, 2])).fingerprint
    assert first is not None
    assert game(model, latents(model, Sae(), indices=[1, 2])).fingerprint == first

    class Changed(Sae):
        def decode(self, latents: torch.Tensor) -> torch.Tensor:
            return 2 * super().decode(latents)

    nudged = Sae()
    with torch.no_grad():
        nudged.weights[0, 0] += 1e-6
    Changed.__qualname__ = Sae.__qualname__
    Changed.__module__ = Sae.__module__
    others = [
        latents(model, Sae(seed=1), indices=[1, 2]),
        latents(model, nudged, indices=[1, 2]),
        latents(model, Sae(k=7), indices=[1, 2]),  # a setting that is no tensor
        latents(model, Changed(), indices=[1, 2]),  # other code under the same name
        latents(model, Sae(), at="mlp", indices=[1, 2]),
        latents(model, Sae(), 2, indices=[1, 2]),
        latents(model, Sae(), indices=[1, 3]),
    ]
    prints = [game(model, players).fingerprint for players in others]
    assert len({first, *prints}) == 8
    description = game(model, others[-1]).describe()
    assert description["units"] == [[[1, "latent", 1]], [[1, "latent", 3]]]
    assert description["dictionaries"][0]["n_latents"] == N_LATENTS
    assert description["view"]["kind"] == "grid"


def test_any_object_with_encode_and_decode() -> None:
    model = made("llama")

    class Plain:
        """No module, and its state is a tuple of tensors and a function."""

        def __init__(self) -> None:
            own = Sae()
            self.parts = (own.weights.detach(), own.centre.detach())
            self.activation = torch.relu

        def encode(self, states: torch.Tensor) -> torch.Tensor:
            states -= self.parts[1]  # in place: what the model computes must not change
            return self.activation(states @ self.parts[0])

        def decode(self, latents: torch.Tensor) -> torch.Tensor:
            return latents @ self.parts[0].T + self.parts[1]

    class Anonymous(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.activation = lambda states: states.clamp(min=0)

    plain = game(model, latents(model, Plain(), top=4))
    assert plain.fingerprint is not None
    values = plain(np.ones((1, 4), dtype=bool))
    heads = game(model, components.heads(model))
    np.testing.assert_allclose(values, heads(np.ones((1, 12), dtype=bool)), rtol=1e-5)
    with pytest.raises(ValueError, match=r"activation .*lambda.* cannot be hashed; give it a name"):
        latents(model, Anonymous(), top=4)
    named = [latents(model, Anonymous(), top=4, name=name) for name in ("one", "one", "two")]
    one, again, two = (game(model, players).fingerprint for players in named)
    assert one == again != two

    class Counting(Plain):
        calls = 0

        def encode(self, states: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return super().encode(states)

    with pytest.raises(ValueError, match="changes when it encodes"):
        latents(model, Counting(), top=4)
    assert len(latents(model, Counting(), top=4, name="counting")) == 4


def test_what_is_no_dictionary_is_refused() -> None:
    model = made("llama")

    class Batch(Sae):
        def encode(self, states: torch.Tensor) -> torch.Tensor:
            latents = ((states - self.centre) @ self.weights).relu()
            least = latents.flatten().topk(self.k * len(states)).values[-1]
            return latents * (latents >= least)

    class Noisy(Sae):
        def encode(self, states: torch.Tensor) -> torch.Tensor:
            return super().encode(states + 0.1 * torch.randn_like(states))

    class Sparse(Sae):
        def encode(self, states: torch.Tensor) -> Any:
            return super().encode(states).topk(3)

    class Short(Sae):
        def decode(self, latents: torch.Tensor) -> torch.Tensor:
            return super().decode(latents)[:, :5]

    class Narrow(Sae):
        def encode(self, states: torch.Tensor) -> torch.Tensor:
            return super().encode(states[:, :5])

    class Silent(Sae):
        def encode(self, states: torch.Tensor) -> torch.Tensor:
            return 0 * super().encode(states)

    class Undefined(Sae):
        def encode(self, states: torch.Tensor) -> torch.Tensor:
            return super().encode(states) / 0.0

    class Infinite(Sae):
        def decode(self, latents: torch.Tensor) -> torch.Tensor:
            return super().decode(latents) + float("inf")

    for sae, message in (
        (object(), "an object of type object has no encode; give one with encode"),
        (Undefined(), r"Undefined\.encode gives numbers that are not finite"),
        (Infinite(), r"Infinite\.decode gives numbers that are not finite"),
        (Batch(), "other latents beside other tokens, as batch top-k"),
        (Noisy(), "gives other latents when it is called again"),
        (Sparse(), "gives a topk, not a tensor of floats"),
        (Short(), r"Short\.decode gives the shape \(\d+, 5\), not \(\d+, 32\)"),
        (Narrow(), r"Narrow cannot encode and decode states of shape \(\d+, 32\)"),
        (Silent(), "no latent of layer 1 is active at any of the task's"),
    ):
        with pytest.raises(ValueError, match=message):
            latents(model, sae)
    with pytest.raises(ValueError, match="at='attention' is unknown; choose layer"):
        latents(model, at="attention")
    with pytest.raises(ValueError, match="layer 3 does not exist"):
        latents(model, layer=3)
    with pytest.raises(ValueError, match=r"L1\.latent48 does not exist: layer 1 has 48 latents"):
        latents(model, indices=[48])
    with pytest.raises(ValueError, match=r"L1\.latent4 belongs to two players"):
        latents(model, indices=[4, 4])
    with pytest.raises(ValueError, match="top=0 is below 1"):
        latents(model, top=0)
    with pytest.warns(UserWarning, match="zeros would be as good"):
        components.latents(model, WORDS, components.Task(ITEMS), Sae(scale=4.0), 1)


def test_parts_that_overlap_are_refused() -> None:
    model, sae = made("llama"), Sae()
    at_layer, of_mlp = (latents(model, sae, at=at, top=2) for at in ("layer", "mlp"))
    game(model, at_layer + of_mlp + components.heads(model, [1]))
    game(model, at_layer + components.mlps(model, [1]))
    for players, message in (
        (of_mlp + components.mlps(model, [1]), "is a part of L1.MLP"),
        (of_mlp + components.layers(model, [1]), "is a part of L1"),
        (of_mlp + components.neurons(model, [1], blocks=2), "divided in two ways"),
        (of_mlp + latents(model, sae, at="transcoder", top=2), "divided in two ways"),
        (at_layer + latents(model, Sae(seed=1), top=2), "divided in two ways"),
        ((components.Unit(1, "latent", 3),), "latents have a dictionary"),
    ):
        with pytest.raises(ValueError, match=message):
            game(model, players)


def test_a_dictionary_without_gradients_has_no_attribution() -> None:
    model = made("llama")

    class Detached(Sae):
        @torch.no_grad()
        def decode(self, latents: torch.Tensor) -> torch.Tensor:
            return super().decode(latents)

    own = game(model, latents(model, Detached(), top=3), hints="attribution")
    own(np.zeros((1, 3), dtype=bool))
    with pytest.raises(ValueError, match="has no derivatives: its encode or decode runs without"):
        own.attribution()
    with pytest.raises(ValueError, match="use hints=None"):
        own.hints()


def test_another_precision() -> None:
    model = made("llama")
    players = latents(model, Sae().double(), top=4)
    double = game(model, players)(np.zeros((1, 4), dtype=bool))
    single = game(model, latents(model, Sae(), top=4))(np.zeros((1, 4), dtype=bool))
    np.testing.assert_allclose(double, single, rtol=1e-3)


def test_many_latents_are_held_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    model = made("llama")
    players = latents(model, top=5)
    masks = np.random.default_rng(0).random((6, 5)) < 0.5
    whole = game(model, players)(masks)
    monkeypatch.setattr("interplay.components.dictionaries._NUMBERS", 7 * N_LATENTS)
    assert latents(model, players[0].dictionary.codec, top=5) == players
    np.testing.assert_allclose(game(model, players)(masks), whole, rtol=1e-4, atol=1e-5)


def test_an_explanation_is_saved_and_shown(tmp_path: Path) -> None:
    model = made("llama")
    players = latents(model, top=3) + components.heads(model, [2])[:2]
    explanation = ip.explain(game(model, players), decoder="exact", store=tmp_path / "runs.db")
    explanation.save(tmp_path / "one.interplay")
    loaded = ip.load(tmp_path / "one.interplay")
    assert {share.layer for share in components.structure(loaded).layers} == {1, 2}
    loaded.to_html(tmp_path / "one.html")
    assert "L1.latent" in (tmp_path / "one.html").read_text()


@pytest.mark.parametrize("at", PLACES)
def test_on_a_real_model(smollm: tuple[Any, Any], at: str) -> None:
    model, words = smollm
    directions = torch.randn(576, 1024, generator=torch.Generator().manual_seed(0))
    sae = Sae(k=16)
    sae.weights = torch.nn.Parameter(directions / 24)
    sae.centre = torch.nn.Parameter(torch.zeros(576))
    prompt, right, wrong = "The keys to the cabinet", " are", " is"
    own = components.Task((components.Item(prompt, right, (wrong,)),))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        players = components.latents(model, words, own, sae, 12, at=at, top=20)
    kept = components.ComponentGame(model, words, own, players)
    found = kept(np.array([[True] * 20, [False] * 20]))
    numbers = [player.head for player in players]
    block = model.model.layers[12]
    read: list[torch.Tensor] = []

    def written(_: Any, args: Any, output: Any) -> Any:
        z = sae.encode(read[0] if at == "transcoder" else output)
        gone = torch.zeros_like(z)
        gone[..., numbers] = z[..., numbers]
        if at == "layer":
            gone[0, 0] = 0  # its state is massive
        return output - gone @ sae.weights.T

    def margin() -> float:
        with torch.inference_mode():
            logits = model(**words(prompt, return_tensors="pt"), use_cache=False).logits[0, -1]
        first, second = (words(answer)["input_ids"][0] for answer in (right, wrong))
        return float(logits[first] - logits[second])

    whole = margin()
    handles = [
        (block if at == "layer" else block.mlp).register_forward_hook(written),
        block.mlp.register_forward_pre_hook(lambda _, args: read.__setitem__(slice(None), args)),
    ]
    without = margin()
    for handle in handles:
        handle.remove()
    assert abs(without - whole) > 1e-2
    np.testing.assert_allclose(found, [whole, without], atol=1e-3)
