"""Where requests to a server go, what they have cost, and what they may cost."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from math import ceil
from urllib.parse import urlsplit, urlunsplit

OPENAI_URL = "https://api.openai.com/v1"


class RequestFailed(Exception):  # noqa: N818 - the word for it
    """A request failed for good. The message says why and what to do, and never holds the key.

    Attributes:
        status: the HTTP status, if the server sent one.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Usage:
    """What a game has used of its server so far.

    Attributes:
        requests: attempts sent, including failed ones and retries.
        tokens: as the server reported. If it reported none and may have computed (a time-out, a
            broken response), they are estimated from the characters. Refusals (4xx, 5xx) count
            nothing.
        retries: how many of the requests were retries.
        unlisted: how many probabilities of answers were not among those listed; they are upper
            bounds.
    """

    requests: int = 0
    tokens: int = 0
    retries: int = 0
    unlisted: int = 0


def public_address(base_url: str) -> str:
    """A URL without user, password and query."""
    parts = urlsplit(base_url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))


@dataclass(frozen=True)
class Endpoint:
    """Where requests go, and the limits of concurrency, time and retries.

    Attributes:
        base_url: the server's URL, up to and with ``/v1``.
        key_variable: the environment variable that holds the key.
        chat: chat completions, or plain completions.
        concurrency: the most requests in flight.
        timeout: seconds for one attempt, from the first byte sent to the last one read.
        retries: attempts after the first.
    """

    base_url: str = field(repr=False)
    key_variable: str
    chat: bool
    concurrency: int
    timeout: float
    retries: int

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                f"base_url={self.address!r} is no http address; give one such as "
                "http://127.0.0.1:8000/v1"
            )
        for name, value, least in (
            ("concurrency", self.concurrency, 1),
            ("retries", self.retries, 0),
        ):
            if value < least:
                raise ValueError(f"{name}={value} is below {least}; give at least {least}")
        if not self.timeout > 0:
            raise ValueError(f"timeout={self.timeout} is not above 0; give seconds")

    @property
    def address(self) -> str:
        """The base URL without user, password and query: what may be shown."""
        return public_address(self.base_url)

    @property
    def loopback(self) -> bool:
        """Whether the server is on this machine. Most such servers require no key."""
        host = urlsplit(self.base_url).hostname or ""
        with suppress(ValueError):
            return ip_address(host).is_loopback
        return host == "localhost"


class Account:
    """Counts requests and tokens, and refuses those that would pass a cap. Thread-safe.

    Args:
        max_requests: the most attempts; ``None``: no cap.
        max_tokens: the most tokens, likewise.
    """

    def __init__(self, max_requests: int | None, max_tokens: int | None) -> None:
        for name, cap in (("max_requests", max_requests), ("max_tokens", max_tokens)):
            if cap is not None and cap < 1:
                raise ValueError(f"{name}={cap} is below 1; give at least 1, or None for no cap")
        self.max_requests = max_requests
        self.max_tokens = max_tokens
        self._lock = threading.Lock()
        self._requests = self._tokens = self._retries = self._unlisted = self._reserved = 0
        self._ratio, self._longest_estimate, self._most_tokens = 1.0, 1, 0

    def __reduce__(self) -> str:
        raise TypeError(
            "an ApiGame counts its usage in one process, so it cannot be sent to another; "
            'use backend="local" and let concurrency keep its server busy'
        )

    @property
    def usage(self) -> Usage:
        """The requests and tokens so far."""
        with self._lock:
            return Usage(self._requests, self._tokens, self._retries, self._unlisted)

    def admit(self, estimate: int, retry: bool) -> int | None:
        """Count an attempt that is about to be sent, and reserve its tokens.

        Args:
            estimate: its tokens, from its characters.
            retry: whether it is a retry.

        Returns:
            The reserved tokens, for :meth:`settle`. ``None``: the attempt and the requests in
            flight might pass the cap together; call again once those have reported.

        Raises:
            RequestFailed: the attempt would pass a cap.
        """
        with self._lock:
            need = self._corrected(estimate)
            if self.max_requests is not None and self._requests >= self.max_requests:
                raise _capped("it", f"max_requests={self.max_requests}")
            if self.max_tokens is not None:
                if self._tokens + need > self.max_tokens:
                    raise _capped(f"it (about {need} tokens)", f"max_tokens={self.max_tokens}")
                if self._tokens + self._reserved + need > self.max_tokens:
                    return None
            self._requests += 1
            self._retries += retry
            self._reserved += need
            return need

    def _corrected(self, estimate: int) -> int:
        """An estimate that would have been enough for every request so far.

        It is the estimate times the largest ratio of reported to estimated tokens. A fixed overhead
        makes the ratios of short prompts large. The result is therefore at most what the dearest
        request took, in proportion for a prompt longer than all before.
        """
        need = estimate * self._ratio
        if self._most_tokens:
            need = min(need, self._most_tokens * max(1.0, estimate / self._longest_estimate))
        return ceil(need)

    def settle(self, reserved: int, estimate: int, tokens: int | None) -> None:
        """Replace the reserved tokens by those reported; ``None``: keep the reserved number."""
        with self._lock:
            self._reserved -= reserved
            self._tokens += reserved if tokens is None else tokens
            if tokens and estimate:
                self._ratio = max(self._ratio, tokens / estimate)
                self._longest_estimate = max(self._longest_estimate, estimate)
                self._most_tokens = max(self._most_tokens, tokens)

    def note_unlisted(self, count: int) -> None:
        """Count answers whose probabilities were not listed."""
        with self._lock:
            self._unlisted += count


def _capped(request: str, cap: str) -> RequestFailed:
    return RequestFailed(
        f"the next request was not sent, since {request} would pass {cap}; make a game with a "
        "higher cap (what is in a store is not evaluated again), or lower the budget"
    )
