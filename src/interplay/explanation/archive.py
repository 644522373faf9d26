"""The file of a saved explanation: a zip archive of JSON and plain arrays, read as data.

The file may come from anybody. The sizes that it declares are checked before anything of it is
read, the header of each array before its data, and all contents before they are used.
"""

from __future__ import annotations

import io
import json
import math
import re
import secrets
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from interplay._types import MOST_BYTES, Json, parse, shown
from interplay.explanation.schema import (
    ARRAYS,
    Array,
    check_document,
    check_format,
    check_numbers,
    check_shapes,
)

DOCUMENT = "explanation.json"
LARGEST_MEMBER = 1 << 30
"""The most bytes of an array."""
LARGEST_IN_ALL = (1 << 31) - (1 << 24)
"""The most bytes of all members together, and of the file. A zip archive needs no extension."""
_LOOSE = 32 << 20
"""Up to so many bytes a member may be compressed as well as it can be: equal values are."""
_MOST_RATIO = 100
"""How much smaller a larger member may be when it is compressed. Numbers do not shrink so much."""
_MOST_DIRECTORY = 1 << 16
_END = struct.Struct("<4s4H2LH")
"""The end record of a zip archive: signature, disks, members, size and place of the directory."""
_LOCATOR_SIZE = 20
"""Of the record in front of the end record, if the archive has the extension for huge ones."""
_ENCRYPTED = 1
_NPY = ".npy"
_MAGIC = b"\x93NUMPY\x01\x00"
_HEADER = re.compile(
    r"\{'descr': '([<|][a-z]\d)', 'fortran_order': (True|False), "
    r"'shape': \((\d{1,12},|\d{1,12}(?:, \d{1,12}){1,3})\), \} *\n"
)
_LONGEST_HEADER = 512
_RAW = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    RecursionError,
    RuntimeError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
)
"""What zipfile, zlib and json raise on malformed files."""


@dataclass(frozen=True)
class Header:
    """What the header of an array says.

    Attributes:
        dtype: its type, such as ``"<f8"``.
        shape: its shape.
        fortran: whether the first axis is the fastest.
        start: the number of bytes of the header.
    """

    dtype: str
    shape: tuple[int, ...]
    fortran: bool
    start: int

    @property
    def size(self) -> int:
        """The number of bytes of the array, its header included."""
        return self.start + math.prod(self.shape) * np.dtype(self.dtype).itemsize


