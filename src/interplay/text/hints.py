"""Hints of the text lens: which segments are likely to matter, before anything is ablated.

Longer segments tend to matter more. The gradient of the score at the whole prompt says more, for a
backward pass. What each is worth is in ``benchmarks/bench_hints.py``.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from interplay._types import IntArray
from interplay.game import Hints
from interplay.text.prompts.prompt import MaskedPrompt
from interplay.text.readouts import Readout, derivatives

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

HintKind: TypeAlias = Literal["tokens", "gradient"]
"""``"tokens"``: the number of a segment's tokens; ``"gradient"``: the norm of the gradient of the
score with respect to the embeddings of its tokens, at the whole prompt."""
_MOST_BACKWARD = 8
"""The most backward passes. If there are more outputs, each is of all of them, with random signs,
which gives the sum of their squared gradients on average."""


def character_hints(prompt: MaskedPrompt) -> Hints:
    """The number of characters of each player, for models whose tokens are not known."""
    return Hints("characters", prompt.sizes(lambda text: len(text.strip())))


def gradient_hints(
    model: PreTrainedModel,
    ids: Sequence[int],
    owners: IntArray,
    readout: Readout,
    n_players: int,
) -> Hints:
    """The norm of the gradient of the score with respect to each segment's embeddings.

    With several outputs it is the root of the sum of squares, each output's gradient divided by its
    norm over all segments.

    Args:
        model: a causal model.
        ids: the token ids of the whole prompt.
        owners: the player of each of them, ``(tokens,)``; -1: none.
        readout: what is read after the whole prompt.
        n_players: n.

    Returns:
        Their cost is in tokens. A backward pass counts as two forward passes.
    """
    import torch

    prompt = list(ids[: len(ids) - readout.n_cut])
    read, leaves = _forward(model, prompt, readout)
    numbers = [values.detach().cpu().numpy() for values in read]
    slopes = [slope[0] for slope in derivatives(readout.combine, numbers)]
    n_outputs = slopes[0].shape[1]
    directions = np.eye(n_outputs)
    if n_outputs > _MOST_BACKWARD:
        directions = np.random.default_rng(0).choice([-1.0, 1.0], (_MOST_BACKWARD, n_outputs))
    squares = np.zeros(n_players)
    for direction in directions:
        score = sum(
            (values[0] * torch.as_tensor(slope @ direction, device=values.device)).sum()
            for values, slope in zip(read, slopes, strict=True)
        )
        gradients = torch.autograd.grad(score, leaves, retain_graph=True)  # type: ignore[arg-type]
        joined = sum(gradient[0, : len(prompt)].double().cpu() for gradient in gradients)
        of_tokens = torch.as_tensor(joined).square().sum(dim=-1).numpy()
        owned = owners[: len(prompt)] >= 0
        of_players = np.bincount(
            owners[: len(prompt)][owned], weights=of_tokens[owned], minlength=n_players
        )
        squares += of_players / (of_players.sum() or 1.0)
    tokens = sum(len(prompt) + len(feed) for feed in readout.feeds)
    return Hints("gradient", np.sqrt(squares), float(tokens * (1 + 2 * len(directions))))


def _forward(
    model: PreTrainedModel, prompt: list[int], readout: Readout
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Evaluate the prompt with each feed, and keep what gradients need.

    Returns:
        What was read for each feed, ``(1, r)``, and the embeddings that it depends on,
        ``(1, tokens, hidden)``.
    """
    import torch

    leaves: list[torch.Tensor] = []

    def cut_off(module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        leaves.append(output.detach().requires_grad_())
        return leaves[-1]

    read = []
    accepted = inspect.signature(model.forward).parameters
    hook = model.get_input_embeddings().register_forward_hook(cut_off)
    try:
        with torch.enable_grad():
            for number, feed in enumerate(readout.feeds):
                tokens = torch.tensor([[*prompt, *feed]], device=model.device)
                n_read = len(feed) + 1
                few = {"logits_to_keep": n_read} if "logits_to_keep" in accepted else {}
                logits = model(input_ids=tokens, use_cache=False, **few).logits[:, -n_read:]
                read.append(readout.read(number, logits))
    finally:
        hook.remove()
    return read, leaves
