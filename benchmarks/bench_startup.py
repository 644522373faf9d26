"""CPU time and memory before anything is computed: the help, the version, the import.

Each command runs in a process of its own, whose CPU time and largest resident size the system
reports. ``make bench-startup``.
"""

from __future__ import annotations

import os
import statistics
import sys

REPEATS = 5
INTERPLAY = (sys.executable, "-c", "from interplay.cli.app import main; main()")
COMMANDS = {
    "interplay --help": (*INTERPLAY, "--help"),
    "interplay text --help": (*INTERPLAY, "text", "--help"),
    "import interplay": (sys.executable, "-c", "import interplay"),
    "all its names": (
        *(sys.executable, "-c"),
        "import interplay as ip; [getattr(ip, name) for name in ip.__all__]",
    ),
}


def measured(command: tuple[str, ...]) -> tuple[float, float]:
    """CPU seconds and MB of a command, which must succeed."""
    child = os.fork()
    if child == 0:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.execv(command[0], command)
    _, status, used = os.wait4(child, 0)
    assert status == 0, command
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    print(f"{'':<24} {'CPU s':>6} {'MB':>5}   median of {REPEATS}")
    for name, command in COMMANDS.items():
        runs = [measured(command) for _ in range(REPEATS)]
        seconds, size = (statistics.median(column) for column in zip(*runs, strict=True))
        print(f"{name:<24} {seconds:6.2f} {size:5.0f}")


if __name__ == "__main__":
    main()
