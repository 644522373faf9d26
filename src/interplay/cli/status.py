"""Exit statuses that several commands have."""

EXIT_INTERRUPTED = 130
"""After Ctrl-C, as shells have it."""
EXIT_BELOW = 4
"""Of a command whose explanation scores below ``--fail-under``, or does not show what it must."""
