"""The components lens: which heads, MLPs and layers act together. Torch is imported when used."""

from interplay.components.ablations import Mean, Resample, Zero
from interplay.components.analysis.pruning import Pruned, prune
from interplay.components.analysis.structure import LayerShare, Structure, structure
from interplay.components.game import ComponentGame
from interplay.components.tasks import Item, LogitScore, Task
from interplay.components.units import Group, Unit, by_layers, heads, layers, mlps

__all__ = [
    "ComponentGame",
    "Group",
    "Item",
    "LayerShare",
    "LogitScore",
    "Mean",
    "Pruned",
    "Resample",
    "Structure",
    "Task",
    "Unit",
    "Zero",
    "by_layers",
    "heads",
    "layers",
    "mlps",
    "prune",
    "structure",
]
