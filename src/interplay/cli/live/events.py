"""What browsers are told while they watch: server-sent events.

Events are published by the thread that evaluates, and read by coroutines of the server's thread.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from interplay._types import Json, plain

_KEPT = 500
"""The last events that a browser which reconnects may still be given."""
_BEAT_SECONDS = 10.0
"""So often something is sent at least: what finds out that a browser has gone."""


class Events:
    """A log of events, followed by any number of browsers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._log: deque[tuple[int, str]] = deque(maxlen=_KEPT)
        self._last = 0
        self._wakers: set[Callable[[], None]] = set()
        self._ended = False

    def publish(self, kind: str, facts: Json) -> None:
        """Add an event, from any thread.

        Args:
            kind: its name, by which the page's script listens for it.
            facts: what it says, as JSON; NaN and infinities are told as null.
        """
        data = json.dumps(plain(facts), allow_nan=False)
        with self._lock:
            self._last += 1
            self._log.append((self._last, f"id: {self._last}\nevent: {kind}\ndata: {data}\n\n"))
            wakers = tuple(self._wakers)
        for wake in wakers:
            wake()

    def end(self) -> None:
        """End all streams: the server is about to stop."""
        self._ended = True
        for wake in tuple(self._wakers):
            wake()

    async def stream(self, first: Callable[[], Json], after: int | None) -> AsyncIterator[str]:
        """The events for one browser, as the body of its response.

        Args:
            first: gives the state of things, which is sent as the event ``state`` at the beginning.
            after: the last event that the browser has, where it reconnects; ``None``: it is new.
        """
        loop, woken = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop has ended: the thread that tells must not
                loop.call_soon_threadsafe(woken.set)

        with self._lock:
            seen = self._last if after is None else min(after, self._last)
            self._wakers.add(wake)
        try:
            yield f"event: state\ndata: {json.dumps(plain(first()), allow_nan=False)}\n\n"
            while not self._ended:
                woken.clear()
                with self._lock:
                    new = [entry for entry in self._log if entry[0] > seen]
                for number, text in new:
                    seen = number
                    yield text
                if not new:
                    try:
                        await asyncio.wait_for(woken.wait(), _BEAT_SECONDS)
                    except TimeoutError:
                        yield ": still here\n\n"
        finally:
            with self._lock:
                self._wakers.discard(wake)
