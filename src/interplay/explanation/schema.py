"""The types of a saved explanation's document, and what its entries must have in common.

``load`` checks every file against them, and ``save`` every document that it writes. What passes can
be shown: reports, plots, analyses and audits read no other entries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NotRequired, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt

from interplay._arrays import LARGEST
from interplay._types import Count, Json, Positive, check, shown
from interplay.confirmation.verdict import FAILS, HOLDS, UNCLEAR, Confirmation
from interplay.decoders.gaussian.learn import Prior
from interplay.designs.measures import get_measure, measure_of
from interplay.explanation.bands import Band, check_bands
from interplay.explanation.circuits import SeriesJson, check_circuits
from interplay.explanation.decisive import DecisiveJson, check_decisive
from interplay.fourier.sets import sizes
from interplay.game import MOST_REPEATS, Hints, check_description, check_hints

Array: TypeAlias = npt.NDArray[Any]
_PACKED, _REAL, _SPREAD = ("|u1",), ("<f8",), ("<f4", "<f8")
ARRAYS: Mapping[str, tuple[str, ...]] = {
    "supports": _PACKED,
    "coefficients": _REAL,
    "fit_masks": _PACKED,
    "fit_values": _REAL,
    "held_masks": _PACKED,
    "held_values": _REAL,
    "deviations": _SPREAD,
    "surrogate_supports": _PACKED,
    "surrogate_coefficients": _REAL,
    "ends": _REAL,
    "end_doubts": _REAL,
    "held_predictions": _REAL,
    "cheaper_masks": _PACKED,
    "cheaper_values": _REAL,
    "asked_masks": _PACKED,
    "asked_values": _REAL,
}
"""The arrays beside the document, by name, and the types that each may have."""
_REQUIRED = tuple(ARRAYS)[:6]
LARGEST_COEFFICIENT = 1e3 * LARGEST
"""The largest size of a coefficient and of a deviation. A fit may exceed the values somewhat."""
LARGEST_UNPACKED = 1 << 31
"""The most entries of all masks. Eight are one byte in the file, and each is one in memory."""
LARGEST_ORDER = 64
"""The most players in a term. The exact transform, which alone has no smaller limit, ends below."""


class _Faithfulness(TypedDict):
    """As ``Faithfulness.to_json`` writes it: an R2 that is not known is ``null``."""

    r2: float | None
    low: float | None
    high: float | None
    level: float
    n_masks: Positive
    exact: bool
    varies: bool
    by_output: list[float | None]
    noise: NotRequired[float | None]
    measure: NotRequired[str]
    bands: NotRequired[list[Band]]
    uneven: NotRequired[bool]


class _Game(TypedDict):
    fingerprint: str | None
    n_players: Positive
    n_outputs: Positive | None
    n_repeats: Positive
    description: dict[str, Any]


class _Request(TypedDict):
    decoder: str
    budget: Positive | None
    order: Positive | None
    holdout: float
    options: dict[str, Any]
    measure: NotRequired[str]
    cheaper_budget: NotRequired[Positive | None]


class _Hints(TypedDict):
    kind: str
    values: list[float]
    cost: float


class _Prior(TypedDict):
    along: list[float]
    weight: float
    centre: list[float]
    covariance: list[list[float]]
    effects: list[float]


class _Cheaper(TypedDict):
    fingerprint: str | None
    n_repeats: Positive
    description: dict[str, Any]
    n_ablations: Positive
    sha256: str
    evaluated: Count
    from_store: Count


class _Design(TypedDict):
    kind: str
    masks_sha256: str


class _Ablations(TypedDict):
    sha256: str


class _Settings(TypedDict):
    order: NotRequired[Positive]
    picked: NotRequired[str]


class _Diagnosis(TypedDict):
    summary: NotRequired[str]
    cv_r2: NotRequired[float | list[float | None] | None]


class _Decoder(TypedDict):
    requested: str
    ran: str
    settings: _Settings
    diagnosis: _Diagnosis


class _Budget(TypedDict):
    limit: Count
    planned: Count
    spent: Count
    fit: Count
    held_out: Count
    evaluated: Count
    from_store: Count
    skipped: Count
    interrupted: bool
    left_out: NotRequired[int]


class _Step(TypedDict):
    ablations: Positive
    cv_r2: float | None


class _Until(TypedDict):
    goal: float | None
    budget: NotRequired[Positive | None]
    stopped_since: str
    steps: list[_Step]
    measure: NotRequired[str]


class _Seconds(TypedDict):
    ablations: float
    decoding: float
    total: float


class _Answer(TypedDict):
    text: str
    probability: float
    warning: str | None


class _Answers(TypedDict):
    own_answer: str | None
    scored: list[_Answer]


class _Shown(TypedDict):
    index: str | None
    order: Positive | None


class _Agreement(TypedDict):
    margin: float
    share: float
    n_masks: Positive
    n_within: Count


class _Provenance(TypedDict):
    """Entries that older versions did not record are ``NotRequired``."""

    created: str
    versions: dict[str, str]
    platform: str
    game: _Game
    request: NotRequired[_Request | None]
    hints: NotRequired[_Hints | None]
    prior: NotRequired[_Prior | None]
    cheaper: NotRequired[_Cheaper | None]
    design: _Design
    ablations: NotRequired[_Ablations]
    decoder: _Decoder
    budget: _Budget
    random_state: Count
    backend: str
    until: NotRequired[_Until | None]
    seconds: _Seconds
    answers: NotRequired[_Answers | None]
    shown: NotRequired[_Shown | None]
    agreement: NotRequired[_Agreement | None]


class _Document(TypedDict):
    format: int
    n_players: Positive
    players: list[str]
    faithfulness: _Faithfulness
    provenance: _Provenance
    confirmation: NotRequired[Confirmation | None]
    circuits: NotRequired[list[SeriesJson] | None]
    decisive: NotRequired[list[DecisiveJson] | None]


_NAMES = tuple(_Document.__annotations__)


def check_format(document: Any, version: int) -> None:
    """Check that a document is one of this format version.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(document, dict) or "format" not in document:
        raise ValueError("it has no 'format'; the document of a saved explanation is expected")
    if document["format"] != version or isinstance(document["format"], bool):
        raise ValueError(
            f"it has format {document['format']!r}, but this version of interplay reads "
            f"{version}; load it with the version that wrote it"
        )


