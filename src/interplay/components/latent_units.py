r"""Latents of a sparse autoencoder or transcoder as players: those that are active on a task."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np

from interplay.components.ablations import Zero
from interplay.components.architecture import find_architecture, lock_of, unpadded
from interplay.components.dictionaries import At, Codec, Dictionary
from interplay.components.game import ComponentGame
from interplay.components.packing import group_by_length
from interplay.components.passes import Passes
from interplay.components.patching import Site
from interplay.components.players import check_players
from interplay.components.tasks import Task
from interplay.components.units import Unit
from interplay.components.units import layers as whole_layers

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_CHECKED = 256
"""Tokens on which an object is checked."""
_MASSIVE = 4.0
"""A state is massive above so many times the median of all sizes."""
_TIES = 0.1
"""The share of tokens at which rounding may decide which latents are active."""


def latents(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    sae: Codec,
    layer: int,
    *,
    at: Literal["layer", "mlp", "transcoder"] | str = "layer",
    top: int | None = 32,
    indices: Iterable[int] | None = None,
    massive: bool = False,
    name: str | None = None,
) -> tuple[Unit, ...]:
    r"""List the latents of a sparse autoencoder or transcoder that are most active on a task.

    Removing a latent takes its decoded contribution out of what the dictionary explains. All other
    latents stay, and so does what the dictionary does not explain, so that with all players kept
    the model is exactly itself. Tokens of massive states stay whole. The equation is in
    :mod:`interplay.components.dictionaries`.

    How active a latent is on a task is the mean over the tokens of its items of the size of what it
    adds, relative to the size of what is read there,

    .. math:: \frac{1}{T} \sum_t |z_{tj}| \,
              \frac{\lVert decode(e_j) - decode(0) \rVert}{\lVert x_t \rVert}.

    Args:
        model: the transformer, in evaluation mode.
        tokenizer: its tokenizer.
        task: the items whose tokens are looked at.
        sae: an object of any library with ``encode``, from ``(tokens, width)`` to all latents
            ``(tokens, n_latents)``, and ``decode`` back.
        layer: the number of the layer, from 0, negative ones from the end.
        at: ``"layer"``: it was trained on the hidden states after the layer (those before it are
            the ones after ``layer - 1``); ``"mlp"``: on what the MLP adds; ``"transcoder"``: to
            give what the MLP adds from what the MLP reads.
        top: how many latents to list, the most active first; ``None``: all that are active.
        indices: the numbers of the latents instead.
        massive: whether to take latents out at tokens of massive states, too: those more than
            four times as large as the median over the task's tokens. First tokens are often a
            hundred times as large. Attention rests on them where it has nothing to read, and most
            autoencoders are trained without them.
        name: identifies ``sae`` in stores and files if its state cannot be hashed.

    Returns:
        Players named ``L14.latent5``, or ``L14.MLP.latent5`` where they are parts of the MLP; fewer
        than ``top`` if fewer are active.

    Raises:
        ValueError: the layer or the place does not exist, ``sae`` is not what is described above or
            cannot be told from others, no latent is active, or a number does not exist.

    Example::

        players = latents(model, tokenizer, task, sae, layer=12, top=24)
        game = ComponentGame(model, tokenizer, task, players)
        explanation = interplay.explain(game, measure=interplay.Keep(0.5, 0.97))
    """
    import torch

    if at not in get_args(At):
        raise ValueError(
            f"at={at!r} is unknown; choose layer (the hidden states after the layer), mlp (what "
            "the MLP adds) or transcoder (what the MLP adds, by what it reads)"
        )
    (whole,) = whole_layers(model, [layer])
    game = ComponentGame(model, tokenizer, task, (whole,))
    place = Dictionary(sae, whole.layer, cast("At", at), 1, 1, name)
    with torch.no_grad():
        read = _states(game, place)
        explained = _states(game, replace(place, at="mlp")) if at == "transcoder" else read
        sample = np.unique(np.linspace(0, len(read) - 1, _CHECKED).round().astype(np.int64))
        n_latents, decoded = _check(place, read[sample])
        _warn_of_errors(place, explained[sample], decoded)
        limit = None if massive else float(f"{_MASSIVE * float(read.norm(dim=1).median()):.2g}")
        dictionary = replace(place, n_latents=n_latents, width=read.shape[1], limit=limit)
        dictionary.digest(read.device)  # that it can be told from others
        if indices is not None:
            numbers = [int(index) for index in indices]
        else:
            numbers = _most_active(dictionary, read, top)
    units = tuple(Unit(whole.layer, "latent", number, dictionary) for number in numbers)
    return cast("tuple[Unit, ...]", check_players(find_architecture(model), units))


class _Nothing:
    """A dictionary that changes nothing: its latents are what it reads."""

    def encode(self, states: torch.Tensor) -> torch.Tensor:
        return states

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return latents


def _states(game: ComponentGame, place: Dictionary) -> torch.Tensor:
    """Return what a dictionary reads at all tokens of a task, ``(t, width)``."""
    import torch

    model, architecture = game.model, find_architecture(game.model)
    reads, writes = place.modules(architecture.layers[place.layer])
    numbers = np.arange(model.config.get_text_config().hidden_size)
    states = replace(place, codec=_Nothing(), n_latents=len(numbers))
    site = Site(place.layer, "latent", writes, numbers, states, numbers, reads)
    passes = Passes(model, architecture, (site,), Zero(), ())
    texts = sorted({ids for ids, _ in game._sequences})
    with lock_of(model), unpadded(model):
        return torch.cat(
            [
                passes._contributions([texts[n] for n in group])[site].flatten(0, 1)
                for group in group_by_length(texts)
            ]
        )


def _warn_of_errors(place: Dictionary, explained: torch.Tensor, decoded: torch.Tensor) -> None:
    """Say so where a dictionary explains less than nothing: it may be of another place."""
    errors = (explained.double() - decoded.to(explained.device).double()).norm(dim=1)
    relative = float((errors / explained.double().norm(dim=1).clamp_min(1e-30)).median())
    if relative >= 1:
        warnings.warn(
            f"at={place.at!r} of layer {place.layer} the {type(place.codec).__name__} is off by "
            f"{relative:.3g} times the size of what it is to explain, at half of the tokens: zeros "
            "would be as good. Check layer, at, and the scale of its inputs",
            stacklevel=3,
        )


def _most_active(dictionary: Dictionary, states: torch.Tensor, top: int | None) -> list[int]:
    """Return the numbers of the latents that add most, the most active first."""
    import torch

    if top is not None and top < 1:
        raise ValueError(f"top={top} is below 1; give a number of latents, or None for all active")
    sizes = states.double().norm(dim=1).clamp_min(1e-30)
    total = torch.zeros(dictionary.n_latents, dtype=torch.float64)
    for part in dictionary.parts(len(states)):
        found = dictionary.encode(states[part]).abs().double()
        total += (found / sizes[part, None].to(found.device)).sum(dim=0).cpu()
    active = total.nonzero()[:, 0]
    if not len(active):
        raise ValueError(
            f"no latent of layer {dictionary.layer} is active at any of the task's "
            f"{len(states)} tokens; check the layer and the scale of what sae is to read"
        )
    probe = dictionary.encode(states[:1])
    norms = []
    for part in dictionary.parts(len(active)):
        alone = probe.new_zeros((len(active[part]) + 1, dictionary.n_latents))
        alone[torch.arange(len(active[part])), active[part].to(probe.device)] = 1
        decoded = dictionary.codec.decode(alone).double()
        norms.append((decoded[:-1] - decoded[-1]).norm(dim=1).cpu())
    effects = total[active] * torch.cat(norms)
    order = effects.argsort(descending=True, stable=True)[:top]
    return [int(number) for number in active[order]]


def _check(dictionary: Dictionary, states: torch.Tensor) -> tuple[int, torch.Tensor]:
    """Check that an object encodes and decodes each token by itself, always in the same way.

    Args:
        dictionary: the dictionary.
        states: what it reads of some tokens, ``(t, width)``.

    Returns:
        How many latents it has, and what it makes of the states, ``(t, width)``.

    Raises:
        ValueError: it gives something else than tensors of these shapes, differs between two calls,
            or gives a token other latents beside other tokens.
    """
    import torch

    kind = type(dictionary.codec).__name__
    for method in ("encode", "decode"):
        if not callable(getattr(dictionary.codec, method, None)):
            raise ValueError(
                f"an object of type {kind} has no {method}; give one with encode, from states to "
                "latents, and decode back"
            )
    try:
        latents = _tensor(dictionary.encode(states), f"{kind}.encode", (len(states), None))
        decoded = _tensor(dictionary.codec.decode(latents), f"{kind}.decode", tuple(states.shape))
    except (RuntimeError, TypeError, IndexError) as error:
        raise ValueError(
            f"{kind} cannot encode and decode states of shape {tuple(states.shape)}: {error}; is "
            "it of this model and this place? If it needs another form of input, wrap it"
        ) from error
    sizes = latents.abs().amax(dim=1, keepdim=True)
    limit = torch.finfo(latents.dtype).eps ** 0.5 * sizes
    again = dictionary.encode(states)
    if not bool(((again - latents).abs() <= limit).all()):
        raise ValueError(
            f"{kind}.encode gives other latents when it is called again; call its eval(), or turn "
            "its noise off"
        )
    # halves as different as can be, the small states and the large ones
    order = states.norm(dim=1).argsort().to(latents.device)
    halves = order.chunk(2)
    apart = torch.cat(
        [dictionary.encode(states[half.to(states.device)]) - latents[half] for half in halves]
    )
    # a tie among the largest latents, or one at its threshold, may go either way
    differing = (apart.abs() > limit[order]).any(dim=1).double().mean()
    if float(differing) > _TIES:
        raise ValueError(
            f"{kind}.encode gives a token other latents beside other tokens, as batch top-k in "
            "training does, so that a value would depend on the masks evaluated beside it; give "
            "the form for inference, with a threshold"
        )
    return latents.shape[1], decoded


def _tensor(output: Any, source: str, shape: tuple[int | None, ...]) -> torch.Tensor:
    """Return an output if it is a tensor of floats of this shape, where ``None`` is any length."""
    import torch

    if not isinstance(output, torch.Tensor) or not output.is_floating_point():
        raise ValueError(
            f"{source} gives a {type(output).__name__}, not a tensor of floats; wrap it in an "
            "object whose encode gives all latents, (tokens, latents), zeros included, and whose "
            "decode takes them"
        )
    expected = tuple(
        length if limit is None else limit
        for length, limit in zip((*output.shape, 0, 0)[:2], shape, strict=True)
    )
    if not bool(output.isfinite().all()):
        raise ValueError(
            f"{source} gives numbers that are not finite; check the scale and the precision of "
            "what it reads"
        )
    if tuple(output.shape) != expected:
        listed = ", ".join("n_latents" if limit is None else str(limit) for limit in shape)
        raise ValueError(
            f"{source} gives the shape {tuple(output.shape)}, not ({listed}); is it of this model "
            "and this place? If it needs another form of input, wrap it"
        )
    return output
