"""``interplay.training``: the training lens, what its explanations say, removal curves."""

from interplay.lenses.training import *  # noqa: F403
from interplay.lenses.training import __all__ as _lens
from interplay.relations import Relation, Relations, relations
from interplay.removal import Removal, removal_curves

__all__ = [*_lens, "Relation", "Relations", "Removal", "relations", "removal_curves"]
