"""Faster matrix products for forward passes in float32 on a CPU.

torch multiplies float32 matrices by the BLAS that it was built with. On x86 processors that are not
Intel's, this library (MKL) uses half the width of their vector units where these have 512 bits;
oneDNN, which comes with torch too, uses all of it. Both compute in float32, so only the rounding
differs.

Imported only where torch is installed.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_FEWEST_ROWS = 8
"""With fewer rows oneDNN is no faster: the weights are read once whatever multiplies them."""
_PLAIN = (torch.Tensor, torch.nn.Parameter)


def faster_products(model: torch.nn.Module) -> AbstractContextManager[Any]:
    """A context in which linear maps of a float32 model on a CPU are computed by what is fastest.

    The model itself is not changed, and weights that change later are read anew in each pass.
    """
    weight = next(model.parameters(), None)
    if weight is None or not _suits(weight) or not _gains():
        return nullcontext()
    return OneDnn()


class OneDnn(TorchFunctionMode):
    """Computes linear maps by oneDNN, where that is faster, and everything else as it comes."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is torch.nn.functional.linear and not kwargs and 2 <= len(args) <= 3:
            inputs, weight = args[:2]
            bias = args[2] if len(args) == 3 else None
            if (
                all(map(_suits, args if bias is not None else args[:2]))
                and torch.is_inference_mode_enabled()
                and inputs.numel() >= _FEWEST_ROWS * weight.shape[1]
            ):
                return _by_onednn(inputs, weight, bias)
        return func(*args, **(kwargs or {}))


def _suits(tensor: object) -> bool:
    return (
        type(tensor) in _PLAIN
        and tensor.dtype == torch.float32  # type: ignore[attr-defined]
        and tensor.device.type == "cpu"  # type: ignore[attr-defined]
        and tensor.is_contiguous()  # type: ignore[attr-defined]
    )


def _by_onednn(
    inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")
    return product


def has_onednn() -> bool:
    """Whether this build of torch has oneDNN, and the operation that is used of it."""
    return bool(torch._C._has_mkldnn) and hasattr(torch.ops.mkldnn, "_linear_pointwise")


@cache
def _gains() -> bool:
    """Whether oneDNN is there, and the usual library uses half of what this processor has.

    Known from the processor and not measured: on a busy machine two runs could choose otherwise,
    and their values would differ in the last digits.
    """
    wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
    return has_onednn() and bool(torch._C.has_mkl) and wide and not _is_intel()


def _is_intel() -> bool:
    try:
        return "GenuineIntel" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:  # not Linux
        return "GenuineIntel" in platform.processor()
