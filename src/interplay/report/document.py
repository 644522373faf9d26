"""What the page's script computes with: an explanation as JSON that is safe inside HTML.

The script is given the spectrum and each index's table of weights, and computes any index, order,
output and prediction itself; the numbers are those of Python to the last bit.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from math import comb
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from interplay._arrays import as_columns, pack, unit_of
from interplay._types import Json, check, visible
from interplay.designs.measures import UNIFORM, Measure
from interplay.explanation.circuits import Series
from interplay.explanation.explanation import Ablations, Explanation
from interplay.explanation.verdict import ROUNDING, SHADE_FLOOR
from interplay.explanation.wording import named, score_of, unit_of_score
from interplay.extensions import INDICES
from interplay.fourier.ends import all_are_listed, by_size
from interplay.fourier.indices import get_index, weights
from interplay.fourier.interactions import LEVEL
from interplay.fourier.spectrum import Spectrum
from interplay.game import cut_at
from interplay.report.circuit_tables import as_data
from interplay.report.grid import grid, units_of_scores
from interplay.report.picture import picture

_OFFERED = (
    "SV",
    "BV",
    "FSII",
    "STII",
    "k-SII",
    "SII",
    "FBII",
    "BII",
    "Moebius",
    "Co-Moebius",
    "Fourier",
)
"""Those that the page offers, with those of other packages."""
_HIGHEST = 5
_MAX_PAIRS = 200_000
"""The most pairs of a set and a superset that the script is left to write out."""
_MAX_NUMBERS = 100_000
"""The most coefficients, all outputs together, in a page."""
_MAX_BYTES = 256 * 1024
"""The most bytes of recorded ablations in a page."""
_MAX_SPREAD = 4_000_000
"""The most numbers of the spectrum's uncertainty from which the intervals of all indices are made;
beyond it those of the first index only."""


def script_json(document: Json) -> str:
    """JSON that cannot end its ``<script>`` element or begin a comment, in ASCII."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def shown_terms(spectrum: Spectrum) -> Spectrum:
    """The spectrum that a page holds: the strongest terms if there are very many."""
    n_terms = _MAX_NUMBERS // (spectrum.n_outputs or 1)
    return spectrum if len(spectrum) <= n_terms else spectrum.truncate(n_terms=n_terms - 1)


def document(explanation: Explanation, shown: Spectrum, series: Sequence[Series] = ()) -> Json:
    """Everything that the script needs of an explanation.

    Args:
        explanation: it.
        shown: its spectrum, as :func:`shown_terms` gives it.
        series: its circuits.
    """
    spectrum, outputs = shown, explanation.outputs
    measure = explanation.measure
    orders = _orders(spectrum)
    first = min(explanation.shown_order, orders)
    sizes = np.unique(spectrum.orders).tolist()
    return {
        "n": spectrum.n_players,
        "players": [visible(name) for name in explanation.players],
        "swapped": sorted(explanation.removal.swapped),
        "outputs": [visible(name) for name in outputs],
        "units": units(explanation.provenance["game"]["description"], spectrum.n_outputs or 1),
        "mean": explanation.first_output is None,
        "first": explanation.first_output,
        "directions": directions(explanation),
        "index": explanation.index,
        "order": first,
        "orders": orders,
        "spectrum": {
            "n_terms": len(spectrum),
            "width": spectrum.members.shape[1],
            "members": _base64(spectrum.members, "<i4"),
            "coefficients": _base64(spectrum.coefficients, "<f8"),
        },
        "meanings": {index: get_index(index).meaning for index in _indices()},
        "weights": {
            index: {
                order: [[s, t, value] for (s, t), value in weights(index, order, sizes).items()]
                for order in _orders_of(index, orders)
            }
            for index in _indices()
        },
        "ends": _of_ends(spectrum, orders),
        "measure": {"name": str(measure), "description": measure.description},
        "energy": None if measure == UNIFORM else _energy(measure, spectrum, explanation),
        "intervals": {
            "level": LEVEL,
            "units": _units(spectrum),
            "tables": _intervals(spectrum, orders, (explanation.index, first)),
        },
        "ablations": _recorded(explanation),
        "verdict": _verdict(explanation),
        "scored": scored(explanation),
        "view": view_of(explanation),
        "circuits": as_data(explanation, series),
    }


def _verdict(explanation: Explanation) -> Json:
    """What the script needs to tell findings from the rest, and how strong an effect is."""
    verdict = explanation.verdict
    ranges, trusted = list(verdict.ranges), list(verdict.trusted)
    if explanation.first_output is None:
        mean = as_columns(explanation.ablations.values).mean(axis=1)
        ranges.append(float(np.ptp(mean)))
        trusted.append(verdict.level != "not usable")
    return {
        "level": verdict.level,
        "ranges": ranges,
        "trusted": trusted,
        "rounding": ROUNDING,
        "floor": SHADE_FLOOR,
    }


