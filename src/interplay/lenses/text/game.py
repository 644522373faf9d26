"""TextGame: the segments of a prompt as players, a language model's score as value."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.lenses.text.generation import greedy_answer
from interplay.lenses.text.inference import Reader
from interplay.lenses.text.models import model_digest, require_llm, tokenizer_digest
from interplay.lenses.text.prompts import PLACEHOLDER, check_template, mask_prompt
from interplay.lenses.text.segments import Span
from interplay.lenses.text.targets import AnswerTarget, Response, Target
from interplay.masks import as_masks, sorted_by_prefix

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_CODE_VERSION = 2
"""Part of the fingerprint; raised when the same settings come to give other values."""
_CPU_TOKENS, _GPU_TOKENS = 6_000, 200_000
"""About how many tokens a call should hold: enough for its prompts to share prefixes, few enough
that little is lost with it."""
_FEWEST, _MOST = 16, 512


class TextGame:
    """How a causal language model's score depends on the segments of a text.

    Segmentation (``text``, ``by``), masking (``replacement``) and scoring (``target``) are apart;
    everything of the prompt outside the text is fixed. What the prompts of one call have in common
    at their beginning is computed once.

    Args:
        model: a Hugging Face causal model, in evaluation mode, on the device where it is to run.
        tokenizer: its tokenizer.
        text: the part of the prompt whose segments are the players.
        target: what is measured, such as ``Response(" Paris", score="prob")``.
        by: ``"word"``, ``"sentence"``, or spans of ``text``.
        prompt: the whole prompt, with ``{text}`` once, where the text goes.
        replacement: what stands in for a removed segment; ``None`` deletes it.
        chat: put the prompt into the tokenizer's chat template, as a user's message that the
            assistant is about to answer.
        system: the system message, with ``chat``.
        language: for sentences, a two-letter code.

    Raises:
        ValueError: an empty text, a prompt without ``{text}``, improper spans, no chat template,
            a target without tokens, or a prompt longer than the model's context.
        MissingDependencyError: torch or transformers are not installed.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        text: str,
        target: Target,
        *,
        by: str | Sequence[Span] = "sentence",
        prompt: str = PLACEHOLDER,
        replacement: str | None = None,
        chat: bool = False,
        system: str | None = None,
        language: str = "en",
    ) -> None:
        require_llm("TextGame")
        if not hasattr(target, "prepare"):
            raise ValueError(
                f"target={target!r} is no target; give Response({str(target)!r}) or the like"
            )
        if model.training:
            raise ValueError("the model is in training mode; call model.eval() first")
        self.model = model
        self.tokenizer = tokenizer
        self.masked = mask_prompt(
            text, _template(tokenizer, prompt, chat, system), by, replacement, language
        )
        """What the model reads, with the chat template applied."""
        self._chat = chat
        self._reader = Reader(model)
        whole = self.prompt(np.ones(self.n_players, dtype=np.bool_))
        if not self._encode([self.prompt(np.zeros(self.n_players, dtype=np.bool_))])[0]:
            raise ValueError(
                "with every segment removed the prompt has no tokens; give a prompt with fixed "
                "words around {text}, or a replacement"
            )
        if isinstance(target, Response) and target.text is None:
            answer = greedy_answer(model, self._encode([whole])[0], tokenizer)
            target = replace(target, text=answer)
        self.target = target
        self._readout = target.prepare(tokenizer)
        self._tokenise([whole])

    @property
    def n_players(self) -> int:
        """The number of segments."""
        return self.masked.n_players

    @property
    def players(self) -> tuple[str, ...]:
        """The segments' texts."""
        return self.masked.players

    def prompt(self, mask: BoolArray) -> str:
        """What the model reads under one mask ``(n,)``."""
        return self.masked.render(mask)

    def __call__(self, masks: BoolArray, /) -> FloatArray:
        """Scores ``(m,)``, or ``(m, k)`` for a target of k outputs, of masks ``(m, n)``."""
        prompts = self._tokenise([self.prompt(mask) for mask in as_masks(masks, self.n_players)])
        return self._reader.values(prompts, self._readout)

    def _encode(self, prompts: list[str]) -> list[list[int]]:
        # a chat template has written its special tokens already
        ids: list[list[int]] = self.tokenizer(prompts, add_special_tokens=not self._chat)[
            "input_ids"
        ]
        return ids

    def _tokenise(self, prompts: list[str]) -> list[list[int]]:
        result = self._encode(prompts)
        length = max(map(len, result)) + max(map(len, self._readout.feeds))
        limit = getattr(self.model.config, "max_position_embeddings", None)
        if limit is not None and length > limit:
            raise ValueError(
                f"the prompt and response are {length} tokens, above the model's context of "
                f"{limit}; shorten the text"
            )
        return result

    @property
    def batch_size(self) -> int:
        """How many masks a call should have: fewer of a long text."""
        wanted = _CPU_TOKENS if self.model.device.type == "cpu" else _GPU_TOKENS
        fixed, per_segment = self._lengths
        return int(np.clip(wanted / (fixed + per_segment.sum() / 2), _FEWEST, _MOST))

    def arrange(self, masks: BoolArray, /) -> IntArray:
        """An order of masks in which neighbours share long prefixes, ``(m,)``."""
        return sorted_by_prefix(masks)

    def cost(self, masks: BoolArray, /) -> FloatArray:
        """About how many tokens each ablation has, prompt and responses, ``(m,)``."""
        fixed, per_segment = self._lengths
        return np.asarray(fixed + masks @ per_segment)

    @cached_property
    def _lengths(self) -> tuple[float, FloatArray]:
        segments = [self.masked.text[start:stop] for start, stop in self.masked.spans]
        ids = self.tokenizer(segments, add_special_tokens=False)["input_ids"]
        nothing = self.prompt(np.zeros(self.n_players, dtype=np.bool_))
        fed = sum(map(len, self._readout.feeds))
        return float(len(self._encode([nothing])[0]) + fed), np.array(
            [len(i) for i in ids], dtype=float
        )

    def describe(self) -> Json:
        """The model, the prompt, the spans, the masking and the target, as JSON."""
        target = self.target
        settings = asdict(target) if isinstance(target, get_args(AnswerTarget)) else {}
        return self.masked.describe() | {
            "model": self._model_name(),
            "architecture": type(self.model).__name__,
            "dtype": str(self.model.dtype),
            "target": {"kind": type(target).__name__, **settings},
            "outputs": list(self._readout.outputs),
        }

    def _model_name(self) -> str:
        """The model's name on the hub, or the name of its folder: reports hold no local paths."""
        name: str = self.model.config.name_or_path
        return Path(name).name if Path(name).is_absolute() else name

    @property
    def fingerprint(self) -> str | None:
        """A hash of the model's weights, the tokenizer, the prompt, the spans, masking and target.

        Where a model lies and on which device it runs does not count; its dtype does. ``None`` for
        a target of the user's own or a model with hooks, since what they compute cannot be told.
        Made anew each time, since weights can be changed in place.
        """
        weights = model_digest(self.model)
        if weights is None or not isinstance(self.target, get_args(AnswerTarget)):
            return None
        what = {key: value for key, value in self.describe().items() if key != "model"}
        what |= {
            "code": _CODE_VERSION,
            "weights": weights,
            "tokenizer": tokenizer_digest(self.tokenizer),
            "special_tokens": not self._chat,
            "fed": self._readout.feeds,
        }
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

    def __repr__(self) -> str:
        return f"TextGame({self.n_players} players by {self.masked.by}, target={self.target})"


def _template(
    tokenizer: PreTrainedTokenizerBase, prompt: str, chat: bool, system: str | None
) -> str:
    """The prompt with the chat template applied once, ``{text}`` still in its place."""
    check_template(prompt)
    if not chat:
        if system is not None:
            raise ValueError("a system message was given without chat=True")
        return prompt
    if tokenizer.chat_template is None:
        raise ValueError("this tokenizer has no chat template; leave chat off and write the prompt")
    messages = [{"role": "user", "content": prompt}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    applied = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    if applied.count(PLACEHOLDER) != 1:
        raise ValueError(f"the chat template changes or repeats {PLACEHOLDER}; leave chat off")
    return str(applied)
