"""Adapters: the trained parameters of many subsets, stacked, and the products with them.

Low-rank adapters (LoRA, Hu et al. 2021, arXiv 2106.09685) add ``scale * B A x`` to what a linear
map makes of its input x. The product with the map's own weights, which are frozen, is one for all
tokens of a stream, whichever subset they belong to. Those with A and B are batched over subsets.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from interplay._types import IntArray
from interplay.training.finetuning.maps import Map

if TYPE_CHECKING:
    import torch

Method = Literal["lora", "full"]
SCALE = 2.0
"""What multiplies ``B A x``: peft's ``lora_alpha`` is twice the rank."""


@dataclass(eq=False)
class Layout:
    """Where the tokens of each subset are in a stream.

    Attributes:
        n_subsets: how many subsets.
        padded: for each subset its tokens in the stream, and one of them again up to the largest
            number, ``(subsets * most,)``.
        place: the place of each token of the stream among the padded ones, ``(tokens,)``.
        counts: 1 for a token, 0 for one that stands there again, ``(subsets, most, 1)``.
    """

    n_subsets: int
    padded: torch.Tensor
    place: torch.Tensor
    counts: torch.Tensor
    _last: tuple[torch.Tensor, torch.Tensor] | None = field(default=None, init=False)

    @classmethod
    def of(cls, owners: IntArray, n_subsets: int, device: torch.device) -> Layout:
        """Make the layout of a stream whose tokens belong to these subsets, ``(tokens,)``."""
        import torch

        order = np.argsort(owners, kind="stable")
        counts = np.bincount(owners, minlength=n_subsets)
        firsts = np.cumsum(counts) - counts
        most = int(counts.max())
        slots = np.arange(len(owners)) - np.repeat(firsts, counts)
        place = np.empty(len(owners), dtype=np.int64)
        place[order] = np.repeat(np.arange(n_subsets), counts) * most + slots
        # padding repeats a token of the same subset, so that no number that is not finite spreads
        first_token = order[np.minimum(firsts, len(owners) - 1)]
        padded = np.repeat(first_token, most)
        padded[place] = np.arange(len(owners))
        counts = np.zeros(n_subsets * most, dtype=np.float32)
        counts[place] = 1
        return cls(
            n_subsets,
            torch.from_numpy(padded).to(device),
            torch.from_numpy(place).to(device),
            torch.from_numpy(counts).to(device).view(n_subsets, most, 1),
        )

    def spread(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the tokens of each subset, ``(subsets, most, width)``, some of them again."""
        spread = tokens.index_select(0, self.padded)
        return spread.view(self.n_subsets, -1, tokens.shape[-1])

    def spread_inputs(self, tokens: torch.Tensor) -> torch.Tensor:
        """Do the same once for all maps that read the same; the last result is remembered."""
        # as long as the tokens are held, their place in memory is their own
        if self._last is None or self._last[0].data_ptr() != tokens.data_ptr():
            self._last = (tokens, self.spread(tokens))
        return self._last[1]

    def gather(self, spread: torch.Tensor) -> torch.Tensor:
        """Return the tokens of the stream, ``(tokens, out)``."""
        return spread.flatten(0, 1).index_select(0, self.place)


@dataclass(eq=False)
class Adapters:
    """Trained parameters of several subsets.

    Attributes:
        maps: the tuned maps.
        parameters: for each map ``(A, B)``, ``(subsets, rank, in)`` and ``(subsets, out, rank)``;
            or ``(W,)``, ``(subsets, out, in)``, if the weights themselves are trained.
        layout: of the current stream; ``None``: the maps are as they are in the model.
    """

    maps: Sequence[Map]
    parameters: list[tuple[torch.Tensor, ...]]
    layout: Layout | None = None

    def flat(self) -> list[torch.Tensor]:
        """All parameters in one list."""
        return [parameter for of_map in self.parameters for parameter in of_map]

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the model's maps use these parameters, until the block ends."""
        before = [each.module.__dict__.get("forward") for each in self.maps]
        try:
            for each, parameters in zip(self.maps, self.parameters, strict=True):
                each.module.forward = self._forward(each, parameters)
            yield
        finally:
            for each, forward in zip(self.maps, before, strict=True):
                each.module.__dict__.pop("forward", None)
                if forward is not None:
                    each.module.__dict__["forward"] = forward

    def _forward(self, each: Map, parameters: tuple[torch.Tensor, ...]) -> Any:
        product = _low_rank() if len(parameters) == 2 else _stacked()

        def forward(states: torch.Tensor) -> torch.Tensor:
            import torch

            if self.layout is None:
                return torch.nn.functional.linear(states, each.weight, each.bias)
            made: torch.Tensor = product.apply(
                states, each.weight, each.bias, self.layout, *parameters
            )
            return made

        return forward


def initial(
    maps: Sequence[Map], seeds: IntArray, rank: int, method: Method
) -> list[tuple[torch.Tensor, ...]]:
    """Return the parameters that training starts from, as peft makes them.

    A is drawn uniformly (Kaiming, with a = sqrt(5)), map after map, and B is zero. All subsets of
    one seed start from the same.
    """
    import torch

    unique, where = np.unique(seeds, return_inverse=True)
    if method == "full":
        n_subsets = len(seeds)
        return [(each.weight.expand(n_subsets, -1, -1).clone(),) for each in maps]
    factors: list[list[torch.Tensor]] = [[] for _ in maps]
    for seed in unique:
        generator = torch.Generator().manual_seed(int(seed))
        for drawn, each in zip(factors, maps, strict=True):
            a = torch.empty(rank, each.weight.shape[1])
            torch.nn.init.kaiming_uniform_(a, a=math.sqrt(5), generator=generator)
            drawn.append(a)
    parameters: list[tuple[torch.Tensor, ...]] = []
    for drawn, each in zip(factors, maps, strict=True):
        a = torch.stack(drawn)[torch.from_numpy(where)].to(each.weight.device)
        parameters.append((a, a.new_zeros(len(seeds), each.weight.shape[0], rank)))
    return parameters


_FUNCTIONS: dict[str, Any] = {}


def _low_rank() -> Any:
    """The product of a map with low-rank adapters, as torch differentiates it."""
    import torch

    if "lora" in _FUNCTIONS:
        return _FUNCTIONS["lora"]

    class LowRank(torch.autograd.Function):
        """``x W^T + b + scale * (x A^T) B^T``, with A and B of the subset of each token."""

        @staticmethod
        def forward(
            context: Any,
            states: torch.Tensor,
            weight: torch.Tensor,
            bias: torch.Tensor | None,
            layout: Layout,
            a: torch.Tensor,
            b: torch.Tensor,
        ) -> torch.Tensor:
            made = torch.nn.functional.linear(states, weight, bias)
            spread = layout.spread_inputs(states.view(-1, states.shape[-1]))
            inner = torch.bmm(spread, a.transpose(1, 2)).mul_(layout.counts * SCALE)
            made.view(-1, made.shape[-1]).add_(layout.gather(torch.bmm(inner, b.transpose(1, 2))))
            context.save_for_backward(weight, a, b, spread, inner)
            context.layout = layout
            return made

        @staticmethod
        def backward(context: Any, gradient: torch.Tensor) -> Any:
            weight, a, b, spread, inner = context.saved_tensors
            layout = context.layout
            flat = gradient.reshape(-1, gradient.shape[-1])
            of_made = layout.spread(flat)
            of_inner = torch.bmm(of_made, b).mul_(layout.counts * SCALE)
            of_b = torch.bmm(of_made.transpose(1, 2), inner)
            of_a = torch.bmm(of_inner.transpose(1, 2), spread)
            of_states = None
            if context.needs_input_grad[0]:
                of_states = flat @ weight
                of_states.add_(layout.gather(torch.bmm(of_inner, a)))
                of_states = of_states.view(*gradient.shape[:-1], -1)
            return of_states, None, None, None, of_a, of_b

    _FUNCTIONS["lora"] = LowRank
    return LowRank


def _stacked() -> Any:
    """The product with weights of each subset."""
    import torch

    if "full" in _FUNCTIONS:
        return _FUNCTIONS["full"]

    class Stacked(torch.autograd.Function):
        """``x W^T + b``, with W of the subset of each token."""

        @staticmethod
        def forward(
            context: Any,
            states: torch.Tensor,
            weight: torch.Tensor,
            bias: torch.Tensor | None,
            layout: Layout,
            w: torch.Tensor,
        ) -> torch.Tensor:
            spread = layout.spread_inputs(states.view(-1, states.shape[-1]))
            made = layout.gather(torch.bmm(spread, w.transpose(1, 2)))
            if bias is not None:
                made.add_(bias)
            context.save_for_backward(w, spread)
            context.layout = layout
            return made.view(*states.shape[:-1], -1)

        @staticmethod
        def backward(context: Any, gradient: torch.Tensor) -> Any:
            w, spread = context.saved_tensors
            layout = context.layout
            of_made = layout.spread(gradient.reshape(-1, gradient.shape[-1])).mul_(layout.counts)
            of_w = torch.bmm(of_made.transpose(1, 2), spread)
            of_states = None
            if context.needs_input_grad[0]:
                of_states = layout.gather(torch.bmm(of_made, w)).view(*gradient.shape[:-1], -1)
            return of_states, None, None, None, of_w

    _FUNCTIONS["full"] = Stacked
    return Stacked
