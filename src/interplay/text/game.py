"""TextGame: the segments of a prompt are the players, a language model's score is the value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from datetime import datetime
from functools import cached_property, partial
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.extensions import MaskingName, unknown
from interplay.fourier.masks import as_masks, sorted_by_prefix
from interplay.game import Hints
from interplay.text.adapters import active_adapters, without_wrapper
from interplay.text.answer_readouts import Rows
from interplay.text.digests import document_digest, model_digest, tokenizer_digest
from interplay.text.hints import HintKind, gradient_hints
from interplay.text.inference.rewriting import Rewriter
from interplay.text.models import check_usable, require_llm
from interplay.text.pipelines import model_and_tokenizer
from interplay.text.prompts.build import PLACEHOLDER, Message, Text, mask_prompt
from interplay.text.prompts.chat import TEMPLATE_TIME, ChatTemplate, apply_template
from interplay.text.prompts.masking import Masking, TokenMasking, get_masking
from interplay.text.prompts.prompt import MaskedPrompt
from interplay.text.prompts.resample import (
    Given,
    Resample,
    check_resampled,
    end_of_segment,
    steps,
)
from interplay.text.prompts.segments import Unit
from interplay.text.prompts.tokens import Encoder, Part
from interplay.text.prompts.tools import Tool, apply_template_with_tools
from interplay.text.readouts import Readout
from interplay.text.scoring import AnyTarget, is_known, read_off_encoder, score_by
from interplay.text.targets import settings_of

if TYPE_CHECKING:
    from transformers import Pipeline, PreTrainedModel, PreTrainedTokenizerBase

_CODE_VERSION = 4
"""Part of the fingerprint. It is raised when a change makes the same settings give other values."""
_CPU_TOKENS, _GPU_TOKENS = 12_000, 200_000
"""About how many tokens a call should have: enough for its prompts to share prefixes, but few, so
that an interrupted call loses little."""
_MIN_MASKS, _MAX_MASKS = 16, 512


class TextGame:
    """How a language model's score depends on the segments of its prompt.

    What is ablated (``text``, ``by``), how (``masking``) and what is measured (``target``) are
    independent of each other. The prompt outside the text is fixed. Prefixes that the prompts of
    one call share are computed once.

    Args:
        model: a Hugging Face model in evaluation mode, on the device where it is to run: a causal
            language model or an encoder-decoder; for ``Label`` a classifier, for
            ``EmbeddingSimilarity`` an encoder. Or a pipeline of transformers with one of these.
        tokenizer: its tokenizer; ``None`` with a pipeline, which has one.
        text: what is ablated: a string; documents, ``{"id": ..., "text": ...}`` each; or the
            messages of a chat, ``{"role": ..., "content": ...}`` each. A message or document with
            ``"fixed": True`` is always kept.
        target: what is measured, such as ``Response(" Paris", score="prob")``; several are
            outputs of one pass.
        by: the players: ``"token"``, ``"word"``, ``"sentence"``, ``"line"``, ``"paragraph"``,
            ``"document"``, ``"message"``, ``"turn"`` (a message of a user and what follows it up to
            the next one; the last stays), ``"tool"`` (the results of tools in a chat, all else
            fixed), ``"field"`` (of JSON), a compiled pattern whose matches
            they are, or spans of ``text``.
        prompt: what stands around the text, with ``{text}`` once where it goes: a string, or the
            messages of a chat, which are not ablated then. Documents go before the last message of
            a user if no message has ``{text}``.
        masking: what becomes of a removed segment: ``"delete"``, ``Replace(text)``,
            ``"mask_token"`` or ``"attention"``; see :mod:`interplay.text.prompts.masking`. Or
            ``Swap(...)``, which makes players of texts that are swapped for others; or
            ``Resample(...)``, by which the model writes removed sentences again.
        fixed: a pattern; segments that overlap one of its matches are always kept.
        template: what the chat template is given by name besides the messages, as JSON: ``tools``,
            ``documents``, ``enable_thinking``, ...
        tools: tools for the chat template, each of which is a player beside the segments of the
            chat, unless it is marked ``"fixed": True``; see :mod:`interplay.text.prompts.tools`.
        template_time: the time that a template sees which writes the date.
        language: for sentences, its code, such as ``"de"``; by default it is guessed from the text.
        hints: what a run expects of the segments before their ablations: ``"tokens"`` (longer ones
            matter more), or ``"gradient"``, which takes about as long as five ablations and pays at
            budgets below n log2 n. Values do not depend on it.

    Raises:
        ValueError: nothing to ablate, a prompt without ``{text}``, improper spans, no chat
            template, a target without tokens, a prompt longer than the model's context, or hints
            that the model does not have.
        MissingDependencyError: torch or transformers are not installed.
    """

    def __init__(
        self,
        model: PreTrainedModel | Pipeline,
        tokenizer: PreTrainedTokenizerBase | None,
        text: Text,
        target: AnyTarget | Sequence[AnyTarget],
        *,
        by: Unit = "sentence",
        prompt: str | Sequence[Message] = PLACEHOLDER,
        masking: MaskingName | str | Masking = "delete",
        fixed: re.Pattern[str] | None = None,
        template: Mapping[str, Any] | None = None,
        tools: Sequence[Tool] | None = None,
        template_time: datetime = TEMPLATE_TIME,
        language: str | None = None,
        hints: HintKind | str = "tokens",
    ) -> None:
        require_llm("TextGame")
        model, tokenizer = model_and_tokenizer(model, tokenizer)
        check_usable(model)
        masking = get_masking(masking)
        if isinstance(masking, TokenMasking):
            masking.check(tokenizer)
        self.tokenizer = tokenizer
        masked = mask_prompt(
            text,
            prompt,
            by=by,
            masking=masking,
            fixed=fixed,
            language=language,
            tokenizer=tokenizer,
            with_tools=tools is not None,
        )
        if (template is not None or tools is not None) and not masked.is_chat:
            raise ValueError(
                "arguments of a chat template were given, but the prompt is no chat; leave them out"
            )
        targets = tuple(target) if isinstance(target, list | tuple) else (target,)
        ended = read_off_encoder(targets) or model.config.is_encoder_decoder
        self._encode = Encoder(tokenizer, chat=masked.is_chat, ended=ended)
        self._template = None
        if masked.is_chat:
            if template is not None and not isinstance(template, Mapping):
                raise ValueError(
                    f"template={template!r} is no mapping; give the arguments of the chat template "
                    'by name, such as {"enable_thinking": False}'
                )
            self._template = ChatTemplate(tokenizer, dict(template or {}), template_time)
            if tools is None:
                masked = apply_template(self._template, masked)
            else:
                self._template, masked = apply_template_with_tools(self._template, masked, tools)
        self._set_prompt(masked)
        self.model = without_wrapper(model, self.unmasked_ids)
        self._rewriter = self._made_rewriter()
        self._scorer = score_by(targets, self.model, tokenizer, self.whole())
        self._check_border()
        self._hints = self._checked(hints)

    @property
    def targets(self) -> tuple[AnyTarget, ...]:
        """What is measured, with the model's own answer filled in."""
        return self._scorer.targets

    def whole(self) -> Rows:
        """The prompt with nothing removed."""
        parts = [self.masked.parts(np.ones(self.n_players, dtype=np.bool_))]
        ids = [self.unmasked_ids]
        return Rows(ids, partial(self._encode.continuations, parts, ids))

    def _checked(self, hints: str) -> str:
        if hints not in get_args(HintKind):
            raise unknown("hints", hints, get_args(HintKind))
        if hints == "gradient" and self._scorer.readout is None:
            raise ValueError(
                "hints='gradient' needs a target that is read off a causal model's logits, which "
                f"{'; '.join(map(str, self.targets))} is not; use hints='tokens'"
            )
        return hints

    def _check_border(self) -> None:
        """Refuse an answer that is merged with a removed token, of which the mask knows nothing."""
        n_cut = self._scorer.n_cut
        if self._owners is not None and n_cut and (self._owners[-n_cut:] >= 0).any():
            raise ValueError(
                "the tokenizer merges the last segment's end with the answer, so that segment "
                "cannot be masked by tokens; use masking='delete', or end the prompt in fixed words"
            )

    def _set_prompt(self, masked: MaskedPrompt) -> None:
        """Set the prompt, with the chat template applied, and the tokens that depend on it."""
        self.masked = masked
        self.unmasked_ids, empty_ids = (
            self._encode([masked.parts(np.full(masked.n_players, kept))])[0]
            for kept in (True, False)
        )
        self._owners = None
        n_fixed = float(len(empty_ids))
        if isinstance(masked.masking, TokenMasking):
            self._owners = self._encode.owners(masked, self.unmasked_ids)
            n_fixed, _ = masked.masking.lengths(self._owners, masked.n_players)
        if not n_fixed:
            raise ValueError(
                "with every segment removed the prompt has no tokens; give a prompt with fixed "
                "words around {text} (from a shell --question or --prompt), or a replacement"
            )

    def refined(
        self, chosen: Iterable[int], by: Unit, language: str | None = None
    ) -> tuple[TextGame, tuple[tuple[int, ...], ...]]:
        """Make the same game with some players cut into finer ones.

        Args:
            chosen: the players to cut; the others stay as they are.
            by: the finer unit.
            language: for sentences; by default that of the whole text.

        Returns:
            The finer game, and for each player of this one its players' numbers in the finer one.
        """
        masked, children = self.masked.refined(chosen, by, language, self.tokenizer)
        game = copy(self)
        for name in ("_lengths", "_n_tokens"):
            game.__dict__.pop(name, None)
        game._set_prompt(masked)
        game._rewriter = game._made_rewriter()
        return game, children

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

    @property
    def n_repeats(self) -> int:
        """How often each mask is evaluated: more than once only if the model writes anything."""
        masking = self.masked.masking
        return masking.n_repeats if isinstance(masking, Resample) else 1

    def _made_rewriter(self) -> Rewriter | None:
        masking = self.masked.masking
        if not isinstance(masking, Resample):
            return None
        check_resampled(self.masked)
        return Rewriter(
            self.model,
            self.tokenizer,
            self._encode,
            partial(end_of_segment, by=self.masked.by, language=self.masked.language),
            masking.temperature,
            masking.max_tokens,
        )

    def rewritten(self, masks: BoolArray, seeds: IntArray) -> list[str]:
        """What the model reads under masks ``(m, n)`` and seeds ``(m,)`` with ``Resample``.

        Raises:
            ValueError: the masking is another one.
        """
        return ["".join(text for text, _ in parts) for parts in self._rewritten(masks, seeds)]

    def _rewritten(self, masks: BoolArray, seeds: IntArray) -> list[list[Part]]:
        masking = self.masked.masking
        if self._rewriter is None or not isinstance(masking, Resample):
            raise ValueError("nothing is written again; give masking=Resample(), or call prompt()")
        prompts = [list(steps(self.masked, mask)) for mask in masking.rewritten(masks)]
        nothing = np.zeros(self.n_players, dtype=np.bool_)
        begin = takewhile(lambda step: isinstance(step, Given), steps(self.masked, nothing))
        return self._rewriter(prompts, seeds.tolist(), len(list(begin)))

    def __call__(self, masks: BoolArray, /, *seeds: IntArray) -> FloatArray:
        """Scores ``(m,)``, or ``(m, k)`` for k outputs, of masks ``(m, n)``.

        With ``Resample`` of several repeats, seeds ``(m,)`` come with the masks.
        """
        masks = as_masks(masks, self.n_players)
        if not len(masks):
            return np.empty((0, len(self._scorer.outputs)) if self._scorer.outputs else 0)
        if self._rewriter is not None:
            numbers = seeds[0] if seeds else np.zeros(len(masks), dtype=np.int64)
            return self._scorer.values(self._encoded(self._rewritten(masks, numbers)))
        return self.masked.averaged(
            masks, lambda some, version: self._scorer.values(self._rows(some, version))
        )

    def _rows(self, masks: BoolArray, version: int = 0) -> Rows:
        """Each mask's tokens."""
        masking = self.masked.masking
        if self._owners is None or not isinstance(masking, TokenMasking):
            return self._encoded([self.masked.parts(mask, version) for mask in masks])
        # player -1 is always kept
        kept = np.column_stack([masks, np.ones(len(masks), dtype=np.bool_)])[:, self._owners]
        ids, attended = masking.rows(self.unmasked_ids, kept, self.tokenizer)
        # the answer is written as after the whole prompt, whose tokens keep their places
        return replace(self.whole(), ids=ids, kept=attended)

    def _encoded(self, parts: Sequence[Sequence[Part]]) -> Rows:
        """The tokens of prompts."""
        ids = self._encode(parts)
        return Rows(ids, partial(self._encode.continuations, parts, ids))

    def read_off_logits(
        self, masks: BoolArray
    ) -> tuple[Sequence[Sequence[int]], Sequence[Readout]] | None:
        """What the game reads under masks ``(m, n)``, for whoever makes the passes instead of it.

        Returns:
            The prompts' token ids, and what is read off a causal model's logits after each.
            ``None`` if scores are read off something else, segments are masked by attention or
            written again, or values are means over several alternatives.
        """
        varies = self.masked.n_versions > 1 or self._rewriter is not None
        if self._scorer.readouts is None or varies:
            return None
        rows = self._rows(masks)
        return None if rows.kept is not None else (rows.ids, self._scorer.readouts(rows))

    @property
    def batch_size(self) -> int:
        """How many masks a call should have; fewer for a long text."""
        tokens = _CPU_TOKENS if self.model.device.type == "cpu" else _GPU_TOKENS
        fixed, per_segment = self._lengths
        count = int(np.clip(tokens / (fixed + per_segment.sum() / 2), _MIN_MASKS, _MAX_MASKS))
        reader = self._scorer.reader
        if reader is None:
            return count
        return max(1, min(count, reader.max_cached_tokens // len(self.unmasked_ids)))

    def arrange(self, masks: BoolArray, /) -> IntArray:
        """An order of masks in which neighbours share long prefixes, ``(m,)``."""
        return sorted_by_prefix(masks)

    def cost(self, masks: BoolArray, /) -> FloatArray:
        """About how many tokens each ablation has, prompt and responses, ``(m,)``."""
        fixed, per_segment = self._lengths
        return np.asarray((fixed + masks @ per_segment) * self.masked.n_prompts(np.asarray(masks)))

    def hints(self) -> Hints:
        """Which segments are likely to matter: by their tokens, or by a backward pass.

        See :mod:`interplay.text.hints`.

        Raises:
            ValueError: the gradient cannot be computed, such as of quantised weights.
        """
        readout = self._scorer.readout
        if self._hints == "tokens" or readout is None:
            return Hints("tokens", self._n_tokens)
        try:
            owners = self._owners
            if owners is None:
                owners = self._encode.owners(self.masked, self.unmasked_ids)
            return gradient_hints(self.model, self.unmasked_ids, owners, readout, self.n_players)
        except (ValueError, RuntimeError, MemoryError) as error:
            raise ValueError(
                f"the gradient of the score cannot be computed ({error}); use hints='tokens'"
            ) from error

    @cached_property
    def _n_tokens(self) -> FloatArray:
        """The number of tokens of each player, ``(n,)``."""
        return self.masked.sizes(self._count)

    def _count(self, text: str) -> int:
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    @cached_property
    def _lengths(self) -> tuple[float, FloatArray]:
        masked = self.masked
        if self._owners is not None and isinstance(masked.masking, TokenMasking):
            return masked.masking.lengths(self._owners, self.n_players)
        empty_ids = self._encode([masked.parts(np.zeros(self.n_players, dtype=np.bool_))])[0]
        n_fixed = len(empty_ids) - self._scorer.n_cut + sum(map(len, self._scorer.feeds))
        per_player = self._n_tokens.copy()
        for place in masked.swapped:  # what is swapped is still there, in other words
            per_player[place.player] -= self._count(place.alternatives[0])
        return float(n_fixed), per_player

    def describe(self) -> Json:
        """The model, the prompt, the spans, the masking and the targets, as JSON."""
        of_template = self._template.describe() if self._template else {}
        adapters = active_adapters(self.model)
        return (
            self.masked.describe()
            | of_template
            | {
                "model": self._model_name(),
                "architecture": type(self.model).__name__,
                "dtype": str(self.model.dtype),
                "targets": [settings_of(target) for target in self.targets],
                "outputs": list(self._scorer.outputs),
            }
            | ({} if adapters is None else {"adapters": adapters})
        )

    def _model_name(self) -> str:
        """The model's name on the hub, or the name of its folder: reports hold no local paths."""
        name: str = self.model.config.name_or_path
        return Path(name).name if Path(name).is_absolute() else name

    @property
    def fingerprint(self) -> str | None:
        """A hash of the model's weights, the tokenizer, the prompt, the spans, masking and target.

        The model's path and device do not count, but its dtype does. ``None`` for a user-defined
        target or a model with hooks, since it is not known what they compute. It is computed each
        time, since weights can be changed in place.
        """
        weights = model_digest(self.model)
        if weights is None or not all(map(is_known, self.targets)):
            return None
        contents = {
            key: value for key, value in self.describe().items() if key not in ("model", "view")
        }
        contents |= {
            "code": _CODE_VERSION,
            "weights": weights,
            "tokenizer": tokenizer_digest(self.tokenizer),
            "special_tokens": not self._encode.chat,
            "fed": self._scorer.feeds,
        }
        return document_digest(contents)

    def __repr__(self) -> str:
        return (
            f"TextGame({self.n_players} players by {self.masked.by}, "
            f"target: {'; '.join(map(str, self.targets))})"
        )
