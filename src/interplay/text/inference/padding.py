"""Equivalence checks of padding and of masked tokens.

Nothing is concluded from a model's name: a few texts are evaluated in the batched or masked form
and by themselves, and the outputs are compared. Each function is given ``outputs_of``, which
evaluates texts in one batch and returns, for each, the tensor that targets are computed from.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from interplay.errors import out_of_memory
from interplay.text.inference.batches import BatchStrategy

if TYPE_CHECKING:
    import torch

Text: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]
"""Token ids, and for each 1, or 0 where no other token may attend to it."""
BatchOutputs: TypeAlias = "Callable[[Sequence[Text]], list[torch.Tensor]]"
Substitute: TypeAlias = Callable[[tuple[int, ...], Sequence[int]], tuple[int, ...]]
"""From token ids and positions to the same ids with other tokens at these positions."""
_SAME = 1e-5
"""Outputs are the same up to float32's rounding if they differ by less than this share of the
largest."""


def choose_batch_strategy(
    outputs_of: BatchOutputs, ids: tuple[int, ...], tolerance: float
) -> tuple[BatchStrategy, list[str]]:
    """Choose the fastest strategy under which a few texts get the outputs that each gets alone.

    Args:
        outputs_of: see the module's docstring.
        ids: a text of 6 tokens or more; the others are made from it.
        tolerance: the share of the largest output by which outputs may differ.

    Returns:
        The strategy, and why each faster one was rejected.
    """
    half, quarter = len(ids) // 2, len(ids) // 4
    backwards = ids[:1] + ids[-2:0:-1] + ids[-1:]
    mixed = [ids, ids[:quarter] + ids[half:], ids[:1] + ids[half + quarter :], backwards]
    samples: dict[BatchStrategy, list[tuple[int, ...]]] = {
        "padded": mixed,
        "equal": [ids, backwards],
    }
    reasons = []
    for strategy, sample in samples.items():
        texts = [_unmasked(tokens) for tokens in sample]
        alone = [outputs_of([text])[0] for text in texts]
        try:
            difference = _difference(outputs_of(texts), alone)
        except (TypeError, ValueError, AttributeError, LookupError, RuntimeError) as error:
            if out_of_memory(error):
                raise
            reasons.append(f"{strategy}: {type(error).__name__}: {error}")
            continue
        if difference <= tolerance:
            return strategy, reasons
        reasons.append(f"{strategy}: outputs differ by {difference:.1%} of the largest")
    return "single", reasons


def choose_generation_strategy(
    two_steps: Callable[[Sequence[Sequence[int]]], list[torch.Tensor]],
    ids: tuple[int, ...],
    tolerance: float,
) -> tuple[BatchStrategy, str]:
    """Choose the fastest strategy under which prompts are answered as each is alone.

    Args:
        two_steps: answers b prompts in one batch; gives the logits of the answers' first and second
            tokens, ``(b, vocabulary)`` each.
        ids: a prompt; the others are made from it.
        tolerance: the share of the largest logit by which logits may differ.

    Returns:
        The strategy, and why padded batches were rejected.
    """
    import torch

    def difference(prompts: list[tuple[int, ...]]) -> str:
        alone = [torch.cat(steps) for steps in zip(*(two_steps([p]) for p in prompts), strict=True)]
        try:
            batched = two_steps(prompts)
        except (TypeError, ValueError, AttributeError, LookupError, RuntimeError) as error:
            if out_of_memory(error):
                raise
            return f"{type(error).__name__}: {error}"
        # logits at the second token can be compared only where the first tokens are the same
        same = batched[0].argmax(-1) == alone[0].argmax(-1)
        differences = [batched[0] - alone[0], (batched[1] - alone[1])[same]]
        share = float(torch.cat(differences).abs().max()) / float(alone[0].abs().max())
        # a comparison by ">" would let NaN pass
        return "" if share <= tolerance else f"logits differ by {share:.1%} of the largest"

    half, quarter = len(ids) // 2, len(ids) // 4
    mixed = [ids, ids[:half] + ids[half + quarter :], ids[:quarter] + ids[half:], ids[-quarter:]]
    reason = difference(mixed)
    if not reason:
        return "padded", ""
    backwards = ids[:1] + ids[-2:0:-1] + ids[-1:]
    return "single" if difference([ids, backwards]) else "equal", reason


def check_masked_tokens(
    outputs_of: BatchOutputs, substitute: Substitute, ids: tuple[int, ...], tolerance: float
) -> tuple[int, ...]:
    """Check that masked tokens do not influence the output, and find the positions where they do.

    Args:
        outputs_of: see the module's docstring.
        substitute: puts other tokens in place of those at some positions.
        ids: a text.
        tolerance: the share of the largest output by which outputs may differ.

    Returns:
        The positions, out of 0 and -1, that the output is read off. A token there influences the
        output even where no other token attends to it.

    Raises:
        ValueError: masked tokens at other positions influence the output too.
    """
    size = len(ids)
    inner = range(1, size - 1)[size // 3 : 2 * size // 3] or range(1, size - 1)
    if inner:
        mask = tuple(int(position not in inner) for position in range(size))
        masked = outputs_of([(ids, mask)])
        difference = _difference(outputs_of([(substitute(ids, inner), mask)]), masked)
        if not difference <= tolerance:
            raise ValueError(
                "the model does not keep to its attention mask: its outputs change by "
                f"{difference:.1%} of the largest with a masked token; use another masking"
            )
        remaining = tuple(token for token, keep in zip(ids, mask, strict=True) if keep)
        if _difference(outputs_of([_unmasked(remaining)]), masked) < _SAME:
            warnings.warn(
                "the model does not count masked tokens as positions, so that masking by attention "
                "is the same as deleting tokens",
                stacklevel=4,
            )
    return tuple(
        position
        for position in (0, -1)
        if _influences(outputs_of, substitute, ids, position % size, tolerance)
    )


def _influences(
    outputs_of: BatchOutputs,
    substitute: Substitute,
    ids: tuple[int, ...],
    position: int,
    tolerance: float,
) -> bool:
    """Whether a masked token at a position influences the output."""
    mask = tuple(int(at != position) for at in range(len(ids)))
    if not any(mask):
        return True
    try:
        expected = outputs_of([(ids, mask)])
        changed = outputs_of([(substitute(ids, [position]), mask)])
        return not _difference(changed, expected) <= tolerance
    except (LookupError, ValueError, RuntimeError) as error:
        if out_of_memory(error):
            raise
        return True  # some models search for their last token by its id


def _unmasked(ids: tuple[int, ...]) -> Text:
    return ids, (1,) * len(ids)


def _difference(outputs: list[torch.Tensor], expected: list[torch.Tensor]) -> float:
    """The largest difference, as a share of the largest number expected.

    NaN where an output is NaN.
    """
    import torch

    largest = max(float(output.abs().max()) for output in expected)
    differences = [(a - b).flatten() for a, b in zip(outputs, expected, strict=True)]
    return float(torch.cat(differences).abs().max()) / largest
