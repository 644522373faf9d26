"""Ablations: what stands in for a unit that is removed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from interplay._types import Json


@dataclass(frozen=True)
class Zero:
    """Nothing: what a unit adds becomes zero.

    Attributes:
        rescale: heads that stay in a layer are multiplied by its number of heads over the number
            of those that stay, so that together they are about as large as before.
    """

    rescale: bool = False


@dataclass(frozen=True)
class Mean:
    """The mean of what the unit adds, over all tokens of reference texts.

    Attributes:
        texts: the reference; ``None``: the prompts of the game's own task.
    """

    texts: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Resample:
    """What the unit adds in another text: each item has one, drawn once for all ablations.

    The text is aligned with the end of the prompt. Where it has no token, before its beginning or
    in the tokens of an answer, its first or its last one stands. An item has its own prompt only
    where there is no other text.

    Attributes:
        texts: the reference; ``None``: the prompts of the game's own task.
        random_state: seed of the draw.
    """

    texts: tuple[str, ...] | None = None
    random_state: int = 0


Ablation: TypeAlias = Zero | Mean | Resample
_NAMED: dict[str, Ablation] = {"zero": Zero(), "mean": Mean(), "resample": Resample()}


def as_ablation(ablation: Ablation | Literal["zero", "mean", "resample"]) -> Ablation:
    """An ablation, or the one of that name.

    Raises:
        ValueError: it is neither, or has an empty reference.
    """
    found = _NAMED.get(ablation) if isinstance(ablation, str) else ablation
    if not isinstance(found, Zero | Mean | Resample):
        raise ValueError(
            f"ablation={ablation!r} is unknown; choose one of {', '.join(_NAMED)}, or give Zero, "
            "Mean or Resample with their settings"
        )
    if not isinstance(found, Zero) and found.texts is not None:
        texts: object = found.texts  # whatever came
        if (
            not isinstance(texts, tuple | list)
            or not all(isinstance(t, str) and t for t in texts)
            or not texts
        ):
            raise ValueError(
                f"the reference texts {str(texts)[:60]!r} are no texts, or some of them are empty; "
                "give a tuple of texts, or leave them out for the task's own prompts"
            )
        return replace(found, texts=tuple(texts))
    return found


def settings_of(ablation: Ablation) -> Json:
    """An ablation as JSON."""
    settings: Json = {"kind": type(ablation).__name__.lower()}
    if isinstance(ablation, Zero):
        return settings | {"rescale": ablation.rescale}
    settings["texts"] = None if ablation.texts is None else list(ablation.texts)
    if isinstance(ablation, Resample):
        settings["random_state"] = ablation.random_state
    return settings
