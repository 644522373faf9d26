"""ApiGame: the segments of a prompt as players, scored by a model behind a server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine, Iterable, Sequence
from copy import copy
from itertools import chain
from typing import Any

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.errors import GameError, hand_over
from interplay.extensions import MaskingName
from interplay.fourier.masks import as_masks, sorted_by_prefix
from interplay.game import Hints
from interplay.text.api.account import OPENAI_URL, Account, Endpoint, RequestFailed, Usage
from interplay.text.api.client import Connection, connect, require_openai, run_in_thread
from interplay.text.api.prompts import (
    all_sent,
    check_sendable,
    has_tools,
    lengths,
    sent,
    with_values,
)
from interplay.text.api.requests import Completion, Requester, RequestSettings
from interplay.text.api.targets import ApiTarget, choose_method
from interplay.text.digests import document_digest
from interplay.text.hints import character_hints
from interplay.text.inference.generation import Generated
from interplay.text.prompts.build import PLACEHOLDER, Message, Text, mask_prompt
from interplay.text.prompts.masking import Masking, get_masking
from interplay.text.prompts.segments import Unit
from interplay.text.prompts.tools import Tool, with_tools_to_send
from interplay.text.targets import LogitDifference, Options, Response, settings_of

_CODE_VERSION = 2
"""Part of the fingerprint. It is raised when a change makes the same settings give other values."""
_BATCHES = 4
"""Masks per call, for each request in flight: enough to keep the server busy, but few to lose."""
_REPEATED = 3
"""How many of the first ablations are asked again, to see whether their order matters."""


class ApiGame:
    """How a served model's score depends on the segments of a text.

    The same game as :class:`interplay.text.TextGame`, for models behind an endpoint with OpenAI's
    protocol: vLLM, llama.cpp's server, OpenAI and others. Making the game sends nothing. Every call
    of it sends requests, which may cost money.

    The key is read from the environment at each call and kept nowhere. A server may change its
    model silently, and the game cannot notice. Say in ``revision`` what it serves: a store then
    keeps the old values apart from the new ones.

    Args:
        model: the name by which the server knows the model.
        text: what is ablated: a string; documents, ``{"id": ..., "text": ...}`` each; or the
            messages of a chat, ``{"role": ..., "content": ...}`` each, which go to chat
            completions. A document or message with ``"fixed": True`` is always kept.
        target: ``Response``, ``Options``, ``Contrast``, ``LogitDifference`` or
            :class:`interplay.text.Generated`.
        base_url: where the server is, up to and with ``/v1``; ``None``: OpenAI's own.
        key_variable: the environment variable that holds the key. It may be unset for a server on
            this machine.
        by: the players, as for :class:`interplay.text.TextGame`, but no tokens.
        prompt: what stands around the text, with ``{text}`` once where it goes: a string, or the
            messages of a chat, which are not ablated then.
        masking: what becomes of a removed segment: ``"delete"``, or ``Replace(text)``.
        fixed: segments that a match of this pattern touches are always kept.
        tools: tools for chat completions, each of which is a player beside the segments of the
            chat, unless it is marked ``"fixed": True``: a removed one is not sent. What is
            ``Generated`` may then be calls of tools, a line of JSON with ``name`` and
            ``arguments`` for each.
        language: for sentences, its code, such as ``"de"``; by default it is guessed from the text.
        revision: what the server serves, as far as you know; part of the fingerprint.
        method: how log-probabilities are requested: ``"echo"``, the default for a ``Response`` and
            for answers of several words; ``"exact"``, for other answers: by ``"echo"`` if the
            server can, else by ``"top_logprobs"``; ``"prompt_logprobs"``, vLLM's form of echo, the
            default for these in a chat, except that other answers are by ``"top_logprobs"`` there;
            or ``"generate"``, for ``Generated``.
        top_logprobs: how many likeliest tokens to request; servers allow from 5 to 20 or more.
        allow_bounds: by ``"top_logprobs"``, which is then the default, let the least
            log-probability listed stand for an answer that is not listed. It is only an upper
            bound; without this it is an error.
        concurrency: the most requests in flight.
        timeout: seconds for one attempt.
        retries: attempts after the first, if another may help.
        max_requests: the most attempts of this game in all its calls; ``None``: no cap. The first
            three ablations are asked twice, and with tools two more requests show whether the
            model reads them.
        max_tokens: the most tokens in all its calls, as the server reports them; ``None``: no cap.

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
        tools: Sequence[Tool] | None = None,
        language: str | None = None,
        revision: str | None = None,
        method: str | None = None,
        top_logprobs: int = 20,
        allow_bounds: bool = False,
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
        masked = mask_prompt(
            text,
            prompt,
            by=by,
            masking=get_masking(masking),
            fixed=fixed,
            language=language,
            with_tools=tools is not None,
        )
        self.masked = masked if tools is None else with_tools_to_send(masked, tools)
        """What the model reads."""
        check_sendable(self.masked)
        chat = self.masked.is_chat
        self.method = choose_method(target, chat, method, allow_bounds)
        self._endpoint = Endpoint(
            base_url or OPENAI_URL, key_variable, chat, concurrency, timeout, retries
        )
        self._account = Account(max_requests, max_tokens)
        self._requester = Requester(
            RequestSettings(
                model=model,
                method=self.method,
                answers=() if isinstance(target, Generated) else target.answers,
                chat=chat,
                top_logprobs=top_logprobs,
                allow_bounds=allow_bounds,
                max_tokens=target.max_tokens if isinstance(target, Generated) else 0,
                single_token=isinstance(target, LogitDifference),
                same_tokens=isinstance(target, Response) and target.reduction == "token",
            )
        )
        self._original: str | None = None

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
    def usage(self) -> Usage:
        """What this game has used of its server so far, in all its calls."""
        return self._account.usage

    def prompt(self, mask: BoolArray) -> str:
        """What is sent under one mask ``(n,)``: the text, or a chat's messages as JSON."""
        return sent(self.masked, mask)

    def arrange(self, masks: BoolArray, /) -> IntArray:
        """The masks' own order, ``(m,)``: a request is paid for whole, whatever came before it."""
        return np.arange(len(masks))

    def cost(self, masks: BoolArray, /) -> FloatArray:
        """About how many tokens each ablation takes, over all its requests, ``(m,)``."""
        tokens = [self._requester.tokens_needed(n) for n in lengths(self.masked, masks)]
        return np.array(tokens) * self.masked.n_prompts(np.asarray(masks))

    def hints(self) -> Hints:
        """Which segments are likely to matter: the longer ones. Nothing is sent for this."""
        return character_hints(self.masked)

    def __call__(self, masks: BoolArray, /) -> FloatArray:
        """Scores ``(m,)``, or ``(m, k)`` for a target of k outputs, of masks ``(m, n)``.

        Masks that give the same prompt are one request. The call also works inside a running event
        loop, which it blocks.

        Raises:
            GameError: a request failed for good, or would have passed a cap. Requests in flight are
                finished first. The masks and values so far are in ``error.masks, error.values``.
        """
        masks = as_masks(masks, self.n_players)
        if not len(masks):
            return np.empty(0)
        prompts = [all_sent(self.masked, mask) for mask in masks]
        # neighbours share long prefixes, which servers may keep
        arranged = list(chain(*(prompts[row] for row in sorted_by_prefix(masks))))
        completions: dict[str, Completion] = {}
        failures: list[str] = []
        try:
            run_in_thread(lambda: self._request_all(arranged, completions, failures))
        except KeyboardInterrupt as stop:
            done, values = self._values(prompts, completions, failures)
            hand_over(stop, masks[done], values)
            raise
        done, values = self._values(prompts, completions, failures)
        if failures:
            usage = self.usage
            raise GameError(
                f"{failures[0]} ({len(done)} of the {len(masks)} masks of this call have values, "
                f"which come with this error; this game has used {usage.requests} requests and "
                f"{usage.tokens} tokens)",
                masks[done] if len(done) else None,
                values if len(done) else None,
            )
        self._requester.observed.warn(
            self.usage.unlisted, self._requester.settings.top_logprobs, stacklevel=3
        )
        return values

    def refined(
        self, chosen: Iterable[int], by: Unit, language: str | None = None
    ) -> tuple[ApiGame, tuple[tuple[int, ...], ...]]:
        """The same game with some players cut into finer ones. Both share one account.

        See :meth:`interplay.text.TextGame.refined`.
        """
        game = copy(self)
        game.masked, children = self.masked.refined(chosen, by, language)
        return game, children

    async def _request_all(
        self, prompts: Sequence[str], completions: dict[str, Completion], failures: list[str]
    ) -> None:
        """Fill ``completions``; after a failure finish what is in flight and begin nothing new."""
        unmasked = self.prompt(np.ones(self.n_players, dtype=np.bool_))
        first = [unmasked] if self.method == "generate" and self._original is None else []
        pending = list(dict.fromkeys([*first, *prompts]))
        observed = self._requester.observed
        few: list[str] = []
        if self.method != "generate" and observed.repeats is None and len(pending) > _REPEATED:
            few = pending[:_REPEATED]
        # one request first: it shows what the server cannot do before more are paid for
        alone = max(len(few), int(bool(first) or observed.method is None))
        slots = asyncio.Semaphore(self._endpoint.concurrency)

        async def attempt(connection: Connection, work: Coroutine[Any, Any, None]) -> None:
            try:
                await work
            except RequestFailed as error:
                failures.append(str(error))
            except Exception as error:  # what was paid for must be returned, whatever happens
                failures.append(f"a request failed: {connection.clean(repr(error))}")

        async def ask(connection: Connection, prompt: str) -> None:
            completion = await self._requester.request(connection, prompt)
            if prompt in first:
                self._store_original(completion.text)
            completions[prompt] = completion

        async def request(connection: Connection, prompt: str) -> None:
            async with slots:
                if not failures:
                    await attempt(connection, ask(connection, prompt))

        try:
            async with connect(self._endpoint, self._account) as connection:
                if has_tools(self.masked) and not self._requester.checked_tools:
                    await attempt(connection, self._requester.check_tools(connection, unmasked))
                for prompt in pending[:alone]:
                    await request(connection, prompt)
                if few and not failures:
                    again = {prompt: completions[prompt] for prompt in few}
                    await attempt(connection, self._requester.repeat(connection, again))
                await asyncio.gather(*(request(connection, p) for p in pending[alone:]))
        except RequestFailed as error:
            failures.append(str(error))

    def _store_original(self, answer: str) -> None:
        if not answer.strip():
            raise RequestFailed(
                "the model answers nothing to the whole prompt, so there is nothing to compare "
                "with; ask for an answer in the prompt, or raise the max_tokens of Generated"
            )
        self._original = answer

    def _values(
        self,
        prompts: Sequence[Sequence[str]],
        completions: dict[str, Completion],
        failures: list[str],
    ) -> tuple[IntArray, FloatArray]:
        """The indices of the masks that have values, ``(d,)``; these, ``(d,)`` or ``(d, k)``."""
        scores: dict[str, FloatArray] = {}
        for prompt in dict.fromkeys(chain(*prompts)):
            if prompt in completions:
                try:
                    scores[prompt] = self._score(completions[prompt])
                except Exception as error:
                    failures.append(f"the scorer raised {type(error).__name__}: {error}")
        return with_values(prompts, scores)

    def _score(self, completion: Completion) -> FloatArray:
        """The value of one completion, ``(1,)`` or ``(1, k)``."""
        if isinstance(self.target, Generated):
            value = self.target.score(completion.text, self._original or "")
            return value[None, :] if self.target.outputs else value
        return self.target.combine([reading.logprobs[None, :] for reading in completion.readings])

    def observed(self) -> Json:
        """What the server showed of itself, for the provenance.

        By which method it gave log-probabilities; the models that answered, and their fingerprints;
        and how far the log-probabilities of the first ablations differed when they were asked for
        again.
        """
        return self._requester.observed.as_json()

    def describe(self) -> Json:
        """The model and its server, the prompt, the spans, the masking and the target, as JSON.

        The outputs of ``Response(reduction="token")`` are the server's tokens. Their names are
        known after its first response.
        """
        target, settings = self.target, self._requester.settings
        outputs: Sequence[str] = ()
        if isinstance(target, Generated):
            outputs = target.outputs
        elif isinstance(target, Response | Options):
            outputs = target.outputs([self._requester.tokens])
        scored = {k: v for k, v in settings_of(target).items() if k != "tokens"}  # a local model's
        # otherwise the values are the same, or there are none
        bounds = settings.allow_bounds and self.method == "top_logprobs"
        return self.masked.describe() | {
            "model": self.model,
            "revision": self.revision,
            "base_url": self._endpoint.address,
            "chat": settings.chat,
            "method": self.method,
            **({"bounds_from": settings.top_logprobs} if bounds else {}),
            "targets": [scored],
            "outputs": list(outputs),
            "paid": True,
        }

    @property
    def fingerprint(self) -> str | None:
        """A hash of the server and of what is requested of it.

        It covers all of :meth:`describe` but the entries that do not change values. ``None`` for
        ``Generated`` without a name.
        """
        if isinstance(self.target, Generated) and self.target.name is None:
            return None
        irrelevant = ("outputs", "paid", "view")
        contents = {k: v for k, v in self.describe().items() if k not in irrelevant}
        contents["code"] = _CODE_VERSION
        return document_digest(contents)

    def __repr__(self) -> str:
        return (
            f"ApiGame({self.model!r} at {self._endpoint.address}, {self.n_players} players by "
            f"{self.masked.by}, target={self.target})"
        )
