"""captum: our decoders as an attribution method, its inputs as games, its results from ours.

==================  ============================================================================
``Interplay``       an attribution method of captum's: alone, and within ``LLMAttribution``
``game``            an ``InterpretableInput`` and a model as a game for :func:`interplay.explain`
``to_captum``       an explanation as an ``LLMAttributionResult``: ``explanation.to_captum()``
==================  ============================================================================

docs/toolkits/captum.md has an example of each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from interplay.errors import MissingDependencyError
from interplay.explanation.explain import explain
from interplay.explanation.explanation import Explanation
from interplay.game import FunctionGame

try:
    import torch
    from captum._utils import common
    from captum.attr import InterpretableInput, LLMAttributionResult, ShapleyValueSampling
    from captum.attr._core.shapley_value import _shape_feature_mask
    from captum.attr._utils.common import _format_input_baseline, _tensorize_baseline
except ImportError as error:
    raise MissingDependencyError("captum", "captum", "interplay.toolkits.captum") from error

from interplay.toolkits._captum_forward import Forward, players_of
from interplay.toolkits._captum_game import game, names_of_input
from interplay.toolkits._tokens import (
    by_token,
    of_singles,
    probabilities,
    shapley_settings,
    target_of,
)

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Interplay", "game", "to_captum"]


class Interplay(ShapleyValueSampling):
    """Shapley values from a decoder, as an attribution method of captum's.

    It takes the place of ``ShapleyValueSampling``, of which it is a subclass, since that is how
    ``LLMAttribution`` knows the methods that it accepts and those that give it a value for each
    token. What the ablations say beyond the Shapley values is in :attr:`interplay`.

    Example:
        >>> import torch
        >>> from interplay.toolkits.captum import Interplay
        >>> method = Interplay(lambda x: x[:, 0] * x[:, 1] + x[:, 2])
        >>> method.attribute(torch.tensor([[2.0, 3.0, 5.0]]))
        tensor([[3., 3., 5.]])
        >>> method.interplay[0].interactions("SII", order=2).top(1, min_order=2).sets
        [(0, 1)]

    Args:
        forward_func: the model, or any function of the inputs, as for captum's methods.
        **settings: arguments of :func:`interplay.explain`, such as ``decoder``, ``order``,
            ``until`` or ``random_state``.

    Raises:
        ValueError: a setting is an argument of :meth:`attribute` under another name.
    """

    def __init__(self, forward_func: Callable[..., Any], **settings: Any) -> None:
        super().__init__(forward_func)
        self.settings = shapley_settings(
            settings,
            {
                "budget": "attribute(..., n_samples=)",
                "batch_size": "attribute(..., perturbations_per_eval=)",
                "progress": "attribute(..., show_progress=)",
            },
        )
        self._explanations: list[Explanation] = []

    @property
    def interplay(self) -> tuple[Explanation, ...]:
        """The explanations behind the last attributions, one for each example of the inputs.

        Players are the features, in ascending order of their indices in the feature mask. Several
        numbers for an example are outputs. ``LLMAttribution`` works with a copy of the method,
        which shares them.
        """
        return tuple(self._explanations)

    def attribute(
        self,
        inputs: Tensor | tuple[Tensor, ...],
        baselines: Any = None,
        target: Any = None,
        additional_forward_args: Any = None,
        feature_mask: Tensor | tuple[Tensor, ...] | None = None,
        n_samples: int | None = None,
        perturbations_per_eval: int = 1,
        show_progress: bool = False,
    ) -> Tensor | tuple[Tensor, ...]:
        """Attribute the output to the features of the inputs.

        All examples of the inputs are evaluated together, on the same masks, and each is explained
        by itself.

        Args:
            inputs: as for ``ShapleyValueSampling``, and so are ``baselines``, ``target``,
                ``additional_forward_args``, ``feature_mask`` and ``show_progress``.
            baselines: what a removed feature is replaced by; zero if it is not given.
            target: which output is attributed.
            additional_forward_args: further arguments of the forward function.
            feature_mask: the feature of each element of the inputs; by default each element is one.
            n_samples: the budget: the most masks that are evaluated (captum's counts permutations
                here, and masks in ``KernelShap``). The default is that of ``explain``: all 2^n up
                to 8 features, else 4 n log2 n, at least 100. If it covers all 2^n masks, the values
                are exact.
            perturbations_per_eval: how many masks are evaluated in one call of the forward
                function, if it returns a number, or numbers, for each row. ``LLMAttribution``
                takes one at a time.
            show_progress: show progress on stderr.

        Returns:
            As ``ShapleyValueSampling``: float32, in the shape of the inputs, or ``(*shape of the
            output, *shape of a single input)`` where the forward function returns several numbers
            for an example.

        Raises:
            ValueError: ``perturbations_per_eval`` is below 1 or does not fit what the forward
                function returns, or ``explain`` refuses the budget or a setting.
            GameError: the forward function failed, or returned numbers that are not finite.
        """
        if perturbations_per_eval < 1:
            raise ValueError(f"perturbations_per_eval={perturbations_per_eval} is below 1")
        self._explanations.clear()
        tensors, replacements = _format_input_baseline(inputs, baselines)
        features = _shape_feature_mask(common._format_feature_mask(feature_mask, tensors), tensors)
        ids, places = players_of(features, tensors)
        forward = Forward(
            lambda rows, goal, others: self._strict_run_forward(
                self.forward_func, rows, goal, others
            ),
            tensors,
            _tensorize_baseline(tensors, replacements),
            places,
            target,
            common._format_additional_forward_args(additional_forward_args),
            perturbations_per_eval,
        )
        names = _names(ids, forward.others)
        with torch.no_grad():
            forward(np.zeros((1, len(ids)), dtype=np.bool_))
            for example in range(forward.n_explained):
                one = FunctionGame(forward.of(example), len(ids), players=names)
                explained = explain(
                    one,
                    budget=n_samples,
                    # later examples were evaluated with the first
                    batch_size=None if example else perturbations_per_eval,
                    progress=show_progress,
                    **self.settings,
                )
                self._explanations.append(explained)
        values = np.stack([of_singles(explained, "SV") for explained in self._explanations])
        spread = tuple(forward.spread(values, number) for number in range(len(tensors)))
        return spread if common._is_tuple(inputs) else spread[0]

    def attribute_future(self, *arguments: Any, **named: Any) -> Any:
        """It is not available: masks are chosen and values decoded in this process.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("attribute_future is not available; call attribute")


