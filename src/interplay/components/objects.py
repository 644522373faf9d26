"""Objects: the state of an object of the user's, as tensors and plain values that can be hashed."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import numpy as np

_PLAIN = (str, int, float, bool, type(None))


def state_of(value: Any) -> tuple[dict[str, Any], str | None]:
    """Collect the tensors, plain values and classes that make up an object.

    Devices are left out: what an object computes does not depend on them.

    Args:
        value: the object.

    Returns:
        What it is made of, by the way it is reached; and what cannot be looked into, for people to
        read, or ``None``.
    """
    state: dict[str, Any] = {}
    return state, _collect(value, "", state, set())


def _collect(value: Any, path: str, state: dict[str, Any], within: set[int]) -> str | None:
    """Collect into ``state`` what a part of an object is made of.

    Args:
        value: the part.
        path: how it is reached.
        state: takes what it is made of.
        within: the identities of the objects that it is a part of.

    Returns:
        What cannot be looked into, or ``None``.
    """
    import torch

    if isinstance(value, (*_PLAIN, torch.Tensor, torch.dtype)):
        state[path] = value
        return None
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        state[path] = torch.from_numpy(np.array(value))
        return None
    if isinstance(value, torch.device) or id(value) in within:
        return None  # values do not depend on a device; an object may refer to what holds it
    kind = _qualified(value if isinstance(value, type | FunctionType) else type(value))
    parts = _parts(value)
    if parts is None or (isinstance(value, FunctionType) and "<" in kind):
        return f"{path.lstrip('.') or 'it'} ({kind})"
    state[path + ":"] = kind
    for name, part in parts.items():
        problem = _collect(part, f"{path}.{name}", state, within | {id(value)})
        if problem is not None:
            return problem
    return None


def _parts(value: Any) -> Mapping[str, Any] | None:
    """The parts of an object by name; ``None``: it cannot be looked into."""
    import torch

    if isinstance(value, torch.nn.Module):
        if value._forward_hooks or value._forward_pre_hooks:
            return None
        of_all = vars(torch.nn.Module())
        parts = {name: part for name, part in vars(value).items() if name not in of_all}
        for registered in (value._parameters, value._buffers, value._modules):
            parts.update(registered)
        return parts
    if isinstance(value, Mapping):
        return {str(key): part for key, part in value.items()}
    if isinstance(value, set | frozenset):
        return {str(n): part for n, part in enumerate(sorted(value, key=repr))}
    if isinstance(value, list | tuple):
        return {str(n): part for n, part in enumerate(value)}
    if isinstance(value, type):
        return {}
    if isinstance(value, FunctionType):
        return {} if value.__closure__ is None else None
    if isinstance(value, BuiltinFunctionType):
        return {"name": value.__name__}
    if isinstance(value, MethodType):
        return {"of": value.__self__, "name": value.__name__}
    if isinstance(value, functools.partial):
        return {"function": value.func, "given": value.args, "named": value.keywords}
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    named = {name: getattr(value, name) for name in slots if hasattr(value, name)}
    if not hasattr(value, "__dict__"):
        return named or None
    named.update(vars(value))
    return named


def _qualified(kind: Any) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
