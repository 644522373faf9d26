"""The training lens: which training data act together."""

from interplay.lenses.training.data import TrainingData
from interplay.lenses.training.game import TrainingGame
from interplay.lenses.training.groups import clusters, near_duplicates, within_classes
from interplay.lenses.training.scores import ScoreFunction
from interplay.lenses.training.trainers.base import Retrain, Trainer

__all__ = [
    "Retrain",
    "ScoreFunction",
    "Trainer",
    "TrainingData",
    "TrainingGame",
    "clusters",
    "near_duplicates",
    "within_classes",
]
