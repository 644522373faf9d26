"""What may be done because a file says so.

The options of a command come from the person who types it, and may do anything. Those of a recipe
come from whoever made its folder. They are data: they read nothing outside of the folder, contact
nobody and load no code, unless the person who verifies it allows that by options of her own.
"""

from __future__ import annotations

import os
import signal
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from interplay._types import parse, shown

LARGEST = 256 << 20
"""The most bytes of a file that a recipe names."""
MOST_FILES = 100_000
"""The most files of a folder that a recipe names."""
PATTERN_SECONDS = 10.0
"""So long a regular expression of a recipe may take."""
GAME_SECONDS = 900.0
"""So long it may take to make the game of a recipe, its model included."""
MOST_PARTS, MOST_UNITS = 1_000, 1 << 40
"""The most layers and the like of a recipe's model, and the largest other number of its kind."""
_PARTS = ("layer", "block", "expert", "stage", "depth", "labels")
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".gguf", ".onnx")
"""The endings of the files in a model's folder that may be larger."""


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
            ValueError: it lies outside of the folder, or is a link to itself.
        """
        try:
            resolved = (folder / path).resolve()
        except (OSError, RuntimeError) as error:
            raise ValueError(f"the run in {folder} names {path}: {error}") from error
        if not (self.anything or self.outside) and not resolved.is_relative_to(folder.resolve()):
            raise ValueError(
                f"the run in {folder} names {path}, which lies outside of that folder; look at "
                "it, and give --allow-outside if it may be read, or --sample 0 to do without"
            )
        return resolved

    def file(
        self, path: Path, folder: Path, *, largest: int | None = LARGEST, weights: bool = False
    ) -> Path:
        """The file or folder that a recipe names, checked to be one that can be read.

        Args:
            path: as in the recipe, relative to the folder.
            folder: the recipe's.
            largest: the most bytes of a file; ``None``: any number.
            weights: it is the folder of a model, whose weights may have any number of bytes.

        Raises:
            ValueError: it, or a file in that folder, lies outside of the recipe's folder (see
                :meth:`place`), is missing, is neither a regular file nor a folder, or is too large;
                or the folder has too many files.
        """
        resolved = self._readable(path, folder, largest)
        n_files = 0
        for parent, folders, files in os.walk(resolved):  # of a file there is nothing to walk
            n_files += len(folders) + len(files)
            if n_files > MOST_FILES:
                raise ValueError(
                    f"the run in {folder} names {path}, a folder of more than {MOST_FILES:,} "
                    "files; give --sample 0 to do without"
                )
            for name in (*folders, *files):
                is_weights = weights and Path(name).suffix in _WEIGHTS
                self._readable(Path(parent) / name, folder, None if is_weights else largest)
        return resolved

    def _readable(self, path: Path, folder: Path, largest: int | None) -> Path:
        """One file or folder, without what is in it."""
        resolved = self.place(path, folder)
        try:
            status = resolved.stat()
        except OSError as error:
            raise ValueError(
                f"the run in {folder} needs {path}, which is not there; put it back, or give "
                "--sample 0 to check the store and the spectrum only"
            ) from error
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise ValueError(
                f"the run in {folder} names {path}, which is neither a file nor a folder; "
                "give --sample 0 to do without"
            )
        if stat.S_ISREG(status.st_mode) and largest is not None and status.st_size > largest:
            raise ValueError(
                f"the run in {folder} names {path} of {status.st_size:,} bytes, above the "
                f"{largest:,} that are read; give --sample 0 to do without"
            )
        return resolved


UNTRUSTED = Trust()
"""Of options that come from a file."""
TYPED = Trust(anything=True)
"""Of options that a person typed."""


def check_model(folder: Path) -> None:
    """Refuse a model's folder whose configuration declares a size that no model has.

    The model is built, layer by layer, before its weights are read, which would show that it has no
    such layers.

    Raises:
        ValueError: so large a number, or no JSON.
    """
    path = folder / "config.json"
    if not path.is_file():
        return
    try:
        parts = [("", parse(path.read_bytes()))]
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    while parts:
        name, value = parts.pop()
        if isinstance(value, dict):
            parts += value.items()
        elif isinstance(value, list):
            parts += [(name, entry) for entry in value]
        elif isinstance(value, int | float) and not isinstance(value, bool):
            most = MOST_PARTS if any(part in name.lower() for part in _PARTS) else MOST_UNITS
            if abs(value) > most:
                raise ValueError(
                    f"{path}: {shown(name)} is {shown(value)}; at most {most:,} is expected"
                )


@contextmanager
def time_limit(seconds: float, message: str) -> Iterator[None]:
    """Raise a ValueError where something takes longer than it may.

    Python's regular expressions heed signals, so that one that would take for ever ends too. In
    another thread than the main one, and where there is no such signal, nothing is limited. Limits
    may be within each other.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGALRM"):
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise ValueError(message)

    started = time.monotonic()
    before = signal.signal(signal.SIGALRM, end)
    left, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left:  # of the limit around this one
            rest = max(left - (time.monotonic() - started), 1e-6)
            signal.setitimer(signal.ITIMER_REAL, rest)
