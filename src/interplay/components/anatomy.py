"""Anatomy: where a transformer's heads, MLPs and layers are, found by what its modules do.

No names of models or modules are known here. One pass over a few tokens tells the attention's
output projection by what attention is for: it is the first linear map of a layer that reads, at
one position, something of another. Heads are the equal slices of its *input*; at its output they
are already added up. The same pass tells whether attention looks ahead.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_TOKENS = 5
"""Of the pass that looks, in three rows: as it is, other at position 0, other at the last."""
_ROUNDINGS = 8.0
_LOCKS: WeakKeyDictionary[torch.nn.Module, Any] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class LayerAnatomy:
    """One layer.

    Attributes:
        module: the layer; it takes hidden states ``(b, tokens, width)`` and gives them.
        n_returned: how many things it returns in a tuple, hidden states first; ``None``: it
            returns the hidden states themselves.
        projection: the attention's output projection, whose input ``(..., n_heads * head_width)``
            holds the heads side by side; ``None`` where the layer has no attention.
        n_heads: how many (query) heads it has.
        mlp: the module whose output is the MLP's contribution, ``None`` where there is no such.
    """

    module: torch.nn.Module
    n_returned: int | None
    projection: torch.nn.Module | None
    n_heads: int
    mlp: torch.nn.Module | None


@dataclass(frozen=True, eq=False)
class Anatomy:
    """A transformer's layers and outputs.

    Attributes:
        layers: from the one that reads the embeddings on.
        answers: what its logits are about: ``"next"``, the token after each; ``"mask"``, the token
            that a mask token stands for; ``"label"``, the class of the whole text; ``None``: it
            has no logits.
    """

    layers: tuple[LayerAnatomy, ...]
    answers: Literal["next", "mask", "label"] | None


def anatomy(model: PreTrainedModel) -> Anatomy:
    """Find a model's layers, and their heads and MLPs.

    Raises:
        ValueError: it has no stack of layers, uses one layer several times, has an encoder and a
            decoder, has no attention, or has adapters beside its linear maps.
    """
    if getattr(model.config, "is_encoder_decoder", False):
        raise ValueError(
            f"{type(model).__name__} has an encoder and a decoder; the components lens takes "
            "models with one stack of layers"
        )
    if any(".lora_" in name for name, _ in model.named_parameters()):
        raise ValueError(
            f"{type(model).__name__} has LoRA adapters, which read heads beside the output "
            "projection; merge them into the weights first (merge_and_unload)"
        )
    stack = _stack(model)
    seen = [_Seen() for _ in stack]
    with lock_of(model), _watched(list(stack), seen):
        logits = _look(model)
    if any(each.calls != 1 for each in seen):
        raise ValueError(
            f"the layers of {type(model).__name__} are used several times each in one pass, so "
            "that its heads cannot be told apart by layer"
        )
    found = tuple(
        _layer(model, number, module, each)
        for number, (module, each) in enumerate(zip(stack, seen, strict=True))
    )
    if not any(layer.n_heads for layer in found):
        raise ValueError(
            f"no attention was found in {type(model).__name__}; the components lens takes "
            "transformers whose output projections are linear maps of torch"
        )
    if logits is None:
        return Anatomy(found, None)
    if logits.ndim == 2:
        return Anatomy(found, "label")
    ahead = any(linear.reads_later for each in seen for linear in each.linears)
    return Anatomy(found, "mask" if ahead else "next")


def lock_of(model: PreTrainedModel) -> Any:
    """A lock for as long as hooks of this lens are on a model: two threads' would meet."""
    return _LOCKS.setdefault(model, threading.RLock())


@contextmanager
def unpadded(model: PreTrainedModel) -> Iterator[None]:
    """No token counts as padding: rows of a pass have one length here.

    Classifiers on causal models look for the last token that is no padding, and refuse more than
    one row where their configuration names no padding.
    """
    config = model.config.get_text_config()
    if not hasattr(config, "pad_token_id"):  # some old configurations know of no padding
        yield
        return
    named = config.pad_token_id
    config.pad_token_id = -1
    try:
        yield
    finally:
        config.pad_token_id = named


