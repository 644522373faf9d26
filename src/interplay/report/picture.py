"""An image with its regions: where each player is, and how strongly it is shaded."""

from __future__ import annotations

import re
from typing import TypedDict

from interplay._types import Count, Json, Positive, check, visible
from interplay.explanation.explanation import Explanation
from interplay.fourier.interactions import Interactions

_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_LONGEST = 1 << 20
"""The most characters of a picture that a page shows; Interplay's own have a tenth of that."""
_SIDE = 640
"""The longer side in the units of the drawing, whatever the pixels of the image."""
_OPACITY = 0.6
"""Of the strongest effect, as on the other views."""


class _Picture(TypedDict):
    jpeg: str
    map: tuple[Positive, Positive]
    outlines: list[list[list[Count]]]
    places: list[tuple[Count, Count]]


class _Words(TypedDict):
    pieces: list[tuple[str, Count | None]]


def picture(description: Json, n_players: int) -> Json | None:
    """The picture, and the outlines of the first players; the text of the others if there is one.

    Args:
        description: a game's, with ``picture``: its ``jpeg`` in base64, and for each region its
            closed lines ``outlines`` and a cell ``places`` inside of it on a ``map`` of some width
            and height; and with ``pieces``, where the last players are segments of a text.
        n_players: n.

    Returns:
        ``width`` and ``height`` of the drawing, ``jpeg``, for each region the commands of an SVG
        path in ``paths`` and where its number stands in ``places``, and ``pieces``, empty without a
        text. ``None`` where that is not recorded, or cannot be drawn.
    """
    recorded, words = description.get("picture"), {"pieces": description.get("pieces", [])}
    try:
        check(recorded, _Picture, "picture")
        check(words, _Words, "pieces")
    except ValueError:  # what the lens does not promise, a file may hold
        return None
    assert recorded is not None
    lines, places, jpeg = recorded["outlines"], recorded["places"], recorded["jpeg"]
    owners = {player for _, player in words["pieces"] if player is not None}
    if {*range(len(lines)), *owners} != set(range(n_players)) or len(places) != len(lines):
        return None
    if len(jpeg) > _LONGEST or not _BASE64.fullmatch(jpeg):
        return None
    width, height = recorded["map"]
    unit = _SIDE / max(width, height)
    return {
        "width": round(width * unit),
        "height": round(height * unit),
        "jpeg": jpeg,
        "paths": ["".join(_path(line, unit) for line in region) for region in lines],
        "places": [[round((x + 0.5) * unit, 1), round((y + 0.5) * unit, 1)] for x, y in places],
        "pieces": [(visible(text), player) for text, player in words["pieces"]],
    }


def _path(line: list[int], unit: float) -> str:
    """A closed line as commands of an SVG path."""
    at = [f"{unit * place:.4g}" for place in line]
    points = zip(at[::2], at[1::2], strict=False)
    return "M" + "L".join(f"{x},{y}" for x, y in points) + "Z" if line else ""


def shades(explanation: Explanation, interactions: Interactions) -> tuple[list[float], float]:
    """Each player's own effect, 0 where it is no finding, and the one that is shaded in full.

    Args:
        explanation: what is shown.
        interactions: of the output that the page begins with.
    """
    verdict, first = explanation.verdict, explanation.first_output or 0
    effects = verdict.shaded_effects(interactions, first).tolist()
    return effects, verdict.full_shade(max(map(abs, effects)), first)


def shaded_picture(view: Json, explanation: Explanation, interactions: Interactions) -> Json:
    """The picture with each region's name, effect and opacity; only findings are shaded.

    Args:
        view: as :func:`picture` gives it.
        explanation: what is shown.
        interactions: of the output that the page begins with.
    """
    effects, full = shades(explanation, interactions)
    regions = [
        {
            "name": explanation.players[player],
            "path": path,
            "place": view["places"][player],
            "effect": effects[player],
            "opacity": _OPACITY * min(1.0, abs(effects[player]) / full),
        }
        for player, path in enumerate(view["paths"])
    ]
    return {name: view[name] for name in ("width", "height", "jpeg")} | {"regions": regions}
