"""What is known of a model by a check, for as long as the model stays as it is.

Each game checks its model before the first call: whether prefixes may be shared, how rows may be
batched. A set of prompts has a game for each of them, and one model.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from interplay.text.digests import has_plain_hooks

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_Result = TypeVar("_Result")
_KNOWN: WeakKeyDictionary[Any, tuple[Hashable, dict[Hashable, tuple[int, Any]]]] = (
    WeakKeyDictionary()
)
"""Of each model its state, and the results of checks with the length of what they were made on."""


def known(
    model: PreTrainedModel,
    settings: Hashable,
    n_tokens: int,
    check: Callable[[], _Result],
) -> _Result:
    """The result of a check of a model, which is made once for what it depends on.

    It is made again if the model's weights, modules, hooks, adapters or configuration have changed,
    or how torch computes, and for a longer prompt than before. An error is not kept.

    Args:
        model: the model.
        settings: which check it is, and whatever else its result depends on.
        n_tokens: how many tokens its prompt has.
        check: makes it.
    """
    state = _state(model)
    if state is None:
        return check()
    before, results = _KNOWN.get(model, (None, {}))
    if before == state and settings in results and results[settings][0] >= n_tokens:
        result: _Result = results[settings][1]
        return result
    result = check()
    state = _state(model)  # a first pass may pack weights
    if state is not None:
        before, results = _KNOWN.get(model, (None, {}))
        kept = results if before == state else {}
        _KNOWN[model] = state, {**kept, settings: (n_tokens, result)}
    return result


def _state(model: PreTrainedModel) -> Hashable | None:
    """What a check of a model depends on; ``None`` where it cannot be told.

    Weights are told by their place in memory and by how often they were changed in place.
    """
    from interplay.text.adapters import settings_of_adapters

    modules = []
    for name, module in model.named_modules():
        if not has_plain_hooks(module):
            return None
        # by its identity: the function may hold the model
        replaced = id(vars(module)["forward"]) if "forward" in vars(module) else 0
        modules.append((name, type(module), module.training, replaced))
    try:
        weights = [
            (name, id(value), value.data_ptr(), value._version, value.dtype, str(value.device))
            for name, value in chain(model.named_parameters(), model.named_buffers())
        ]
    except RuntimeError:  # of weights made in inference mode no changes are counted
        return None
    documents = [model.config.to_dict(), settings_of_adapters(model)]
    if getattr(model, "generation_config", None) is not None:
        documents.append(model.generation_config.to_dict())
    return (
        tuple(modules),
        tuple(weights),
        getattr(model.config, "_attn_implementation", None),
        json.dumps(documents, sort_keys=True, default=str),
        _of_torch(),
    )


def _of_torch() -> Hashable:
    """The settings of torch by which products and attention are computed."""
    import torch

    cuda: Any = torch.backends.cuda
    matmul = torch.backends.cuda.matmul
    return (
        torch.get_num_threads(),
        torch.get_float32_matmul_precision(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_autocast_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.backends.mkldnn.enabled,
        matmul.allow_tf32,
        matmul.allow_fp16_reduced_precision_reduction,
        matmul.allow_bf16_reduced_precision_reduction,
        cuda.flash_sdp_enabled(),
        cuda.mem_efficient_sdp_enabled(),
        cuda.math_sdp_enabled(),
    )
