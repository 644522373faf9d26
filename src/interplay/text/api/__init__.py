"""The text lens for models behind an OpenAI-compatible server. openai is imported when used."""

from interplay.text.api.account import Usage
from interplay.text.api.game import ApiGame
from interplay.text.api.targets import ApiTarget

__all__ = ["ApiGame", "ApiTarget", "Usage"]
