"""The text lens for models that an object of the user's own reaches."""

from interplay.text.provider.game import ProviderGame

__all__ = ["ProviderGame"]
