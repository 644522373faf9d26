"""The manifest of a run's folder: the hash of each of its files but the store.

``manifest.sha256`` has the format of the command ``sha256sum``, so that ``sha256sum -c`` checks it
too. The hash of the manifest itself is the *audit hash* of the run: whoever knows it knows every
byte that the manifest covers. The store is not covered; what counts of it, the masks and values, is
hashed in the explanation.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from interplay._types import plain
from interplay.audit.checks import NOT_CHECKED, Check, checked, texts, unchecked
from interplay.audit.result import DOCUMENT
from interplay.audit.sets import PROMPTS
from interplay.cli.options import STORE
from interplay.cli.trust import UNTRUSTED, Trust

MANIFEST = "manifest.sha256"
SIGNATURE = f"{MANIFEST}.sig"
INPUTS = "inputs"
"""The folder of the copies of the input files."""
_NOT_COVERED = (
    *(MANIFEST, SIGNATURE, STORE),
    *(f"{STORE}-{part}" for part in ("wal", "shm", "journal")),
)
_LARGEST = 1 << 20
_LARGEST_COVERED = 1 << 31
"""The most bytes of a file that a manifest covers, as of an explanation."""
_LINE = re.compile(r"(\\?)([0-9a-f]{64})  (.+)", re.DOTALL)


@dataclass(frozen=True)
class Manifest:
    """The hashes of a folder's files.

    Attributes:
        hashes: SHA-256 in hexadecimal digits, by the path from the folder.
    """

    hashes: dict[str, str]

    @property
    def content(self) -> bytes:
        """The manifest as its file holds it: a line for each file, ascending by its path."""
        lines = []
        for name, digest in sorted(self.hashes.items(), key=lambda item: _bytes(item[0])):
            escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
            lines.append(f"{'' if escaped == name else chr(92)}{digest}  {escaped}\n")
        return _bytes("".join(lines))

    @property
    def audit_hash(self) -> str:
        """SHA-256 of the manifest, in hexadecimal digits."""
        return hashlib.sha256(self.content).hexdigest()


def write_manifest(folder: Path) -> Manifest:
    """Write the manifest of a folder as its files are now.

    A signature of another manifest is removed: it holds no longer.

    Raises:
        ValueError: a file is too large.
    """
    files = (folder / name for name in _present(folder))
    regular = (file for file in files if file.is_file() and not file.is_symlink())
    hashes = {}
    for file in regular:
        if file.stat().st_size > _LARGEST_COVERED:
            raise ValueError(
                f"{file} has {file.stat().st_size:,} bytes, above the {_LARGEST_COVERED:,} that a "
                "manifest covers; move it elsewhere"
            )
        hashes[file.relative_to(folder).as_posix()] = digest(file)
    manifest = Manifest(hashes)
    path = folder / MANIFEST
    if not path.is_file() or path.read_bytes() != manifest.content:
        (folder / SIGNATURE).unlink(missing_ok=True)
    put(path, manifest.content)
    return manifest


def put(path: Path, content: bytes) -> None:
    """Write a file, or replace it when all of the new one is written.

    A link in the folder of somebody else is replaced, not followed to what it leads to.
    """
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            file.write(content)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def put_json(path: Path, document: Any) -> None:
    """Write a JSON value as :func:`put` does; NaN and infinities become null."""
    put(path, f"{json.dumps(plain(document), indent=1)}\n".encode())


def read_manifest(folder: Path, trust: Trust = UNTRUSTED) -> Manifest | None:
    """The manifest of a folder; ``None`` where it has none.

    Args:
        folder: of a run.
        trust: which files may be read.

    Raises:
        ValueError: it is not a manifest, or may not be read.
    """
    path = folder / MANIFEST
    if not path.exists() and not path.is_symlink():
        return None
    path = trust.file(Path(MANIFEST), folder)
    if not path.is_file() or path.stat().st_size > _LARGEST:
        raise ValueError(f"{path} is not a file of at most {_LARGEST:,} bytes, as manifests are")
    content = path.read_bytes()
    hashes: dict[str, str] = {}
    for line in content.decode("utf-8", "surrogateescape").split("\n")[:-1]:
        parts = _LINE.fullmatch(line)
        if parts is None:
            raise ValueError(f"{path} has a line that is not of a manifest: {line[:100]!r}")
        name = _unescaped(parts[3]) if parts[1] else parts[3]
        place = PurePosixPath(name)
        if place.is_absolute() or ".." in place.parts or name in (MANIFEST, SIGNATURE):
            raise ValueError(f"{path} names {name!r}, which is not of a file of its folder")
        hashes[name] = parts[2]
    manifest = Manifest(hashes)
    if manifest.content != content:
        raise ValueError(
            f"{path} is not written as manifests are: its lines ascend by the paths of the files, "
            "each of which stands there once; let whoever made the run sign it again"
        )
    return manifest


def check_files(
    folder: Path,
    manifest: Manifest | None,
    trust: Trust = UNTRUSTED,
    ignored: Path | None = None,
) -> Check:
    """Check that a folder holds the files of its manifest, and no others.

    Args:
        folder: of a run.
        manifest: of that folder.
        trust: which files may be read.
        ignored: a file that need not be covered, since it is about to be written.

    Raises:
        ValueError: a file may not be read.
    """
    name = "files"
    if manifest is None:
        return unchecked(name, f"there is no {MANIFEST}: the page and other files are not covered")
    entries = [
        texts(file, recorded, _digest_at(folder, file, trust))
        for file, recorded in manifest.hashes.items()
    ]
    check = checked(name, f"the files are those of {MANIFEST}", entries)
    others = [
        file
        for file in _present(folder)
        if file not in manifest.hashes and (ignored is None or folder / file != ignored)
    ]
    if not others:
        return check
    detail = (
        f"{MANIFEST} does not cover {', '.join(map(repr, others))}; do not believe what stands "
        "there, remove it, or let whoever made the run sign it again"
    )
    return replace(
        check, status=NOT_CHECKED if check.n_matching == len(entries) else check.status,
        detail=detail,
    )  # fmt: skip


def check_audit_hash(manifest: Manifest | None, expected: str) -> Check:
    """Check that the audit hash is one that is known from elsewhere.

    Raises:
        ValueError: that is no hash.
    """
    if not re.fullmatch("[0-9a-f]{64}", expected.strip().lower()):
        raise ValueError(
            f"{expected!r} is not an audit hash: the 64 hexadecimal digits that the run printed"
        )
    now = None if manifest is None else manifest.audit_hash
    entry = texts(f"sha256 of {MANIFEST}", expected.strip().lower(), now)
    return checked("audit hash", "it is the expected one", [entry])


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_at(folder: Path, name: str, trust: Trust) -> str | None:
    """The hash of a file of a folder; ``None``: there is no such file."""
    if not (folder / name).is_file():
        return None
    return digest(trust.file(Path(name), folder, largest=_LARGEST_COVERED))


def _present(folder: Path) -> Iterator[str]:
    """The paths of the files that a manifest covers, those of hidden files left out.

    Folders other than those of the inputs and of an audit's prompts are runs of their own, or
    models, whose weights are hashed by the fingerprint.
    """
    places = [folder, folder / INPUTS]
    if (folder / DOCUMENT).exists():
        places.append(folder / PROMPTS)
    for place in places:
        if place.is_symlink() or not place.is_dir():
            continue
        for file in sorted(place.iterdir()):
            name = file.relative_to(folder).as_posix()
            if (
                not file.name.startswith(".")
                and name not in _NOT_COVERED
                and (file.is_symlink() or not file.is_dir())
            ):
                yield name


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _unescaped(text: str) -> str:
    plain = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}
    return re.sub(r"\\.", lambda pair: plain.get(pair[0], pair[0]), text)
