"""Early exit: a model without its last layers, as a cheaper one that scores alike."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, TypeVar

from interplay._types import whole

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

_Model = TypeVar("_Model", bound="PreTrainedModel")


def early_exit(model: _Model, layers: int) -> _Model:
    """A model that ends after some of its layers, and shares all weights with the whole one.

    What follows the last layer, as a rule a norm and a head, reads the hidden states of an earlier
    one (nostalgebraist 2020, "interpreting GPT: the logit lens"). That is a poor model, but what
    acts together in its prompts may be much the same. As ``cheaper=`` of
    :func:`interplay.explain` it is given no more weight than it earns.

    Example::

        model, tokenizer = ip.text.load_model("smollm2")
        shallow = ip.text.early_exit(model, 20)  # of 30
        dear, cheap = (ip.text.TextGame(m, tokenizer, text, target) for m in (model, shallow))
        ip.explain(dear, cheaper=cheap, budget=100)

    Args:
        model: a model with one stack of layers. It is not changed.
        layers: how many of its layers are left, counted from the input.

    Returns:
        A model of the same class. Its weights are those of ``model``, and change with them.

    Raises:
        ValueError: the model has no such layers, or an encoder and a decoder.
    """
    from torch import nn

    text_config = model.config.get_text_config()
    depth = int(text_config.num_hidden_layers)
    layers = whole("layers", layers, 1)
    if layers >= depth:
        raise ValueError(
            f"layers={layers} leaves nothing out of a model of {depth} layers; give fewer than "
            f"{depth}"
        )
    weights = [*model.parameters(), *model.buffers()]
    shallow = deepcopy(model, {id(weight): weight for weight in weights})
    stacks: list[tuple[nn.Module, str]] = [
        (parent, name)
        for parent in shallow.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.ModuleList) and len(child) == depth
    ]
    if len(stacks) != 1 or model.config.is_encoder_decoder:
        raise ValueError(
            f"{type(model).__name__} has {len(stacks)} stacks of {depth} layers, where one is "
            "needed to leave after; give a cheaper model of your own"
        )
    ((parent, name),) = stacks
    setattr(parent, name, getattr(parent, name)[:layers])
    text_config = shallow.config.get_text_config()
    text_config.num_hidden_layers = layers
    kinds = getattr(text_config, "layer_types", None)
    if kinds is not None:
        text_config.layer_types = list(kinds)[:layers]
    return shallow