def directions(explanation: Explanation) -> list[tuple[str, str]]:
    """What a positive and a negative effect do to each output, in words."""
    n_outputs = explanation.spectrum.n_outputs or 1
    of_score = ("raises the score", "lowers it")
    if explanation.compared is None:
        return [of_score] * n_outputs
    name, more = visible(named(explanation.compared[1], 24)), n_outputs // 3
    return [of_score] * 2 * more + [(f"more in {name}", f"less in {name}")] * more


def units(description: Json, n_outputs: int) -> list[str]:
    """What each output is measured in; empty where it is not known."""
    known = units_of_scores(description, n_outputs)
    return known if any(known) else [unit_of_score(description)] * n_outputs


def scored(explanation: Explanation) -> Json:
    """What is scored, in a word, and its unit."""
    description = explanation.provenance["game"]["description"]
    return {"name": score_of(description), "unit": unit_of_score(description)}


def _indices() -> tuple[str, ...]:
    """The indices that the page offers."""
    return (*_OFFERED, *(name for name in INDICES if name not in INDICES.own))


def _orders_of(index: str, orders: int) -> range:
    """The orders at which the page offers an index: the first only of one of single players."""
    return range(1, 2 if get_index(index).single else orders + 1)


def _orders(spectrum: Spectrum) -> int:
    """The largest order that the page offers: what the script can write out in an instant."""
    counts = np.bincount(spectrum.orders).tolist()
    largest = max(1, min(len(counts) - 1, _HIGHEST))
    pairs = 0
    for order in range(largest + 1):
        pairs += sum(count * comb(size, order) for size, count in enumerate(counts))
        if pairs > _MAX_PAIRS:
            return max(1, order - 1)
    return largest


def _units(spectrum: Spectrum) -> list[float]:
    """A power of two for each output, in which its intervals fit into single precision."""
    if spectrum.deviations is None:
        return []
    by_output = spectrum.deviations.reshape(len(spectrum), -1, spectrum.deviations.shape[-1])
    return [unit_of(by_output[:, column]) for column in range(by_output.shape[1])]


def _intervals(spectrum: Spectrum, orders: int, first: tuple[str, int]) -> dict[str, str]:
    """Half the widths of the intervals, by index and order, in the order of the interactions.

    They are in the units of :func:`_units`.
    """
    if spectrum.deviations is None:
        return {}
    tags = [(index, order) for index in _indices() for order in _orders_of(index, orders)]
    if spectrum.deviations.size > _MAX_SPREAD:
        tags = [first]
    tables = {}
    for index, order in tags:
        interactions = spectrum.to(index, order=order)
        if interactions.high is not None:
            widths = as_columns(interactions.high - interactions.values) / _units(spectrum)
            tables[f"{index}/{order}"] = _base64(widths, "<f4")
    return tables


def _of_ends(spectrum: Spectrum, orders: int) -> Json:
    """What measured ends add to each set, by index and order: for each output by the set's size."""
    if spectrum.ends is None or not spectrum.end_errors.any():
        return {}
    full, empty = as_columns(spectrum.end_errors)
    added: Json = {}
    for index in _indices():
        for order in _orders_of(index, orders):
            largest = 1 if get_index(index).single else order
            values = by_size(index, spectrum.n_players, largest, full, empty)
            if values is not None:
                listed = all_are_listed(spectrum.n_players, largest)
                entry = {"values": values.T.tolist(), "all": listed}
                added.setdefault(index, {})[order] = entry
    return added


def _energy(measure: Measure, spectrum: Spectrum, explanation: Explanation) -> list[list[float]]:
    """The variance by order from 0 on, of each output and, if it is shown, of their mean."""
    relative = spectrum.relative
    by_order = measure.variance_by_order(relative).T.tolist()
    if explanation.first_output is None:
        by_order += measure.variance_by_order(relative.mean_output()).T.tolist()
    return list(by_order)


