"""TextGame: the segments of a prompt as players, a language model's score as value."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from interplay._types import BoolArray, FloatArray, Json
from interplay.lenses.text.masking import mask_text
from interplay.lenses.text.models import (
    greedy_answer,
    last_logits,
    model_digest,
    require_llm,
    tokenizer_digest,
)
from interplay.lenses.text.segments import Span, split
from interplay.lenses.text.targets import LogitDifference, Response, Target
from interplay.masks import as_masks

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PLACEHOLDER = "{text}"
_CODE_VERSION = 1
"""Part of the fingerprint; raised when the same settings come to give other values."""


class TextGame:
    """How a causal language model's score depends on the segments of a text.

    Segmentation (``text``, ``by``), masking (``replacement``) and scoring (``target``) are apart;
    everything of the prompt outside the text is fixed.

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
        batch_size: prompts per forward pass.

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
        batch_size: int = 8,
    ) -> None:
        require_llm("TextGame")
        if not hasattr(target, "prepare"):
            raise ValueError(
                f"target={target!r} is no target; give Response({str(target)!r}) or the like"
            )
        if model.training:
            raise ValueError("the model is in training mode; call model.eval() first")
        self.spans = split(text, by, language)
        self.text = text
        self.model = model
        self.tokenizer = tokenizer
        self.batch_size = batch_size
        self.by = by if isinstance(by, str) else "span"
        self._masked = mask_text(text, self.spans, replacement)
        self._chat = chat
        self.template = _template(tokenizer, prompt, chat, system)
        """The prompt around the text, with the chat template applied: ``{text}`` stands once."""
        self._before, self._after = self.template.split(PLACEHOLDER)
        whole = self.prompt(np.ones(len(self.spans), dtype=np.bool_))
        if not self._encode([self.prompt(np.zeros(len(self.spans), dtype=np.bool_))])[0]:
            raise ValueError(
                "with every segment removed the prompt has no tokens; give a prompt with fixed "
                "words around {text}, or a replacement"
            )
        if isinstance(target, Response) and target.text is None:
            answer = greedy_answer(model, self._encode([whole])[0], tokenizer)
            target = replace(target, text=answer)
        self.target = target
        self._fed, self._score = target.prepare(tokenizer)
        self._tokenise([whole])

    @property
    def n_players(self) -> int:
        """The number of segments."""
        return len(self.spans)

    @property
    def players(self) -> tuple[str, ...]:
        """The segments' texts."""
        return tuple(self.text[start:stop].strip() for start, stop in self.spans)

    def prompt(self, mask: BoolArray) -> str:
        """What the model reads under one mask ``(n,)``."""
        return self._before + self._masked.render(mask) + self._after

    def __call__(self, masks: BoolArray, /) -> FloatArray:
        """Scores ``(m,)`` of masks ``(m, n)``; sorted by length and evaluated in batches."""
        prompts = self._tokenise([self.prompt(mask) for mask in as_masks(masks, self.n_players)])
        lengths = np.array([len(ids) for ids in prompts])
        values = np.empty(len(prompts))
        order = np.argsort(-lengths, kind="stable")
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            logits = last_logits(self.model, [prompts[row] for row in rows], len(self._fed) + 1)
            values[rows] = self._score(logits).cpu().numpy()
        return values

    def _encode(self, prompts: list[str]) -> list[list[int]]:
        # a chat template has written its special tokens already
        ids: list[list[int]] = self.tokenizer(prompts, add_special_tokens=not self._chat)[
            "input_ids"
        ]
        return ids

    def _tokenise(self, prompts: list[str]) -> list[list[int]]:
        fed = list(self._fed)
        result = [ids + fed for ids in self._encode(prompts)]
        length = max(map(len, result))
        limit = getattr(self.model.config, "max_position_embeddings", None)
        if limit is not None and length > limit:
            raise ValueError(
                f"the prompt and response are {length} tokens, above the model's context of "
                f"{limit}; shorten the text"
            )
        return result

    def cost(self, masks: BoolArray, /) -> FloatArray:
        """About how many tokens each ablation feeds to the model, ``(m,)``."""
        fixed, per_segment = self._lengths
        return np.asarray(fixed + masks @ per_segment)

    @cached_property
    def _lengths(self) -> tuple[float, FloatArray]:
        segments = [self.text[start:stop] for start, stop in self.spans]
        ids = self.tokenizer(segments, add_special_tokens=False)["input_ids"]
        nothing = self.prompt(np.zeros(self.n_players, dtype=np.bool_))
        return float(len(self._tokenise([nothing])[0])), np.array(
            [len(i) for i in ids], dtype=float
        )

    def describe(self) -> Json:
        """The model, the prompt, the spans, the masking and the target, as JSON."""
        target = self.target
        settings = asdict(target) if isinstance(target, Response | LogitDifference) else {}
        return {
            "lens": "text",
            "model": self._model_name(),
            "architecture": type(self.model).__name__,
            "dtype": str(self.model.dtype),
            "template": self.template,
            "text": self.text,
            "spans": [list(span) for span in self.spans],
            "by": self.by,
            "replacement": self._masked.replacement,
            "target": {"kind": type(self.target).__name__, **settings},
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
        if weights is None or not isinstance(self.target, Response | LogitDifference):
            return None
        what = {key: value for key, value in self.describe().items() if key != "model"}
        what |= {
            "code": _CODE_VERSION,
            "weights": weights,
            "tokenizer": tokenizer_digest(self.tokenizer),
            "special_tokens": not self._chat,
            "fed": self._fed,
        }
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

    def __repr__(self) -> str:
        return f"TextGame({self.n_players} players by {self.by}, target={self.target})"


def _template(
    tokenizer: PreTrainedTokenizerBase, prompt: str, chat: bool, system: str | None
) -> str:
    """The prompt with the chat template applied once, ``{text}`` still in its place."""
    if prompt.count(PLACEHOLDER) != 1:
        raise ValueError(
            f"the prompt {prompt!r} holds {PLACEHOLDER} {prompt.count(PLACEHOLDER)} times; "
            "it must stand once, where the text goes"
        )
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
