"""Greedy answers of a language model to many prompts, and targets that score them."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import numpy as np

from interplay._arrays import real_numbers
from interplay._types import FloatArray, whole
from interplay.text.inference.batches import Batches, BatchStrategy, relative_tolerance
from interplay.text.inference.known import known
from interplay.text.inference.padding import choose_generation_strategy
from interplay.text.inference.seq2seq import AnswerTokens
from interplay.text.models import context_length
from interplay.text.prompts.token_texts import TokenTexts
from interplay.text.prompts.tokens import Tokens

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_CPU_TOKENS, _GPU_TOKENS = 2048, 65536
"""Tokens of a batch to begin with, answers included. Each token of an answer costs a pass over the
weights, which the rows of a batch share."""
_SHORT = 8
"""Prompts of fewer tokens are too short for an equivalence check."""


@dataclass(frozen=True)
class Generated:
    """A score of the model's answer to an ablated prompt against its answer to the whole prompt.

    Answers are decoded greedily. No log-probabilities are needed, so any server will do.

    Attributes:
        scorer: from an answer and the original answer to a number, or to one number for each of
            ``outputs``.
        name: identifies what the scorer computes, for the fingerprint. ``None``: the attribute
            ``name`` of the scorer, if it has one. Without a name the values are held for the run
            only and never written to a store.
        max_tokens: the most tokens of an answer.
        outputs: the names of the scorer's numbers; empty if it gives one number.
    """

    scorer: Callable[[str, str], float | Sequence[float]]
    name: str | None = None
    max_tokens: int = 64
    outputs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "outputs", tuple(self.outputs))
        name = getattr(self.scorer, "name", None)
        if self.name is None and isinstance(name, str):
            object.__setattr__(self, "name", name)
        if whole("max_tokens", self.max_tokens) < 1:
            raise ValueError(f"max_tokens={self.max_tokens} of Generated is below 1")
        if len(set(self.outputs)) < len(self.outputs):
            raise ValueError(f"outputs={self.outputs!r} of Generated are not different names")

    def __str__(self) -> str:
        return self.name or "a score of the answer"

    def score(self, answer: str, original: str) -> FloatArray:
        """The scorer's k numbers, ``(k,)``; k is 1 if no outputs are named.

        Raises:
            ValueError: the scorer does not give k numbers.
        """
        numbers = real_numbers(self.scorer(answer, original), f"the scores of {self}")
        shape = (len(self.outputs),) if self.outputs else ()
        if numbers.shape != shape:
            raise ValueError(
                f"the scorer gave {numbers.size} numbers of shape {numbers.shape}, but "
                + (f"outputs={self.outputs!r} names {len(self.outputs)}" if shape else "one is due")
                + "; give outputs=, a name for each number"
            )
        return numbers.reshape(-1)

    def prepare(self, reader: AnswerReader, prompt: Sequence[int]) -> Comparison:
        """Prepare for one model and one game: the model answers the whole prompt, once.

        Args:
            reader: the model's reader.
            prompt: the token ids of the prompt with nothing removed.

        Raises:
            ValueError: the model answers nothing.
        """
        (original,) = reader.answers([prompt], self.max_tokens)
        if not original.strip():
            raise ValueError(
                "the model answers nothing to the whole prompt, so there is nothing to compare "
                "with; ask for an answer in the prompt, or raise the max_tokens of Generated"
            )
        return Comparison(self, original)


@dataclass(frozen=True)
class Comparison:
    """A :class:`Generated` target and the answer that all others are compared with.

    Attributes:
        target: what is scored.
        original: the model's answer to the whole prompt.
    """

    target: Generated
    original: str

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the k outputs; empty for values ``(m,)``."""
        return self.target.outputs


