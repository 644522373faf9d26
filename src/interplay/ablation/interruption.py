"""Ctrl-C: the first ends a run after the blocks in flight, the second stops it at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from interplay.ablation.progress import say


class Stop:
    """Whether the user has requested a stop."""

    requested = False


@contextmanager
def interruptible() -> Iterator[Stop]:
    """Turn the first Ctrl-C into a request to stop. The second one interrupts as usual."""
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
