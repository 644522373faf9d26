"""Hashes of models and tokenizers: the same hash, the same values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from interplay.game import Once
from interplay.text.adapters import settings_of_adapters

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_PLAIN = (str, int, float, bool, type(None))


def document_digest(document: object) -> str:
    """Hash a JSON value, whatever the order of its entries."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def model_digest(model: PreTrainedModel) -> str | None:
    """Hash what a model computes: its configuration, every bit of its weights, and its adapters.

    Quantised weights enter as they are, and so do weights that are kept in memory or on a disk
    until they are used (``device_map``). The name of the model does not enter, nor do devices.
    ``None`` if hooks change what the model computes, since hooks cannot be hashed, or if a weight
    cannot be read.
    """
    return _DIGESTS(model)


def unchanged_models() -> AbstractContextManager[None]:
    """Hash each model once while this lasts: the caller vouches that no weights change."""
    return _DIGESTS.lasting()


def _digest_of(model: PreTrainedModel) -> str | None:
    import torch

    if not all(map(has_plain_hooks, model.modules())):
        return None
    config = {
        key: value
        for key, value in model.config.to_dict().items()
        if key not in ("_name_or_path", "transformers_version")
    }
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    _settle(model)
    for name, value in sorted(model.state_dict().items()):
        if isinstance(value, torch.Tensor) and value.is_meta:
            value = _loaded(model, name)
        if not _add(digest, name, value):
            return None
    adapters = settings_of_adapters(model)
    if adapters:
        digest.update(json.dumps(adapters, sort_keys=True).encode())
    return digest.hexdigest()


_DIGESTS = Once(_digest_of)


def state_digest(state: Mapping[str, Any]) -> str | None:
    """Hash tensors and plain values by name; ``None`` if one of them cannot be read."""
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        if not _add(digest, name, value):
            return None
    return digest.hexdigest()


def _settle(model: PreTrainedModel) -> None:
    """Let a quantised model pack its weights, which some do in their first pass."""
    import torch

    if getattr(model, "is_quantized", False):
        ids = torch.zeros((1, 1), dtype=torch.long, device=model.device)
        of_decoder = {"decoder_input_ids": ids} if model.config.is_encoder_decoder else {}
        with torch.inference_mode():
            model(input_ids=ids, **of_decoder)


def _add(digest: Any, name: str, value: Any) -> bool:
    """Add an entry of a model's state to a hash; ``False`` if it cannot be read."""
    import torch

    if isinstance(value, tuple | list):
        return all(_add(digest, f"{name}.{number}", part) for number, part in enumerate(value))
    if isinstance(value, torch.Tensor):
        return _add_tensor(digest, name, value.detach())
    if not isinstance(value, (*_PLAIN, torch.dtype)):
        return False
    digest.update(f"{name} {value!r}".encode())
    return True


def _add_tensor(digest: Any, name: str, tensor: torch.Tensor) -> bool:
    import torch

    if tensor.is_meta:
        return False
    if tensor.is_quantized:
        return _add(digest, name, [*_quantisation(tensor), tensor.int_repr()])
    if hasattr(tensor, "__tensor_flatten__"):  # a kind of tensor made of others
        parts, rest = tensor.__tensor_flatten__()
        digest.update(f"{name} {type(tensor).__qualname__} {rest!r}".encode())
        return all(_add(digest, f"{name}.{part}", getattr(tensor, part)) for part in parts)
    words = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    flat = tensor.cpu().contiguous().reshape(-1)
    digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
    digest.update(flat.view(words.get(flat.element_size(), torch.uint8)).numpy().data)
    return True


def _quantisation(tensor: torch.Tensor) -> list[Any]:
    """The numbers by which the integers of a quantised tensor are read."""
    import torch

    if tensor.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
        return [tensor.q_scale(), tensor.q_zero_point()]
    points = tensor.q_per_channel_zero_points()
    return [tensor.q_per_channel_scales(), points, tensor.q_per_channel_axis()]


def has_plain_hooks(module: torch.nn.Module) -> bool:
    """Whether a module has no hooks that may change what it computes."""
    hooks = module._forward_hooks.values()
    return not module._forward_pre_hooks and all(map(_only_records, hooks)) and _only_moves(module)


def _only_records(hook: Any) -> bool:
    """Whether it is a hook by which transformers hands out hidden states; it stays after a call."""
    return getattr(hook, "__module__", None) == "transformers.utils.output_capturing"


def _only_moves(module: torch.nn.Module) -> bool:
    """Whether a hook of accelerate, if a module has one, only moves weights and inputs."""

    def moves(hook: Any) -> bool:
        kind = f"{type(hook).__module__}.{type(hook).__qualname__}"
        if kind == "accelerate.hooks.SequentialHook":
            return all(map(moves, hook.hooks))
        return kind in ("accelerate.hooks.AlignDevicesHook", "accelerate.hooks.CpuOffload")

    return not hasattr(module, "_hf_hook") or moves(module._hf_hook)


def _loaded(model: PreTrainedModel, name: str) -> Any:
    """A weight that is read when its module runs (``device_map``)."""
    if not hasattr(model, "hf_device_map"):
        return None
    from accelerate.utils import align_module_device

    path, _, weight = name.rpartition(".")
    module = model.get_submodule(path)
    with align_module_device(module, "cpu"):
        return module.state_dict()[weight]


def tokenizer_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """Hash how a tokenizer cuts text: its vocabulary, merges and special tokens."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = backend.to_str() if backend is not None else repr(sorted(tokenizer.get_vocab().items()))
    special = repr(sorted(tokenizer.special_tokens_map.items(), key=str))
    language = getattr(tokenizer, "src_lang", None) or ""  # of a text, where there are several
    return hashlib.sha256((rules + special + language).encode()).hexdigest()
