"""Equivalence checks of cached prefixes, padding and positions, made with the model at hand.

Architectures differ, and so do releases of transformers. A few short prompts are therefore
evaluated by plain passes, one prompt each, and under the strategy in question, and the logits are
compared.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from interplay.errors import out_of_memory
from interplay.text.inference.batches import relative_tolerance
from interplay.text.inference.forward import Forward, Strategy, with_positions
from interplay.text.inference.packing import pack
from interplay.text.inference.trie import build, flat

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

SHORT = 8
"""Prompts of fewer tokens have nothing to share."""
_PROBE = 256
"""The most tokens of a prompt that is evaluated for a check."""


def choose_strategy(forward: Forward, ids: Sequence[int], window: float) -> tuple[Strategy, bool]:
    """Choose the fastest strategy under which a few prompts get the logits that each gets alone.

    Args:
        forward: how passes are made; its own strategy does not matter.
        ids: a prompt's token ids, ``SHORT`` or more.
        window: how many tokens back the model's attention reaches. Sharing is checked with prompts
            of at most half as many tokens.

    Returns:
        The strategy, and whether several prompts may be in one row.

    Warns:
        UserWarning: the logits differ if prefixes are shared or prompts are padded.
    """
    prompts = _probes(ids, window)

    @cache
    def plain(number: int) -> torch.Tensor:
        return _plain(forward.model, prompts[number])

    sequences = [with_positions(prompt, range(len(prompt))) for prompt in prompts]
    strategies: dict[Strategy, list[int]] = {"shared": [0, 1, 2], "padded": [0, 1, 2]}
    strategies["equal"] = [1, 3]
    if 2 * len(prompts[0]) > window:
        del strategies["shared"]
    reasons = []
    for strategy, chosen in strategies.items():
        difference = _difference(
            replace(forward, strategy=strategy),
            [sequences[number] for number in chosen],
            list(map(plain, chosen)),
        )
        if not difference:
            break
        reasons.append(f"{strategy}: {difference}")
    else:
        strategy = "alone"
    if reasons:
        rest = {"equal": ", with others of their length", "alone": ", one by one"}
        warnings.warn(
            f"{type(forward.model).__name__} gives other logits after a cached prefix or padding "
            f"({'; '.join(reasons)}); its prompts are evaluated whole{rest.get(strategy, '')}, "
            "which takes longer",
            stacklevel=2,
        )
    # on a GPU passes are cheap and rows are many
    packs = (
        strategy == "shared"
        and forward.model.device.type == "cpu"
        and "position_ids" in inspect.signature(forward.model.forward).parameters
        and not _difference(
            replace(forward, strategy=strategy),
            sequences[1:3],
            list(map(plain, (1, 2))),
            several=True,
        )
    )
    return strategy, packs


def _probes(ids: Sequence[int], window: float) -> list[tuple[int, ...]]:
    """A few prompts made of one: three begin alike, and two have the same length."""
    reach = int(min(window / 2, _PROBE))
    ids = tuple(ids[: reach if reach >= SHORT else _PROBE])
    half, quarter = len(ids) // 2, len(ids) // 4
    prompts = [ids, ids[:half] + ids[half + quarter :], ids[:quarter] + ids[half:]]
    return [*prompts, prompts[1][:1] + prompts[1][:0:-1]]


def check_positions(forward: Forward, ids: Sequence[int]) -> None:
    """Check that leaving tokens out is equivalent to not attending to them.

    The tokens that remain keep their positions. Their logits are compared with those of the whole
    prompt under an attention mask with zeros at the tokens left out.

    Args:
        forward: how passes are made, under the strategy that was chosen.
        ids: the whole prompt's token ids.

    Raises:
        ValueError: it is not equivalent, or the model takes no positions or counts its own.
    """
    probe = np.resize(np.asarray(ids), int(np.clip(len(ids), 4 * SHORT, _PROBE)))
    at = np.arange(len(probe))
    # the first token stays: a token with nothing to attend to is undefined under a mask
    masks = [(at % 5 != 3) | (at == at[-1]), (at < len(at) // 4) | (at > len(at) // 2)]
    reason = ""
    if "position_ids" not in inspect.signature(forward.model.forward).parameters:
        reason = "it takes no position_ids"
    elif getattr(forward.model.config.get_text_config(decoder=True), "alibi", False):
        reason = "its ALiBi distances count the tokens that are attended to"
    elif forward.strategy in ("equal", "alone"):
        reason = "it does not take a mask or positions as usual"
    else:
        plain = [_plain(forward.model, probe.tolist(), mask) for mask in masks]
        sequences = [with_positions(probe[mask], at[mask]) for mask in masks]
        # one row by itself too: flash attention takes gaps in its positions for ends of texts
        reason = _difference(forward, sequences, plain) or _difference(
            forward, sequences[:1], plain[:1]
        )
    if reason:
        refuse(forward.model, reason)


def refuse(model: PreTrainedModel, reason: str) -> NoReturn:
    """Raise a ValueError: masking by attention cannot be used with a model."""
    raise ValueError(
        f"masking by attention cannot be used with {type(model).__name__} here: {reason}; "
        "delete the segments or give a replacement"
    )


def _plain(model: PreTrainedModel, ids: Sequence[int], mask: Any = None) -> torch.Tensor:
    """The logits after one prompt by itself, ``(vocabulary,)``.

    Args:
        model: a Hugging Face causal model.
        ids: the T token ids of the prompt.
        mask: a boolean attention mask ``(T,)``; ``None`` masks nothing.
    """
    import torch

    inputs: dict[str, Any] = {"input_ids": torch.tensor([list(ids)], device=model.device)}
    if mask is not None:
        inputs["attention_mask"] = torch.tensor([mask.astype(int).tolist()], device=model.device)
        inputs["position_ids"] = torch.arange(len(ids), device=model.device)[None]
    with torch.inference_mode():
        logits: torch.Tensor = model(**inputs).logits[0, -1]
    return logits.to(torch.float32, copy=True)  # a view would hold the logits of all tokens


def _difference(
    forward: Forward,
    sequences: list[tuple[int, ...]],
    expected: list[torch.Tensor],
    *,
    several: bool = False,
) -> str:
    """Describe how the logits after some sequences differ from those expected.

    Errors are a difference too, since models are written in many ways.

    Args:
        forward: how passes are made.
        sequences: the sequences; if prefixes are shared, all have a first token in common.
        expected: the logits of each by itself, ``(vocabulary,)``.
        several: whether all are in one row, after the prefix that all share.

    Returns:
        The difference in words; an empty string if there is none.
    """
    import torch

    share = forward.strategy == "shared"
    unshared, in_rows = [1] * len(sequences), None
    if several:
        shared = min(map(len, sequences)) // 4
        trie = build(sequences, unshared, shared * (len(sequences) - 1))
        in_rows = pack(trie, sequences, unshared, sum(map(len, sequences)))
    else:
        trie = build(sequences, unshared, 1) if share else flat(sequences)
    logits_of: dict[int, torch.Tensor] = {}
    try:
        for numbers, logits in forward.logits(trie, sequences, 1, in_rows):
            logits_of.update(zip(numbers, logits[:, -1].float(), strict=True))
    except (TypeError, ValueError, AttributeError, LookupError, RuntimeError) as error:
        if out_of_memory(error):
            raise
        return f"{type(error).__name__}: {error}"
    exact = torch.stack(expected)
    rows = torch.stack([logits_of[number] for number in range(len(sequences))])
    difference = float((exact - rows).abs().max() / exact.abs().max())
    # a comparison by ">" would let NaN pass
    return (
        ""
        if difference <= relative_tolerance(forward.model)
        else f"logits differ by {difference:.1%} of the largest"
    )
