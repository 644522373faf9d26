"""``interplay.components``: the components lens."""

from interplay.lenses.components import *  # noqa: F403
from interplay.lenses.components import __all__ as _lens

__all__ = [*_lens]
