"""Agents as games: a loop of a model and its tools is run again without some of what it has."""

from interplay.text.agents.game import AgentGame
from interplay.text.agents.record import AgentRun, Argument, FinalAnswer, ToolCall, ToolChoice
from interplay.text.agents.replay import Replay

__all__ = [
    "AgentGame",
    "AgentRun",
    "Argument",
    "FinalAnswer",
    "Replay",
    "ToolCall",
    "ToolChoice",
]
