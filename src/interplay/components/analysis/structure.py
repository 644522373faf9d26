"""Structure: how components act together, within a layer or between layers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interplay._types import FloatArray, visible
from interplay.explanation.explanation import Explanation
from interplay.extensions import IndexName
from interplay.fourier.sets import tuples


@dataclass(frozen=True)
class LayerShare:
    """One layer's shares of the variance.

    Attributes:
        layer: its number.
        linear: the share of its single players.
        within: the share of interactions among its players.
        between: its part in interactions with other layers. Each of these is split evenly among the
            layers that it has players of.
    """

    layer: int
    linear: float
    within: float
    between: float


@dataclass(frozen=True)
class Structure:
    """Shares of the variance of the task's score, and the strongest interactions.

    The variance is over masks of the explanation's measure. Over uniform masks it is, by Parseval's
    theorem, the sum of the energies F(S)^2 of all sets S but the empty one; for others see
    :func:`interplay.fourier.biased.variances`.

    Attributes:
        linear: the share of single players.
        within: the share of interactions whose players are all in one layer.
        between: the share of the other interactions. The three add up to 1, or all are 0.
        layers: the same layer by layer, for the layers that have a player.
        synergies: the strongest positive interactions that are findings, each as its players'
            names, ``L14.H3 × L16.H0``, and its value. Together the players do more than the sum of
            what they do alone.
        redundancies: the strongest negative interactions, likewise: together the players do less
            than that sum.
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
        for title, interactions in (
            ("synergies", self.synergies),
            ("redundancies", self.redundancies),
        ):
            listed = "; ".join(f"{name} {value:+.3g}" for name, value in interactions)
            lines.append(f"{title}: {listed or 'none that can be told from zero'}")
        return visible("\n".join(lines))


def structure(
    explanation: Explanation,
    *,
    output: int = 0,
    index: IndexName | str | None = None,
    order: int = 2,
    top: int = 5,
) -> Structure:
    """Split an explanation of components by layer, and name its strongest interactions.

    Args:
        explanation: an explanation of a ``ComponentGame``, fresh or loaded.
        output: which score, if there are several.
        index: the interaction index; by default the explanation's.
        order: how many players an interaction has at most; 2 are pairs.
        top: how many synergies and how many redundancies to name at most.

    Raises:
        ValueError: the explanation is of something else, or the output does not exist.
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
    sets, variances = explanation.measure.variances(spectrum.relative)
    listed = tuples(sets, spectrum.n_players)
    for members, energy in zip(listed, variances[:, 0].tolist(), strict=True):
        touched = set[int]().union(*(layers_of[player] for player in members))
        for layer in touched:
            shares[layer][_kind(len(members), len(touched))] += energy / len(touched)
    total = sum(float(share.sum()) for share in shares.values()) or 1.0
    layer_shares: list[FloatArray] = [share / total for share in shares.values()]
    linear, within, between = np.sum(layer_shares, axis=0).tolist()
    index = index or explanation.index
    interactions = spectrum.to(index, order=order, players=explanation.players).filter(min_order=2)
    found, _ = explanation.verdict.strongest(interactions, len(interactions), output=output)
    ranked = [(found.label(members), float(value)) for members, value in found]
    return Structure(
        linear=linear,
        within=within,
        between=between,
        layers=tuple(
            LayerShare(layer, *share.tolist())
            for layer, share in zip(shares, layer_shares, strict=True)
        ),
        synergies=tuple(entry for entry in ranked if entry[1] > 0)[:top],
        redundancies=tuple(entry for entry in ranked if entry[1] < 0)[:top],
    )


def _kind(order: int, n_layers: int) -> int:
    """Classify a set: 0 linear, 1 within a layer, 2 between layers."""
    if order == 1:
        return 0
    return 1 if n_layers == 1 else 2