def write_archive(path: str | Path, document: Json, arrays: Mapping[str, Array]) -> Path:
    """Write a document and arrays. An existing file is replaced only when all is written.

    Returns:
        The path.

    Raises:
        ValueError: what was to be written could not be read again. The message names the member.
        OSError: the file cannot be written.
    """
    path = Path(path)
    with _one_error(f"{path} cannot be written", DOCUMENT):
        text = json.dumps(document, indent=1, allow_nan=False).encode()
        check_document(parse(text))
    with _one_error(f"{path} cannot be written"):
        headers = {
            name: Header(array.dtype.str, array.shape, False, _LONGEST_HEADER)
            for name, array in arrays.items()
        }
        _check_sizes({DOCUMENT: len(text)} | {_file(name): headers[name].size for name in headers})
        check_shapes(document, {name: (each.dtype, each.shape) for name, each in headers.items()})
        check_numbers(document, arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(DOCUMENT, text)
            for name, array in arrays.items():
                buffer = io.BytesIO()
                np.save(buffer, array, allow_pickle=False)
                archive.writestr(_file(name), buffer.getvalue())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return path


def read_archive(path: str | Path, version: int) -> tuple[Json, dict[str, Array]]:
    """Read a file of :func:`write_archive`: the document, and the arrays by name.

    Sizes and headers are checked before contents are read, so that a file that declares far more
    than it should takes neither time nor memory.

    Args:
        path: the file.
        version: the format version that it must have.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a saved explanation. The message names the file and the member,
            and says what is expected.
    """
    path = Path(path)
    wrong = f"{path} is not a saved explanation"
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{wrong}: it is not a regular file; give a file that save() wrote")
    with path.open("rb") as file:
        with _one_error(wrong):
            _check_end(file, status.st_size)
            archive = zipfile.ZipFile(file)
        with archive:
            with _one_error(wrong):
                members = _members(archive, status.st_size)
            with _one_error(wrong, DOCUMENT):
                document = parse(archive.read(members[DOCUMENT]))
                check_format(document, version)
                check_document(document)
            headers = {}
            for name in members.keys() - {DOCUMENT}:
                with _one_error(wrong, name):
                    headers[name.removesuffix(_NPY)] = _header(archive, members[name])
            with _one_error(wrong):
                shapes = {name: (header.dtype, header.shape) for name, header in headers.items()}
                check_shapes(document, shapes)
            arrays = {}
            for name, header in headers.items():
                with _one_error(wrong, _file(name)):
                    arrays[name] = _data(archive, members[_file(name)], header)
    with _one_error(wrong):
        check_numbers(document, arrays)
    return document, arrays


def _file(name: str) -> str:
    return f"{name}{_NPY}"


@contextmanager
def _one_error(what: str, member: str = "") -> Iterator[None]:
    """Make one ValueError of whatever is wrong with a file, which names it and the member."""
    try:
        yield
    except _RAW as error:
        message = str(error) or type(error).__name__
        raise ValueError(f"{what}: {f'{member}: ' if member else ''}{message}") from error


def _check_end(file: BinaryIO, size: int) -> None:
    """Check the end record, which says how large the directory is, before that is read."""
    most = LARGEST_IN_ALL
    if size > most:
        raise ValueError(f"it has {size:,} bytes; at most {most:,} are expected")
    length = min(size, _END.size + _LOCATOR_SIZE)
    file.seek(size - length)
    tail = file.read(length)
    if len(tail) < _END.size or not tail[-_END.size :].startswith(b"PK\5\6"):
        raise ValueError("it does not end as a zip archive does; a whole file is expected")
    _, _, _, _, count, directory, _, comment = _END.unpack(tail[-_END.size :])
    if tail.startswith(b"PK\6\7") or comment:
        raise ValueError("it is a zip archive with an extension; a plain one is expected")
    if count > len(ARRAYS) + 1 or directory > _MOST_DIRECTORY:
        raise ValueError(
            f"it lists {count:,} members in {directory:,} bytes; at most {len(ARRAYS) + 1} in "
            f"{_MOST_DIRECTORY:,} are expected"
        )


def _members(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """The members by name, after a check of their names, forms and declared sizes."""
    members: dict[str, zipfile.ZipInfo] = {}
    known = [DOCUMENT, *map(_file, ARRAYS)]
    for info in archive.infolist():
        if info.filename not in known:
            raise ValueError(
                f"it has a member {shown(info.filename)}; {', '.join(known)} are expected"
            )
        if info.filename in members:
            raise ValueError(f"it has two members {info.filename}; one is expected")
        plain = info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        if not plain or info.flag_bits & _ENCRYPTED:
            raise ValueError(
                f"{info.filename} is encrypted or compressed in another way than by deflate"
            )
        members[info.filename] = info
    if DOCUMENT not in members:
        raise ValueError(f"it has no {DOCUMENT}, which is expected")
    _check_sizes({name: info.file_size for name, info in members.items()})
    for name, info in members.items():
        if info.file_size > _LOOSE and info.file_size > _MOST_RATIO * info.compress_size:
            raise ValueError(
                f"{name}: it expands {info.compress_size:,} bytes to {info.file_size:,}; at most "
                f"{_MOST_RATIO} times as many are expected"
            )
    if sum(info.compress_size for info in members.values()) > size:
        raise ValueError(
            f"its members are larger than its {size:,} bytes; a whole file is expected"
        )
    return members


def _check_sizes(sizes: Mapping[str, int]) -> None:
    """Check the sizes of members in bytes, before anything is read or written."""
    for name, size in sizes.items():
        most = MOST_BYTES if name == DOCUMENT else LARGEST_MEMBER
        if size > most:
            raise ValueError(f"{name}: it has {size:,} bytes; at most {most:,} are expected")
    total = sum(sizes.values())
    if total > LARGEST_IN_ALL:
        raise ValueError(
            f"its members have {total:,} bytes in all; at most {LARGEST_IN_ALL:,} are expected"
        )


def _header(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Header:
    """Read the header of an array, in the one form that NumPy writes for such arrays."""
    with archive.open(info) as file:
        start = file.read(len(_MAGIC) + 2)
        length = int.from_bytes(start[len(_MAGIC) :], "little")
        text = file.read(min(length, _LONGEST_HEADER)).decode("latin-1")
    match = _HEADER.fullmatch(text)
    if not start.startswith(_MAGIC) or match is None or len(text) != length:
        raise ValueError("it has no header of a plain array; an array of numpy.save is expected")
    dtype, fortran, sides = match.groups()
    shape = tuple(int(side) for side in sides.split(",") if side.strip())
    return Header(dtype, shape, fortran == "True", len(start) + length)


def _data(archive: zipfile.ZipFile, info: zipfile.ZipInfo, header: Header) -> Array:
    """Read the numbers of an array whose header was checked."""
    if header.size != info.file_size:
        raise ValueError(
            f"it has {info.file_size:,} bytes, but an array of shape {header.shape} has "
            f"{header.size:,}"
        )
    size = header.size - header.start
    with archive.open(info) as file:
        file.read(header.start)
        contents = file.read(size)
        if len(contents) != size or file.read(1):  # reading to the end checks the checksum
            raise ValueError("it is cut short or has more bytes than it says")
    # a copy: what was loaded may be changed
    flat = np.frombuffer(contents, dtype=header.dtype).copy()
    return flat.reshape(header.shape, order="F" if header.fortran else "C")
