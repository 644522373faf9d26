"""Asking a server about one prompt, by any method, and what is learnt of the server by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import TypeVar

from interplay._types import Json
from interplay.text.api import methods
from interplay.text.api.account import RequestFailed
from interplay.text.api.client import Connection
from interplay.text.api.methods import Reading

CHARACTERS_PER_TOKEN = 4
"""About, in English; what servers report corrects the caps' reckoning, not the plan's cost."""
_Read = TypeVar("_Read")


@dataclass(frozen=True)
class Question:
    """What is asked about every prompt.

    Attributes:
        model: the name by which the server knows the model.
        method: one of :data:`interplay.text.api.methods.METHODS`.
        answers: whose log-probabilities are needed.
        chat: whether the endpoint is chat completions; prompts are then messages as JSON.
        top_logprobs: how many likeliest tokens to ask for.
        length: tokens to generate.
        single: each answer must be one token.
        alike: the answer's tokens must be the same after every prompt.
    """

    model: str
    method: str
    answers: tuple[str, ...]
    chat: bool
    top_logprobs: int
    length: int
    single: bool
    alike: bool

    @property
    def n_requests(self) -> int:
        """Requests per prompt."""
        return len(self.answers) if self.method in ("echo", "prompt_logprobs") else 1

    @property
    def answer_tokens(self) -> float:
        """Tokens of all answers to one prompt, about."""
        if self.method == "generate":
            return self.length
        if self.method == "top_logprobs":
            return 1.0
        return sum(map(len, self.answers)) / CHARACTERS_PER_TOKEN


@dataclass(frozen=True)
class Heard:
    """What the server said to one prompt.

    Attributes:
        text: what it generated, for the method ``generate``.
        readings: of each of the answers, for the others.
    """

    text: str = ""
    readings: tuple[Reading, ...] = ()


class Asker:
    """Asks one question about one prompt after another.

    Attributes:
        proved: whether the server has answered a prompt as it should.
        tokens: the answer's tokens, where they must be alike, once they are known.
    """

    def __init__(self, question: Question) -> None:
        self.question = question
        self.proved = False
        self.tokens: tuple[str, ...] = ()
        self._changes: list[Callable[[Json], Json]] = []

    async def ask(self, connection: Connection, prompt: str) -> Heard:
        """One prompt's answer, from one request, or one per answer, one after the other.

        Raises:
            RequestFailed: a request failed for good, or the server does not give what is needed.
        """
        question = self.question
        if question.method == "generate":
            body = methods.generate_body(question.model, prompt, question.length, question.chat)
            choice = await self._send(connection, body)
            text = self._read(lambda: methods.read_generated(choice, question.chat))
            heard = Heard(text=text)
        elif question.method == "top_logprobs":
            body = methods.next_token_body(
                question.model, prompt, question.top_logprobs, question.chat
            )
            choice = await self._send(connection, body)
            readings = self._read(
                lambda: methods.read_next_token(choice, question.answers, question.chat)
            )
            connection.account.note_unlisted(sum(reading.unlisted for reading in readings))
            heard = Heard(readings=tuple(readings))
        else:
            each = [await self._ask_answer(connection, prompt, a) for a in question.answers]
            heard = Heard(readings=tuple(each))
        self.proved = True
        return heard

    async def _ask_answer(self, connection: Connection, prompt: str, answer: str) -> Reading:
        echo = self.question.method == "echo"
        make = methods.echo_body if echo else methods.prompt_logprobs_body
        read = methods.read_echo if echo else methods.read_prompt_logprobs
        choice = await self._send(connection, make(self.question.model, prompt, answer))
        reading = self._read(lambda: read(choice, prompt, answer))
        if self.question.single and len(reading.tokens) != 1:
            raise RequestFailed(
                f"the answer {answer!r} is {len(reading.tokens)} tokens, but a logit difference "
                "needs answers of one token (often with a leading space); use Options for longer"
            )
        if self.question.alike:
            self.tokens = self.tokens or reading.tokens
            if reading.tokens != self.tokens:
                raise RequestFailed(
                    f"the server cuts the answer {answer!r} into {list(reading.tokens)!r} here and "
                    f"into {list(self.tokens)!r} before; use score='logprob', one number for all"
                )
        return reading

    async def _send(self, connection: Connection, body: Json) -> Json:
        """The first choice of the answer, after the changes that this server needs."""
        said = (
            body["prompt"]
            if "prompt" in body
            else "".join(m["content"] or "" for m in body["messages"])
        )
        estimate = ceil(len(said) / CHARACTERS_PER_TOKEN) + int(body["max_tokens"])
        for change in self._changes:
            body = change(body)
        try:
            answer = await connection.send(body, estimate)
        except RequestFailed as error:
            # only before the first answer, while requests go one by one: each change is tried once
            remedy = None if self.proved else _change(body, error)
            if remedy is None:
                raise
            answer = await connection.send(remedy(body), estimate)
            self._changes.append(remedy)
        choice: Json = answer["choices"][0]
        return choice

    def _read(self, read: Callable[[], _Read]) -> _Read:
        try:
            return read()
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            what = f"{type(error).__name__}: {error}"
        raise RequestFailed(
            f"the server's answer cannot be read by method={self.question.method!r} ({what}); it "
            "does not keep to OpenAI's protocol here, so try another method or target"
        )


def _change(body: Json, error: RequestFailed) -> Callable[[Json], Json] | None:
    """What to change in requests that a server refused as they are."""
    if error.status not in (400, 422):
        return None
    if "max_completion_tokens" in str(error) and "max_tokens" in body:
        # OpenAI's newer models know the setting by this name only, other servers by the old one
        return lambda asked: {
            "max_completion_tokens" if key == "max_tokens" else key: value
            for key, value in asked.items()
        }
    if body.get("max_tokens") == 0:
        # some servers must generate something
        return lambda asked: asked | {"max_tokens": 1}
    return None
