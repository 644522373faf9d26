"""Explanation: a spectrum, how faithful it is, and where it came from."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from interplay._types import BoolArray, FloatArray, Json
from interplay.evaluation import Faithfulness
from interplay.interactions import Interactions
from interplay.report.html import render
from interplay.sets import pack, unpack
from interplay.spectrum import Spectrum

FORMAT_VERSION = 1
FILE = "explanation.interplay"
"""The name of a saved explanation in a folder of its own."""
_ARRAYS = ("supports", "coefficients", "fit_masks", "fit_values", "held_masks", "held_values")


@dataclass(frozen=True, eq=False)
class Ablations:
    """Masks and their values.

    Attributes:
        masks: ``(m, n) bool``.
        values: ``(m,)`` or ``(m, k)``.
    """

    masks: BoolArray
    values: FloatArray

    def __len__(self) -> int:
        return len(self.masks)


@dataclass(frozen=True, eq=False)
class Explanation:
    """What an ablation study found.

    Attributes:
        spectrum: the sparse Fourier spectrum of the game.
        players: the players' names.
        faithfulness: R2 on held-out masks.
        provenance: what ran: versions, fingerprint, seeds, settings, counts, seconds. JSON.
        fit: the ablations that the spectrum was fitted to.
        held_out: the ablations that it was scored on.
    """

    spectrum: Spectrum
    players: tuple[str, ...]
    faithfulness: Faithfulness
    provenance: Json
    fit: Ablations
    held_out: Ablations

    def interactions(self, index: str = "FSII", order: int | None = None) -> Interactions:
        """The interactions under an index, with the players' names (see ``Spectrum.to``)."""
        return self.spectrum.to(index, order, self.players)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of several outputs; their numbers where the game gives none; else empty."""
        count = self.spectrum.n_outputs
        if count is None:
            return ()
        return tuple(
            self.provenance["game"]["description"].get("outputs") or map(str, range(count))
        )

    def save(self, path: str | Path) -> Path:
        """Write to one file: a zip archive of JSON and plain arrays.

        Returns:
            The path.
        """
        path = Path(path)
        document = {
            "format": FORMAT_VERSION,
            "n_players": self.spectrum.n_players,
            "players": self.players,
            "faithfulness": asdict(self.faithfulness),
            "provenance": self.provenance,
        }
        arrays: tuple[npt.NDArray[Any], ...] = (
            self.spectrum.supports,
            self.spectrum.coefficients,
            pack(self.fit.masks),
            self.fit.values,
            pack(self.held_out.masks),
            self.held_out.values,
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(document, indent=1, allow_nan=False)
        part = path.with_name(path.name + ".part")
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("explanation.json", text)
            for name, array in zip(_ARRAYS, arrays, strict=True):
                buffer = io.BytesIO()
                np.save(buffer, array, allow_pickle=False)
                archive.writestr(f"{name}.npy", buffer.getvalue())
        part.replace(path)
        return path

    def to_html(self, path: str | Path) -> Path:
        """Write a self-contained page that opens from disk without a network.

        Returns:
            The path.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        page = render(
            spectrum=self.spectrum,
            players=self.players,
            outputs=self.outputs,
            faithfulness=self.faithfulness,
            provenance=self.provenance,
            masks=self.held_out.masks,
            values=self.held_out.values,
        )
        path.write_text(page, encoding="utf-8")
        return path


def load(path: str | Path) -> Explanation:
    """Read what :meth:`Explanation.save` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not an explanation, or of another format version.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            document = json.loads(archive.read("explanation.json"))
            if document["format"] != FORMAT_VERSION:
                raise ValueError(
                    f"{path} has format {document['format']}, but this version of interplay reads "
                    f"{FORMAT_VERSION}; load it with the version that wrote it"
                )
            arrays = {
                name: np.load(io.BytesIO(archive.read(f"{name}.npy")), allow_pickle=False)
                for name in _ARRAYS
            }
    except (zipfile.BadZipFile, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not a saved explanation ({error})") from error
    n_players = document["n_players"]
    scores = document["faithfulness"]
    return Explanation(
        spectrum=Spectrum(n_players, arrays["supports"], arrays["coefficients"]),
        players=tuple(document["players"]),
        faithfulness=Faithfulness(**{**scores, "by_output": tuple(scores["by_output"])}),
        provenance=document["provenance"],
        fit=Ablations(unpack(arrays["fit_masks"], n_players), arrays["fit_values"]),
        held_out=Ablations(unpack(arrays["held_masks"], n_players), arrays["held_values"]),
    )
