"""Limits on what a server sends, checked while it is read: a response may have no end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

MOST_BYTES = 64 << 20
"""The most bytes of a response."""
PLAIN = {"Accept-Encoding": "identity"}
"""Asks for responses that are not compressed: a few bytes of others can become any number."""


class TooLongError(ValueError):
    """A response that is not read to its end."""


async def limit(response: Any) -> None:
    """Make httpx refuse a response that is compressed or too long, where it is received.

    Raises:
        TooLongError: it is compressed. Reading it raises the same where it is too long.
    """
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise TooLongError("its response is compressed, though that was not asked for")
    inner = response.stream

    async def chunks(stream: object) -> AsyncIterator[bytes]:
        n_bytes = 0
        async for chunk in inner:
            n_bytes += len(chunk)
            if n_bytes > MOST_BYTES:
                raise TooLongError(f"its response has more than {MOST_BYTES:,} bytes")
            yield chunk

    async def close(stream: object) -> None:
        await inner.aclose()

    # which package of HTTP the client has depends on its version; a stream must be of its class
    kind = next(kind for kind in type(inner).__mro__ if kind.__name__ == "AsyncByteStream")
    response.stream = type("Bounded", (kind,), {"__aiter__": chunks, "aclose": close})()