def check_document(document: Json) -> None:
    """Check the types of all entries, and what they must have in common.

    Raises:
        ValueError: what is wrong, where, and what is expected.
    """
    check(document, _Document, "the document")
    for name in document:
        if name not in _NAMES:
            raise ValueError(
                f"the document has {shown(name)}; only {', '.join(_NAMES)} are expected"
            )
    n_players, game = document["n_players"], document["provenance"]["game"]
    if len(document["players"]) != n_players:
        raise ValueError(
            f"players has {len(document['players'])} names; {n_players} are expected (n_players)"
        )
    if game["n_players"] != n_players:
        raise ValueError(
            f"provenance.game.n_players is {game['n_players']}; {n_players} is expected (n_players)"
        )
    if game["fingerprint"] == "":
        raise ValueError("provenance.game.fingerprint is ''; a text or null is expected")
    if game["n_repeats"] > MOST_REPEATS:
        raise ValueError(
            f"provenance.game.n_repeats is {shown(game['n_repeats'])}; at most {MOST_REPEATS:,} "
            "are expected"
        )
    check_description(game["description"], n_players, "provenance.game.description")
    _check_agreement(document["provenance"].get("agreement"))
    hints = document["provenance"].get("hints")
    if hints is not None:
        check_hints(Hints.recorded(hints), n_players, "provenance.hints")
    prior = document["provenance"].get("prior")
    if prior is not None and Prior.recorded(prior).along.shape != (n_players,):
        raise ValueError(
            f"provenance.prior is of {len(prior['along'])} players; {n_players} are expected"
        )
    _check_measures(document)
    _check_scores(document["faithfulness"], game["n_outputs"] or 1)
    if document.get("confirmation") is not None:
        _check_confirmation(document["confirmation"], n_players, game["n_outputs"] or 1)
    check_circuits(document.get("circuits") or (), n_players, game["n_outputs"] or 1)
    check_decisive(document.get("decisive") or (), document["players"], game["n_outputs"] or 1)