def hidden_states(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
    """What a layer was called with."""
    states: torch.Tensor = args[0] if args else kwargs["hidden_states"]
    return states


def with_hidden_states(
    states: torch.Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The same call with other hidden states."""
    if args:
        return (states, *args[1:]), kwargs
    return args, {**kwargs, "hidden_states": states}


class _Seen:
    """What one layer was seen to do."""

    def __init__(self) -> None:
        self.calls = 0
        self.width = 0
        self.n_returned: int | None = None
        self.linears: list[_Linear] = []
        """In the order of calls."""


@dataclass(frozen=True, eq=False)
class _Linear:
    """One linear map of a layer.

    Attributes:
        module: the map.
        width: of its input.
        out: of its output.
        reads_earlier: whether its input at later positions depends on the layer's at position 0.
        reads_later: whether its input at earlier positions depends on the layer's at the last.
    """

    module: torch.nn.Module
    width: int
    out: int
    reads_earlier: bool
    reads_later: bool

    @property
    def mixes(self) -> bool:
        """Whether what it reads at one position depends on another."""
        return self.reads_earlier or self.reads_later


def _stack(model: PreTrainedModel) -> Any:
    """The list of layers: the largest list of modules of one class."""
    import torch

    stacks = [
        module
        for module in model.modules()
        if isinstance(module, torch.nn.ModuleList) and len({type(each) for each in module}) == 1
    ]
    if not stacks:
        raise ValueError(
            f"{type(model).__name__} has no list of layers, so no attention can be found in it; "
            "the components lens takes transformers"
        )
    return max(stacks, key=lambda stack: sum(each.numel() for each in stack.parameters()))


@contextmanager
def _watched(stack: list[torch.nn.Module], seen: list[_Seen]) -> Iterator[None]:
    """Hooks that give each layer rows that differ at one position, and watch it."""
    handles = []
    for layer, each in zip(stack, seen, strict=True):
        handles += [
            layer.register_forward_pre_hook(_rows(each), with_kwargs=True),
            layer.register_forward_hook(_returned(each)),
            *(
                module.register_forward_hook(_linear(each))
                for module in layer.modules()
                if _is_linear(module)
            ),
        ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _look(model: PreTrainedModel) -> torch.Tensor | None:
    """One pass; the model's logits."""
    import torch

    padding = getattr(model.config.get_text_config(), "pad_token_id", None)
    ids = [token for token in range(_TOKENS + 1) if token != padding][:_TOKENS]
    tokens = torch.tensor([ids] * 3, device=model.device)
    with torch.inference_mode(), unpadded(model):
        output = model(input_ids=tokens, **without_cache(model))
    logits: torch.Tensor | None = getattr(output, "logits", None)
    return logits


def without_cache(model: PreTrainedModel) -> dict[str, bool]:
    """The argument that says that no keys and values are to be kept, for models that have it."""
    accepts = "use_cache" in inspect.signature(model.forward).parameters
    return {"use_cache": False} if accepts else {}


def _rows(seen: _Seen) -> Any:
    def hook(module: torch.nn.Module, args: Any, kwargs: Any) -> Any:
        import torch

        states = hidden_states(args, kwargs)
        if states.ndim != 3 or states.shape[:2] != (3, _TOKENS):
            raise ValueError(
                f"a {type(module).__name__} takes hidden states of shape {tuple(states.shape)} for "
                f"3 texts of {_TOKENS} tokens; the components lens takes layers that take (texts, "
                "tokens, width)"
            )
        seen.calls += 1
        seen.width = states.shape[-1]
        own = states[0]
        # neither shifted nor scaled, which a normalisation would undo
        ramp = torch.linspace(-1, 1, seen.width, device=own.device, dtype=own.dtype)
        rows = [own]
        for position in (0, -1):
            other = own.clone()
            other[position] = own[position].flip(-1) + ramp * own.abs().mean()
            rows.append(other)
        return with_hidden_states(torch.stack(rows), args, kwargs)

    return hook


def _returned(seen: _Seen) -> Any:
    def hook(module: torch.nn.Module, args: Any, output: Any) -> None:
        seen.n_returned = len(output) if isinstance(output, tuple) else None

    return hook


def _linear(seen: _Seen) -> Any:
    def hook(module: torch.nn.Module, args: Any, output: Any) -> None:
        import torch

        # not the maps of something else: relative positions, or what a router sends to an expert
        if args[0].shape[:-1].numel() != 3 * _TOKENS or not isinstance(output, torch.Tensor):
            return
        given = args[0].reshape(3, _TOKENS, -1)
        limit = _ROUNDINGS * torch.finfo(given.dtype).eps * float(given.abs().max())
        earlier, later = (
            float((given[0, where] - given[row, where]).abs().max()) > limit
            for row, where in ((1, slice(1, None)), (2, slice(None, -1)))
        )
        seen.linears.append(_Linear(module, given.shape[-1], output.shape[-1], earlier, later))

    return hook


def _is_linear(module: torch.nn.Module) -> bool:
    import torch
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, torch.nn.Linear | Conv1D)


def _layer(
    model: PreTrainedModel, number: int, module: torch.nn.Module, seen: _Seen
) -> LayerAnatomy:
    mixing = [at for at, linear in enumerate(seen.linears) if linear.mixes]
    config = model.config.get_text_config()
    first = mixing[0] if mixing else -1
    mlp = _mlp(module, seen, first)
    told = getattr(config, "num_attention_heads", None)
    if not mixing or told is None or _convolves(module, seen.linears[first].module):
        return LayerAnatomy(module, seen.n_returned, None, 0, mlp)
    # a projection of another make is not seen; what reads it is none
    if seen.linears[first].out != seen.width:
        return LayerAnatomy(module, seen.n_returned, None, 0, mlp)
    projection, width = seen.linears[first].module, seen.linears[first].width
    n_heads = told[number] if isinstance(told, list | tuple) else told
    n_heads = _n_heads(module, projection, n_heads, number, width)
    return LayerAnatomy(module, seen.n_returned, projection, n_heads, mlp)


def _convolves(module: torch.nn.Module, projection: torch.nn.Module) -> bool:
    """Whether what mixes positions is a state space model's convolution, not attention."""
    import torch

    own = [child for child in module.children() if projection in child.modules()]
    return any(isinstance(each, torch.nn.Conv1d) for child in own for each in child.modules())


def _n_heads(
    module: torch.nn.Module, projection: torch.nn.Module, n_heads: int, number: int, width: int
) -> int:
    """The number of slices of the projection's input."""
    for each in module.modules():  # what the attention itself says of its heads' width goes first
        head_width = getattr(each, "head_dim", None)
        if isinstance(head_width, int) and any(projection is child for child in each.children()):
            n_heads = width // head_width if width % head_width == 0 else n_heads
    if n_heads < 1 or width % n_heads:
        raise ValueError(
            f"layer {number} feeds {width} numbers to its attention's output projection, which "
            f"{n_heads} heads of one width do not make up"
        )
    return n_heads


def _mlp(module: torch.nn.Module, seen: _Seen, attention: int) -> torch.nn.Module | None:
    """The module whose output is the MLP's contribution to the hidden states.

    Where the experts of a mixture are stacked in parameters of three axes, the layer's own module
    that has them; else the last linear map back to the hidden states' width. What mixes positions,
    a convolution for instance, may have such parameters too.
    """
    mixing = seen.linears[attention].module if attention >= 0 else None
    for child in module.children():
        stacked = any(parameter.ndim > 2 for parameter in child.parameters())
        if stacked and all(each is not mixing for each in child.modules()):
            return child
    for linear in reversed(seen.linears[attention + 1 :]):
        if linear.out == seen.width:
            return linear.module
    return None
