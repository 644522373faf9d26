"""How some targets are read off logits, for each way to write their answers after a prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from interplay._types import BoolArray
from interplay.text.claims import claims_readout
from interplay.text.inference.generation import AnswerReader, own_answer
from interplay.text.prompts.token_texts import UNDECODABLE, TokenTexts
from interplay.text.prompts.tokens import Continuation
from interplay.text.readouts import Readout, answers_readout, join_readouts
from interplay.text.targets import CLAIM_UNITS, AnswerTarget, Response, Target

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_Continuations: TypeAlias = tuple[tuple[Continuation, ...], ...]
"""How the answers of each target are written after a prompt."""


@dataclass(frozen=True)
class Rows:
    """The token ids of some prompts.

    Attributes:
        ids: the token ids of each of m prompts.
        continuations: from an answer to how it is written after each prompt, or after all.
        kept: which tokens may be attended to, ``(m, tokens)``, if removed segments are masked by
            attention. Each of the m prompts is then the whole prompt. ``None`` otherwise.
    """

    ids: Sequence[Sequence[int]]
    continuations: Callable[[str], Sequence[Continuation]]
    kept: BoolArray | None = None


class AnswerReadouts:
    """The readouts of some targets, for each way to write their answers after a prompt.

    Args:
        targets: the targets.
        model: a language model, for its own answer.
        tokenizer: its tokenizer.
        prompt: the prompt with nothing removed.
    """

    def __init__(
        self,
        targets: Sequence[Target | AnswerTarget],
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        prompt: Rows,
    ) -> None:
        self._texts = TokenTexts(tokenizer)
        own_answer = partial(_with_own_answer, model, tokenizer, prompt.ids[0])
        self.targets = tuple(map(own_answer, targets))
        self._of_users = [
            None if isinstance(target, AnswerTarget) else target.prepare(tokenizer)
            for target in self.targets
        ]
        (self._whole,) = self._written(prompt)
        self._separate = self._make(self._whole)
        self.of_whole = self._joined(self._whole, self._separate)
        self._known = {self._whole: self.of_whole}

    def of(self, rows: Rows) -> list[Readout]:
        """The readout of each row. Rows after which the answers are written alike share one."""
        written = self._written(rows)
        for continuations in set(written) - self._known.keys():
            self._known[continuations] = self._joined(continuations, self._make(continuations))
        return [self._known[continuations] for continuations in written]

    def _written(self, rows: Rows) -> list[_Continuations]:
        """How each target's answers are written after each row."""
        by_target: list[list[tuple[Continuation, ...]]] = []
        for target in self.targets:
            of_rows: list[tuple[Continuation, ...]]
            if not isinstance(target, AnswerTarget):
                of_rows = [()]
            elif isinstance(target, Response) and target.tokens is not None:
                of_rows = [(Continuation(target.tokens),)]
            else:
                by_answer = [rows.continuations(answer) for answer in target.answers]
                of_rows = list(zip(*by_answer, strict=True))
            by_target.append(of_rows * len(rows.ids) if len(of_rows) == 1 else of_rows)
        return list(zip(*by_target, strict=True))

    def _make(self, continuations: _Continuations) -> list[Readout]:
        made = []
        for number, (target, of_target) in enumerate(zip(self.targets, continuations, strict=True)):
            readout = self._of_users[number]
            if readout is None:
                assert isinstance(target, AnswerTarget)
                if isinstance(target, Response) and target.reduction in CLAIM_UNITS:
                    made.append(claims_readout(target, of_target[0], self._texts))
                    continue
                part = target.span if isinstance(target, Response) else None
                whole, names = self._whole[number], None
                if of_target is not whole:
                    names = self._separate[number].outputs
                    if isinstance(target, Response) and target.reduction == "token":
                        of_target = (_as_many(of_target[0], whole[0]),)
                readout = answers_readout(target, of_target, self._texts, part, names)
            made.append(readout)
        return made

    def _joined(self, continuations: _Continuations, readouts: list[Readout]) -> Readout:
        replaced = [one.replaced for of_target in continuations for one in of_target]
        return join_readouts(self.targets, readouts, max(replaced, key=len, default=()))


def _as_many(one: Continuation, whole: Continuation) -> Continuation:
    """A continuation with an output for each token: as many as after the whole prompt."""
    if len(one.tokens) == len(whole.tokens):
        return one
    if one.replaced or whole.replaced:
        raise ValueError(
            f"the response is {len(whole.tokens)} tokens after the whole prompt and "
            f"{len(one.tokens)} after an ablated one, since the tokenizer merges it with the "
            "prompt's end, so its tokens cannot be compared; use reduction='sum', or end the "
            "prompt in a line break"
        )
    return whole


def _with_own_answer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: Sequence[int],
    target: Target | AnswerTarget,
) -> Target | AnswerTarget:
    """A target with the model's own answer, if it is what is scored."""
    if not isinstance(target, Response) or target.text is not None:
        return target
    texts = TokenTexts(tokenizer, inside=not model.config.is_encoder_decoder)
    tokens = own_answer(AnswerReader(model, tokenizer), texts, prompt, target.max_tokens)
    text = texts(tokens)
    whole = text.rstrip(UNDECODABLE)
    return replace(target, text=whole if whole == text else f"{whole}…", tokens=tokens)
