"""ApiGame: the segments of a prompt as players, scored by a model behind a server."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import warnings
from collections.abc import Iterable, Sequence
from copy import copy

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.errors import GameError, hand_over
from interplay.extensions import MaskingName
from interplay.fourier.masks import as_masks, sorted_by_prefix
from interplay.text.api.account import OPENAI_URL, Account, Endpoint, RequestFailed, Spent
from interplay.text.api.asking import CHARACTERS_PER_TOKEN, Asker, Heard, Question
from interplay.text.api.client import Connection, connect, require_openai, run_apart
from interplay.text.api.targets import ApiTarget, choose_method
from interplay.text.inference.generation import Generated
from interplay.text.prompts.build import PLACEHOLDER, Message, Text, mask_prompt
from interplay.text.prompts.masking import Masking, TokenMasking, get_masking
from interplay.text.prompts.segments import Unit
from interplay.text.targets import LogitDifference, Response, settings_of

_CODE_VERSION = 2
"""Part of the fingerprint; raised when the same settings come to give other values."""
_BATCHES = 4
"""Masks per call, for each request in flight: enough to keep the server busy, few to lose."""


class ApiGame:
    """How a served model's score depends on the segments of a text.

    The same game as :class:`interplay.text.TextGame`, for models behind an endpoint that
    speaks OpenAI's protocol: vLLM, llama.cpp's server, OpenAI and others. Making the game sends
    nothing; every call of it sends requests, which may cost money.

    The key is read from the environment at each call and kept nowhere. A server may change its
    model silently, which nothing here can see: say in ``revision`` what it serves, so that a store
    tells the old values from the new.

    Args:
        model: the name by which the server knows the model.
        text: what is ablated: a string; documents, ``{"id": ..., "text": ...}`` each; or the
            messages of a chat, ``{"role": ..., "content": ...}`` each, which go to chat
            completions. One with ``"fixed": True`` is always kept.
        target: ``Response``, ``Options``, ``LogitDifference`` or
            :class:`interplay.text.Generated`.
        base_url: where the server is, up to and with ``/v1``; ``None``: OpenAI's own.
        key_variable: the environment variable that holds the key. It may be unset for a server on
            this machine.
        by: the players, as for :class:`interplay.text.TextGame`, but no tokens.
        prompt: what stands around the text, with ``{text}`` once where it goes: a string, or the
            messages of a chat, none of which is ablated.
        masking: what becomes of a removed segment: ``"delete"``, or ``Replace(text)``.
        fixed: segments that a match of this pattern touches are always kept.
        language: for sentences, a two-letter code.
        revision: what the server serves, as far as you know; part of the fingerprint.
        method: how log-probabilities are had. By default ``"echo"`` for a ``Response`` and for
            options of several words, ``"top_logprobs"`` for other options and differences,
            ``"generate"`` for ``Generated``; ``"prompt_logprobs"`` is vLLM's form of echo.
        top_logprobs: how many likeliest tokens to ask for; servers allow from 5 to 20 or more.
        concurrency: the most requests in flight.
        timeout: seconds for one attempt.
        retries: attempts after the first, where another may help.
        max_requests: the most attempts of this game in all its calls; ``None``: no cap.
        max_tokens: the most tokens, as the server reports them, likewise.

    Raises:
        ValueError: an empty text, a prompt without ``{text}``, improper spans, a target that the
            method or the endpoint cannot score, or a setting out of range.
        MissingDependencyError: openai is not installed.
    """

    def __init__(
        self,
        model: str,
        text: Text,
        target: ApiTarget,
        *,
        base_url: str | None = None,
        key_variable: str = "OPENAI_API_KEY",
        by: Unit = "sentence",
        prompt: str | Sequence[Message] = PLACEHOLDER,
        masking: MaskingName | str | Masking = "delete",
        fixed: re.Pattern[str] | None = None,
        language: str = "en",
        revision: str | None = None,
        method: str | None = None,
        top_logprobs: int = 20,
        concurrency: int = 8,
        timeout: float = 60.0,
        retries: int = 6,
        max_requests: int | None = None,
        max_tokens: int | None = None,
    ) -> None:
        require_openai("ApiGame")
        if top_logprobs < 1:
            raise ValueError(f"top_logprobs={top_logprobs} is below 1; give at least 1")
        self.model = model
        self.target = target
        self.revision = revision
        masking = get_masking(masking)
        if isinstance(masking, TokenMasking):
            raise ValueError(
                f"masking={masking.describe()['kind']!r} is of tokens, which a server does not "
                f"take; use 'delete' or "
                "Replace(text)"
            )
        self.masked = mask_prompt(
            text, prompt, by=by, masking=masking, fixed=fixed, language=language
        )
        """What the model reads."""
        chat = self.masked.is_chat
        self.method = choose_method(target, chat, method)
        self._endpoint = Endpoint(
            base_url or OPENAI_URL, key_variable, chat, concurrency, timeout, retries
        )
        self._account = Account(max_requests, max_tokens)
        self._asker = Asker(
            Question(
                model=model,
                method=self.method,
                answers=() if isinstance(target, Generated) else target.answers,
                chat=chat,
                top_logprobs=top_logprobs,
                length=target.max_tokens if isinstance(target, Generated) else 0,
                single=isinstance(target, LogitDifference),
                alike=isinstance(target, Response) and target.reduction == "token",
            )
        )
        self._original: str | None = None
        self._warned = False
        if self.prompt(np.zeros(self.n_players, dtype=np.bool_)) in ("", "[]"):
            raise ValueError(
                "with every segment removed the prompt is empty; give a prompt with fixed words "
                "around {text}, mark a message fixed, or give a replacement"
            )

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
        return self._endpoint.concurrency * _BATCHES

    @property
    def spent(self) -> Spent:
        """What this game has asked of its server so far, in all its calls."""
        return self._account.spent

    def prompt(self, mask: BoolArray) -> str:
        """What is sent under one mask ``(n,)``: the text, or a chat's messages as JSON."""
        if self.masked.is_chat:
            return json.dumps(self.masked.messages(mask), ensure_ascii=False)
        return self.masked.render(mask)

    def arrange(self, masks: BoolArray, /) -> IntArray:
        """An order ``(m,)`` in which neighbours share long prefixes, which servers may reuse."""
        return sorted_by_prefix(masks)

    def cost(self, masks: BoolArray, /) -> FloatArray:
        """About how many tokens each ablation takes, over all its requests, ``(m,)``."""
        everything = np.ones(self.n_players, dtype=np.bool_)
        nothing = len(self.prompt(~everything))
        masking = self.masked.masking
        assert not isinstance(masking, TokenMasking)
        written = [self.masked.text[start:stop] for start, stop in self.masked.spans]
        segments = np.array(
            [len(text) - len(masking.replacement(text) or "") for text in written], float
        )
        # white space between segments: what the two ends leave unexplained, in equal parts
        segments += (len(self.prompt(everything)) - nothing - segments.sum()) / self.n_players
        characters = nothing + masks @ segments
        question = self._asker.question
        prompts = question.n_requests * characters / CHARACTERS_PER_TOKEN
        return np.asarray(prompts + question.answer_tokens)

    def __call__(self, masks: BoolArray, /) -> FloatArray:
        """Scores ``(m,)``, or ``(m, k)`` for a target of k outputs, of masks ``(m, n)``.

        Masks that read the same are asked for once. Works inside of a running event loop too, which
        it blocks.

        Raises:
            GameError: a request failed for good, or would have passed a cap. Requests in flight
                were waited for; what has a value by then is in ``error.masks, error.values``.
        """
        masks = as_masks(masks, self.n_players)
        if not len(masks):
            return np.empty(0)
        prompts = [self.prompt(mask) for mask in masks]
        heard: dict[str, Heard] = {}
        failures: list[str] = []
        try:
            run_apart(lambda: self._ask_all(prompts, heard, failures))
        except KeyboardInterrupt as stop:
            done, values = self._values(prompts, heard, failures)
            hand_over(stop, masks[done], values)
            raise
        done, values = self._values(prompts, heard, failures)
        if failures:
            spent = self.spent
            raise GameError(
                f"{failures[0]} ({len(done)} of the {len(masks)} masks of this call have values, "
                f"which come with this error; {spent.requests} requests and {spent.tokens} tokens "
                "are spent by this game)",
                masks[done] if len(done) else None,
                values if len(done) else None,
            )
        self._warn_of_unlisted()
        return values

    def refined(
        self, chosen: Iterable[int], by: Unit, language: str = "en"
    ) -> tuple[ApiGame, tuple[tuple[int, ...], ...]]:
        """The same game with some players cut into finer ones; its account is the same one.

        See :meth:`interplay.text.TextGame.refined`.
        """
        game = copy(self)
        game.masked, children = self.masked.refined(chosen, by, language)
        return game, children

    async def _ask_all(
        self, prompts: Sequence[str], heard: dict[str, Heard], failures: list[str]
    ) -> None:
        """Fill ``heard``; after a failure finish what is in flight and begin nothing new."""
        whole = self.prompt(np.ones(self.n_players, dtype=np.bool_))
        first = [whole] if self.method == "generate" and self._original is None else []
        wanted = list(dict.fromkeys([*first, *prompts]))
        slots = asyncio.Semaphore(self._endpoint.concurrency)

        async def ask(connection: Connection, prompt: str) -> None:
            async with slots:
                if failures:
                    return
                try:
                    said = await self._asker.ask(connection, prompt)
                    if prompt in first:
                        self._keep_original(said.text)
                    heard[prompt] = said
                except RequestFailed as error:
                    failures.append(str(error))
                except Exception as error:  # what was paid for must come back, whatever happens
                    failures.append(f"a request failed: {connection.clean(repr(error))}")

        try:
            async with connect(self._endpoint, self._account) as connection:
                # what is wrong with a server shows at the first answer, at the price of one request
                if wanted and (first or not self._asker.proved):
                    await ask(connection, wanted.pop(0))
                await asyncio.gather(*(ask(connection, prompt) for prompt in wanted))
        except RequestFailed as error:
            failures.append(str(error))

    def _keep_original(self, answer: str) -> None:
        if not answer.strip():
            raise RequestFailed(
                "the model answers nothing to the whole prompt, so there is nothing to compare "
                "with; ask for an answer in the prompt, or raise the max_tokens of Generated"
            )
        self._original = answer

    def _values(
        self, prompts: Sequence[str], heard: dict[str, Heard], failures: list[str]
    ) -> tuple[IntArray, FloatArray]:
        """Which of the prompts have values, ``(d,)``, and these, ``(d,)`` or ``(d, k)``."""
        scores: dict[str, FloatArray] = {}
        for prompt in dict.fromkeys(prompts):
            if prompt in heard:
                try:
                    scores[prompt] = self._score(heard[prompt])
                except Exception as error:
                    failures.append(f"the scorer raised {type(error).__name__}: {error}")
        done = np.array([row for row, prompt in enumerate(prompts) if prompt in scores], np.int64)
        if not len(done):
            return done, np.empty(0)
        return done, np.concatenate([scores[prompts[row]] for row in done])

    def _score(self, heard: Heard) -> FloatArray:
        """The value, ``(1,)`` or ``(1, k)``."""
        if isinstance(self.target, Generated):
            value = self.target.score(heard.text, self._original or "")
            return value[None, :] if self.target.outputs else value
        return self.target.combine([reading.logprobs[None, :] for reading in heard.readings])

    def _warn_of_unlisted(self) -> None:
        unlisted = self.spent.unlisted
        if not unlisted or self._warned:
            return
        self._warned = True
        warnings.warn(
            f"{unlisted} answers' probabilities so far were not listed among the "
            f"top_logprobs={self._asker.question.top_logprobs} likeliest tokens; each stands at "
            "the least one listed, an upper bound (an answer of several tokens is never listed). "
            "Give likelier answers or a higher top_logprobs, or use method='echo' where the server "
            "can. game.spent.unlisted keeps the count; this warning is given once",
            stacklevel=3,
        )

    def describe(self) -> Json:
        """The model and its server, the prompt, the spans, the masking and the target, as JSON.

        The outputs of ``Response(score="token_logprobs")`` are the server's tokens, whose names are
        known after its first answer.
        """
        target, question = self.target, self._asker.question
        if isinstance(target, Generated):
            outputs = target.outputs
        else:
            outputs = target.outputs([self._asker.tokens])
        listed = {"top_logprobs": question.top_logprobs} if self.method == "top_logprobs" else {}
        return self.masked.describe() | {
            "model": self.model,
            "revision": self.revision,
            "base_url": self._endpoint.address,
            "chat": question.chat,
            "method": self.method,
            **listed,
            "targets": [settings_of(target)],
            "outputs": list(outputs),
            "paid": True,
        }

    @property
    def fingerprint(self) -> str | None:
        """A hash of what is asked of which server: all of :meth:`describe` but what is for show.

        ``None`` for ``Generated`` without a name.
        """
        if isinstance(self.target, Generated) and self.target.name is None:
            return None
        what = {k: v for k, v in self.describe().items() if k not in ("outputs", "paid", "view")}
        what["code"] = _CODE_VERSION
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

    def __repr__(self) -> str:
        return (
            f"ApiGame({self.model!r} at {self._endpoint.address}, {self.n_players} players by "
            f"{self.masked.by}, target={self.target})"
        )
