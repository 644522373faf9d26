"""ProviderGame: the segments of a prompt as players, scored by any object that reaches a model."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import replace
from itertools import chain

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.errors import GameError, hand_over
from interplay.extensions import MaskingName
from interplay.fourier.masks import as_masks, sorted_by_prefix
from interplay.game import Hints
from interplay.text.api.prompts import (
    CHARACTERS_PER_TOKEN,
    all_sent,
    check_sendable,
    lengths,
    sent,
    with_values,
)
from interplay.text.api.targets import ApiTarget, check_target
from interplay.text.digests import document_digest
from interplay.text.hints import character_hints
from interplay.text.inference.generation import Generated
from interplay.text.prompts.build import PLACEHOLDER, Message, Text, mask_prompt
from interplay.text.prompts.masking import Masking, get_masking
from interplay.text.prompts.segments import Unit
from interplay.text.provider.calls import (
    Prompt,
    ScoringProvider,
    WritingProvider,
    logprobs_of,
    written,
)
from interplay.text.targets import LogitDifference, Options, Response, settings_of

_CODE_VERSION = 1
"""Part of the fingerprint. It is raised when a change makes the same settings give other values."""
_BATCHES = 8
"""Masks per call, for each thread."""


class ProviderGame:
    """How a model's score depends on the segments of a text, by any object that reaches the model.

    The same game as :class:`interplay.text.TextGame`, for what people already have: a remote
    provider of another library, the client of a gateway, a model of an in-house engine. The object
    has ``get_logprobs(prompt, answer)``, ``generate(prompt)``, or both. A prompt is a string, or
    the messages of a chat where the game's prompt is a chat.

    Making the game asks the provider for nothing, but for an original answer: of ``Generated``, and
    of a ``Response`` without a text. After that the game holds no state: a value depends on the
    mask and the provider only.

    Example:
        >>> import numpy as np
        >>> from interplay.text import ProviderGame, Response
        >>> class Counting:
        ...     def get_logprobs(self, prompt, answer):
        ...         return [-1.0 / len(prompt.split())]
        >>> game = ProviderGame(
        ...     Counting(), "one two", Response(" so"), by="word", prompt="{text} It is"
        ... )
        >>> game(np.array([[True, True], [False, False]]))
        array([-0.25, -0.5 ])

    Args:
        provider: the object. ``get_logprobs`` gives a finite number, at most 0, for each token of
            the answer; ``generate`` gives a string.
        text: what is ablated: a string, documents or the messages of a chat, as for
            :class:`interplay.text.TextGame`.
        target: ``Response``, ``Options``, ``Contrast`` or ``LogitDifference``, by ``get_logprobs``;
            ``Generated``, by ``generate``. A ``Response`` without a text needs both.
        by: the players, as for :class:`interplay.text.TextGame`, but no tokens.
        prompt: what stands around the text, with ``{text}`` once where it goes: a string, or the
            messages of a chat.
        masking: what becomes of a removed segment: ``"delete"``, or ``Replace(text)``.
        fixed: segments that a match of this pattern touches are always kept.
        language: for sentences, its code, such as ``"de"``; by default it is guessed from the text.
        name: identifies the model and its version, for the fingerprint. Without a name the values
            are held for the run only and never written to a store.
        concurrency: how many threads call the provider at a time; above 1 it must allow that.

    Raises:
        ValueError: an empty text, a prompt without ``{text}``, improper spans, a target that needs
            a local model or a method that the provider lacks, or a setting out of range.
        GameError: the provider gives no original answer.
    """

    def __init__(
        self,
        provider: ScoringProvider | WritingProvider,
        text: Text,
        target: ApiTarget,
        *,
        by: Unit = "sentence",
        prompt: str | Sequence[Message] = PLACEHOLDER,
        masking: MaskingName | str | Masking = "delete",
        fixed: re.Pattern[str] | None = None,
        language: str | None = None,
        name: str | None = None,
        concurrency: int = 1,
    ) -> None:
        if concurrency < 1:
            raise ValueError(f"concurrency={concurrency} is below 1; give at least 1")
        if name == "":
            raise ValueError("name='' identifies nothing; give the model's name, or leave it out")
        self.provider = provider
        self.name = name
        self.concurrency = concurrency
        self.masked = mask_prompt(
            text, prompt, by=by, masking=get_masking(masking), fixed=fixed, language=language
        )
        """What the model reads."""
        check_sendable(self.masked)
        self._original = ""
        writes = isinstance(target, Generated)
        if isinstance(target, Response) and target.text is None:
            check_target(replace(target, text="x"))
            self._need("get_logprobs", target)
            writes = True
        self._need("generate" if writes else "get_logprobs", target)
        if writes:
            self._original = self._original_answer()
        if isinstance(target, Response) and target.text is None:
            target = replace(target, text=self._original)
        check_target(target)
        self.target = target
        """What is scored, with the model's own answer filled in."""

    def _need(self, method: str, target: object) -> None:
        if not callable(getattr(self.provider, method, None)):
            raise ValueError(
                f"the provider {type(self.provider).__name__} has no method {method}, which "
                f"{type(target).__name__} needs; give an object that has it, or another target"
            )

    def _original_answer(self) -> str:
        """The answer to the whole prompt."""
        everything = np.ones(self.n_players, dtype=np.bool_)
        answer = written(self.provider, self._prompt(sent(self.masked, everything)))
        if not answer.strip():
            raise GameError(
                "the model answers nothing to the whole prompt, so there is nothing to score; ask "
                "for an answer in the prompt, or give Response a text"
            )
        return answer

    @property
    def n_players(self) -> int:
        """The number of segments."""
        return self.masked.n_players

    @property
    def players(self) -> tuple[str, ...]:
        """The segments' texts."""
        return self.masked.players

    @property
    def batch_size(self) -> int:
        """How many masks a call should have."""
        return self.concurrency * _BATCHES

    def arrange(self, masks: BoolArray, /) -> IntArray:
        """The masks' own order, ``(m,)``: a call is paid for whole, whatever came before it."""
        return np.arange(len(masks))

    def cost(self, masks: BoolArray, /) -> FloatArray:
        """About how many tokens each ablation takes, ``(m,)``."""
        calls = 1 if isinstance(self.target, Generated) else len(self.target.answers)
        n_calls = calls * self.masked.n_prompts(np.asarray(masks))
        return np.asarray(n_calls * lengths(self.masked, masks) / CHARACTERS_PER_TOKEN)

    def _prompt(self, text: str) -> Prompt:
        messages: Prompt = json.loads(text) if self.masked.is_chat else text
        return messages

    def hints(self) -> Hints:
        """Which segments are likely to matter: the longer ones. Nothing is sent for this."""
        return character_hints(self.masked)

    def __call__(self, masks: BoolArray, /) -> FloatArray:
        """Scores ``(m,)``, or ``(m, k)`` for a target of k outputs, of masks ``(m, n)``.

        Masks that give the same prompt are asked for once.

        Raises:
            GameError: the provider raised, or gave what is no answer. The masks and values so far
                are in ``error.masks, error.values``.
        """
        masks = as_masks(masks, self.n_players)
        if not len(masks):
            return np.empty(0)
        prompts = [all_sent(self.masked, mask) for mask in masks]
        scores: dict[str, FloatArray] = {}
        failure: GameError | None = None
        try:
            # neighbours share long prefixes, which servers may keep
            arranged = dict.fromkeys(chain(*(prompts[row] for row in sorted_by_prefix(masks))))
            for prompt, value in self._scores(list(arranged)):
                first = next(iter(scores.values()), value)
                if value.shape != first.shape:
                    raise GameError(
                        f"the answer is {value.shape[1]} tokens here and {first.shape[1]} before; "
                        "use reduction='sum', one number for all"
                    )
                scores[prompt] = value
        except KeyboardInterrupt as stop:
            hand_over(stop, *_known(masks, prompts, scores))
            raise
        except GameError as error:
            failure = error
        known, values = _known(masks, prompts, scores)
        if failure is not None:
            raise GameError(
                f"{failure} ({len(known)} of the {len(masks)} masks of this call have values, "
                "which come with this error)",
                known if len(known) else None,
                values if len(known) else None,
            ) from failure.__cause__
        return values

    def _scores(self, prompts: Sequence[str]) -> Iterator[tuple[str, FloatArray]]:
        """Each prompt and its value, ``(1,)`` or ``(1, k)``, as they come."""
        if self.concurrency == 1:  # in this thread, as some clients require
            yield from ((prompt, self._score(prompt)) for prompt in prompts)
            return
        threads = ThreadPoolExecutor(self.concurrency)
        try:
            yield from zip(prompts, threads.map(self._score, prompts), strict=True)
        finally:  # those that have begun are finished
            threads.shutdown(cancel_futures=True)

    def _score(self, prompt: str) -> FloatArray:
        """The value of one prompt, ``(1,)`` or ``(1, k)``."""
        given, target = self._prompt(prompt), self.target
        if isinstance(target, Generated):
            answer = written(self.provider, given)
            try:
                value = target.score(answer, self._original)
            except Exception as error:
                message = f"the scorer raised {type(error).__name__}: {error}"
                raise GameError(message) from error
            return value[None, :] if target.outputs else value
        of_answers = [logprobs_of(self.provider, given, answer) for answer in target.answers]
        for answer, logprobs in zip(target.answers, of_answers, strict=True):
            if isinstance(target, LogitDifference) and len(logprobs) != 1:
                raise GameError(
                    f"the answer {answer!r} is {len(logprobs)} tokens, but a logit difference "
                    "needs answers of one token; use Contrast for longer"
                )
        return target.combine([logprobs[None, :] for logprobs in of_answers])

    def refined(
        self, chosen: Iterable[int], by: Unit, language: str | None = None
    ) -> tuple[ProviderGame, tuple[tuple[int, ...], ...]]:
        """The same game with some players cut into finer ones.

        See :meth:`interplay.text.TextGame.refined`.
        """
        game = copy(self)
        game.masked, children = self.masked.refined(chosen, by, language)
        return game, children

    def describe(self) -> Json:
        """The provider, the prompt, the spans, the masking and the target, as JSON."""
        target = self.target
        outputs: Sequence[str] = ()
        if isinstance(target, Generated | Options):
            outputs = target.outputs if isinstance(target, Generated) else target.texts
        return self.masked.describe() | {
            "model": self.name or type(self.provider).__name__,
            "targets": [settings_of(target)],
            **({"original": self._original} if isinstance(target, Generated) else {}),
            "outputs": list(outputs),
            "paid": True,
        }

    @property
    def fingerprint(self) -> str | None:
        """A hash of the name and of what is asked; ``None`` without a name.

        It covers all of :meth:`describe` but the entries that do not change values.
        """
        if self.name is None or (isinstance(self.target, Generated) and self.target.name is None):
            return None
        irrelevant = ("outputs", "paid", "view")
        contents = {k: v for k, v in self.describe().items() if k not in irrelevant}
        contents["provider_code"] = _CODE_VERSION
        return document_digest(contents)

    def __repr__(self) -> str:
        return (
            f"ProviderGame({type(self.provider).__name__}, {self.n_players} players by "
            f"{self.masked.by}, target={self.target})"
        )


def _known(
    masks: BoolArray, prompts: Sequence[Sequence[str]], scores: dict[str, FloatArray]
) -> tuple[BoolArray, FloatArray]:
    """The masks whose prompts have scores, ``(d, n)``, and these, ``(d,)`` or ``(d, k)``."""
    done, values = with_values(prompts, scores)
    return masks[done], values
