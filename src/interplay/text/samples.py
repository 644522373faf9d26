"""Benchmark items as they were asked, as games."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from interplay.text.game import TextGame
from interplay.text.prompts.build import PLACEHOLDER, Text
from interplay.text.prompts.languages import detect
from interplay.text.prompts.segments import Unit, split
from interplay.text.targets import AnswerTarget, Contrast, Options, Response

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Kind: TypeAlias = Literal["choices", "options in context", "continuation", "generated"]

MARK = re.compile(
    r"(?:<[|\uff5c][^<>\n]{1,60}[|\uff5c]>|</?s>|<(?:bos|eos|start_of_turn|end_of_turn)>"
    r"|\[/?INST\]|<</?SYS>>)"
    r"(?:(?:system|user|assistant|model|tool|developer)(?=\s|<|$))?"
)
"""What a chat template writes around messages: its special tokens, with the role after one."""
_SNIPPET = 60
_FEW_WORDS = 4


@dataclass(frozen=True)
class Sample:
    """A benchmark item as it was asked.

    Attributes:
        doc_id: its number in the benchmark.
        kind: ``"choices"``: of several answers the likeliest is taken; ``"options in context"``:
            the context differs and what follows is the same, as in Winogrande;
            ``"continuation"``: how likely one text is; ``"generated"``: an answer was written.
        text: the part of the context that may be ablated: a string, or the messages of a chat.
        prompt: what stands around it, with ``{text}`` where it goes: the context's last line, or
            the last word of a single line, stays.
        answers: the answers, as they follow the context. White space at the context's end belongs
            to them, as in the harness's scores.
        starts: for each answer, where the scored part begins: after the option, if that is in the
            context.
        right: the places of the right answers; empty if the file does not say which.
        logprobs: the log-likelihood of each that the file records; empty if it was generated.
        scores: the scores that the file records, ``{"acc": 1.0}``; with the filter's name after a
            comma if the task has filters.
        wanted: the right answer as the file writes it.
        lines: the numbers of its lines in the file, from 1.
    """

    doc_id: str
    kind: Kind
    text: Text
    prompt: str
    answers: tuple[str, ...]
    starts: tuple[int, ...]
    right: tuple[int, ...]
    logprobs: tuple[float, ...]
    scores: Mapping[str, float]
    wanted: str
    lines: tuple[int, ...]

    @property
    def is_right(self) -> bool | None:
        """Whether the first score of the file that is 0 or 1 is 1; ``None``: there is none."""
        return next((bool(score) for score in self.scores.values() if score in (0.0, 1.0)), None)

    @property
    def compared(self) -> tuple[int, int]:
        """The places of the right answer and of the likeliest wrong one.

        If the item was answered wrongly, that is the answer that was chosen. Of several right ones
        it is the likeliest.

        Raises:
            ValueError: the file does not say which answer is right, or there is no other.
        """
        if not self.right or self.kind == "generated":
            raise ValueError(
                f"document {self.doc_id} does not say which of its {len(self.answers)} answers is "
                "right; give a target of your own, such as Options(sample.answers) "
                "(--target options)"
            )
        right = max(self.right, key=self.logprobs.__getitem__)
        texts = {self.answers[number] for number in self.right}
        others = [number for number, text in enumerate(self.answers) if text not in texts]
        if not others:
            raise ValueError(
                f"document {self.doc_id} has no answer beside the right one; give a target of your "
                "own, such as Response(sample.answers[0])"
            )
        return right, max(others, key=self.logprobs.__getitem__)

    @property
    def target(self) -> AnswerTarget | tuple[Response, ...]:
        """What is scored unless another target is given.

        Choices: the log-probability of the right answer less that of the likeliest wrong one.
        Options in the context: the log-probability of what follows each of them, an output for
        each. Otherwise the log-probability of the answer.

        Raises:
            ValueError: as for :attr:`compared`, or the answer that was generated is empty.
        """
        if self.kind == "options in context":
            pairs = zip(self.answers, self.starts, strict=True)
            return tuple(Response(answer, part=(start, len(answer))) for answer, start in pairs)
        if self.kind == "choices":
            right, other = self.compared
            return Contrast(self.answers[right], self.answers[other])
        if not self.answers[0].strip():
            raise ValueError(
                f"the answer to document {self.doc_id} is empty: the model stopped at once; give "
                f"a target of your own, such as Response({self.wanted!r}) (--response)"
            )
        return Response(self.answers[0])

    @property
    def recorded(self) -> tuple[float, ...]:
        """The values of :attr:`target` by the log-likelihoods of the file; of a generation none."""
        if self.kind == "choices":
            right, other = self.compared
            return (self.logprobs[right] - self.logprobs[other],)
        return self.logprobs

    @property
    def snippet(self) -> str:
        """The first words of the last paragraph with some words: the question itself."""
        if isinstance(self.text, str):
            parts = re.split(
                r"\n\s*\n", MARK.sub("\n\n", self.prompt.replace(PLACEHOLDER, self.text))
            )
        else:
            parts = [str(message.get("content") or "") for message in self.text]
        long = [part for part in parts if len(part.split()) >= _FEW_WORDS]
        words = " ".join((long or [" ".join(parts)])[-1].split())
        return words if len(words) <= _SNIPPET else f"{words[: _SNIPPET - 1]}…"

    def options(self) -> Options:
        """All answers as outputs, their log-probabilities."""
        return Options(self.answers, score="logprob")

    def unit(
        self,
        by: Unit,
        language: str | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
    ) -> Unit:
        """The players of :attr:`text`.

        In a chat that is written out in its template, ``by`` is taken of each message by itself,
        and the template stays. ``"message"`` is possible too.

        Raises:
            ValueError: there is nothing to ablate, or the unit does not fit the text.
        """
        text = self.text
        if not isinstance(text, str) or not MARK.search(text):
            return by
        if not isinstance(by, str | re.Pattern):
            return by
        language = language or detect(MARK.sub(" ", text))
        spans = []
        for start, stop in _between_marks(text):
            message = text[start:stop]
            if isinstance(by, re.Pattern) and not by.search(message):
                continue
            if by == "message":
                found = split(message, re.compile(r"\S(?:.*\S)?", re.DOTALL))
            else:
                found = split(message, by, language, tokenizer)
            spans += [(start + a, start + b) for a, b in found]
        return spans

    def game(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        target: AnswerTarget | None = None,
        *,
        by: Unit = "sentence",
        language: str | None = None,
        **settings: Any,
    ) -> TextGame:
        """The item as a game: its context's segments are the players.

        Example::

            samples = interplay.text.read_samples("samples_arc_easy.jsonl")
            wrong = next(sample for sample in samples if sample.is_right is False)
            explanation = interplay.explain(wrong.game(model, tokenizer, by="word"))

        Args:
            model: the model that was evaluated, or another.
            tokenizer: its tokenizer.
            target: what is scored; by default :attr:`target`.
            by: as for :class:`interplay.text.TextGame`; see :meth:`unit`.
            language: as for ``TextGame``.
            **settings: the other arguments of ``TextGame``, such as ``masking``.

        Raises:
            ValueError: as for ``TextGame``, and see :attr:`target`.
        """
        return TextGame(
            model,
            tokenizer,
            self.text,
            self.target if target is None else target,
            by=self.unit(by, language, tokenizer),
            prompt=self.prompt,
            language=language,
            **settings,
        )


def _between_marks(text: str) -> Iterator[tuple[int, int]]:
    """The spans of a chat in its template that people or the model wrote."""
    at = 0
    for start, stop in [*(match.span() for match in MARK.finditer(text)), (len(text), 0)]:
        if text[at:start].strip():
            yield at, start
        at = stop