class AnswerReader:
    """A language model's greedy answers, to many prompts at a time, and their scores.

    Each token of an answer is the likeliest one, until the model ends its answer. The model's own
    generation settings (penalties, sampling) are ignored, but for the tokens that an
    encoder-decoder never writes (``bad_words_ids``; of Marian, its padding). Each prompt gets the
    answer that it gets alone, unless two tokens are equally likely up to rounding.

    Args:
        model: a Hugging Face causal model or encoder-decoder, in evaluation mode.
        tokenizer: its tokenizer.

    Attributes:
        begin: what the decoder of an encoder-decoder begins with; empty for a causal model, whose
            answers go on where the prompt ends.
        strategy: how prompts are batched: ``"padded"``, on the side where the answer is not;
            ``"equal"``: with others of their length, for a model whose logits change with padding;
            ``"single"``: one by one, for a model whose logits change with what else is in a batch.
            The first call with several prompts makes the equivalence check that decides; ``None``
            before.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        if not model.can_generate():
            raise ValueError(
                f"{type(model).__name__} does not generate; load a model with task='causal'"
            )
        self.model = model
        self.tokenizer = tokenizer
        self.strategy: BatchStrategy | None = None
        self.begin: Tokens = ()
        if model.config.is_encoder_decoder:
            self.begin = AnswerTokens(model, tokenizer).begin
        self._batches = Batches(_CPU_TOKENS if model.device.type == "cpu" else _GPU_TOKENS)

    def values(self, prompts: Sequence[Sequence[int]], readout: Comparison) -> FloatArray:
        """Score the answers to m prompts: ``(m,)``, or ``(m, k)`` for named outputs.

        Equal answers are scored once.
        """
        target = readout.target
        answers = self.answers(prompts, target.max_tokens)
        distinct = dict.fromkeys(answers)
        scores = {answer: target.score(answer, readout.original) for answer in distinct}
        values = np.array([scores[answer] for answer in answers], dtype=np.float64)
        if not target.outputs:
            return values.reshape(-1)
        return values.reshape(len(answers), len(target.outputs))

    def answers(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> list[str]:
        """The model's answers as texts, without special tokens; see :meth:`tokens`."""
        return [
            self.tokenizer.decode(answer, skip_special_tokens=True)
            for answer in self.tokens(prompts, max_tokens)
        ]

    def tokens(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> list[list[int]]:
        """The tokens of the model's answers. Equal prompts are answered once.

        Args:
            prompts: lists of token ids, special tokens included.
            max_tokens: the most tokens of an answer.

        Raises:
            ValueError: a prompt has no tokens, or leaves no room for the answer.
        """
        distinct = list(dict.fromkeys(tuple(map(int, prompt)) for prompt in prompts))
        longest = max(distinct, key=len, default=())
        if not all(distinct):
            raise ValueError("a prompt has no tokens to answer to; give it fixed words")
        self._check_lengths(len(longest), max_tokens)
        if self.strategy is None and len(distinct) > 1 and len(longest) >= _SHORT:
            self.strategy = known(
                self.model,
                ("answers", self.begin, self.tokenizer.pad_token_id),
                len(longest),
                lambda: self._choose_strategy(longest),
            )
        answer_to: dict[tuple[int, ...], list[int]] = {}

        def evaluate(rows: list[int]) -> list[list[int]]:
            return self._answer([distinct[row] for row in rows], max_tokens)

        sizes = [len(prompt) + max_tokens for prompt in distinct]
        for rows, answers in self._batches.run(sizes, evaluate, self.strategy or "single"):
            answer_to.update(zip((distinct[row] for row in rows), answers, strict=True))
        return [answer_to[tuple(map(int, prompt))] for prompt in prompts]

    def _check_lengths(self, n_prompt: int, n_answer: int) -> None:
        """Refuse more tokens of a prompt and an answer than the model's context."""
        limit = context_length(self.model)
        if self.begin:
            of_decoder = context_length(self.model, of_decoder=True)
            if of_decoder is not None and len(self.begin) + n_answer > of_decoder:
                raise ValueError(
                    f"an answer of {n_answer} tokens is above the decoder's context of "
                    f"{of_decoder}; shorten it"
                )
            if limit is not None and n_prompt > limit:
                raise ValueError(
                    f"a prompt of {n_prompt} tokens is above the model's context of {limit}; "
                    "shorten the text"
                )
        elif limit is not None and n_prompt + n_answer > limit:
            raise ValueError(
                f"a prompt of {n_prompt} tokens and an answer of {n_answer} are above the "
                f"model's context of {limit}; shorten the text or the answer"
            )

    def _answer(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> list[list[int]]:
        """The model's answers to the prompts of one batch."""
        ends = self._ends()
        generated = self._generate(prompts, max_tokens, ends).sequences
        before = len(self.begin) or max(map(len, prompts))
        return [
            list(takewhile(lambda t: t not in ends, row[before:])) for row in generated.tolist()
        ]

    def _ends(self) -> list[int]:
        """The tokens that end an answer."""
        config = getattr(self.model, "generation_config", None)
        ends = getattr(config, "eos_token_id", None)
        if ends is None:
            ends = self.tokenizer.eos_token_id
        if ends is None:
            return []
        return [ends] if isinstance(ends, int) else list(ends)

    def _generate(
        self, prompts: Sequence[Sequence[int]], max_tokens: int, ends: list[int], **settings: Any
    ) -> Any:
        """Generate answers for one batch of padded prompts; returns what transformers returns."""
        import torch
        from transformers import GenerationConfig

        pads = (self.tokenizer.pad_token_id, *ends, 0)
        pad = next(pad for pad in pads if pad is not None)
        width = max(map(len, prompts))
        ids = torch.full((len(prompts), width), pad, dtype=torch.long)
        attention = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            at = slice(len(prompt)) if self.begin else slice(width - len(prompt), None)
            ids[row, at] = torch.tensor(prompt)
            attention[row, at] = 1
        if self.begin:
            begin = torch.tensor([self.begin] * len(prompts), device=self.model.device)
            settings["decoder_start_token_id"] = self.begin[0]
            settings["bad_words_ids"] = self.model.generation_config.bad_words_ids
        # generate() adds the model's own settings to those it is given, and a penalty on repeated
        # tokens would count the padding: a shallow copy of the model has no settings of its own
        plain = copy.copy(self.model)
        plain.generation_config = GenerationConfig(
            do_sample=False,
            max_new_tokens=max_tokens,
            eos_token_id=ends or None,
            pad_token_id=pad,
            return_dict_in_generate=True,
            **settings,
        )
        with torch.inference_mode():
            return plain.generate(
                ids.to(self.model.device),
                attention_mask=attention.to(self.model.device),
                generation_config=plain.generation_config,
                **({"decoder_input_ids": begin} if self.begin else {}),
            )

    def _choose_strategy(self, longest: tuple[int, ...]) -> BatchStrategy:
        def two_steps(prompts: Sequence[Sequence[int]]) -> list[torch.Tensor]:
            generated = self._generate(prompts, 2, [], output_logits=True)
            return [step.float() for step in generated.logits]

        strategy, reason = choose_generation_strategy(
            two_steps, longest, relative_tolerance(self.model)
        )
        if reason:
            how = "one by one" if strategy == "single" else "with others of their length"
            warnings.warn(
                f"{type(self.model).__name__} gives other logits in a batch ({reason}); prompts "
                f"are answered {how}, which takes longer",
                stacklevel=5,
            )
        return strategy


def greedy_answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    max_tokens: int,
) -> list[str]:
    """The model's greedy answers to many prompts; see :meth:`AnswerReader.answers`."""
    return AnswerReader(model, tokenizer).answers(prompts, max_tokens)


def own_answer(
    reader: AnswerReader, texts: TokenTexts, prompt: Sequence[int], max_tokens: int
) -> tuple[int, ...]:
    """The tokens of the model's greedy answer to a prompt, without white space at its end.

    Raises:
        ValueError: the model answers nothing.
    """
    (tokens,) = reader.tokens([prompt], max_tokens)
    while tokens and not texts(tokens[-1:]).strip():
        tokens = tokens[:-1]
    if not tokens:
        raise ValueError("the model answers nothing to the whole prompt; give a response to score")
    return tuple(tokens)
