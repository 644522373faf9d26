"""Requests about one prompt, by any method, and what they teach about the server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import TypeAlias, TypeVar

from interplay._types import Json
from interplay.text.api import methods
from interplay.text.api.account import RequestFailed
from interplay.text.api.client import Connection
from interplay.text.api.methods import Reading

CHARACTERS_PER_TOKEN = 4
"""About, in English. The tokens that servers report correct the estimates for the caps, but not the
costs in a run plan."""
_Read = TypeVar("_Read")


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

    @property
    def n_requests(self) -> int:
        """Requests per prompt."""
        return len(self.answers) if self.method in ("echo", "prompt_logprobs") else 1

    @property
    def answer_tokens(self) -> float:
        """Tokens of all answers to one prompt, about."""
        if self.method == "generate":
            return self.max_tokens
        if self.method == "top_logprobs":
            return 1.0
        return sum(map(len, self.answers)) / CHARACTERS_PER_TOKEN


@dataclass(frozen=True)
class Completion:
    """What the server's responses say about one prompt.

    Attributes:
        text: the generated text, for the method ``generate``.
        readings: one for each answer, for the other methods.
    """

    text: str = ""
    readings: tuple[Reading, ...] = ()


Identity: TypeAlias = tuple[str | None, str | None]
"""The model's name and its system fingerprint."""
_LONGEST_NAME = 200


class Requester:
    """Sends the same kind of request for one prompt after another.

    Attributes:
        verified: whether the server has returned what is needed for some prompt.
        tokens: the answer's tokens, if they must always be the same and are known.
        identities: the model's name and system fingerprint, as the server gave them with its
            responses, in the order in which they first came.
    """

    def __init__(self, settings: RequestSettings) -> None:
        self.settings = settings
        self.verified = False
        self.tokens: tuple[str, ...] = ()
        self.identities: dict[Identity, None] = {}
        self._workarounds: list[Callable[[Json], Json]] = []

    async def request(self, connection: Connection, prompt: str) -> Completion:
        """Request one prompt's completion: one request, or one per answer, one after the other.

        Raises:
            RequestFailed: a request failed for good, or the server does not give what is needed.
        """
        settings = self.settings
        if settings.method == "generate":
            body = methods.generate_body(settings.model, prompt, settings.max_tokens, settings.chat)
            choice = await self._send(connection, body)
            text = self._read(lambda: methods.read_generated(choice, settings.chat))
            completion = Completion(text=text)
        elif settings.method == "top_logprobs":
            body = methods.next_token_body(
                settings.model, prompt, settings.top_logprobs, settings.chat
            )
            choice = await self._send(connection, body)
            readings = self._read(
                lambda: methods.read_next_token(choice, settings.answers, settings.chat)
            )
            unlisted = [reading.tokens[0] for reading in readings if reading.unlisted]
            connection.account.note_unlisted(len(unlisted))
            if unlisted and not settings.allow_bounds:
                raise RequestFailed(
                    f"the answer {unlisted[0]!r} is not among the {settings.top_logprobs} "
                    "likeliest tokens that the server lists, so only an upper bound of its "
                    "probability is known (an answer of several tokens is never listed); give "
                    "likelier answers or a higher top_logprobs, use method='echo' if the server "
                    "can, or take the bound for the value with allow_bounds=True"
                )
            completion = Completion(readings=tuple(readings))
        else:
            readings = [await self._request_answer(connection, prompt, a) for a in settings.answers]
            completion = Completion(readings=tuple(readings))
        self.verified = True
        return completion

    async def _request_answer(self, connection: Connection, prompt: str, answer: str) -> Reading:
        echo = self.settings.method == "echo"
        make = methods.echo_body if echo else methods.prompt_logprobs_body
        read = methods.read_echo if echo else methods.read_prompt_logprobs
        choice = await self._send(connection, make(self.settings.model, prompt, answer))
        reading = self._read(lambda: read(choice, prompt, answer))
        if self.settings.single_token and len(reading.tokens) != 1:
            raise RequestFailed(
                f"the answer {answer!r} is {len(reading.tokens)} tokens, but a logit difference "
                "needs answers of one token (often with a leading space); use Options for longer"
            )
        if self.settings.same_tokens:
            self.tokens = self.tokens or reading.tokens
            if reading.tokens != self.tokens:
                raise RequestFailed(
                    f"the server cuts the answer {answer!r} into {list(reading.tokens)!r} here and "
                    f"into {list(self.tokens)!r} before; use score='logprob', one number for all"
                )
        return reading

    async def _send(self, connection: Connection, body: Json) -> Json:
        """Send a request in the form that this server needs, and return the first choice."""
        sent_text = (
            body["prompt"]
            if "prompt" in body
            else "".join(message["content"] or "" for message in body["messages"])
        )
        estimate = ceil(len(sent_text) / CHARACTERS_PER_TOKEN) + int(body["max_tokens"])
        for workaround in self._workarounds:
            body = workaround(body)
        try:
            response = await connection.send(body, estimate)
        except RequestFailed as error:
            # only before the first completion: requests go one by one then, so each is tried once
            remedy = None if self.verified else _workaround(body, error)
            if remedy is None:
                raise
            response = await connection.send(remedy(body), estimate)
            self._workarounds.append(remedy)
        self.identities.setdefault(
            (_named(response, "model"), _named(response, "system_fingerprint"))
        )
        choice: Json = response["choices"][0]
        return choice

    def _read(self, read: Callable[[], _Read]) -> _Read:
        try:
            return read()
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            cause = f"{type(error).__name__}: {error}"
        raise RequestFailed(
            f"the server's response cannot be read by method={self.settings.method!r} ({cause}); "
            "it does not keep to OpenAI's protocol here, so try another method or target"
        )


def _named(response: Json, key: str) -> str | None:
    """A short text of a response; ``None`` if there is none."""
    value = response.get(key)
    return value[:_LONGEST_NAME] if isinstance(value, str) else None


def _workaround(body: Json, error: RequestFailed) -> Callable[[Json], Json] | None:
    """The change that may make the server accept a request that it refused; ``None``: none."""
    if error.status not in (400, 422):
        return None
    if "max_completion_tokens" in str(error) and "max_tokens" in body:
        # OpenAI's newer models know the setting by this name only, other servers by the old one
        return lambda refused: {
            "max_completion_tokens" if key == "max_tokens" else key: value
            for key, value in refused.items()
        }
    if body.get("max_tokens") == 0:
        # some servers must generate something
        return lambda refused: refused | {"max_tokens": 1}
    return None
