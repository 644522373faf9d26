"""Targets: the number, or the numbers, that an ablated prompt is scored by.

Most targets here are functions of the log-probabilities of the tokens of given answers. Both local
models and servers give these. An answer's tokens are those that follow the prompt's tokens in the
tokens of the prompt and the answer together (:mod:`interplay.text.readouts`). For local models
users can write targets of their own: any object with a method :meth:`Target.prepare`, which may
read the logits in any way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from textwrap import shorten
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import numpy as np

from interplay._types import FloatArray, Json, whole
from interplay.extensions import check_known
from interplay.text.prompts.fields import Span
from interplay.text.prompts.segments import Unit, split
from interplay.text.readouts import Readout

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

CLAIM_UNITS = ("sentence", "line")
"""The reductions that make an output of each such part of a response."""
REDUCTIONS = ("sum", "mean", "token", *CLAIM_UNITS)
_LATER = {"later": True}
"""Of a setting that came after the first release: at its default it is not described, so that
fingerprints stay what they were."""
_CERTAIN = -1e-12
"""Log-probabilities are clipped to this before they are put on the logit scale, which keeps it
finite."""


class Target(Protocol):
    """A score of a causal model's logits."""

    def prepare(self, tokenizer: PreTrainedTokenizerBase) -> Readout:
        """Make the target's readout, with a model's tokenizer."""
        ...


@dataclass(frozen=True)
class Response:
    """How likely a given response is, token by token after the prompt (teacher forcing).

    Attributes:
        text: the response, with its leading space if the prompt ends without one; ``None``: the
            model's own answer to the whole prompt, decoded greedily.
        score: ``"logprob"``; ``"prob"``: its exponential p; ``"logit"``: log(p / (1 - p)), p on the
            logit scale.
        reduction: how the tokens' log-probabilities are reduced. ``"sum"``: their sum, the
            log-probability of the response; ``"mean"``: their mean, the logarithm of the geometric
            mean of the tokens' probabilities; ``"token"``: not at all, an output for each token
            that the response has after the whole prompt; ``"sentence"`` or ``"line"``: an output
            for each sentence or line, the sum of its tokens' given what is before it.
        part: the part of the response to score, a string that occurs in it once or a span of
            characters. What precedes it is given, and what follows it is ignored.
        max_tokens: the most tokens of the answer if ``text`` is ``None``.
        tokens: of the model's own answer, without white space at its end, which are scored as they
            are. The game sets them, with ``text`` as what they say; an unfinished character at its
            end is shown as an ellipsis.
    """

    text: str | None = None
    score: Literal["logprob", "prob", "logit"] = "logprob"
    reduction: Literal["sum", "mean", "token", "sentence", "line"] = "sum"
    part: str | Span | None = None
    max_tokens: int = 20
    tokens: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        check_known("score", self.score, ("logprob", "prob", "logit"))
        check_known("reduction", self.reduction, REDUCTIONS)
        _text("text", self.text, or_none=True)
        if whole("max_tokens", self.max_tokens) < 1:
            raise ValueError(f"max_tokens={self.max_tokens} of Response is below 1")
        if self.text is not None:
            _ = self.span  # refused here, not when a game is made

    @property
    def answers(self) -> tuple[str, ...]:
        """The texts whose tokens' log-probabilities are needed."""
        return (self.text or "",)

    @property
    def span(self) -> Span | None:
        """The characters of the part.

        Raises:
            ValueError: the part does not occur in the response, or more than once.
        """
        text = self.text or ""
        if self.part is None:
            return None
        if isinstance(self.part, str):
            if not self.part or text.count(self.part) != 1:
                raise ValueError(
                    f"the part {self.part!r} occurs {text.count(self.part) if self.part else 0} "
                    f"times in the response {text!r}; give one that occurs in it once, or a span"
                )
            start = text.index(self.part)
            return start, start + len(self.part)
        start, stop = self.part
        if not 0 <= start < stop <= len(text):
            raise ValueError(
                f"the part ({start}, {stop}) is empty or outside the response of {len(text)} "
                "characters; give a span with start < end"
            )
        return start, stop

    def claims(self, by: Unit = "sentence", language: str | None = None) -> tuple[Response, ...]:
        """The claims of a long response as targets: each given what the response says before it.

        Given to a game together, they are outputs of one pass, and their log-probabilities add up
        to that of the response, but for what is between and behind them.

        Example:
            >>> [claim.part for claim in Response(" It rains. Ann is wet.").claims()]
            [(1, 10), (11, 22)]

        Args:
            by: the unit of a claim, as for :func:`interplay.text.split`, but no tokens.
            language: for sentences, its code, such as ``"de"``; by default it is guessed.

        Raises:
            ValueError: there is no text, or the response is a part already.
        """
        if self.text is None or self.part is not None:
            raise ValueError(
                f"{self} has no claims: they are of a response whose text is given, as a whole"
            )
        whole = replace(self, reduction="sum") if self.reduction in CLAIM_UNITS else self
        return tuple(replace(whole, part=span) for span in split(self.text, by, language))

    def outputs(self, tokens: Sequence[Sequence[str]]) -> tuple[str, ...]:
        """The outputs' names, from each answer's tokens as text."""
        return tuple(tokens[0]) if self.reduction == "token" else ()

    def combine(self, logprobs: Sequence[FloatArray]) -> FloatArray:
        """Values from each answer's tokens' log-probabilities, ``(b, tokens)`` each."""
        (reduced,) = logprobs
        if self.reduction == "sum":
            reduced = reduced.sum(axis=1)
        elif self.reduction == "mean":
            reduced = reduced.mean(axis=1)
        if self.score == "logprob":
            return np.asarray(reduced)
        if self.score == "prob":
            return np.asarray(np.exp(reduced))
        reduced = np.minimum(reduced, _CERTAIN)
        return np.asarray(reduced - np.log(-np.expm1(reduced)))

    def __str__(self) -> str:
        reduction = f"{self.reduction} " if self.reduction != "sum" else ""
        text = self.text
        if text is None or self.part is None:
            return f"{reduction}{self.score} of {text!r}"
        part = self.part if isinstance(self.part, str) else text[slice(*self.part)]
        return f"{reduction}{self.score} of {part!r} in {shorten(text, 40, placeholder='…')!r}"


