"""Exit statuses that several commands have, and what is said after Ctrl-C."""

from __future__ import annotations

EXIT_INTERRUPTED = 130
"""After Ctrl-C, as shells have it."""
INTERRUPTED = (
    "Interrupted. Ablations that were finished are stored, where the run has a folder or a store; "
    "before the first one there is nothing to store. The same command goes on from there."
)
"""What is said after Ctrl-C where whatever was interrupted says nothing itself."""
EXIT_BELOW = 4
"""Of a command whose explanation scores below ``--fail-under``, or does not show what it must."""


def said_of(interrupt: KeyboardInterrupt) -> list[str]:
    """What to print of an interrupt: what it says itself, or what holds of all commands."""
    lines = [str(interrupt), *getattr(interrupt, "__notes__", ())]
    return [line for line in lines if line] or [INTERRUPTED]
