"""Architecture: where a transformer's heads, MLPs and layers are, found by what its modules do.

MLP stands for multi-layer perceptron, the feed-forward part of a layer. No names of models or
modules are known here. A probing pass over a few tokens finds the attention's output projection by
what attention does: the projection is the first linear map of a layer whose input at one position
depends on another position. Heads are the equal slices of its *input*; in its output they are
already added up. The same pass shows whether attention is causal or bidirectional.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

from interplay.text.adapters import active_adapters

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_TOKENS = 5
"""Tokens of the probing pass. It has three rows: unchanged, changed at the first position, changed
at the last position."""
_ROUNDINGS = 8.0
"""A difference above this multiple of the rounding error counts as a dependence."""
_LOCKS: WeakKeyDictionary[torch.nn.Module, Any] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class Layer:
    """The modules of one layer.

    Attributes:
        module: the layer. It takes and returns hidden states ``(b, tokens, width)``.
        n_returned: how many things it returns in a tuple, hidden states first; ``None``: it
            returns the hidden states themselves.
        projection: the attention's output projection, whose input ``(..., n_heads * head_width)``
            holds the heads side by side; ``None`` if the layer has no attention.
        n_heads: how many (query) heads it has.
        mlp: the module whose output is the MLP's contribution; ``None`` if none was found.
        mlp_input: the module whose input is the MLP's; ``None`` if none was found.
        n_neurons: how many hidden neurons the MLP has, which are the input of ``mlp``; 0 if that is
            no linear map.
    """

    module: torch.nn.Module
    n_returned: int | None
    projection: torch.nn.Module | None
    n_heads: int
    mlp: torch.nn.Module | None
    mlp_input: torch.nn.Module | None
    n_neurons: int


@dataclass(frozen=True, eq=False)
class Architecture:
    """A transformer's layers and outputs.

    Attributes:
        layers: in order, from the one that reads the embeddings.
        predicts: what the logits predict: ``"next"``, the token after each position; ``"mask"``,
            the token behind a mask token; ``"label"``, the class of the whole text; ``None``: the
            model has no logits.
    """

    layers: tuple[Layer, ...]
    predicts: Literal["next", "mask", "label"] | None


def find_architecture(model: PreTrainedModel) -> Architecture:
    """Find a model's layers, and their heads and MLPs.

    Raises:
        ValueError: the model has no stack of layers, uses one layer several times, has an encoder
            and a decoder, has no attention, or has adapters beside its linear maps.
    """
    if getattr(model.config, "is_encoder_decoder", False):
        raise ValueError(
            f"{type(model).__name__} has an encoder and a decoder; the components lens takes "
            "models with one stack of layers"
        )
    lora = any(".lora_" in name for name, _ in model.named_parameters())
    if lora or active_adapters(model) is not None:
        raise ValueError(
            f"{type(model).__name__} has adapters (LoRA), which read heads beside the output "
            "projection; merge them into the weights first (merge_and_unload)"
        )
    stack = _stack(model)
    traces = [_Trace() for _ in stack]
    with lock_of(model), _traced(list(stack), traces):
        logits = _probe(model)
    if any(trace.calls != 1 for trace in traces):
        raise ValueError(
            f"the layers of {type(model).__name__} are used several times each in one pass; the "
            "components lens takes models that use each layer once"
        )
    layers = tuple(
        _layer(model, number, module, trace)
        for number, (module, trace) in enumerate(zip(stack, traces, strict=True))
    )
    if not any(layer.n_heads for layer in layers):
        raise ValueError(
            f"no attention was found in {type(model).__name__}; the components lens takes "
            "transformers whose output projections are linear maps of torch"
        )
    if logits is None:
        return Architecture(layers, None)
    if logits.ndim == 2:
        return Architecture(layers, "label")
    bidirectional = any(linear.reads_later for trace in traces for linear in trace.linears)
    return Architecture(layers, "mask" if bidirectional else "next")


def lock_of(model: PreTrainedModel) -> Any:
    """Return the model's lock. Whoever puts hooks of this lens on the model holds it.

    Without it the hooks of two threads would act on each other's passes.
    """
    return _LOCKS.setdefault(model, threading.RLock())


@contextmanager
def unpadded(model: PreTrainedModel) -> Iterator[None]:
    """Let no token count as padding: all rows of a pass have one length here.

    Classifiers on causal models look for the last token that is not padding. They refuse more than
    one row if their configuration names no padding token.
    """
    config = model.config.get_text_config()
    if not hasattr(config, "pad_token_id"):  # some old configurations have no such setting
        yield
        return
    configured = config.pad_token_id
    config.pad_token_id = -1
    try:
        yield
    finally:
        config.pad_token_id = configured


def hidden_states(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
    """Return the hidden states among a layer's arguments."""
    states: torch.Tensor = args[0] if args else kwargs["hidden_states"]
    return states


