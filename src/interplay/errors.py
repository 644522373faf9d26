"""The errors of Interplay, beside a plain ``ValueError`` about an argument.

::

    InterplayError
    ├── AblationError (also a RuntimeError): carries the masks and values that were evaluated
    │   ├── GameError: a game raised, or returned what is no value
    │   │   └── OutputShapeError: of a wrong shape
    │   └── StoreError: a store of ablations cannot be used
    └── MissingDependencyError (also an ImportError): an optional package is needed

Ctrl-C is a ``KeyboardInterrupt``, which carries masks and values as an ``AblationError`` does.
"""

from __future__ import annotations

from interplay._types import BoolArray, FloatArray


class InterplayError(Exception):
    """What all errors of Interplay have above them."""


class AblationError(InterplayError, RuntimeError):
    """An error that carries what was evaluated before it.

    Attributes:
        masks: the masks whose values are known, shape ``(m, n)``, or ``None``.
        values: their values, shape ``(m,)`` or ``(m, k)``. Nothing evaluated before the error is
            lost: ``interplay.decode(error.masks, error.values)`` works with what there is.
    """

    def __init__(
        self, message: str, masks: BoolArray | None = None, values: FloatArray | None = None
    ) -> None:
        super().__init__(message)
        self.masks = masks
        self.values = values


class GameError(AblationError):
    """A game raised, or returned values that are not finite or of the wrong shape."""


class OutputShapeError(GameError):
    """A game returned values of a wrong shape, or not as many outputs as before."""


class StoreError(AblationError):
    """A store of ablations cannot be used: another version, not a store, no room on the disk."""


class MissingDependencyError(InterplayError, ImportError):
    """An optional package is needed; the message holds the line that installs it."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f'{purpose} needs the package {package}: pip install "interplay[{extra}]"', name=package
        )


def hand_over(
    interrupt: KeyboardInterrupt, masks: BoolArray, values: FloatArray
) -> KeyboardInterrupt:
    """Let an interruption carry what was evaluated, as an :class:`AblationError` does."""
    interrupt.masks, interrupt.values = masks, values  # type: ignore[attr-defined]
    return interrupt


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory did not suffice, torch's included."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "not enough memory" in str(error))
    )
