"""Ablations: what replaces the contribution of a unit that is removed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from interplay._types import Json


@dataclass(frozen=True)
class Zero:
    """Zero: a removed unit adds nothing.

    Attributes:
        rescale: multiply the heads kept in a layer by the layer's number of heads over the number
            kept. Together they are then about as large as before.
    """

    rescale: bool = False


@dataclass(frozen=True)
class Mean:
    """The mean: a removed unit adds its mean over all tokens of reference texts.

    Attributes:
        texts: the reference; ``None``: the prompts of the game's own task.
    """

    texts: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Resample:
    """Resampling: a removed unit adds what it adds in another text.

    One text is drawn for each item and serves all masks. Its end is aligned with the prompt's end.
    Positions before its beginning use its first token; the positions of an answer use its last one.
    An item's own prompt is drawn only if there is no other text.

    Attributes:
        texts: the reference; ``None``: the prompts of the game's own task.
        random_state: seed of the draw.
    """

    texts: tuple[str, ...] | None = None
    random_state: int = 0


Ablation: TypeAlias = Zero | Mean | Resample
_NAMED: dict[str, Ablation] = {"zero": Zero(), "mean": Mean(), "resample": Resample()}


def as_ablation(ablation: Ablation | Literal["zero", "mean", "resample"]) -> Ablation:
    """Return an ablation as it is, or the one with this name.

    Raises:
        ValueError: it is neither, or has an empty reference.
    """
    chosen = _NAMED.get(ablation) if isinstance(ablation, str) else ablation
    if not isinstance(chosen, Zero | Mean | Resample):
        raise ValueError(
            f"ablation={ablation!r} is unknown; choose one of {', '.join(_NAMED)}, or give Zero, "
            "Mean or Resample with their settings"
        )
    if not isinstance(chosen, Zero) and chosen.texts is not None:
        texts: object = chosen.texts  # whatever the user gave
        if (
            not isinstance(texts, tuple | list)
            or not all(isinstance(text, str) and text for text in texts)
            or not texts
        ):
            raise ValueError(
                f"the reference texts {str(texts)[:60]!r} are no texts, or some of them are empty; "
                "give a tuple of texts, or leave them out for the task's own prompts"
            )
        return replace(chosen, texts=tuple(texts))
    return chosen


def settings_of(ablation: Ablation) -> Json:
    """Return an ablation's kind and settings as JSON."""
    settings: Json = {"kind": type(ablation).__name__.lower()}
    if isinstance(ablation, Zero):
        return settings | {"rescale": ablation.rescale}
    settings["texts"] = None if ablation.texts is None else list(ablation.texts)
    if isinstance(ablation, Resample):
        settings["random_state"] = ablation.random_state
    return settings
