"""Running the command line: in this process, as nearly all tests do, and in one of its own."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from unittest.mock import patch

from interplay.cli.app import main
from interplay.cli.tables import console

WIDTH = "160"
"""Columns of the terminal."""
LONG = 600.0
"""Seconds after which a process is taken for hung; none needs a tenth of it."""


def run(*arguments: object, code: int = 0) -> str:
    """What ``interplay ARGUMENTS`` prints, stdout before stderr, by calling its entry point here.

    An exception that the entry point lets through, which a process would print as a traceback,
    fails the test.
    """
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    status: object = 0
    with (
        patch.dict(os.environ, COLUMNS=WIDTH),
        # a console keeps the width that it had when it was made, in whatever process that was
        patch.object(console, "_width", int(WIDTH)),
        patch.object(sys, "argv", ["interplay", *map(str, arguments)]),
        patch.object(sys.modules["__main__"], "__package__", None),  # a script's, not pytest's
        redirect_stdout(out),
        redirect_stderr(err),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("default")  # as in a process; pytest makes errors of them
        try:
            main()
        except SystemExit as end:
            status = end.code or 0
    said = [stream.buffer.getvalue().decode("utf-8") for stream in (out, err)]  # type: ignore[attr-defined]
    assert status == code, said[1]
    return "".join(said)


def run_process(*arguments: object, code: int = 0) -> str:
    """The same in a process of its own, which must not print a traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "interplay.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": WIDTH},
        timeout=LONG,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr
