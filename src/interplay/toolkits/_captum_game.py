"""An ``InterpretableInput`` of captum's, and what a model makes of it, as a game."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np

from interplay._types import BoolArray, FloatArray, Json
from interplay.text.answer_readouts import Rows
from interplay.text.prompts.tokens import Continuation
from interplay.text.targets import Response
from interplay.toolkits._input_game import InputGame, language_game

if TYPE_CHECKING:
    from captum.attr import InterpretableInput

_AT_ONCE = 16
"""How many masks a call of a function should have."""
_LENS = "captum"


def game(
    inp: InterpretableInput,
    model: Any,
    target: Any = None,
    tokenizer: Any = None,
    *,
    fingerprint: str | None = None,
) -> InputGame:
    """Make a game of an input of captum's.

    With a tokenizer the model is a language model and the input a ``TextTemplateInput`` or a
    ``TextTokenInput``. Prompts and responses become tokens as in ``LLMAttribution`` (the response's
    own tokens after the prompt's, special tokens included), but prompts that begin alike share
    their beginnings, and all tokens of the response are scored in one pass. Without a tokenizer the
    model is any function of what ``inp.to_model_input()`` gives, such as an image classifier for an
    ``ImageMaskInput``.

    Example:
        >>> import interplay as ip
        >>> from captum.attr import TextTemplateInput
        >>> inp = TextTemplateInput("{} {} day", ["Such", "a"])
        >>> game = ip.toolkits.captum.game(inp, len)
        >>> print(ip.explain(game).interactions("SV"))
        SV up to order 1: 2 sets, strongest first
          +4.  Such
          +1.  a

    Args:
        inp: the input; its interpretable features are the players.
        model: a Hugging Face language model in evaluation mode; or, without a tokenizer, a
            function. A function is given several inputs at once if they are tensors, joined along
            their first dimension, and returns a number or numbers for each (or an object with
            ``logits``). Other inputs it is given one by one.
        target: of a language model what is measured: the response as a text, or one or more
            targets, such as ``ip.text.Response(" Paris", reduction="token")``. Of a function the
            number of the output, or several; ``None``: all.
        tokenizer: the language model's.
        fingerprint: of a function: identifies all that its values depend on, so that a store can
            keep them. That of a language model is computed, if template and baselines are no
            functions.

    Raises:
        ValueError: nothing is left of the prompt where all is removed, the target is none for this
            model, or the model is in training mode.
    """
    players = names_of_input(inp)
    if tokenizer is None:
        with suppress(TypeError):
            target = index(target)  # of a NumPy or torch whole number, such as an argmax
        outputs = list(map(str, target)) if isinstance(target, Sequence) else []
        return InputGame(
            tuple(players),
            lambda masks: _outputs(inp, model, target, masks),
            {"lens": _LENS, "outputs": outputs},
            _AT_ONCE,
            fingerprint,
            inp,
        )

    def written(answer: str) -> list[Continuation]:
        return [Continuation(tuple(tokenizer.encode(answer, add_special_tokens=False)))]

    def rows(masks: BoolArray) -> Rows:
        return Rows([_ids(given, tokenizer) for given in _model_inputs(inp, masks)], written)

    targets = target if isinstance(target, list | tuple) else (target,)
    targets = [Response(one) if isinstance(one, str) else one for one in targets]
    return language_game(rows, players, targets, model, tokenizer, _LENS, _contents(inp), inp)


def names_of_input(inp: InterpretableInput) -> list[str]:
    """The name of each feature; those of one group are joined by `` + ``."""
    groups = getattr(inp, "formatted_mask", None)
    if groups is None:
        return list(map(str, inp.values))
    return [
        " + ".join(text for text, of in zip(inp.values, groups, strict=True) if of == group)
        for group in range(inp.n_itp_features)
    ]


def _model_inputs(inp: InterpretableInput, masks: BoolArray) -> list[Any]:
    """What the model is given under each mask."""
    import torch

    return [inp.to_model_input(torch.from_numpy(mask[None]).float()) for mask in masks]


def _ids(given: Any, tokenizer: Any) -> list[int]:
    """The tokens of a prompt, which the input gives as a text or as tokens ``(1, length)``."""
    if isinstance(given, str):
        return list(tokenizer.encode(given))
    if getattr(given, "ndim", None) == 2 and len(given) == 1:
        return [int(token) for token in given[0]]
    raise ValueError(
        f"the input gives a language model a {type(given).__name__}, which is neither a text nor a "
        "row of tokens; let captum's LLMAttribution score it, with ip.toolkits.captum.Interplay"
    )


def _outputs(inp: InterpretableInput, model: Any, target: Any, masks: BoolArray) -> FloatArray:
    """The values that a function gives for masks: ``(m,)``, or ``(m, k)``."""
    import torch

    given = _model_inputs(inp, masks)
    together = all(isinstance(one, torch.Tensor) for one in given)
    with torch.no_grad():
        made = [model(torch.cat(given))] if together else list(map(model, given))
    numbers = [torch.as_tensor(getattr(one, "logits", one)).detach().cpu() for one in made]
    values = torch.stack(numbers).double().reshape(len(masks), -1).numpy()
    if target is not None:
        values = values[:, target] if isinstance(target, int) else values[:, list(target)]
    elif values.shape[1] == 1:
        values = values[:, 0]
    return np.asarray(values)


def _contents(inp: InterpretableInput) -> Json | None:
    """All that a text input's prompts depend on; ``None`` if a function is in it."""
    names = ("template", "values", "dict_keys", "baselines", "mask", "inp_tensor", "itp_mask")
    contents = {name: getattr(inp, name, None) for name in names}
    if any(map(callable, contents.values())):
        return None
    kind = f"{type(inp).__module__}.{type(inp).__qualname__}"
    return {"kind": kind} | {name: _plain(value) for name, value in contents.items()}


def _plain(value: Any) -> Any:
    """A tensor as a list; anything else as it is."""
    return value.tolist() if hasattr(value, "tolist") else value
