"""What a model does with cached prefixes, padding and positions, found out with the model at hand.

Architectures differ, and so do releases of transformers: a few short prompts are evaluated plainly
and in the way that is in question, and the logits compared.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from interplay.errors import out_of_memory
from interplay.text.inference.batches import tolerance
from interplay.text.inference.forward import Forward, Way, placed
from interplay.text.inference.trie import build, whole

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

SHORT = 8
"""Prompts of fewer tokens have nothing to share."""
_PROBE = 256
"""Probes have at most so many tokens."""


def find_way(forward: Forward, ids: Sequence[int], window: float) -> Way:
    """The fastest way in which a few prompts get the logits that each gets by itself.

    Args:
        forward: how passes are made; its way does not count.
        ids: a prompt's token ids, ``SHORT`` or more.
        window: how far the model's attention reaches: prefixes are shared in prompts of half that.

    Warns:
        UserWarning: prefixes or padding give other logits.
    """
    reach = int(min(window / 2, _PROBE))
    ids = tuple(ids[: reach if reach >= SHORT else _PROBE])
    half, quarter = len(ids) // 2, len(ids) // 4
    prompts = [ids, ids[:half] + ids[half + quarter :], ids[:quarter] + ids[half:]]
    alone = [_alone(forward.model, prompt) for prompt in prompts]
    found = [placed(prompt, range(len(prompt))) for prompt in prompts]
    reasons = []
    ways: list[Way] = ["shared", "padded"] if 2 * len(ids) <= window else ["padded"]
    for way in ways:
        difference = _difference(replace(forward, way=way), found, alone)
        if not difference:
            break
        reasons.append(f"{way}: {difference}")
    else:
        way = "equal"
    if reasons:
        warnings.warn(
            f"{type(forward.model).__name__} gives other logits after a cached prefix or padding "
            f"({'; '.join(reasons)}); its prompts are evaluated whole"
            f"{', with others of their length' if way == 'equal' else ''}, which takes longer",
            stacklevel=2,
        )
    return way


def check_positions(forward: Forward, ids: Sequence[int]) -> None:
    """See that leaving tokens out, others' positions kept, is the same as not attending to them.

    Compared with the whole prompt under an attention mask with zeros at what is left out.

    Args:
        forward: how passes are made, in the way that was found.
        ids: the whole prompt's token ids.

    Raises:
        ValueError: it is not, or the model takes no positions or counts them its own way.
    """
    probe = np.resize(np.asarray(ids), int(np.clip(len(ids), 4 * SHORT, _PROBE)))
    at = np.arange(len(probe))
    # the first token stays: a token with nothing to attend to is undefined under a mask
    kept = [(at % 5 != 3) | (at == at[-1]), (at < len(at) // 4) | (at > len(at) // 2)]
    reason = ""
    if "position_ids" not in inspect.signature(forward.model.forward).parameters:
        reason = "it takes no position_ids"
    elif getattr(forward.model.config.get_text_config(decoder=True), "alibi", False):
        reason = "its ALiBi distances count the tokens that are attended to"
    elif forward.way == "equal":
        reason = "it does not take a mask or positions as usual"
    else:
        masked = [_alone(forward.model, probe.tolist(), keep) for keep in kept]
        left = [placed(probe[keep], at[keep]) for keep in kept]
        # also a row by itself: flash attention reads gaps in its positions as texts end to end
        reason = _difference(forward, left, masked) or _difference(forward, left[:1], masked[:1])
    if reason:
        refuse(forward.model, reason)


def refuse(model: PreTrainedModel, reason: str) -> NoReturn:
    """Say that masking by attention does not go with a model."""
    raise ValueError(
        f"masking by attention does not go with {type(model).__name__} here: {reason}; "
        "delete the segments or give a replacement"
    )


def _alone(model: PreTrainedModel, ids: Sequence[int], keep: Any = None) -> torch.Tensor:
    """The logits after a prompt by itself, ``(vocabulary,)``, perhaps under an attention mask."""
    import torch

    inputs: dict[str, Any] = {"input_ids": torch.tensor([list(ids)], device=model.device)}
    if keep is not None:
        inputs["attention_mask"] = torch.tensor([keep.astype(int).tolist()], device=model.device)
        inputs["position_ids"] = torch.arange(len(ids), device=model.device)[None]
    with torch.inference_mode():
        logits: torch.Tensor = model(**inputs).logits[0, -1]
    return logits.to(torch.float32, copy=True)  # a view would hold the logits of all tokens


def _difference(
    forward: Forward, sequences: list[tuple[int, ...]], wanted: list[torch.Tensor]
) -> str:
    """In words, how the logits after some sequences differ from those wanted; empty: they do not.

    Errors are a difference too: models are written in many ways.
    """
    import torch

    trie = (
        build(sequences, [1] * len(sequences), 1) if forward.way == "shared" else whole(sequences)
    )
    found: dict[int, torch.Tensor] = {}
    try:
        for numbers, logits in forward.logits(trie, sequences, 1):
            found.update(zip(numbers, logits[:, -1].float(), strict=True))
    except (TypeError, ValueError, AttributeError, LookupError, RuntimeError) as error:
        if out_of_memory(error):
            raise
        return f"{type(error).__name__}: {error}"
    exact = torch.stack(wanted)
    rows = torch.stack([found[row] for row in range(len(sequences))])
    difference = float((exact - rows).abs().max() / exact.abs().max())
    # not "above": what is not a number differs
    return (
        ""
        if difference <= tolerance(forward.model)
        else f"logits differ by {difference:.1%} of the largest"
    )
