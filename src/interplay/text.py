"""``interplay.text``: the text lens, and the drill-down from its coarse segments to fine ones."""

from interplay.drill import Drilled, drill
from interplay.lenses.text import *  # noqa: F403
from interplay.lenses.text import __all__ as _lens

__all__ = [*_lens, "Drilled", "drill"]