def _recorded(explanation: Explanation) -> Json:
    """Recorded ablations, the held-out ones first, as many as there is room for."""
    exact, held_out = explanation.faithfulness.exact, explanation.held_out
    n_fit = len(explanation.fit)
    known = explanation.ablations
    # the ends, and what was asked later, stand behind the held-out ones: there may not be room for
    # all
    if exact:
        used = held_out
    else:
        first = Ablations(known.masks[n_fit:], known.values[n_fit:])
        used = first if explanation.asked is None else first + explanation.asked
        used += Ablations(known.masks[:n_fit], known.values[:n_fit])
    masks, values, n_held, total = used.masks, used.values, len(held_out), len(used)
    packed, columns = pack(masks), as_columns(values)
    room = max(1, _MAX_BYTES // (packed.shape[1] + 8 * columns.shape[1]))
    return {
        "masks": _base64(packed[:room], "u1"),
        "values": _base64(columns[:room], "<f8"),
        "held": min(n_held, room),
        **(
            {}
            if explanation.held_predictions is None
            else {"predicted": _base64(as_columns(explanation.held_predictions)[:room], "<f8")}
        ),
        "exact": exact,
        "total": total,
    }


def _base64(array: npt.NDArray[Any], dtype: str) -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype=dtype).tobytes()).decode("ascii")


def view_of(explanation: Explanation) -> Json:
    """How the players are shown: as the lens declares it, or as tiles."""
    view, description = explanation.view, explanation.provenance["game"]["description"]
    title = visible(str(view.get("title", "The players")))
    kind = str(view.get("kind"))
    content = _VIEWS[kind](description, len(explanation.players)) if kind in _VIEWS else None
    if content is None:
        kind, content = "tiles", _tiles(description)
    return {"kind": kind, "title": title} | content


def _text(description: Json, n_players: int) -> Json | None:
    """The input itself, each player in its place; ``None`` where that is not recorded."""
    if "pieces" not in description and len(description.get("spans", ())) != n_players:
        return None
    cut = pieces(description)
    by = str(description.get("by", "")).split(" and ")[0]
    return {"pieces": cut, "turns": turns(description), "blocks": by in ("document", "message")}


def _tiles(description: Json) -> Json:
    """A tile for each player, with what the lens says of it."""
    return {
        "rows_by_class": description.get("rows_by_class"),
        "classes": [visible(str(name)) for name in description.get("classes", ())],
        "thumbnails": description.get("thumbnails"),
        "snippets": _each(description.get("snippets")),
    }


def _examples(description: Json, n_players: int) -> Json | None:
    """A card for each player, with its tag and examples; ``None`` where they are not recorded."""
    cards, tags = description.get("cards"), description.get("tags")
    if cards is None or tags is None:
        return None
    return {
        "cards": [
            {
                "tag": None if tag is None else visible(tag),
                "n_rows": card["n_rows"],
                "rows": [
                    [visible(row["prompt"]), visible(row["response"])] for row in card["rows"]
                ],
            }
            for tag, card in zip(tags, cards, strict=True)
        ]
    }


_VIEWS: dict[str, Callable[[Json, int], Json | None]] = {
    "text": _text,
    "grid": grid,
    "examples": _examples,
    "image": picture,
}


def _each(texts: list[str | None] | None) -> list[str | None] | None:
    return texts and [text if text is None else visible(text) for text in texts]


class _View(TypedDict):
    turns: list[tuple[str, int, int]]


def turns(description: Json) -> list[Json]:
    """A chat's messages, each with its role and its pieces, without what the template writes.

    Empty where it is no chat. Players that are in no message stand in one without a role.
    """
    view = description.get("view") or {}
    try:
        check({"turns": view.get("turns")}, _View, "view")
    except ValueError:  # no chat, or a file that somebody changed
        return []
    if "pieces" in description:
        return []
    messages: list[Json] = []
    at, left = 0, list(cut_at(description["text"], description["spans"]))
    for role, start, stop in view["turns"]:
        if not at <= start <= stop:
            return []
        within = [
            (description["text"][max(begin, start) : min(end, stop)], player)
            for begin, end, player in left
            if begin < stop and end > start
        ]
        messages.append({"role": visible(role), "pieces": within})
        at = stop
    shown = {player for message in messages for _, player in message["pieces"]}
    others = [(description["text"][a:b], p) for a, b, p in left if p is not None and p not in shown]
    if others:
        messages.insert(0, {"role": "", "pieces": others})
    return [
        message | {"pieces": [(visible(text), player) for text, player in message["pieces"]]}
        for message in messages
    ]


def pieces(description: Json) -> list[tuple[str, int | None]]:
    """The text of a prompt in order, cut at the players' spans: each piece with its player."""
    if "pieces" in description:  # of a game whose players are not just spans
        return [(visible(piece), player) for piece, player in description["pieces"]]
    text = description["text"]
    return [
        (visible(text[start:stop]), player)
        for start, stop, player in cut_at(text, description["spans"])
        if start < stop or player is not None
    ]
