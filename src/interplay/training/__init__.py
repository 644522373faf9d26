"""The training lens: which training data act together."""

from interplay.training.analysis.harm import Harm, harmful
from interplay.training.analysis.influence import gradient_baselines, leave_one_out
from interplay.training.analysis.relations import Relation, Relations, relations
from interplay.training.analysis.removal import Removal, removal_curves
from interplay.training.analysis.undoing import Undoing, undoing_set
from interplay.training.data import TrainingData
from interplay.training.finetuning.embeddings import embeddings
from interplay.training.finetuning.examples import Example, Question
from interplay.training.finetuning.files import read_examples, read_questions
from interplay.training.finetuning.game import FineTuningGame
from interplay.training.finetuning.tuner import FineTuning
from interplay.training.game import TrainingGame
from interplay.training.groups import clusters, near_duplicates, within_classes
from interplay.training.scores import ScoreFunction
from interplay.training.trainers.base import Retrain, Trainer
from interplay.training.trainers.estimator import Estimator
from interplay.training.trainers.logistic import Logistic
from interplay.training.trainers.network import Network
from interplay.training.trainers.ridge import Ridge

__all__ = [
    "Estimator",
    "Example",
    "FineTuning",
    "FineTuningGame",
    "Harm",
    "Logistic",
    "Network",
    "Question",
    "Relation",
    "Relations",
    "Removal",
    "Retrain",
    "Ridge",
    "ScoreFunction",
    "Trainer",
    "TrainingData",
    "TrainingGame",
    "Undoing",
    "clusters",
    "embeddings",
    "gradient_baselines",
    "harmful",
    "leave_one_out",
    "near_duplicates",
    "read_examples",
    "read_questions",
    "relations",
    "removal_curves",
    "undoing_set",
    "within_classes",
]
