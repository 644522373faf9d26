r"""Dictionaries: sparse autoencoders and transcoders, whose latents are parts of a hidden state.

A dictionary is an object with ``encode`` and ``decode``, from tensor to tensor. With x what it
reads at one token, z = encode(x) its latents, and y what it explains (x itself, or for a transcoder
what the MLP adds), removing the latents R gives

.. math:: y' = y + decode(\tilde z) - decode(z), \quad
          \tilde z_j = 0 \text{ if } j \in R \text{ else } z_j.

So what it does not explain, the error term y - decode(z), stays, and so do all other latents: with
nothing removed y' = y. The mean and the resample ablation put other activations than 0 into the
place of z_j.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np

from interplay._types import IntArray, Json
from interplay.components.architecture import Layer
from interplay.components.objects import state_of
from interplay.text.digests import document_digest, state_digest

if TYPE_CHECKING:
    import torch

At: TypeAlias = Literal["layer", "mlp", "transcoder"]
_NUMBERS = 1 << 25
"""Latents that are held at once, tokens times latents: 128 MiB in single precision."""
_SCALES = (1.0, 10.0, 100.0)


class Codec(Protocol):
    """A sparse autoencoder or transcoder, of any library."""

    def encode(self, states: torch.Tensor, /) -> torch.Tensor:
        """Return latents, ``(t, n_latents)``, of what is read at t tokens, ``(t, width)``."""
        ...

    def decode(self, latents: torch.Tensor, /) -> torch.Tensor:
        """Return what latents stand for, ``(t, width)``."""
        ...


@dataclass(frozen=True, eq=False)
class Dictionary:
    """A sparse autoencoder or transcoder at its place in a model.

    Two are equal if they are the same object at the same place.

    Attributes:
        codec: the object with ``encode`` and ``decode``.
        layer: the number of the layer, from 0.
        at: ``"layer"``: it explains the hidden states after the layer; ``"mlp"``: what the MLP
            adds; ``"transcoder"``: what the MLP adds, by what the MLP reads.
        n_latents: how many latents it has.
        width: the width of what it reads and of what it explains.
        name: identifies an object whose state cannot be hashed; ``None``: the state does.
        limit: tokens at which the norm of what is read is larger are left as they are: there all
            latents are 0 and nothing is taken out; ``None``: no token is.
    """

    codec: Codec = field(repr=False)
    layer: int
    at: At
    n_latents: int
    width: int
    name: str | None = None
    limit: float | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dictionary) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[Any, ...]:
        return id(self.codec), self.layer, self.at, self.name, self.limit

    def encode(self, states: torch.Tensor) -> torch.Tensor:
        """Return the latents ``(t, n_latents)`` of hidden states ``(t, width)``.

        They are computed in the precision and on the device of the object's own tensors.
        """
        own = _first_tensor(self.codec)
        # a copy, since an object may change what it is given
        if own is None:
            latents = self.codec.encode(states.clone())
        else:
            latents = self.codec.encode(states.to(own.device, own.dtype, copy=True))
        left = self._left(states)
        return latents if left is None else latents.masked_fill(left.to(latents.device), 0)

    def _left(self, states: torch.Tensor) -> torch.Tensor | None:
        """Which tokens are left as they are, ``(t, 1)``; ``None``: there is no limit."""
        return None if self.limit is None else states.norm(dim=1, keepdim=True) > self.limit

    def modules(self, layer: Layer) -> tuple[torch.nn.Module | None, torch.nn.Module]:
        """Return the module whose input is read and the one whose output is explained.

        The former is ``None`` where the output is read.

        Raises:
            ValueError: the layer has no such place.
        """
        if self.at == "layer":
            return None, layer.module
        if layer.mlp is None or (self.at == "transcoder" and layer.mlp_input is None):
            raise ValueError(
                f"at={self.at!r}: no MLP with its input was found in layer {self.layer}; take "
                "at='layer', or another layer"
            )
        return (layer.mlp_input if self.at == "transcoder" else None), layer.mlp

    def activations(self, read: torch.Tensor, numbers: IntArray) -> torch.Tensor:
        """Return the activations of some latents, ``(t, k)``, at t tokens ``(..., width)``."""
        import torch

        flat = read.reshape(-1, read.shape[-1])
        parts = [self.encode(flat[part])[:, numbers] for part in self.parts(len(flat))]
        return torch.cat(parts).to(read.device, read.dtype)

    def difference(
        self,
        read: torch.Tensor,
        numbers: IntArray,
        change: Callable[[torch.Tensor, slice], torch.Tensor],
    ) -> torch.Tensor:
        """Return by what the output changes if some latents do, ``(t, width)``.

        Args:
            read: what is read at t tokens, ``(t, width)``.
            numbers: which latents change, ``(k,)``.
            change: takes their activations ``(b, k)`` at a part of the tokens, and that part, and
                returns the new ones.

        Raises:
            ValueError: derivatives are wanted, and the object gives none.
        """
        import torch

        differences = []
        for part in self.parts(len(read)):
            before = self.encode(read[part])
            after = before.clone()
            changed = change(before[:, numbers], part).to(before.dtype)
            after[:, numbers] = changed
            difference = self.codec.decode(after) - self.codec.decode(before)
            for source, result in ((read, before), (changed, difference)):
                if torch.is_grad_enabled() and source.requires_grad and not result.requires_grad:
                    raise ValueError(
                        f"the {type(self.codec).__name__} of layer {self.layer} has no "
                        "derivatives: its encode or decode runs without gradients (no_grad, "
                        "detach); let it run with them"
                    )
            difference = difference.to(read.device, read.dtype)
            left = self._left(read[part])
            differences.append(difference if left is None else difference.masked_fill(left, 0))
        return torch.cat(differences)

    def parts(self, n_tokens: int) -> Iterator[slice]:
        """Cut tokens into parts whose latents fit into memory."""
        size = max(_NUMBERS // self.n_latents, 1)
        return (slice(start, start + size) for start in range(0, n_tokens, size))

    def describe(self) -> Json:
        """Describe the dictionary as JSON."""
        return {
            "layer": self.layer,
            "at": self.at,
            "class": f"{type(self.codec).__module__}.{type(self.codec).__qualname__}",
            "n_latents": self.n_latents,
            "name": self.name,
            "limit": self.limit,
        }

    def digest(self, device: torch.device) -> str:
        """Hash the object's state, or its name, and roughly what it gives for fixed inputs.

        The outputs tell apart classes of one name and state that compute differently. They are
        rounded to two digits, since machines differ in the last ones.

        Args:
            device: the model's.

        Raises:
            ValueError: the state cannot be hashed, or changes with use, and there is no name.
        """
        if self.name is not None:
            return document_digest([self.name, self._outputs(device)])
        before, outputs = self._state_digest(), self._outputs(device)
        if self._state_digest() != before:
            raise ValueError(
                f"the state of the {type(self.codec).__name__} changes when it encodes, so that it "
                "cannot be told from others; give it a name that changes whenever its weights do, "
                "latents(..., name='my-sae-3')"
            )
        return document_digest([before, outputs])

    def _state_digest(self) -> str:
        state, unknown = state_of(self.codec)
        digest = None if unknown else state_digest(state)
        if digest is None:
            raise ValueError(
                f"the {type(self.codec).__name__} cannot be told from others: "
                f"{unknown or 'one of its tensors'} cannot be hashed; give it a name that changes "
                "whenever its weights do, latents(..., name='my-sae-3')"
            )
        return digest

    def _outputs(self, device: torch.device) -> list[str]:
        import torch

        drawn = np.random.default_rng(0).standard_normal((4, self.width))
        fixed = torch.from_numpy(drawn).float().to(device)
        rounded = []
        with torch.no_grad():
            for scale in _SCALES:
                latents = self.encode(scale * fixed)
                decoded = self.codec.decode(latents)
                for sizes in (latents, decoded):
                    rounded += [f"{size:.1e}" for size in sizes.double().norm(dim=1).tolist()]
        return rounded


def _first_tensor(codec: Any) -> torch.Tensor | None:
    """The first tensor of floats that an object has: its precision and device."""
    import torch

    if isinstance(codec, torch.nn.Module):
        values: Any = chain(codec.parameters(), codec.buffers())
    else:
        values = getattr(codec, "__dict__", {}).values()
    for value in values:
        if isinstance(value, torch.nn.Module):
            inner = _first_tensor(value)
            if inner is not None:
                return inner
        elif isinstance(value, torch.Tensor) and value.is_floating_point():
            return value
    return None
