"""``interplay.components``: the components lens, what its explanations say by layer, pruning."""

from interplay.lenses.components import *  # noqa: F403
from interplay.lenses.components import __all__ as _lens
from interplay.pruning import Pruned, prune
from interplay.structure import LayerShare, Structure, structure

__all__ = [*_lens, "LayerShare", "Pruned", "Structure", "prune", "structure"]
