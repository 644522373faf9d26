"""Ctrl-C: the first ends a run after the blocks in flight, the second stops it at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType

from interplay.ablation.progress import say


class Stop:
    """Whether the user has requested a stop."""

    requested = False


_given: ContextVar[Stop | None] = ContextVar("stop", default=None)
"""What ends the runs of this thread in the place of Ctrl-C, which reaches the main thread only."""


@contextmanager
def stopped_by(stop: Stop | None) -> Iterator[None]:
    """Let another thread end the runs of this one: as by a first Ctrl-C, once it is requested.

    Args:
        stop: what the other thread sets; ``None``: nothing ends them.
    """
    before = _given.set(stop)
    try:
        yield
    finally:
        _given.reset(before)


@contextmanager
def interruptible() -> Iterator[Stop]:
    """Turn the first Ctrl-C into a request to stop. The second one interrupts as usual."""
    given = _given.get()
    if given is not None:
        yield given
        return
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # signals reach the main thread only
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        stop.requested = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        say("Interrupted: ending after the ablations in flight. Ctrl-C again stops at once.")

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
