"""Structure: how the components that matter act together, within a layer or across layers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interplay._types import FloatArray
from interplay.explanation.explanation import Explanation
from interplay.extensions import IndexName


@dataclass(frozen=True)
class LayerShare:
    """What belongs to one layer, as shares of the variance.

    Attributes:
        layer: its number.
        linear: of its players alone.
        within: of interactions among its players.
        between: its part of interactions with other layers, each split evenly among its layers.
    """

    layer: int
    linear: float
    within: float
    between: float


@dataclass(frozen=True)
class Structure:
    """Where the variance of the task's score over random ablations lies (energy, by Parseval).

    Attributes:
        linear: the share of single players.
        within: of interactions all of whose players are in one layer.
        between: of the others. The three add up to 1, or all are 0.
        layers: the same layer by layer, for the layers that have a player.
        synergies: the strongest positive interactions: named players, ``L14.H3 x L16.H0``, and
            value. Together they do more than the sum of what they do alone.
        redundancies: the strongest negative ones: together they do less than that sum.
    """

    linear: float
    within: float
    between: float
    layers: tuple[LayerShare, ...]
    synergies: tuple[tuple[str, float], ...]
    redundancies: tuple[tuple[str, float], ...]

    def __str__(self) -> str:
        lines = [
            f"linear {self.linear:.1%}, interactions within layers {self.within:.1%}, "
            f"between layers {self.between:.1%}"
        ]
        for title, found in (
            ("synergies", self.synergies),
            ("redundancies", self.redundancies),
        ):
            named = "; ".join(f"{name} {value:+.3g}" for name, value in found)
            lines.append(f"{title}: {named or 'none'}")
        return "\n".join(lines)


def structure(
    explanation: Explanation,
    *,
    output: int = 0,
    index: IndexName | str = "FSII",
    order: int = 2,
    top: int = 5,
) -> Structure:
    """Split an explanation of components by layer, and name its strongest interactions.

    Args:
        explanation: of a ``ComponentGame``, loaded or not.
        output: which score, where there are several.
        index: the interactions' index.
        order: its order.
        top: how many synergies and redundancies to name.

    Raises:
        ValueError: an explanation of something else, or an output that does not exist.
    """
    description = explanation.provenance["game"]["description"]
    if "units" not in description:
        raise ValueError(
            f"this explains a {description.get('lens') or 'game'}, which has no layers; give an "
            "explanation of a ComponentGame"
        )
    spectrum = explanation.spectrum.output(output)
    layers_of: list[set[int]] = [{unit[0] for unit in units} for units in description["units"]]
    shares = {layer: np.zeros(3) for layer in sorted(set[int]().union(*layers_of))}
    for members, energy in zip(spectrum.sets, spectrum.energies.tolist(), strict=True):
        own = set[int]().union(*(layers_of[player] for player in members))
        for layer in own:
            shares[layer][_kind(len(members), len(own))] += energy / len(own)
    total = sum(float(share.sum()) for share in shares.values()) or 1.0
    parts: list[FloatArray] = [share / total for share in shares.values()]
    linear, within, between = np.sum(parts, axis=0).tolist()
    pairs = spectrum.to(index, order=order, players=explanation.players).filter(min_order=2)
    ranked = [
        (pairs.label(members, " x "), float(value)) for members, value in pairs.top(len(pairs))
    ]
    return Structure(
        linear=linear,
        within=within,
        between=between,
        layers=tuple(
            LayerShare(layer, *share.tolist()) for layer, share in zip(shares, parts, strict=True)
        ),
        synergies=tuple(each for each in ranked if each[1] > 0)[:top],
        redundancies=tuple(each for each in ranked if each[1] < 0)[:top],
    )


def _kind(order: int, n_layers: int) -> int:
    """Linear, within a layer, between layers."""
    if order == 1:
        return 0
    return 1 if n_layers == 1 else 2
