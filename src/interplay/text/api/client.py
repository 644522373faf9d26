"""Requests to an OpenAI-compatible server: attempts, waits and retries. It knows no games.

The key is read from the environment where the connection is opened, and lives in that thread's
frames only. Responses are quoted with the key cut out. The client's own exceptions hold the request
with its headers, so they are turned into text here and never passed on.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.util import find_spec
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit, urlunsplit

from interplay._types import Json
from interplay.errors import MissingDependencyError
from interplay.text.api.account import Account, Endpoint, RequestFailed, public_address
from interplay.text.api.bounded import PLAIN, TooLongError, limit

LONGEST_WAIT = 300.0
"""Seconds: a server that asks for a longer pause than this ends the call."""
_FIRST_WAIT = 0.5
_LONGEST_BACKOFF = 30.0
_POLL = 0.02
_PLACEHOLDER_KEY = "none"
_MOST_TOKENS = 1e15
_RETRIED = (408, 409, 429)
"""Statuses that are retried, besides all from 500 on."""


@dataclass(frozen=True)
class _Attempt:
    """The result of one attempt: a payload, or a problem.

    Attributes:
        payload: the response, with at least one choice.
        problem: what went wrong otherwise.
        status: the HTTP status, if there was one.
        retry: whether another attempt may help.
        retry_after: seconds that the server asks to wait.
        tokens: as reported; ``None`` if the server may have computed but reported none.
    """

    payload: Json | None = None
    problem: str = ""
    status: int | None = None
    retry: bool = True
    retry_after: float | None = None
    tokens: int | None = None


@dataclass
class Connection:
    """An open client, for one call of a game."""

    client: Any = field(repr=False)
    endpoint: Endpoint
    account: Account
    secrets: tuple[str, ...] = field(repr=False)
    _not_before: float = 0.0

    async def send(self, body: Json, estimate: int) -> Json:
        """Send a request, and retry it until there is a response, at most ``retries`` times.

        Args:
            body: the arguments of the client's ``create``.
            estimate: its tokens, about.

        Returns:
            The response as JSON, with at least one choice.

        Raises:
            RequestFailed: refused, capped, or still failing after the last attempt.
        """
        for number in range(self.endpoint.retries + 1):
            await self._wait_for_turn()
            while (reserved := self.account.admit(estimate, number > 0)) is None:
                await asyncio.sleep(_POLL)
            result = _Attempt()
            try:
                result = await self._attempt(body)
            finally:  # also when the call is cancelled
                self.account.settle(reserved, estimate, result.tokens)
            if result.payload is not None:
                return result.payload
            if not result.retry:
                break
            if result.retry_after is not None and result.retry_after > LONGEST_WAIT:
                raise RequestFailed(
                    f"{result.problem}, and asks to wait {result.retry_after:.0f} s, above the "
                    f"longest wait of {LONGEST_WAIT:.0f} s; run again after that time",
                    result.status,
                )
            if number < self.endpoint.retries:
                await self._back_off(number, result.retry_after)
        attempts = f" ({number + 1} attempts)" if number else ""
        raise RequestFailed(result.problem + attempts, result.status)

    async def _wait_for_turn(self) -> None:
        while (seconds := self._not_before - time.monotonic()) > 0:
            await asyncio.sleep(seconds)

    async def _back_off(self, number: int, retry_after: float | None) -> None:
        if retry_after is not None:
            # holds for all requests of the call
            self._not_before = max(self._not_before, time.monotonic() + retry_after)
        longest = min(_LONGEST_BACKOFF, _FIRST_WAIT * 2.0**number)
        await asyncio.sleep(longest * random.uniform(0.5, 1.0))

    async def _attempt(self, body: Json) -> _Attempt:
        import openai

        where = self.endpoint.address
        completions = (
            self.client.chat.completions if self.endpoint.chat else self.client.completions
        )
        try:
            async with asyncio.timeout(self.endpoint.timeout):
                raw = await completions.with_raw_response.create(**body)
                text = raw.http_response.text
        except (TimeoutError, openai.APITimeoutError):
            return _Attempt(
                problem=f"the server {where} did not answer within timeout="
                f"{self.endpoint.timeout:g} s; raise timeout, or lower concurrency"
            )
        except openai.APIStatusError as error:
            return self._refused(error.status_code, error.response.text, error.response.headers)
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            if isinstance(cause, TooLongError):
                return _Attempt(problem=f"the server {where}: {cause}", retry=False)
            return _Attempt(
                problem=f"the connection to the server {where} failed: {type(cause).__name__}: "
                f"{self.clean(str(cause))}; check base_url, and that the server runs"
            )
        try:
            payload = json.loads(text)
        except ValueError:
            return _Attempt(
                problem=f"the server {where} answered something that is not JSON, or only part of "
                f"it: {self.clean(text)!r}"
            )
        choices = payload.get("choices") if isinstance(payload, dict) else None
        tokens = _reported_tokens(payload)
        if not (isinstance(choices, list) and choices and isinstance(choices[0], dict)):
            problem = f"the server {where} answered without choices: {self.clean(text)!r}"
            return _Attempt(problem=problem, tokens=tokens)
        return _Attempt(payload=payload, tokens=tokens)

    def _refused(self, status: int, text: str, headers: Mapping[str, str]) -> _Attempt:
        """The result of an attempt with a status from 300 on."""
        where, variable = self.endpoint.address, self.endpoint.key_variable
        problem = f"the server {where} answered {status}"
        if status in (401, 403):
            # not quoted: such responses tend to repeat a part of the key
            complaint = (
                "does not accept the key that was read from"
                if self.secrets
                else "asks for a key in"
            )
            problem += (
                f": it {complaint} the environment variable {variable}; set that to a key for this "
                "server and model"
            )
        else:
            problem += f": {self.clean(_message(text))}"
        if 300 <= status < 400:
            target = public_address(str(headers.get("location", "nowhere")))
            problem += (
                f"; it points to {target}, which is not followed: give base_url for that server, "
                "if you trust it"
            )
        if status == 404:
            problem += "; check the model's name, and that base_url ends as it should, often in /v1"
        retry = (status in _RETRIED or status >= 500) and "insufficient_quota" not in text
        return _Attempt(None, problem, status, retry, _retry_after(headers), tokens=0)

    def clean(self, text: str, length: int = 200) -> str:
        """A text from outside, shortened, with the key cut out."""
        for secret in self.secrets:
            text = text.replace(secret, "[key]")
        return text if len(text) <= length else text[:length] + "..."


@asynccontextmanager
async def connect(endpoint: Endpoint, account: Account) -> AsyncIterator[Connection]:
    """Open a client with the key that is in the environment now, and close it in the end.

    Raises:
        RequestFailed: the environment has no key, or one that cannot be sent.
    """
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient

    parts = urlsplit(endpoint.base_url)
    # a redirect would send prompts and the key to somebody else; the environment's proxies are for
    # other machines, and would see what is sent to loopback
    http = DefaultAsyncHttpxClient(
        follow_redirects=False,
        trust_env=not endpoint.loopback,
        event_hooks={"response": [limit]},
    )
    password = unquote(parts.password or "")
    secrets = (_key(endpoint), password)
    client = AsyncOpenAI(
        api_key=secrets[0],
        base_url=urlunsplit((*parts[:3], "", "")),
        default_query=dict(parse_qsl(parts.query)),
        default_headers=PLAIN,
        max_retries=0,  # Connection.send retries instead, and counts every attempt
        timeout=endpoint.timeout,
        http_client=http,
    )
    forms = {
        form
        for secret in secrets
        if secret and secret != _PLACEHOLDER_KEY
        for form in (secret, json.dumps(secret)[1:-1], quote(secret, safe=""))
    }
    if password:  # as it is in the header of basic authentication
        pair = f"{unquote(parts.username or '')}:{password}".encode()
        forms.add(base64.b64encode(pair).decode())
    try:
        yield Connection(client, endpoint, account, tuple(sorted(forms, key=len, reverse=True)))
    finally:
        await client.close()


def _key(endpoint: Endpoint) -> str:
    key = os.environ.get(endpoint.key_variable, "").strip()
    if not key:
        if endpoint.loopback:
            return _PLACEHOLDER_KEY
        raise RequestFailed(
            f"the environment variable {endpoint.key_variable} is not set; set it to the key for "
            f"{endpoint.address}, or name another with key_variable"
        )
    if not re.fullmatch(r"[!-~]+", key):
        raise RequestFailed(
            f"the environment variable {endpoint.key_variable} holds white space or characters "
            "outside of ASCII, which no key has; set it again"
        )
    return key


def require_openai(purpose: str) -> None:
    """Raise a MissingDependencyError if the client is not installed."""
    if find_spec("openai") is None:
        raise MissingDependencyError("openai", "api", purpose)


def run_in_thread(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine to its end in a separate thread, as the caller may be inside an event loop.

    An interrupt of the caller cancels the coroutine, waits for it, and is raised again.
    """
    finished = threading.Event()
    cancel: list[Callable[[], object]] = []
    failed: list[BaseException] = []

    async def watched() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(main())
        cancel.append(lambda: loop.call_soon_threadsafe(task.cancel))
        await task

    def run() -> None:
        try:
            asyncio.run(watched())
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            failed.append(error)
        finally:
            finished.set()

    thread = threading.Thread(target=run, name="interplay-api", daemon=True)
    thread.start()
    try:
        while not finished.wait(0.2):  # in slices: on Windows an endless wait ignores interrupts
            pass
    except BaseException:
        while not finished.wait(0.01):
            if cancel:
                with suppress(RuntimeError):  # its loop is closed already
                    cancel.pop()()
        thread.join()
        raise
    thread.join()
    if failed:
        raise failed[0]


def _reported_tokens(payload: object) -> int | None:
    usage = payload.get("usage") if isinstance(payload, dict) else None
    total = usage.get("total_tokens") if isinstance(usage, dict) else None
    if isinstance(total, int | float) and 0 <= total <= _MOST_TOKENS:
        return int(total)
    return None


def _message(text: str) -> str:
    """The message in an error's body, in the forms that servers use."""
    try:
        message = json.loads(text)
    except ValueError:
        return text.strip() or "nothing further"
    for key in ("error", "message", "detail"):
        if isinstance(message, dict) and message.get(key):
            message = message[key]
    return message if isinstance(message, str) else json.dumps(message)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait: a number, or a date."""
    with suppress(KeyError, ValueError):
        return max(0.0, float(headers["retry-after-ms"]) / 1000)
    value = headers.get("retry-after")
    if value is None:
        return None
    with suppress(ValueError):
        return max(0.0, float(value))
    with suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    return None
