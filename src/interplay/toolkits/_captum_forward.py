"""captum's forward functions under masks: many masks, and all examples, in one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from captum._utils import common

from interplay._types import BoolArray, FloatArray
from interplay.fourier.masks import keys

if TYPE_CHECKING:
    from torch import Tensor


class Forward:
    """The forward function on masked inputs, with the values known so far.

    All examples are evaluated at once, and a mask once, whichever example asks for it.
    """

    def __init__(
        self,
        run: Callable[[tuple[Tensor, ...], Any, Any], Tensor],
        inputs: tuple[Tensor, ...],
        baselines: tuple[Tensor, ...],
        places: tuple[Tensor, ...],
        target: Any,
        others: tuple[Any, ...] | None,
        at_once: int,
    ) -> None:
        self.run, self.inputs, self.baselines, self.places = run, inputs, baselines, places
        self.target, self.others, self.at_once = target, others, at_once
        self.n_examples = len(inputs[0])
        self.shape: tuple[int, ...] = ()
        self._known: dict[bytes, FloatArray] = {}

    @property
    def n_explained(self) -> int:
        """The number of examples, or 1 if the forward function gives a number for all of them."""
        return self.n_examples if self.shape[0] == self.n_examples else 1

    def of(self, example: int) -> Callable[[BoolArray], FloatArray]:
        """The game of an example: from masks ``(m, n)`` to ``(m,)`` or ``(m, k)``."""

        def values(masks: BoolArray) -> FloatArray:
            numbers = self(masks)[:, example]
            return numbers[:, 0] if numbers.shape[1] == 1 else numbers

        return values

    def __call__(self, masks: BoolArray) -> FloatArray:
        """The values of all examples under masks ``(m, n)``: ``(m, examples, k)``."""
        of_masks = keys(masks)
        new = [row for row, key in enumerate(of_masks) if key not in self._known]
        for start in range(0, len(new), self.at_once):
            rows = new[start : start + self.at_once]
            for row, value in zip(rows, self._evaluate(masks[rows]), strict=True):
                self._known[of_masks[row]] = value
        return np.stack([self._known[key] for key in of_masks])

    def _evaluate(self, masks: BoolArray) -> FloatArray:
        """One call of the forward function: mask by mask, and within a mask example by example."""
        n_masks = len(masks)
        kept = torch.from_numpy(masks)
        rows = []
        for given, baseline, places in zip(self.inputs, self.baselines, self.places, strict=True):
            keep = kept.to(given.device)[:, places]
            masked = torch.where(keep, given, baseline.to(given.dtype))
            rows.append(masked.reshape(-1, *given.shape[1:]))
        others = self.others
        if others is not None:
            others = common._expand_additional_forward_args(others, n_masks)
        output = self.run(tuple(rows), common._expand_target(self.target, n_masks), others)
        # one mask may give any shape, such as one number for all examples
        if self.at_once > 1 and output.shape[0] != n_masks * self.n_examples:
            raise ValueError(
                f"the forward function returned the shape {tuple(output.shape)} for "
                f"{n_masks * self.n_examples} rows; perturbations_per_eval={self.at_once} needs a "
                "row for each: give perturbations_per_eval=1"
            )
        first = self.n_examples if self.at_once > 1 else output.shape[0]
        self.shape = (first, *output.shape[1:])
        numbers = output.detach().double().cpu().numpy()
        return np.asarray(numbers.reshape(n_masks, self.n_explained, -1))

    def spread(self, values: FloatArray, tensor: int) -> Tensor:
        """Each element's value in one of the input tensors, from ``(examples, n, k)``."""
        places = self.places[tensor].cpu().numpy()
        if len(places) == 1:
            of_elements = np.moveaxis(values, 1, 2)[:, :, places[0]]
        elif len(places) == len(values):
            of_elements = np.stack(
                [value.T[:, place] for value, place in zip(values, places, strict=True)]
            )
        else:
            raise ValueError(
                f"the feature mask has {len(places)} examples, but the forward function returns "
                "one number for all; give a mask whose first dimension is 1"
            )
        shape = (*self.shape, *self.inputs[tensor].shape[1:])
        spread = torch.from_numpy(of_elements.reshape(shape))
        return spread.to(self.inputs[tensor].device, torch.float)


def players_of(
    features: tuple[Tensor, ...], tensors: tuple[Tensor, ...]
) -> tuple[list[int], tuple[Tensor, ...]]:
    """The features' indices, ascending, and the number of each element's feature among them."""
    flat = torch.cat([feature.flatten() for feature in features]).cpu().numpy()
    ids, numbers = np.unique(flat, return_inverse=True)
    parts = np.split(numbers.ravel(), np.cumsum([feature.numel() for feature in features])[:-1])
    places = tuple(
        torch.from_numpy(part.reshape(feature.shape))
        .expand(len(feature), *given.shape[1:])
        .to(given.device)
        for part, feature, given in zip(parts, features, tensors, strict=True)
    )
    return ids.tolist(), places
