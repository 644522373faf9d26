"""Settings of a fine-tuning, checked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from interplay._types import Json
from interplay.training.finetuning.adapters import SCALE, Method

Adapt = Literal["response", "all"]


@dataclass(frozen=True)
class Settings:
    """What :class:`~interplay.training.FineTuning` is told; see there."""

    layers: int | Literal["all"]
    rank: int
    targets: tuple[str, ...] | None
    adapt: Adapt
    method: Method
    epochs: int
    batch: int
    learning_rate: float | None
    vocabulary: int | None
    seed: int
    chat: bool
    memory: float

    def __post_init__(self) -> None:
        for what in ("rank", "epochs", "batch"):
            _check_whole(what, getattr(self, what))
        if self.layers != "all":
            _check_whole("layers", self.layers, " or 'all'")
        if self.vocabulary is not None:
            _check_whole("vocabulary", self.vocabulary, " or None")
        if isinstance(self.seed, bool) or self.seed != int(self.seed) or not 0 <= self.seed < 2**63:
            raise ValueError(f"seed={self.seed!r}; give a whole number from 0 to 2**63 - 1")
        for what, choices in (("adapt", get_args(Adapt)), ("method", get_args(Method))):
            if getattr(self, what) not in choices:
                raise ValueError(
                    f"{what}={getattr(self, what)!r} is unknown; choose one of {', '.join(choices)}"
                )
        rate = self.learning_rate
        if rate is not None and not (math.isfinite(rate) and rate > 0):
            raise ValueError(f"learning_rate={rate!r}; give a number above 0, or None to find one")
        if not (math.isfinite(self.memory) and self.memory > 0):
            raise ValueError(f"memory={self.memory!r}; give gigabytes, a number above 0")
        if isinstance(self.targets, str) or self.targets == ():
            raise ValueError(
                f"targets={self.targets!r}; give a list of names of linear maps, or None for all"
            )

    def recipe(self) -> Json:
        """Return what decides the values, as JSON, without the learning rate."""
        return {
            "method": self.method,
            "layers": self.layers,
            "targets": None if self.targets is None else list(self.targets),
            **({"rank": self.rank, "scale": SCALE} if self.method == "lora" else {}),
            "adapt": self.adapt,
            "epochs": self.epochs,
            "batch": self.batch,
            "vocabulary": self.vocabulary,
            "seed": self.seed,
            "chat": self.chat,
        }

    def approximations(self, n_layers: int, n_candidates: int | None) -> list[str]:
        """Return in words what is cheaper than ordinary fine-tuning.

        Args:
            n_layers: the model's layers.
            n_candidates: the tokens of the softmax of training; ``None``: all.
        """
        what = "adapters act" if self.method == "lora" else "trained weights act"
        words = []
        if self.layers != "all" and self.layers < n_layers:
            last = f"last {self.layers} layers" if self.layers > 1 else "last layer"
            words.append(f"only the {last} of {n_layers} tuned")
        if self.adapt == "response":
            words.append(f"{what} from the last prompt token on only")
        if n_candidates is not None:
            words.append(f"a softmax over {n_candidates:,} tokens in training (scores: over all)")
        return words


def settings_of(targets: Sequence[str] | None, **others: object) -> Settings:
    """Make settings with the targets as a tuple."""
    checked = targets if targets is None or isinstance(targets, str) else tuple(targets)
    return Settings(targets=checked, **others)  # type: ignore[arg-type]


def _check_whole(what: str, value: object, otherwise: str = "") -> None:
    whole = isinstance(value, int | float) and not isinstance(value, bool) and value == int(value)
    if not whole or value < 1:  # type: ignore[operator]
        raise ValueError(f"{what}={value!r}; give a whole number from 1 on{otherwise}")
