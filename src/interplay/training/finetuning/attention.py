"""Attention over a stream of tokens, in which copies of sequences stand one after the other.

A stream is a pass of one row, ``(1, tokens, width)``. Whatever treats each token by itself (linear
maps, normalisations) so runs in large products without padding. Only attention must know where a
sequence begins and ends. Transformers lets an attention function be named in a model's
configuration; the one here attends within each copy of a sequence, and to the keys and values of
the tokens before it that are not in the stream because nothing changes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_NAME = "interplay_streams"
"""What transformers calls the attention function here."""

KeysValues = tuple["torch.Tensor", "torch.Tensor"]
"""Keys ``(heads, tokens, width)`` and values ``(heads, tokens, width)`` of one layer."""


@dataclass(frozen=True, eq=False)
class Shape:
    """What the tokens of a sequence see of each other.

    Attributes:
        positions: of the tokens in a stream, ``(tokens,)``.
        n_before: the tokens before, which all of them see.
        sees: which token sees which, ``(tokens, tokens)``, where texts branch; ``None``: each sees
            those up to itself.
    """

    positions: torch.Tensor
    n_before: int = 0
    sees: torch.Tensor | None = None
    _hidden: dict[int | None, torch.Tensor] = field(default_factory=dict, init=False)

    def hidden(self, window: int | None) -> torch.Tensor | None:
        """Return what a token does not see of those before and in the stream; ``None``: nothing.

        Args:
            window: how far back attention reaches, the token itself counted; ``None``: to the
                start.
        """
        import torch

        n_tokens = len(self.positions)
        if n_tokens == 1 and (window is None or self.n_before < window):
            return None
        if window not in self._hidden:
            at = self.positions[:, None]
            of = torch.cat([torch.arange(self.n_before, device=at.device), self.positions])
            hidden = of > at
            if self.sees is not None:
                hidden[:, self.n_before :] = ~self.sees
            self._hidden[window] = hidden if window is None else hidden | (at - of >= window)
        return self._hidden[window]


@dataclass(frozen=True, eq=False)
class Segment:
    """Copies of one sequence, next to each other in a stream.

    Attributes:
        start: the number of the first token in the stream.
        n_copies: how many copies.
        shape: of the sequence.
        prefix: for each layer the keys and values of the tokens before; empty if there are none.
    """

    start: int
    n_copies: int
    shape: Shape
    prefix: Mapping[int, KeysValues] = field(default_factory=dict)


@dataclass(eq=False)
class Streams:
    """What the attention function knows of the current pass.

    Attributes:
        layer_of: the number of the layer that each module belongs to.
        segments: the segments of the stream, in order.
        record: where keys and values go, ``(heads, tokens, width)`` by layer; ``None``: nowhere.
        n_calls: how often attention was computed here.
    """

    layer_of: Mapping[torch.nn.Module, int]
    segments: Sequence[Segment] = ()
    record: dict[int, KeysValues] | None = None
    n_calls: int = 0

    def attend(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scaling: float,
        window: int | None,
        softcap: float | None,
    ) -> torch.Tensor:
        """Return what attention reads from the values, ``(1, tokens, heads, width)``."""
        import torch

        self.n_calls += 1
        if self.record is not None:
            self.record[layer] = (key[0], value[0])
        read = [
            _within(segment, layer, query[0], key[0], value[0], scaling, window, softcap)
            for segment in self.segments
        ]
        return torch.cat(read)[None]


_STREAMS: WeakKeyDictionary[torch.nn.Module, Streams] = WeakKeyDictionary()
"""The current streams of each module of a model whose attention is computed here."""


@contextmanager
def attending(model: PreTrainedModel, streams: Streams) -> Iterator[None]:
    """Let the model's attention be computed on streams, until the block ends."""
    from transformers.modeling_utils import AttentionInterface

    AttentionInterface.register(_NAME, _attention)
    configs: dict[int, Any] = {
        id(config): config
        for config in (getattr(module, "config", None) for module in model.modules())
    }
    before = {
        key: config._attn_implementation_internal
        for key, config in configs.items()
        if hasattr(config, "_attn_implementation_internal")
    }
    try:
        for key in before:
            configs[key]._attn_implementation_internal = _NAME
        for module in streams.layer_of:
            _STREAMS[module] = streams
        yield
    finally:
        for key, name in before.items():
            configs[key]._attn_implementation_internal = name
        for module in streams.layer_of:
            _STREAMS.pop(module, None)


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """What transformers calls in place of its own attention functions."""
    if others.get("s_aux") is not None or attention_mask is not None:
        raise ValueError(
            f"{type(module).__name__} computes attention with sinks or masks of its own, which "
            "fine-tuning on subsets does not know"
        )
    streams = _STREAMS[module]
    read = streams.attend(
        streams.layer_of[module],
        query,
        key,
        value,
        query.shape[-1] ** -0.5 if scaling is None else scaling,
        sliding_window,
        softcap,
    )
    return read, None


def _within(
    segment: Segment,
    layer: int,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scaling: float,
    window: int | None,
    softcap: float | None,
) -> torch.Tensor:
    """Attention within one segment, ``(copies * tokens, heads, width)``.

    Queries are ``(heads, tokens, width)``. Several of their heads may share those of the keys.
    """
    import torch

    n_copies, n_tokens = segment.n_copies, len(segment.shape.positions)
    stop = segment.start + n_copies * n_tokens
    n_heads, _, width = query.shape
    shared = key.shape[0]
    per_head = n_heads // shared
    # (shared heads, copies, heads of each, tokens, width)
    asks = query[:, segment.start : stop].reshape(shared, per_head, n_copies, n_tokens, width)
    asks = asks.transpose(1, 2).reshape(shared, n_copies, per_head * n_tokens, width)
    keys = key[:, segment.start : stop].reshape(shared, n_copies, n_tokens, width)
    values = value[:, segment.start : stop].reshape(shared, n_copies, n_tokens, -1)
    scores = asks @ keys.transpose(-1, -2)
    prefix = segment.prefix.get(layer)
    n_before = 0
    if prefix is not None:
        n_before = prefix[0].shape[1]
        before = asks.reshape(shared, -1, width) @ prefix[0].transpose(-1, -2)
        scores = torch.cat([before.reshape(*scores.shape[:-1], n_before), scores], dim=-1)
    scores = scores * scaling
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    hidden = segment.shape.hidden(window)
    if hidden is not None:
        split = scores.view(shared, n_copies, per_head, n_tokens, n_before + n_tokens)
        scores = split.masked_fill(hidden, -torch.inf).view(scores.shape)
    weights = scores.softmax(dim=-1)
    read = weights[..., n_before:] @ values
    if prefix is not None:
        of_before = weights[..., :n_before].reshape(shared, -1, n_before) @ prefix[1]
        read = read + of_before.reshape(read.shape)
    read = read.view(shared, n_copies, per_head, n_tokens, -1).permute(1, 3, 0, 2, 4)
    return read.reshape(n_copies * n_tokens, n_heads, -1)