def _check_agreement(agreement: Json | None) -> None:
    if agreement is None:
        return
    if agreement["n_within"] > agreement["n_masks"]:
        raise ValueError(
            f"provenance.agreement.n_within is {agreement['n_within']}; at most "
            f"{agreement['n_masks']} are expected (n_masks)"
        )
    if not (agreement["margin"] > 0 and 0 < agreement["share"] < 1):
        raise ValueError(
            f"provenance.agreement has margin {agreement['margin']} and share "
            f"{agreement['share']}; a margin above 0 and a share between 0 and 1 are expected"
        )


def _check_measures(document: Json) -> None:
    provenance = document["provenance"]
    request, kind = provenance.get("request") or {}, provenance["design"]["kind"]
    confirmation = document.get("confirmation") or {}
    for name, read, text in (
        ("provenance.request.measure", get_measure, request.get("measure")),
        ("provenance.until.measure", get_measure, (provenance.get("until") or {}).get("measure")),
        ("provenance.design.kind", measure_of, kind),
        ("faithfulness.measure", get_measure, document["faithfulness"].get("measure")),
        ("confirmation.measure", get_measure, confirmation.get("measure")),
    ):
        try:
            if text is not None:
                read(text)
        except ValueError as error:
            raise ValueError(f"{name} is {shown(text)}; {error}") from error


def _check_scores(scores: Json, n_outputs: int) -> None:
    for name in scores:
        if name not in _Faithfulness.__annotations__:
            raise ValueError(
                f"faithfulness has {shown(name)}; only {', '.join(_Faithfulness.__annotations__)} "
                "are expected"
            )
    if len(scores["by_output"]) != n_outputs:
        raise ValueError(
            f"faithfulness.by_output has {len(scores['by_output'])} scores; {n_outputs} are "
            "expected, one for each output"
        )
    if not 0.0 < scores["level"] < 1.0:
        raise ValueError(f"faithfulness.level is {scores['level']}; one within 0 to 1 is expected")
    for name in ("r2", "low", "high"):
        if scores["varies"] and scores[name] is None:
            raise ValueError(f"faithfulness.{name} is null; a number is expected since it varies")
    if "bands" in scores:
        check_bands(scores["bands"], scores["n_masks"])
    if scores.get("uneven") and "bands" not in scores:
        raise ValueError("faithfulness.uneven is true without bands; bands are expected")


def _check_confirmation(confirmation: Json, n_players: int, n_outputs: int) -> None:
    if not 0 <= confirmation["output"] < n_outputs:
        raise ValueError(
            f"confirmation.output is {confirmation['output']}; one of {n_outputs} outputs is "
            "expected, counted from 0"
        )
    for number, tested in enumerate(confirmation["tested"]):
        players, where = tested["players"], f"confirmation.tested[{number}]"
        if (
            not players
            or list(players) != sorted({*players})
            or not (players[0] >= 0 and players[-1] < n_players)
        ):
            raise ValueError(
                f"{where}.players is {players[:10]}; ascending numbers of players from 0 to "
                f"{n_players - 1} are expected"
            )
        if tested["verdict"] not in (HOLDS, FAILS, UNCLEAR):
            raise ValueError(
                f"{where}.verdict is {shown(tested['verdict'])}; one of {HOLDS!r}, {FAILS!r} and "
                f"{UNCLEAR!r} is expected"
            )
        for name, part in (
            ("labels", tested["labels"]),
            ("removed.alone", tested["removed"]["alone"]),
            ("removed_from_whole.alone", tested["removed_from_whole"]["alone"]),
        ):
            if len(part) != len(players):
                raise ValueError(
                    f"{where}.{name} has {len(part)} entries; {len(players)} are expected, one "
                    "for each of its players"
                )


