"""The components lens: which heads, MLPs and layers act together. Torch is imported when used."""

from interplay.lenses.components.ablations import Mean, Resample, Zero
from interplay.lenses.components.game import ComponentGame
from interplay.lenses.components.tasks import Item, LogitScore, Task
from interplay.lenses.components.units import Group, Unit, by_layers, heads, layers, mlps

__all__ = [
    "ComponentGame",
    "Group",
    "Item",
    "LogitScore",
    "Mean",
    "Resample",
    "Task",
    "Unit",
    "Zero",
    "by_layers",
    "heads",
    "layers",
    "mlps",
]