def with_hidden_states(
    states: torch.Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return a layer's arguments with other hidden states."""
    if args:
        return (states, *args[1:]), kwargs
    return args, {**kwargs, "hidden_states": states}


def without_cache(model: PreTrainedModel) -> dict[str, bool]:
    """Return the argument that turns the cache of keys and values off, if the model has one."""
    accepts = "use_cache" in inspect.signature(model.forward).parameters
    return {"use_cache": False} if accepts else {}


def probing_tokens(model: PreTrainedModel, n_rows: int) -> torch.Tensor:
    """Return a few tokens, ``(rows, tokens)``, none of which is padding."""
    import torch

    padding = getattr(model.config.get_text_config(), "pad_token_id", None)
    ids = [token for token in range(_TOKENS + 1) if token != padding][:_TOKENS]
    return torch.tensor([ids] * n_rows, device=model.device)


# --- the probing pass -----------------------------------------------------------------------------


class _Trace:
    """What the probing pass records of one layer."""

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
        n_in: the width of its input.
        n_out: the width of its output.
        reads_earlier: whether its input at later positions depends on the layer's input at the
            first position.
        reads_later: whether its input at earlier positions depends on the layer's input at the
            last position.
    """

    module: torch.nn.Module
    n_in: int
    n_out: int
    reads_earlier: bool
    reads_later: bool

    @property
    def mixes_positions(self) -> bool:
        """Whether its input at one position depends on another position."""
        return self.reads_earlier or self.reads_later


def _stack(model: PreTrainedModel) -> Any:
    """Return the list of layers: the largest list of modules of one class."""
    import torch

    stacks = [
        module
        for module in model.modules()
        if isinstance(module, torch.nn.ModuleList) and len({type(item) for item in module}) == 1
    ]
    if not stacks:
        raise ValueError(
            f"{type(model).__name__} has no list of layers, so no attention can be found in it; "
            "the components lens takes transformers"
        )
    return max(stacks, key=lambda stack: sum(weights.numel() for weights in stack.parameters()))


@contextmanager
def _traced(stack: list[torch.nn.Module], traces: list[_Trace]) -> Iterator[None]:
    """Give each layer three rows that differ at one position, and record what it does."""
    handles = []
    for layer, trace in zip(stack, traces, strict=True):
        handles += [
            layer.register_forward_pre_hook(_perturb_input(trace), with_kwargs=True),
            layer.register_forward_hook(_record_output(trace)),
            *(
                module.register_forward_hook(_record_linear(trace))
                for module in layer.modules()
                if is_linear(module)
            ),
        ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _probe(model: PreTrainedModel) -> torch.Tensor | None:
    """Run the probing pass and return the model's logits, if it has any."""
    import torch

    with torch.inference_mode(), unpadded(model):
        output = model(input_ids=probing_tokens(model, 3), **without_cache(model))
    logits: torch.Tensor | None = getattr(output, "logits", None)
    return logits


def _perturb_input(trace: _Trace) -> Any:
    def hook(module: torch.nn.Module, args: Any, kwargs: Any) -> Any:
        import torch

        states = hidden_states(args, kwargs)
        if states.ndim != 3 or states.shape[:2] != (3, _TOKENS):
            raise ValueError(
                f"a {type(module).__name__} takes hidden states of shape {tuple(states.shape)} for "
                f"3 texts of {_TOKENS} tokens; the components lens takes layers that take (texts, "
                "tokens, width)"
            )
        trace.calls += 1
        trace.width = states.shape[-1]
        unchanged = states[0]
        # reversed and added to a ramp: a normalisation would undo a mere shift or scaling
        ramp = torch.linspace(-1, 1, trace.width, device=unchanged.device, dtype=unchanged.dtype)
        rows = [unchanged]
        for position in (0, -1):
            changed = unchanged.clone()
            changed[position] = unchanged[position].flip(-1) + ramp * unchanged.abs().mean()
            rows.append(changed)
        return with_hidden_states(torch.stack(rows), args, kwargs)

    return hook


def _record_output(trace: _Trace) -> Any:
    def hook(module: torch.nn.Module, args: Any, output: Any) -> None:
        trace.n_returned = len(output) if isinstance(output, tuple) else None

    return hook


def _record_linear(trace: _Trace) -> Any:
    def hook(module: torch.nn.Module, args: Any, output: Any) -> None:
        import torch

        # maps of other things are left out: relative positions, the tokens routed to an expert
        if args[0].shape[:-1].numel() != 3 * _TOKENS or not isinstance(output, torch.Tensor):
            return
        states = args[0].reshape(3, _TOKENS, -1)
        limit = _ROUNDINGS * torch.finfo(states.dtype).eps * float(states.abs().max())
        earlier, later = (
            float((states[0, positions] - states[row, positions]).abs().max()) > limit
            for row, positions in ((1, slice(1, None)), (2, slice(None, -1)))
        )
        trace.linears.append(_Linear(module, states.shape[-1], output.shape[-1], earlier, later))

    return hook


def is_linear(module: torch.nn.Module) -> bool:
    """Whether a module is a linear map of torch, or GPT-2's."""
    import torch
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, torch.nn.Linear | Conv1D)


