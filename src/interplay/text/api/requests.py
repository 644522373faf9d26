"""Requests about one prompt, by any method, and what they teach about the server."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, inf
from typing import TypeVar

from interplay._types import Json
from interplay.text.api import methods, prompt_tokens
from interplay.text.api.account import RequestFailed
from interplay.text.api.client import Connection
from interplay.text.api.methods import Reading
from interplay.text.api.observations import Observations, Repeats
from interplay.text.api.prompt_tokens import NoEcho, OtherText
from interplay.text.api.prompts import CHARACTERS_PER_TOKEN, chat_body

_Read = TypeVar("_Read")
_REFUSALS = (400, 404, 405, 422)
"""Statuses by which servers refuse to echo, or what only vLLM knows, or lack an endpoint."""
_BESIDE = ("prompt_logprobs", "prompt_token_ids")


@dataclass(frozen=True)
class RequestSettings:
    """What is requested for every prompt.

    Attributes:
        model: the name by which the server knows the model.
        method: one of :data:`interplay.text.api.methods.METHODS`.
        answers: the answers whose log-probabilities are needed.
        chat: whether the endpoint is chat completions; prompts are then messages as JSON.
        top_logprobs: how many likeliest tokens to request.
        allow_bounds: let an upper bound stand for an answer that is not listed.
        max_tokens: tokens to generate.
        single_token: each answer must be one token.
        same_tokens: the answer's tokens must be the same after every prompt.
    """

    model: str
    method: str
    answers: tuple[str, ...]
    chat: bool
    top_logprobs: int
    allow_bounds: bool
    max_tokens: int
    single_token: bool
    same_tokens: bool


@dataclass(frozen=True)
class Completion:
    """What the server's responses say about one prompt.

    Attributes:
        text: the generated text, for the method ``generate``.
        readings: one for each answer, for the other methods.
    """

    text: str = ""
    readings: tuple[Reading, ...] = ()


class Requester:
    """Sends the same kind of request for one prompt after another.

    Attributes:
        observed: what the server showed of itself. Its method is ``None`` until the server has
            returned what is needed for some prompt.
        tokens: the answer's tokens, if they must always be the same and are known.
        checked_tools: whether the server was found to read the tools of a chat.
    """

    def __init__(self, settings: RequestSettings) -> None:
        self.settings = settings
        self.checked_tools = False
        self.observed = Observations()
        self.tokens: tuple[str, ...] = ()
        self._by_tokens = False
        self._workarounds: list[Callable[[Json], Json]] = []

    def tokens_needed(self, characters: float) -> float:
        """About how many tokens a prompt of so many characters takes, over all its requests."""
        settings = self.settings
        method = self.observed.method or settings.method
        prompt = characters / CHARACTERS_PER_TOKEN
        if method == "generate":
            return prompt + settings.max_tokens
        if method == "top_logprobs":
            return prompt + 1.0
        # one request for each answer
        answers = sum(map(len, settings.answers)) / CHARACTERS_PER_TOKEN
        return len(settings.answers) * prompt + answers

    async def request(self, connection: Connection, prompt: str) -> Completion:
        """Request one prompt's completion: one request, or one per answer, one after the other.

        Raises:
            RequestFailed: a request failed for good, or the server does not give what is needed.
        """
        settings = self.settings
        method = self.observed.method or settings.method
        if method == "generate":
            body = methods.generate_body(settings.model, prompt, settings.max_tokens, settings.chat)
            choice = await self._send(connection, body)
            text = self._read(lambda: methods.read_generated(choice, settings.chat), method)
            completion = Completion(text=text)
        else:
            method, readings = await self._readings(connection, prompt, method)
            completion = Completion(readings=tuple(readings))
        self.observed.method = method
        return completion

    async def _readings(
        self, connection: Connection, prompt: str, method: str
    ) -> tuple[str, Sequence[Reading]]:
        """The answers' readings, and the method that gave them."""
        if method == "top_logprobs":
            return method, await self._request_listed(connection, prompt, "")
        first = "echo" if method == "exact" else method
        try:
            readings = [
                await self._request_answer(connection, prompt, answer, first)
                for answer in self.settings.answers
            ]
        except RequestFailed as error:
            if method != "exact" or not (isinstance(error, NoEcho) or error.status in _REFUSALS):
                raise
            no_echo = "; it was asked for echo first, which it does not give"
        else:
            return first, readings
        return "top_logprobs", await self._request_listed(connection, prompt, no_echo)

    async def _request_listed(
        self, connection: Connection, prompt: str, no_echo: str
    ) -> list[Reading]:
        """Read the answers among the likeliest next tokens: one request."""
        settings = self.settings
        body = methods.next_token_body(settings.model, prompt, settings.top_logprobs, settings.chat)
        choice = await self._send(connection, body)
        readings = self._read(
            lambda: methods.read_next_token(choice, settings.answers, settings.chat), "top_logprobs"
        )
        unlisted = [reading.tokens[0] for reading in readings if reading.unlisted]
        connection.account.note_unlisted(len(unlisted))
        if unlisted and not settings.allow_bounds:
            other = "prompt_logprobs' if it is vLLM" if settings.chat else "echo' if the server can"
            raise RequestFailed(
                f"the answer {unlisted[0]!r} is not among the {settings.top_logprobs} "
                "likeliest tokens that the server lists, so only an upper bound of its "
                f"probability is known (an answer of several tokens is never listed){no_echo}; "
                f"give likelier answers or a higher top_logprobs, use method='{other}, or take "
                "the bound for the value with allow_bounds=True"
            )
        return readings

    async def _request_answer(
        self, connection: Connection, prompt: str, answer: str, method: str
    ) -> Reading:
        """Read an answer after its prompt: one request, or two where the texts of tokens differ."""
        settings = self.settings
        reading = None
        if not self._by_tokens:
            try:
                reading = await self._request_by_texts(connection, prompt, answer, method)
            except OtherText as error:
                try:
                    reading = await self._request_by_tokens(connection, prompt, answer)
                except RequestFailed as refusal:  # of what only vLLM knows
                    if refusal.status not in _REFUSALS:
                        raise
                if reading is None:
                    raise error from None
                self._by_tokens = True
        reading = reading or await self._request_by_tokens(connection, prompt, answer)
        if reading is None:
            raise RequestFailed("the server no longer gives the tokens of prompts; try again")
        if settings.single_token and len(reading.tokens) != 1:
            raise RequestFailed(
                f"the answer {answer!r} is {len(reading.tokens)} tokens, but a logit difference "
                "needs answers of one token (often with a leading space); use Contrast for longer"
            )
        if settings.same_tokens:
            self.tokens = self.tokens or reading.tokens
            if reading.tokens != self.tokens:
                raise RequestFailed(
                    f"the server cuts the answer {answer!r} into {list(reading.tokens)!r} here and "
                    f"into {list(self.tokens)!r} before; use score='logprob', one number for all"
                )
        return reading

    async def _request_by_texts(
        self, connection: Connection, prompt: str, answer: str, method: str
    ) -> Reading:
        """Read an answer, found by the texts of its tokens."""
        model, chat = self.settings.model, self.settings.chat
        if method == "echo":
            choice = await self._send(connection, prompt_tokens.echo_body(model, prompt, answer))
            return self._read(lambda: prompt_tokens.read_echo(choice, prompt, answer), method)
        body = prompt_tokens.prompt_logprobs_body(model, prompt, answer, chat)
        choice = await self._send(connection, body)
        text = None if chat else prompt
        reading = self._read(
            lambda: prompt_tokens.read_prompt_logprobs(choice, text, answer), method
        )
        if chat and self.observed.method is None:
            alone = await self._send(connection, prompt_tokens.tokens_body(model, prompt, chat))
            prompt_tokens.check_continued(alone, choice, reading, answer)
        return reading

    async def _request_by_tokens(
        self, connection: Connection, prompt: str, answer: str
    ) -> Reading | None:
        """Read an answer, found by the tokens of its prompt: vLLM only, otherwise ``None``."""
        model, chat = self.settings.model, self.settings.chat
        body = prompt_tokens.prompt_logprobs_body(model, prompt, answer, chat)
        both = await self._send(connection, body)
        alone = await self._send(connection, prompt_tokens.tokens_body(model, prompt, chat))
        return self._read(
            lambda: prompt_tokens.read_by_tokens(alone, both, answer), "prompt_logprobs"
        )

    async def check_tools(self, connection: Connection, prompt: str) -> None:
        """Ask for a chat with its tools and without, and compare how many tokens were read.

        Servers ignore tools that the model's chat template does not write: the removal of one would
        then change nothing. A server that does not count tokens is believed.

        Args:
            connection: an open client.
            prompt: a chat with tools.

        Raises:
            RequestFailed: a request failed for good, or the model does not read the tools.
        """
        contents = chat_body(prompt)
        others = {key: part for key, part in contents.items() if key != "tools"}
        with_tools, without = [
            await self._tokens_read(connection, json.dumps(part)) for part in (contents, others)
        ]
        if with_tools is not None and with_tools == without:
            raise RequestFailed(
                f"the server reads {with_tools} tokens with the tools and as many without, so the "
                "model does not see them; give the server a chat template that writes tools "
                "(llama.cpp: --jinja --chat-template-file; vLLM: --chat-template), or leave "
                "tools out"
            )
        self.checked_tools = True

    async def _tokens_read(self, connection: Connection, prompt: str) -> int | None:
        """How many tokens the server reads of a chat; ``None`` if it does not say."""
        response = await self._respond(
            connection, methods.generate_body(self.settings.model, prompt, 1, chat=True)
        )
        n_tokens = (response.get("usage") or {}).get("prompt_tokens")
        return n_tokens if isinstance(n_tokens, int) else None

    async def repeat(self, connection: Connection, first: dict[str, Completion]) -> None:
        """Ask for some prompts again, the last one first, and note how far the answers differ.

        Servers keep prefixes that prompts share. In some versions the log-probabilities depended
        on what was kept (:attr:`Observations.repeats`).

        Args:
            connection: an open client.
            first: the prompts in the order in which they were asked, and what came.

        Raises:
            RequestFailed: a request failed for good.
        """
        largest = 0.0
        for prompt, before in reversed(first.items()):
            again = await self.request(connection, prompt)
            for old, new in zip(before.readings, again.readings, strict=True):
                same = old.tokens == new.tokens
                difference = abs(old.logprobs.sum() - new.logprobs.sum()) if same else inf
                largest = max(largest, float(difference))
        self.observed.repeats = Repeats(len(first), largest)

    async def _send(self, connection: Connection, body: Json) -> Json:
        """Send a request in the form that this server needs, and return the first choice."""
        response = await self._respond(connection, body)
        choice: Json = response["choices"][0]
        # vLLM's chat completions have these beside the choice
        beside = {key: response[key] for key in _BESIDE if key in response}
        return choice | beside

    async def _respond(self, connection: Connection, body: Json) -> Json:
        """Send a request in the form that this server needs, and return the response."""
        sent_text = (
            body["prompt"]
            if "prompt" in body
            else "".join(message["content"] or "" for message in body["messages"])
        )
        sent_text += json.dumps(body["tools"]) if "tools" in body else ""
        estimate = ceil(len(sent_text) / CHARACTERS_PER_TOKEN) + int(body["max_tokens"])
        for workaround in self._workarounds:
            body = workaround(body)
        try:
            response = await connection.send(body, estimate)
        except RequestFailed as error:
            # only before the first completion: requests go one by one then, so each is tried once
            remedy = None if self.observed.method is not None else _workaround(body, error)
            if remedy is None:
                raise
            response = await connection.send(remedy(body), estimate)
            self._workarounds.append(remedy)
        self.observed.note_identity(response)
        return response

    def _read(self, read: Callable[[], _Read], method: str) -> _Read:
        try:
            return read()
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            cause = f"{type(error).__name__}: {error}"
        raise RequestFailed(
            f"the server's response cannot be read by method={method!r} ({cause}); "
            "it does not keep to OpenAI's protocol here, so try another method or target"
        )


def _workaround(body: Json, error: RequestFailed) -> Callable[[Json], Json] | None:
    """The change that may make the server accept a request that it refused; ``None``: none."""
    named = "max_completion_tokens" in str(error) and "max_tokens" in body
    if error.status not in (400, 422) or not named:
        return None
    # OpenAI's newer models know the setting by this name only, other servers by the old one
    return lambda refused: {
        "max_completion_tokens" if key == "max_tokens" else key: value
        for key, value in refused.items()
    }
