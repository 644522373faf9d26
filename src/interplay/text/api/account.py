"""What requests to a server may cost and have cost, and where they go."""

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
        status: the server's answer, where there was one.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Spent:
    """What a game has asked of its server so far.

    Attributes:
        requests: attempts sent, failed ones and retries among them.
        tokens: as the server reported; estimated from the characters where it reported none and
            may have computed (a time-out, a broken answer). Refusals (4xx, 5xx) count nothing.
        retries: how many of the requests were repetitions.
        unlisted: how many answers' probabilities were not among those listed, and are upper bounds.
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
    """Where requests go, and how hard they are tried.

    Attributes:
        base_url: up to and with ``/v1``.
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
        """Whether the server is on this machine, where most ask for no key."""
        host = urlsplit(self.base_url).hostname or ""
        with suppress(ValueError):
            return ip_address(host).is_loopback
        return host == "localhost"


class Account:
    """Counts what is spent, and refuses what would pass a cap. For use by several threads.

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
        self._ratio, self._longest, self._most = 1.0, 1, 0

    def __reduce__(self) -> str:
        raise TypeError(
            "an ApiGame counts what it spends in one process, so it cannot be sent to another; "
            'use backend="local" and let concurrency keep its server busy'
        )

    @property
    def spent(self) -> Spent:
        """What was spent so far."""
        with self._lock:
            return Spent(self._requests, self._tokens, self._retries, self._unlisted)

    def admit(self, estimate: int, retry: bool) -> int | None:
        """Count one attempt that is about to be sent, and set its tokens aside.

        Args:
            estimate: its tokens, from its characters.
            retry: whether it repeats another.

        Returns:
            The tokens set aside, for :meth:`settle`; ``None``: come again once requests in flight
            have reported, since all of them together might pass the cap.

        Raises:
            RequestFailed: it would pass a cap.
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
        """An estimate that falls short for none of the requests that reported.

        The worst ratio so far; but for a prompt that is no longer than others, at most what the
        dearest took, since a fixed overhead makes the ratios of short prompts large.
        """
        need = estimate * self._ratio
        if self._most:
            need = min(need, self._most * max(1.0, estimate / self._longest))
        return ceil(need)

    def settle(self, reserved: int, estimate: int, tokens: int | None) -> None:
        """Book what an attempt came to: reported tokens, or ``None`` for the estimate."""
        with self._lock:
            self._reserved -= reserved
            self._tokens += reserved if tokens is None else tokens
            if tokens and estimate:
                self._ratio = max(self._ratio, tokens / estimate)
                self._longest = max(self._longest, estimate)
                self._most = max(self._most, tokens)

    def note_unlisted(self, count: int) -> None:
        """Count answers that were not listed."""
        with self._lock:
            self._unlisted += count


def _capped(request: str, cap: str) -> RequestFailed:
    return RequestFailed(
        f"the next request was not sent, since {request} would pass {cap}; make a game with a "
        "higher cap (with a store, what is evaluated already is not asked again), or lower the "
        "budget"
    )
