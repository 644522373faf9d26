"""Load an explanation that was saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from interplay._arrays import unpack
from interplay.confirmation.verdict import Confirmation
from interplay.explanation.archive import read_archive
from interplay.explanation.circuits import Series
from interplay.explanation.decisive import DecisiveSet
from interplay.explanation.explanation import FORMAT_VERSION, Ablations, Explanation
from interplay.explanation.faithfulness import Faithfulness
from interplay.fourier.spectrum import Spectrum


def load(path: str | Path) -> Explanation:
    """Load an explanation that :meth:`Explanation.save` wrote.

    Its ``game`` is ``None``: the game is not saved.

    Example:
        >>> import interplay as ip
        >>> game = ip.FunctionGame(lambda masks: masks[:, 0] & masks[:, 1], n_players=2)
        >>> path = ip.explain(game).save("both.interplay")
        >>> print(ip.load(path).interactions("BII", order=2)[(0, 1)])
        1.0

    Args:
        path: the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a saved explanation, has another format version, or declares
            sizes that no explanation has. The message names the member of the file and says what is
            expected. A file from somebody else is safe to load: nothing in it is executed.
    """
    document, arrays = read_archive(path, FORMAT_VERSION)
    deviations = arrays.get("deviations")
    if deviations is not None:  # squares would overflow or become 0 in single precision
        deviations = deviations.astype(np.float64)
    n_players = document["n_players"]
    scores = document["faithfulness"]
    spectrum = Spectrum(
        n_players,
        arrays["supports"],
        arrays["coefficients"],
        deviations,
        arrays.get("ends"),
        arrays.get("end_doubts"),
    )
    fit = Ablations(unpack(arrays["fit_masks"], n_players), arrays["fit_values"])
    confirmation = document.get("confirmation")
    return Explanation(
        spectrum=spectrum,
        players=tuple(document["players"]),
        faithfulness=Faithfulness.from_json(scores),
        provenance=document["provenance"],
        fit=fit,
        held_out=Ablations(unpack(arrays["held_masks"], n_players), arrays["held_values"]),
        confirmation=None if confirmation is None else Confirmation.from_json(confirmation),
        circuits=tuple(
            Series.from_json(record, n_players) for record in document.get("circuits") or ()
        ),
        decisive=tuple(map(DecisiveSet.from_json, document.get("decisive") or ())),
        surrogate=(
            Spectrum(n_players, arrays["surrogate_supports"], arrays["surrogate_coefficients"])
            if "surrogate_supports" in arrays
            else None
        ),
        held_predictions=arrays.get("held_predictions"),
        cheaper=(
            Ablations(unpack(arrays["cheaper_masks"], n_players), arrays["cheaper_values"])
            if "cheaper_masks" in arrays
            else None
        ),
        asked=(
            Ablations(unpack(arrays["asked_masks"], n_players), arrays["asked_values"])
            if "asked_masks" in arrays
            else None
        ),
    )
