"""Greedy answers of a causal model to many prompts, and targets made of them."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import numpy as np

from interplay._types import FloatArray
from interplay.errors import out_of_memory
from interplay.text.inference.batches import Batches, Way, tolerance
from interplay.text.models import context_length

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_CPU_TOKENS, _GPU_TOKENS = 2048, 65536
"""Tokens of a batch to begin with, answers included: each answer's token costs a pass over the
weights, which the rows of a batch share."""
_SHORT = 8
"""Prompts of fewer tokens are too short to find out anything with."""


@dataclass(frozen=True)
class Generated:
    """A score of the model's answer to an ablated prompt against its answer to the whole prompt.

    Answers are decoded greedily. Needs no log-probabilities, so any server will do.

    Attributes:
        scorer: from an answer and the original answer to a number, or to one for each of
            ``outputs``.
        name: identifies what the scorer computes, for the fingerprint; ``None``: the scorer's own
            attribute ``name``, if it has one. Without a name the values are kept for the run only
            and never written to a store.
        max_tokens: the longest answer.
        outputs: the names of the scorer's numbers; empty where it gives one.
    """

    scorer: Callable[[str, str], float | Sequence[float]]
    name: str | None = None
    max_tokens: int = 64
    outputs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "outputs", tuple(self.outputs))
        own = getattr(self.scorer, "name", None)
        if self.name is None and isinstance(own, str):
            object.__setattr__(self, "name", own)

    def check(self) -> None:
        """Refuse settings out of range.

        Raises:
            ValueError: ``max_tokens`` is below 1, or outputs share a name.
        """
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens={self.max_tokens} of Generated is below 1")
        if len(set(self.outputs)) < len(self.outputs):
            raise ValueError(f"outputs={self.outputs!r} of Generated are not different names")

    def __str__(self) -> str:
        return self.name or "a score of the answer"

    def score(self, answer: str, original: str) -> FloatArray:
        """The scorer's numbers, ``(k,)``; k is 1 where there are no named outputs.

        Raises:
            ValueError: the scorer gives another number of them.
        """
        said = np.asarray(self.scorer(answer, original), dtype=np.float64)
        shape = (len(self.outputs),) if self.outputs else ()
        if said.shape != shape:
            raise ValueError(
                f"the scorer gave {said.size} numbers of shape {said.shape}, but "
                + (f"outputs={self.outputs!r} names {len(self.outputs)}" if shape else "one is due")
                + "; give outputs=, a name for each number"
            )
        return said.reshape(-1)

    def prepare(self, reader: AnswerReader, whole: Sequence[int]) -> Comparison:
        """Make ready for one model and one game: the model answers the whole prompt, once.

        Args:
            reader: the model's reader.
            whole: the token ids of the prompt with nothing removed.

        Raises:
            ValueError: settings out of range, or the model answers nothing.
        """
        self.check()
        (original,) = reader.answers([whole], self.max_tokens)
        if not original.strip():
            raise ValueError(
                "the model answers nothing to the whole prompt, so there is nothing to compare "
                "with; ask for an answer in the prompt, or raise the max_tokens of Generated"
            )
        return Comparison(self, original)


@dataclass(frozen=True)
class Comparison:
    """A :class:`Generated` target with the answer that others are compared with.

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
    """A causal model's greedy answers, to many prompts at a time, and their scores.

    The likeliest token each time, whatever the model's own generation settings ask for besides
    (penalties, sampling), until it ends its answer. Each prompt gets the answer that it gets alone,
    except where two tokens are equally likely up to rounding.

    Args:
        model: a Hugging Face causal model, in evaluation mode.
        tokenizer: its tokenizer.

    Attributes:
        way: how prompts are batched: ``"padded"``, on the left; ``"equal"``, with others of their
            length, for a model that minds padding. Found out in the first call with prompts of
            several lengths, ``None`` before.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        if not model.can_generate():
            raise ValueError(
                f"{type(model).__name__} does not generate; load a model with task='causal'"
            )
        self.model = model
        self.tokenizer = tokenizer
        self.way: Way | None = None
        self._batches = Batches(_CPU_TOKENS if model.device.type == "cpu" else _GPU_TOKENS)

    def values(self, prompts: Sequence[Sequence[int]], readout: Comparison) -> FloatArray:
        """Scores of the answers to m prompts: ``(m,)``, or ``(m, k)`` for named outputs.

        Answers that are the same are scored once.
        """
        target = readout.target
        answers = self.answers(prompts, target.max_tokens)
        scores = {each: target.score(each, readout.original) for each in dict.fromkeys(answers)}
        found = np.array([scores[answer] for answer in answers], dtype=np.float64)
        if not target.outputs:
            return found.reshape(-1)
        return found.reshape(len(answers), len(target.outputs))

    def answers(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> list[str]:
        """The model's answers; prompts that are the same are answered once.

        Args:
            prompts: lists of token ids, special tokens included.
            max_tokens: the longest answer.

        Raises:
            ValueError: a prompt without tokens, or one that leaves no room for the answer.
        """
        distinct = list(dict.fromkeys(tuple(map(int, prompt)) for prompt in prompts))
        limit = context_length(self.model)
        longest = max(distinct, key=len, default=())
        if not all(distinct):
            raise ValueError("a prompt has no tokens to answer to; give it fixed words")
        if limit is not None and len(longest) + max_tokens > limit:
            raise ValueError(
                f"a prompt of {len(longest)} tokens and an answer of {max_tokens} are above the "
                f"model's context of {limit}; shorten the text or the answer"
            )
        several = len({len(prompt) for prompt in distinct}) > 1
        if self.way is None and several and len(longest) >= _SHORT:
            self.way = self._find_out(longest)
        said: dict[tuple[int, ...], str] = {}

        def evaluate(rows: list[int]) -> list[str]:
            return self._answer([distinct[row] for row in rows], max_tokens)

        sizes = [len(prompt) + max_tokens for prompt in distinct]
        for rows, texts in self._batches.run(sizes, evaluate, self.way or "equal"):
            said.update(zip((distinct[row] for row in rows), texts, strict=True))
        return [said[tuple(map(int, prompt))] for prompt in prompts]

    def _answer(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> list[str]:
        ends = self._ends()
        made = self._generate(prompts, max_tokens, ends).sequences
        width = max(map(len, prompts))
        tokens = [takewhile(lambda t: t not in ends, row[width:]) for row in made.tolist()]
        return [self.tokenizer.decode(list(row), skip_special_tokens=True) for row in tokens]

    def _ends(self) -> list[int]:
        """The tokens that end an answer."""
        own = getattr(self.model, "generation_config", None)
        ends = getattr(own, "eos_token_id", None)
        if ends is None:
            ends = self.tokenizer.eos_token_id
        if ends is None:
            return []
        return [ends] if isinstance(ends, int) else list(ends)

    def _generate(
        self, prompts: Sequence[Sequence[int]], max_tokens: int, ends: list[int], **settings: Any
    ) -> Any:
        """Generate for one batch, padded on the left."""
        import torch
        from transformers import GenerationConfig

        pads = (self.tokenizer.pad_token_id, *ends, 0)
        pad = next(pad for pad in pads if pad is not None)
        width = max(map(len, prompts))
        ids = torch.full((len(prompts), width), pad, dtype=torch.long)
        attention = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, width - len(prompt) :] = torch.tensor(prompt)
            attention[row, width - len(prompt) :] = 1
        # generate() adds the model's own settings to what it is asked, and a penalty on repeated
        # tokens would count the padding: a shallow copy of the model does without them
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
            )

    def _find_out(self, longest: tuple[int, ...]) -> Way:
        """Whether a few prompts of different lengths get the logits that each gets by itself."""
        import torch

        half, quarter = len(longest) // 2, len(longest) // 4
        some = [
            longest,
            longest[:half] + longest[half + quarter :],
            longest[:quarter] + longest[half:],
            longest[-quarter:],
        ]

        def logits(prompts: Sequence[Sequence[int]]) -> list[torch.Tensor]:
            made = self._generate(prompts, 2, [], output_logits=True)
            return [step.float() for step in made.logits]

        alone = [torch.cat(steps) for steps in zip(*(logits([p]) for p in some), strict=True)]
        try:
            together = logits(some)
        except (TypeError, ValueError, AttributeError, LookupError, RuntimeError) as error:
            if out_of_memory(error):
                raise
            reason = f"{type(error).__name__}: {error}"
        else:
            # the second tokens' logits tell something where the first tokens are the same
            same = together[0].argmax(-1) == alone[0].argmax(-1)
            differences = [together[0] - alone[0], (together[1] - alone[1])[same]]
            off = float(torch.cat(differences).abs().max())
            largest = float(alone[0].abs().max())
            allowed = tolerance(self.model)
            if off <= allowed * largest:
                return "padded"
            reason = f"logits differ by {off / largest:.1%} of the largest"
        warnings.warn(
            f"{type(self.model).__name__} gives other logits after padding ({reason}); prompts are "
            "answered with others of their length, which takes longer",
            stacklevel=3,
        )
        return "equal"


def greedy_answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    max_tokens: int,
) -> list[str]:
    """The model's greedy answers to many prompts; see :meth:`AnswerReader.answers`."""
    return AnswerReader(model, tokenizer).answers(prompts, max_tokens)


def greedy_answer(
    model: PreTrainedModel,
    prompt: Sequence[int],
    tokenizer: PreTrainedTokenizerBase,
    max_tokens: int,
) -> str:
    """The model's own answer to a prompt: greedy, to its end or at most ``max_tokens`` tokens.

    Raises:
        ValueError: the model answers nothing.
    """
    (answer,) = greedy_answers(model, tokenizer, [prompt], max_tokens)
    if not answer.strip():
        raise ValueError("the model answers nothing to the whole prompt; give a response to score")
    return answer.rstrip()