# --- from the trace to the modules ----------------------------------------------------------------


def _layer(model: PreTrainedModel, number: int, module: torch.nn.Module, trace: _Trace) -> Layer:
    mixing = [at for at, linear in enumerate(trace.linears) if linear.mixes_positions]
    config = model.config.get_text_config()
    first = mixing[0] if mixing else -1
    mlp, mlp_input, n_neurons = _mlp(module, trace, first)
    configured = getattr(config, "num_attention_heads", None)
    if not mixing or configured is None or _convolves(module, trace.linears[first].module):
        return Layer(module, trace.n_returned, None, 0, mlp, None, n_neurons)
    # if the output projection is no linear map of torch, the first map seen is a later one
    if trace.linears[first].n_out != trace.width:
        return Layer(module, trace.n_returned, None, 0, mlp, None, n_neurons)
    projection, width = trace.linears[first].module, trace.linears[first].n_in
    n_heads = configured[number] if isinstance(configured, list | tuple) else configured
    n_heads = _n_heads(module, projection, n_heads, number, width)
    return Layer(module, trace.n_returned, projection, n_heads, mlp, mlp_input, n_neurons)


def _convolves(module: torch.nn.Module, projection: torch.nn.Module) -> bool:
    """Whether a state space model's convolution, not attention, mixes the positions."""
    import torch

    parents = [child for child in module.children() if projection in child.modules()]
    return any(isinstance(part, torch.nn.Conv1d) for parent in parents for part in parent.modules())


def _n_heads(
    module: torch.nn.Module, projection: torch.nn.Module, n_heads: int, number: int, width: int
) -> int:
    """Return the number of slices of the projection's input."""
    for part in module.modules():  # the head width of the attention module itself goes first
        head_width = getattr(part, "head_dim", None)
        if isinstance(head_width, int) and any(projection is child for child in part.children()):
            n_heads = width // head_width if width % head_width == 0 else n_heads
    if n_heads < 1 or width % n_heads:
        raise ValueError(
            f"layer {number} feeds {width} numbers to its attention's output projection, which "
            f"{n_heads} heads of one width do not make up"
        )
    return n_heads


def _mlp(
    module: torch.nn.Module, trace: _Trace, attention: int
) -> tuple[torch.nn.Module | None, torch.nn.Module | None, int]:
    """Find the modules that write and read for the MLP, and count its hidden neurons.

    What writes is the module whose output is the MLP's contribution to the hidden states. A mixture
    may stack its experts in parameters of three axes. Then it is the layer's own module that has
    those parameters. Otherwise it is the last linear map back to the hidden states' width. Modules
    that mix positions, such as a convolution, are left out: their parameters may have three axes
    too. What reads is the first linear map from the hidden states' width after the attention.
    """
    mixing = trace.linears[attention].module if attention >= 0 else None
    for child in module.children():
        stacked = any(parameter.ndim > 2 for parameter in child.parameters())
        if stacked and all(part is not mixing for part in child.modules()):
            return child, child, 0
    later = trace.linears[attention + 1 :]
    for linear in reversed(later):
        if linear.n_out == trace.width:
            reads = next((map_.module for map_ in later if map_.n_in == trace.width), None)
            return linear.module, reads, linear.n_in
    return None, None, 0
