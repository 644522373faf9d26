"""What may be done because a file says so.

The options of a command come from the person who types it, and may do anything. Those of a recipe
come from whoever made its folder. They are data: they read nothing outside of the folder, contact
nobody and load no code, unless the person who verifies it allows that by options of her own.
"""

from __future__ import annotations

import signal
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

LARGEST = 256 << 20
"""The most bytes of a file that a recipe names."""
PATTERN_SECONDS = 10.0
"""So long a regular expression of a recipe may take."""


@dataclass(frozen=True)
class Trust:
    """What the options of a lens may do.

    Attributes:
        outside: read files outside of the recipe's folder.
        server: the address of the only server that may be contacted; ``None``: none.
        key_variable: the environment variable whose content is sent to that server as the key;
            ``None``: none is sent.
        download: look a model up on the model hub, if it is not on this machine.
        pickle: load weights from other files than safetensors. These can run code.
        anything: all of this, whatever the others say: of options that were typed.
    """

    outside: bool = False
    server: str | None = None
    key_variable: str | None = None
    download: bool = False
    pickle: bool = False
    anything: bool = False

    def check_server(self, address: str) -> None:
        """Refuse to contact a server that was not allowed.

        Raises:
            ValueError: it was not.
        """
        if self.anything or self.server == address:
            return
        allowed = "no server is allowed" if self.server is None else f"only {self.server} is"
        raise ValueError(
            f"the recipe wants to send prompts to {address}, but {allowed}; if you trust that "
            f"server, give --allow-server {address} (and --key-variable, if it needs a key), or "
            "--sample 0 to contact nobody"
        )

    def place(self, path: Path, folder: Path) -> Path:
        """Where a file is that a recipe names.

        Args:
            path: as in the recipe, relative to the folder.
            folder: the recipe's.

        Raises:
            ValueError: it lies outside of the folder.
        """
        resolved = (folder / path).resolve()
        if not (self.anything or self.outside) and not resolved.is_relative_to(folder.resolve()):
            raise ValueError(
                f"the recipe in {folder} names {path}, which lies outside of that folder; look at "
                "it, and give --allow-outside if it may be read, or --sample 0 to do without"
            )
        return resolved

    def file(self, path: Path, folder: Path) -> Path:
        """The file that a recipe names, checked to be one that can be read (see :meth:`place`).

        Raises:
            ValueError: it lies outside of the folder, is missing, is neither a regular file nor a
                folder, or is too large.
        """
        resolved = self.place(path, folder)
        try:
            status = resolved.stat()
        except OSError as error:
            raise ValueError(
                f"the recipe in {folder} needs {path}, which is not there; put it back, or give "
                "--sample 0 to check the store and the spectrum only"
            ) from error
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise ValueError(
                f"the recipe in {folder} names {path}, which is neither a file nor a folder; "
                "give --sample 0 to do without"
            )
        if stat.S_ISREG(status.st_mode) and status.st_size > LARGEST:
            raise ValueError(
                f"the recipe in {folder} names {path} of {status.st_size:,} bytes, above the "
                f"{LARGEST:,} that are read; give --sample 0 to do without"
            )
        return resolved


UNTRUSTED = Trust()
"""Of options that come from a file."""
TYPED = Trust(anything=True)
"""Of options that a person typed."""


@contextmanager
def time_limit(seconds: float, message: str) -> Iterator[None]:
    """Raise a ValueError where something takes longer than it may.

    Python's regular expressions heed signals, so that one that would take for ever ends too. In
    another thread than the main one, and where there is no such signal, nothing is limited.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGALRM"):
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise ValueError(message)

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
