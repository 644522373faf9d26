"""The map of a transformer's parts: layers by heads, and which player is where."""

from __future__ import annotations

from collections import defaultdict
from typing import TypedDict

from interplay._types import Json, check, visible

_TITLES = {"neuron": "neurons", "mlp": "MLP", "latent": "latents", "layer": "layer"}
"""The columns of other kinds of units than heads, in their order."""
_MOST_HEADS = 1024
"""Of a layer: what is above it is no transformer's, and would fill the memory with empty cells."""
_UNITS = {
    "margin": "nats",
    "logprob": "nats",
    "logprob_per_token": "nats per token",
    "prob": "probability",
    "correct": "accuracy",
}
"""What the scores of the components lens are measured in."""


def grid(description: Json, n_players: int) -> Json | None:
    """Where each player stands: a row for each layer, a column for each head and each other kind.

    Args:
        description: a game's, with ``units`` (of each player ``[layer, kind, number]``) and
            ``n_heads`` (of each layer); or with ``components``, whose ``units`` are those of the
            last players.
        n_players: n.

    Returns:
        ``columns``, their titles, with the number of those that are heads; ``rows``, each with its
        layer and, for each column, the players of that cell (several only where a kind other than
        heads has several units in a layer; none where the unit is no player), or ``None`` where
        the layer has no such head; and ``others``, players that are no part of the model.
        ``None`` where the units are not recorded, or cannot be drawn.
    """
    units_of = _units(description, n_players)
    if units_of is None or "n_heads" not in description:
        return None
    owners: dict[tuple[int, str], list[tuple[int, int]]] = defaultdict(list)
    for player, units in enumerate(units_of):
        for layer, kind, number in units:
            owners[layer, kind].append((number, player))
    layers = sorted({layer for layer, _ in owners})
    counts = dict(enumerate(description["n_heads"]))
    of_heads = [
        (layer, number)
        for (layer, kind), numbered in owners.items()
        for number, _ in numbered
        if kind == "head"
    ]
    if not layers or layers[0] < 0:
        return None
    if any(not 0 <= head < counts.get(layer, 0) for layer, head in of_heads):
        return None
    n_heads = max((counts[layer] for layer, _ in of_heads), default=0)
    if n_heads > _MOST_HEADS:
        return None
    kinds = sorted(
        {kind for _, kind in owners} - {"head"},
        key=lambda kind: (list(_TITLES).index(kind) if kind in _TITLES else len(_TITLES), kind),
    )
    rows: list[Json] = []
    for layer in layers:
        heads = dict(owners.get((layer, "head"), ()))
        cells: list[list[int] | None] = [
            ([heads[head]] if head in heads else []) if head < counts.get(layer, 0) else None
            for head in range(n_heads)
        ]
        for kind in kinds:
            in_order = (player for _, player in sorted(owners.get((layer, kind), ())))
            cells.append(list(dict.fromkeys(in_order)))
        rows.append({"layer": layer, "cells": cells})
    titles = [*map(str, range(n_heads)), *(visible(_TITLES.get(kind, kind)) for kind in kinds)]
    placed = {player for row in rows for cell in row["cells"] for player in cell or ()}
    return {
        "columns": titles,
        "n_heads": n_heads,
        "rows": rows,
        "others": [player for player in range(n_players) if player not in placed],
    }


class _Components(TypedDict):
    units: list[list[tuple[int, str, int]]]


def _units(description: Json, n_players: int) -> list[list[tuple[int, str, int]]] | None:
    """Each player's units; of a joint game the first players have none."""
    if "units" in description:
        units: list[list[tuple[int, str, int]]] = description["units"]
        return units
    components = description.get("components")
    try:
        check(components, _Components, "components")  # what the lens does not promise, a file may
    except ValueError:
        return None
    assert components is not None
    last = components["units"]
    return [[] for _ in range(n_players - len(last))] + last if len(last) <= n_players else None


def units_of_scores(description: Json, n_outputs: int) -> list[str]:
    """What each output of a components game is measured in; empty where it is not known."""
    scores = description.get("scores") if description.get("lens") == "components" else None
    known = [_UNITS.get(score, "") for score in scores or ()]
    return known if len(known) == n_outputs else [""] * n_outputs
