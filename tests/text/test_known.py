"""Checks of a model are made once while it stays as it is, and again when it does not."""

from __future__ import annotations

import gc
import warnings
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from transformers import MambaConfig

from interplay.text.inference import reader as reader_module
from interplay.text.inference.known import known
from interplay.text.inference.reader import Reader
from tests.text.test_sharing import CONFIGS, all_logits, tiny


class Counted:
    """A check that counts how often it is made."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> int:
        self.count += 1
        return self.count


@pytest.fixture
def model() -> Any:
    return tiny(CONFIGS["llama"])


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_a_check_is_made_once_for_a_length_and_settings(model: Any) -> None:
    check = Counted()
    assert [known(model, "one", length, check) for length in (20, 20, 9, 21, 20)] == [1, 1, 1, 2, 2]
    assert known(model, "another", 20, check) == 3
    assert known(tiny(CONFIGS["llama"]), "one", 20, check) == 4


def test_a_check_is_made_again_for_what_it_depends_on(model: Any, threads: None) -> None:
    check = Counted()
    weight = model.model.layers[0].mlp.up_proj.weight

    def in_place() -> None:
        with torch.no_grad():
            weight.mul_(2.0)

    def replaced() -> None:
        weight.data = weight.data.clone()

    changes: list[Any] = [
        in_place,
        replaced,
        model.half,
        model.train,
        lambda: model.set_attn_implementation("eager"),
        lambda: setattr(model.config, "sliding_window", 7),
        lambda: torch.set_num_threads(torch.get_num_threads() + 1),
        lambda: setattr(model.model.layers[0], "forward", model.model.layers[1].forward),
        lambda: setattr(model.model.layers[1], "mlp", torch.nn.Identity()),
    ]
    known(model, "one", 20, check)
    for number, change in enumerate(changes, 2):
        change()
        assert known(model, "one", 20, check) == number
        assert known(model, "one", 20, check) == number


def test_of_a_model_with_hooks_nothing_is_kept(model: Any) -> None:
    check = Counted()
    known(model, "one", 20, check)
    handle = model.model.layers[0].register_forward_hook(lambda *_: None)
    assert [known(model, "one", 20, check) for _ in range(2)] == [2, 3]
    handle.remove()
    assert known(model, "one", 20, check) == 1


def test_an_error_is_not_kept_and_neither_is_the_model() -> None:
    model, check = tiny(CONFIGS["llama"]), Counted()

    def failing() -> int:
        raise ValueError("no positions")

    for _ in range(2):
        with pytest.raises(ValueError, match="no positions"):
            known(model, "one", 20, failing)
    known(model, "one", 20, check)
    held = weakref.ref(model)
    del model
    gc.collect()
    assert held() is None


def test_readers_of_one_model_check_it_once_and_read_the_same(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    choose = reader_module.choose_strategy

    def counted(forward: Any, ids: Any, window: float) -> Any:
        made.append(len(ids))
        return choose(forward, ids, window)

    monkeypatch.setattr(reader_module, "choose_strategy", counted)
    prompts = [tuple(range(3, 33)), (*range(3, 23), 40, 41)]
    first, second = Reader(model), Reader(model)
    values = first.values(prompts, all_logits(((),)))
    np.testing.assert_array_equal(second.values(prompts, all_logits(((),))), values)
    assert (second.strategy, second._packs) == (first.strategy, first._packs)
    assert second.max_cached_tokens == first.max_cached_tokens
    assert made == [30]
    Reader(model).values([tuple(range(3, 43))], all_logits(((),)))
    assert made == [30, 40]


def test_a_model_that_cannot_share_is_told_of_once() -> None:
    config = MambaConfig(vocab_size=50, hidden_size=32, num_hidden_layers=2, state_size=4)
    model = tiny(config, scale=1.0)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for _ in range(2):
            reader = Reader(model)
            reader.values([tuple(range(3, 33))], all_logits(((),)))
            assert reader.strategy != "shared"
    assert sum("takes longer" in str(one.message) for one in told) == 1
