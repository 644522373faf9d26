"""The errors of Interplay. A wrong argument raises a plain ``ValueError``.

::

    InterplayError
    ├── AblationError (also a RuntimeError): carries the masks and values that were evaluated
    │   ├── GameError: a game raised, or returned values that cannot be used
    │   │   └── OutputShapeError: their shape is wrong
    │   └── StoreError: a store of ablations cannot be used
    └── MissingDependencyError (also an ImportError): an optional package is missing

    ExtrapolationWarning (a UserWarning): an index of masks that a run says nothing of

Ctrl-C raises a ``KeyboardInterrupt``, which carries masks and values like an ``AblationError``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interplay._types import BoolArray, FloatArray


class InterplayError(Exception):
    """The base class of all errors of Interplay."""


class AblationError(InterplayError, RuntimeError):
    """An error that carries what was evaluated before it.

    Nothing that was evaluated is lost: ``interplay.decode(error.masks, error.values)`` decodes it.

    Attributes:
        masks: the masks that have a value, ``(m, n)``; or ``None``.
        values: their values, ``(m,)`` or ``(m, k)``; or ``None``.
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
    """A game returned values of a wrong shape, or another number of outputs than before."""


class StoreError(AblationError):
    """A store of ablations cannot be used.

    The file may have another version, not be a store, or be on a full disk.
    """


class MissingDependencyError(InterplayError, ImportError):
    """An optional package is missing. The message contains the command that installs it."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f'{purpose} needs the package {package}: pip install "interplay[{extra}]"', name=package
        )


class ExtrapolationWarning(UserWarning):
    """An index is read from an explanation whose masks say little of where the index looks.

    What was measured there contradicts the explanation. The message says what, and which measure
    has the masks for this index.
    """


def hand_over(
    interrupt: KeyboardInterrupt, masks: BoolArray, values: FloatArray
) -> KeyboardInterrupt:
    """Attach what was evaluated to an interruption, as an :class:`AblationError` carries it."""
    interrupt.masks, interrupt.values = masks, values  # type: ignore[attr-defined]
    return interrupt


def out_of_memory(error: Exception) -> bool:
    """Whether an error, also one of torch, means that there was not enough memory."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "not enough memory" in str(error))
    )