def _text(name: str, value: object, *, or_none: bool = False) -> None:
    if not (isinstance(value, str) or (or_none and value is None)):
        raise ValueError(f"{name}={value!r} is a {type(value).__name__}; give a text")


def _two_texts(positive: object, negative: object) -> None:
    _text("positive", positive)
    _text("negative", negative)
    if positive == negative:
        raise ValueError(f"the answers are both {positive!r}; give two different ones")


@dataclass(frozen=True)
class Options:
    """How likely each of several answers is, with an output for each.

    Attributes:
        texts: the answers, of one or more tokens each, with their leading spaces.
        score: ``"prob"``: each answer's probability; ``"logprob"``: its logarithm; ``"share"``: its
            share of the sum of the answers' probabilities.
    """

    texts: tuple[str, ...]
    score: Literal["prob", "logprob", "share"] = "prob"

    def __post_init__(self) -> None:
        given: object = self.texts
        if isinstance(given, str):
            raise ValueError(f"texts={given!r} is one text; give a tuple of answers")
        object.__setattr__(self, "texts", tuple(self.texts))
        for text in self.texts:
            _text("texts", text)
        if len(self.texts) < 2 or len(set(self.texts)) < len(self.texts):
            raise ValueError(
                f"texts={self.texts!r} are not two or more different answers; "
                "use Response for a single one"
            )
        check_known("score", self.score, ("prob", "logprob", "share"))

    @property
    def answers(self) -> tuple[str, ...]:
        """The texts whose tokens' log-probabilities are needed."""
        return self.texts

    def outputs(self, tokens: Sequence[Sequence[str]]) -> tuple[str, ...]:
        """The outputs' names: the answers."""
        return tuple(self.texts)

    def combine(self, logprobs: Sequence[FloatArray]) -> FloatArray:
        """Values from each answer's tokens' log-probabilities, ``(b, tokens)`` each."""
        totals = np.stack([answer.sum(axis=1) for answer in logprobs], axis=1)
        if self.score == "logprob":
            return totals
        if self.score == "share":
            totals -= np.logaddexp.reduce(totals, axis=1, keepdims=True)
        return np.asarray(np.exp(totals))

    def __str__(self) -> str:
        return f"{self.score} of each of {', '.join(map(repr, self.texts))}"