def check_shapes(document: Json, arrays: Mapping[str, tuple[str, tuple[int, ...]]]) -> None:
    """Check which arrays there are, their types, and their shapes against each other.

    Args:
        document: a document that passed :func:`check_document`.
        arrays: the type and the shape of each array, by name.

    Raises:
        ValueError: what is wrong, with the name of the array, and what is expected.
    """
    for name in _REQUIRED:
        if name not in arrays:
            raise ValueError(f"it has no {name}.npy, which is expected")
    if ("surrogate_supports" in arrays) != ("surrogate_coefficients" in arrays):
        raise ValueError("it has one array of the surrogate; both or none are expected")
    if ("cheaper_masks" in arrays) != ("cheaper_values" in arrays):
        raise ValueError("it has one array of the cheaper game; both or none are expected")
    if ("asked_masks" in arrays) != ("asked_values" in arrays):
        raise ValueError("it has one array of what was asked; both or none are expected")
    for name, (dtype, _) in arrays.items():
        if dtype not in ARRAYS[name]:
            raise ValueError(
                f"{name}.npy: its numbers are of type {shown(dtype)}; {' or '.join(ARRAYS[name])} "
                "is expected"
            )
    n_outputs = document["provenance"]["game"]["n_outputs"]
    outputs = () if n_outputs is None else (n_outputs,)
    width = (document["n_players"] + 7) // 8
    for rows, numbers in (
        ("supports", "coefficients"),
        ("fit_masks", "fit_values"),
        ("held_masks", "held_values"),
        ("surrogate_supports", "surrogate_coefficients"),
        ("cheaper_masks", "cheaper_values"),
        ("asked_masks", "asked_values"),
    ):
        if rows not in arrays:
            continue
        shape = arrays[rows][1]
        count = shape[0] if shape else 0
        _same(rows, shape, (count, width))
        _same(numbers, arrays[numbers][1], (count, *outputs))
        if not count and rows.endswith("masks"):
            raise ValueError(f"{rows}.npy: it has no rows; at least one is expected")
    n_masks = sum(arrays[name][1][0] for name in arrays if name.endswith("masks"))
    if n_masks * document["n_players"] > LARGEST_UNPACKED:
        raise ValueError(
            f"fit_masks.npy: {n_masks:,} masks of {document['n_players']:,} players have more than "
            f"{LARGEST_UNPACKED:,} entries; fewer are expected"
        )
    n_held, n_terms = arrays["held_masks"][1][0], arrays["supports"][1][0]
    if document["faithfulness"]["n_masks"] != n_held:
        raise ValueError(
            f"held_masks.npy: it has {n_held} masks; {document['faithfulness']['n_masks']} are "
            "expected (faithfulness.n_masks)"
        )
    if "held_predictions" in arrays:
        _same("held_predictions", arrays["held_predictions"][1], (n_held, *outputs))
    if "ends" in arrays:
        _same("ends", arrays["ends"][1], (2, *outputs))
    if "end_doubts" in arrays:
        _same("end_doubts", arrays["end_doubts"][1], (2, *outputs))
    if "deviations" in arrays:
        shape = arrays["deviations"][1]
        _same("deviations", shape, (n_terms, *outputs, shape[-1] if shape else 1))
        if 0 in shape:
            raise ValueError(
                f"deviations.npy: its shape is {shape}; no side of length 0 is expected"
            )


def _same(name: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if shape != expected:
        raise ValueError(f"{name}.npy: its shape is {shape}; {expected} is expected")


def check_numbers(document: Json, arrays: Mapping[str, Array]) -> None:
    """Check the contents of arrays that passed :func:`check_shapes`.

    Raises:
        ValueError: a number is not finite or too large for its square; a mask or a set has a player
            that does not exist; or a set is there twice, or has too many players.
    """
    n_players = document["n_players"]
    for name, array in arrays.items():
        if ARRAYS[name] != _PACKED:
            _check_finite(name, array)
        elif n_players % 8 and (array[:, -1] >> (n_players % 8)).any():
            raise ValueError(
                f"{name}.npy: a row has a player above {n_players - 1}; only players from 0 to "
                f"{n_players - 1} are expected"
            )
    for name in ("supports", "surrogate_supports"):
        if name not in arrays or not len(arrays[name]):
            continue
        rows = np.ascontiguousarray(arrays[name])
        if len(np.unique(rows.view(f"V{rows.shape[1]}"))) < len(rows):
            raise ValueError(f"{name}.npy: a set is there twice; distinct sets are expected")
        largest = int(sizes(rows).max())
        if largest > LARGEST_ORDER:
            raise ValueError(
                f"{name}.npy: a set has {largest} players; at most {LARGEST_ORDER} are expected"
            )


def _check_finite(name: str, array: Array) -> None:
    with np.errstate(invalid="ignore"):
        low, high = float(array.min(initial=0.0)), float(array.max(initial=0.0))
    most = LARGEST if name.endswith("values") else LARGEST_COEFFICIENT
    if not -most <= low <= high <= most:
        extreme = low if not low >= -most else high
        raise ValueError(
            f"{name}.npy: it has {extreme}; finite numbers of at most {most:g} are expected"
        )