def _names(ids: list[int], others: tuple[Any, ...] | None) -> list[str]:
    """The players' names: the features' indices, or the segments of what LLMAttribution asks of."""
    if others and isinstance(others[0], InterpretableInput):
        names = names_of_input(others[0])
        if len(names) == len(ids):
            return names
    return list(map(str, ids))


def to_captum(explanation: Explanation, index: str = "SV") -> LLMAttributionResult:
    """An explanation as captum's result; see :meth:`interplay.Explanation.to_captum`."""
    values, named = of_singles(explanation, index), explanation.outputs
    target, known = target_of(explanation), probabilities(explanation)
    # log-probabilities of tokens add up to that of the response; other outputs add up to nothing
    adds_up = not named or (by_token(explanation) and target["score"] == "logprob")
    return LLMAttributionResult(
        input_tokens=apart(explanation.players),
        output_tokens=list(named) or [target.get("text") or "value"],
        seq_attr=torch.from_numpy(values.sum(axis=1) if adds_up else np.full(len(values), np.nan)),
        token_attr=torch.from_numpy(values.T.copy()) if named else None,
        output_probs=None if known is None else torch.from_numpy(known),
        inp=getattr(explanation.game, "inp", None),
    )


def apart(names: tuple[str, ...]) -> list[str]:
    """Names that are all different: the second ``the`` becomes ``the (2)``."""
    taken: set[str] = set(names)
    seen: set[str] = set()
    different = []
    for name in names:
        number, chosen = 1, name
        while chosen in seen or (number > 1 and chosen in taken):
            number += 1
            chosen = f"{name} ({number})"
        seen.add(chosen)
        different.append(chosen)
    return different