@dataclass(frozen=True)
class Contrast:
    """The log-probability of one answer minus that of another: why this and not that.

    Attributes:
        positive: an answer of one or more tokens, with its leading space if it has one.
        negative: the other.
        given: what the answer has said before it, where a long answer takes one way and not the
            other. It belongs to the answer, so it is always there.
    """

    positive: str
    negative: str
    given: str = field(default="", metadata=_LATER)

    def __post_init__(self) -> None:
        _two_texts(self.positive, self.negative)
        _text("given", self.given)

    @property
    def answers(self) -> tuple[str, ...]:
        """The texts whose tokens' log-probabilities are needed."""
        return f"{self.given}{self.positive}", f"{self.given}{self.negative}"

    def outputs(self, tokens: Sequence[Sequence[str]]) -> tuple[str, ...]:
        """No names: there is one output."""
        return ()

    def combine(self, logprobs: Sequence[FloatArray]) -> FloatArray:
        """The difference of the sums of ``(b, tokens)`` each."""
        positive, negative = logprobs
        return np.asarray(positive.sum(axis=1) - negative.sum(axis=1))

    def __str__(self) -> str:
        after = f" after {'…' + self.given[-30:]!r}" if self.given else ""
        return f"logprob of {self.positive!r} - logprob of {self.negative!r}{after}"


@dataclass(frozen=True)
class LogitDifference:
    """The next token's logit for one answer minus that for another.

    Attributes:
        positive: an answer of one token, with its leading space if it has one.
        negative: the other.
    """

    positive: str
    negative: str

    def __post_init__(self) -> None:
        _two_texts(self.positive, self.negative)

    @property
    def answers(self) -> tuple[str, ...]:
        """The texts whose tokens' log-probabilities are needed."""
        return self.positive, self.negative

    def outputs(self, tokens: Sequence[Sequence[str]]) -> tuple[str, ...]:
        """No names: there is one output.

        Raises:
            ValueError: an answer is several tokens.
        """
        for answer, parts in zip(self.answers, tokens, strict=True):
            if len(parts) != 1:
                raise ValueError(
                    f"the answer {answer!r} is {len(parts)} tokens, but a logit difference needs "
                    "answers of one token (often with a leading space); use Contrast for longer"
                )
        return ()

    def combine(self, logprobs: Sequence[FloatArray]) -> FloatArray:
        """The difference, the same for logits as for log-probabilities: the normaliser cancels."""
        positive, negative = logprobs
        return np.asarray(positive.sum(axis=1) - negative.sum(axis=1))

    def __str__(self) -> str:
        return f"logit of {self.positive!r} - logit of {self.negative!r}"


AnswerTarget: TypeAlias = Response | Options | LogitDifference | Contrast
"""The targets that are computed from answers' log-probabilities."""


@dataclass(frozen=True)
class LogitFunction:
    """Any function of the next token's logits.

    Attributes:
        function: from logits, a float tensor ``(b, vocabulary)``, to ``(b,)`` or ``(b, k)``.
        name: identifies what it computes, for the fingerprint. Without a name the values are held
            for the run only and never written to a store.
        outputs: the names of k outputs.
    """

    function: Callable[[torch.Tensor], torch.Tensor]
    name: str | None = None
    outputs: tuple[str, ...] = ()

    def prepare(self, tokenizer: PreTrainedTokenizerBase) -> Readout:
        """See :meth:`Target.prepare`."""

        def read(number: int, logits: torch.Tensor) -> torch.Tensor:
            values = self.function(logits[:, -1].double())
            if values.is_complex():
                raise ValueError(f"{self} returned complex numbers; it must return real ones")
            shape = (len(logits), *([len(self.outputs)] if self.outputs else []))
            if tuple(values.shape) != shape and not (values.ndim == 1 and shape[1:] == (1,)):
                raise ValueError(
                    f"{self} returned values of shape {tuple(values.shape)} for logits of shape "
                    f"{tuple(logits[:, -1].shape)}; it must return {shape}: one number each, or as "
                    "many as it names outputs"
                )
            return values.reshape(len(logits), -1).double()

        def combine(columns: Sequence[FloatArray]) -> FloatArray:
            return columns[0] if self.outputs else columns[0][:, 0]

        return Readout(((),), read, combine, self.outputs)

    def __str__(self) -> str:
        return self.name or "a function of the logits"


def settings_of(target: object) -> Json:
    """Describe a target's kind and settings as JSON, without its functions."""
    if not is_dataclass(target) or isinstance(target, type):
        return {"kind": type(target).__name__}
    settings = {
        setting.name: getattr(target, setting.name)
        for setting in fields(target)
        if not ("later" in setting.metadata and getattr(target, setting.name) == setting.default)
    }
    return {"kind": type(target).__name__} | {
        name: value for name, value in settings.items() if not callable(value)
    }
