"""The file of a saved explanation: a zip archive of JSON and plain arrays."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from interplay._types import Json

_DOCUMENT = "explanation.json"


def write_archive(path: str | Path, document: Json, arrays: Mapping[str, npt.NDArray[Any]]) -> Path:
    """Write a document and arrays. An existing file is replaced only when all is written.

    Returns:
        The path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, indent=1, allow_nan=False)
    part = path.with_name(path.name + ".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_DOCUMENT, text)
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, array, allow_pickle=False)
            archive.writestr(f"{name}.npy", buffer.getvalue())
    part.replace(path)
    return path


def read_archive(
    path: str | Path, version: int, required: Sequence[str], optional: Sequence[str]
) -> tuple[Json, dict[str, npt.NDArray[Any]]]:
    """Read a file of :func:`write_archive`: the document, and the arrays by name.

    Args:
        path: the file.
        version: the format version that it must have.
        required: the names of arrays that it must contain.
        optional: the names of arrays that are read if the file contains them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a saved explanation, or has another format version.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            document: Json = json.loads(archive.read(_DOCUMENT))
            if document["format"] != version:
                raise ValueError(
                    f"{path} has format {document['format']}, but this version of interplay reads "
                    f"{version}; load it with the version that wrote it"
                )
            names = archive.namelist()
            present = [*required, *(name for name in optional if f"{name}.npy" in names)]
            arrays = {
                name: np.load(io.BytesIO(archive.read(f"{name}.npy")), allow_pickle=False)
                for name in present
            }
    except (zipfile.BadZipFile, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not a saved explanation ({error})") from error
    return document, arrays
