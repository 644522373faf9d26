"""The text lens for models behind an OpenAI-compatible server. openai is imported when used."""

from interplay.lenses.text.api.account import Spent
from interplay.lenses.text.api.game import ApiGame
from interplay.lenses.text.api.targets import ApiTarget

__all__ = ["ApiGame", "ApiTarget", "Spent"]
