"""The tabular lens: which features of a row act together in a model's prediction."""

from interplay.tabular.features import Feature, one_hot
from interplay.tabular.files import FileModel, load_model
from interplay.tabular.game import TabularGame

__all__ = ["Feature", "FileModel", "TabularGame", "load_model", "one_hot"]
