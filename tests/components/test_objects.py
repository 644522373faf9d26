"""The state of an object of the user's."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from interplay.components.objects import state_of
from interplay.text.digests import state_digest


class Kind(Enum):
    RELU = 1
    TOPK = 2


@dataclass
class Settings:
    kind: Kind = Kind.TOPK
    sizes: tuple[int, ...] = (3, 4)
    device: torch.device | None = None
    more: dict[str, Any] = field(default_factory=dict)


class Holder:
    def __init__(self, **parts: Any) -> None:
        vars(self).update(parts)

    def activate(self, states: torch.Tensor) -> torch.Tensor:
        return states


class Slotted:
    __slots__ = ("weights",)

    def __init__(self, weights: Any) -> None:
        self.weights = weights


def digest(value: Any) -> str | None:
    state, unknown = state_of(value)
    return None if unknown else state_digest(state)


def test_what_an_object_computes_with_is_its_state() -> None:
    linear = torch.nn.Linear(2, 3)
    values = [
        Holder(),
        Holder(a=1),
        Holder(a=1.0),
        Holder(b=1),
        Holder(a=torch.ones(2)),
        Holder(a=torch.ones(2, dtype=torch.bfloat16)),
        Holder(a=np.ones(2)),
        Holder(a=np.ones(2, dtype=np.float32), dtype=torch.float16),
        Holder(a=[torch.ones(1), torch.zeros(1)]),
        Holder(a=torch.relu),
        Holder(a=torch.tanh),
        Holder(a=functools.partial(torch.clamp, min=0)),
        Holder(a=functools.partial(torch.clamp, min=1)),
        Holder(a=Settings()),
        Holder(a=Settings(Kind.RELU)),
        Holder(a=Settings(more={"k": 3})),
        Holder(a=linear),
        Holder(a=torch.nn.ReLU()),
        Holder(a={1, 2}),
        Slotted(1),
        Slotted(2),
    ]
    digests = [digest(value) for value in values]
    assert None not in digests
    assert len(set(digests)) == len(values)
    assert digests == [digest(value) for value in values]


def test_devices_modes_and_references_back_do_not_count() -> None:
    one, other = (Holder(a=Settings(device=torch.device(name))) for name in ("cpu", "meta"))
    assert digest(one) == digest(other)
    module = torch.nn.Linear(2, 3)
    before = digest(module)
    assert digest(module.eval().requires_grad_(False)) == before
    owner = Holder(a=1)
    owner.self = owner  # type: ignore[attr-defined]
    owner.method = owner.activate  # type: ignore[attr-defined]
    assert digest(owner) is not None
    unsaved = torch.nn.Module()
    unsaved.register_buffer("threshold", torch.ones(2), persistent=False)
    nudged = torch.nn.Module()
    nudged.register_buffer("threshold", torch.zeros(2), persistent=False)
    assert digest(unsaved) != digest(nudged)


@pytest.mark.parametrize(
    ("part", "named"),
    [
        (lambda states: states, "a .*lambda"),
        (torch.Generator(), "a .*Generator"),
        (iter([1]), "a .*iterator"),
    ],
)
def test_what_cannot_be_looked_into_is_named(part: Any, named: str) -> None:
    unknown = state_of(Holder(a=part))[1]
    assert unknown is not None
    assert re.match(named, unknown)
    hooked = torch.nn.Linear(1, 1)
    hooked.register_forward_hook(lambda *_: None)
    assert state_of(hooked)[1] is not None
    assert state_of(Holder(a=Path("weights")))[1] is None
