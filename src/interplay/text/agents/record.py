"""What an agent did in one run, and scores that are read off it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, get_args, runtime_checkable

from interplay._types import Json
from interplay.errors import GameError
from interplay.extensions import unknown

Source = Literal["called", "replayed", "stand-in"]
"""Where the result of a tool came from: the tool itself, an earlier call, or a fixed text."""


@dataclass(frozen=True)
class ToolCall:
    """One call of a tool.

    Attributes:
        tool: its name.
        arguments: its arguments by name.
        result: what it returned.
        source: where the result came from.
        probabilities: how likely each tool was to be chosen here, where the agent knows it.
    """

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    result: Any = None
    source: Source = "called"
    probabilities: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> Json:
        """Its fields. Values that JSON does not know are written as Python shows them."""
        return {
            "tool": self.tool,
            "arguments": dict(self.arguments),
            "result": self.result,
            "source": self.source,
        }


@dataclass(frozen=True)
class AgentRun:
    """What an agent did in one run.

    Attributes:
        calls: its tool calls, in order.
        answer: its final answer; empty if it gave none.
        cost: what the run cost, in a unit of the user's, such as tokens or cents.
    """

    calls: tuple[ToolCall, ...] = ()
    answer: str = ""
    cost: float = 0.0


@runtime_checkable
class RunScore(Protocol):
    """A number of a run. ``str()`` of it is its name and identifies what it computes."""

    def __call__(self, run: AgentRun, /) -> float:
        """See above."""
        ...


@dataclass(frozen=True)
class ToolChoice:
    """Whether a tool was chosen, as 1 or 0, or how likely it was to be chosen.

    Example:
        >>> run = AgentRun((ToolCall("search", {"query": "rain"}), ToolCall("mail")))
        >>> ToolChoice("mail")(run), ToolChoice("mail", step=1)(run)
        (0.0, 1.0)

    Attributes:
        tool: its name.
        step: which call is looked at, 0 for the first; ``None``: any. A run without that call did
            not choose the tool.
        score: ``"chosen"``, or ``"prob"``, the tool's entry in the probabilities of that call; 0
            for a tool that could not be chosen there.
    """

    tool: str
    step: int | None = 0
    score: Literal["chosen", "prob"] = "chosen"

    def __post_init__(self) -> None:
        if self.score not in ("chosen", "prob"):
            raise unknown("score", self.score, ("chosen", "prob"))
        if self.step is not None and self.step < 0:
            raise ValueError(f"step={self.step} is below 0; 0 is the first call, None any call")
        if self.step is None and self.score == "prob":
            raise ValueError("score='prob' is of one call; give its step, 0 for the first")

    def __call__(self, run: AgentRun, /) -> float:
        """The score of a run.

        Raises:
            GameError: the call has no probabilities, but they are the score.
        """
        if self.step is None:
            return float(any(call.tool == self.tool for call in run.calls))
        if self.step >= len(run.calls):
            return 0.0
        call = run.calls[self.step]
        if self.score == "chosen":
            return float(call.tool == self.tool)
        if not call.probabilities:
            raise GameError(
                f"call {self.step}, of {call.tool!r}, has no probabilities; give them to ToolCall, "
                "or use score='chosen'"
            )
        return float(call.probabilities.get(self.tool, 0.0))

    def __str__(self) -> str:
        chosen = "chosen" if self.score == "chosen" else "probability"
        return f"{self.tool} {chosen} {_at(self.step)}"


@dataclass(frozen=True)
class Argument:
    """Whether a tool was called with a value of an argument, as 1 or 0.

    Attributes:
        tool: its name.
        name: the argument's.
        value: its value.
        step: which call is looked at, 0 for the first; ``None``: any.
    """

    tool: str
    name: str
    value: Any
    step: int | None = None

    def __call__(self, run: AgentRun, /) -> float:
        """The score of a run."""
        calls = run.calls if self.step is None else run.calls[self.step : self.step + 1]
        return float(
            any(
                call.tool == self.tool
                and self.name in call.arguments
                and call.arguments[self.name] == self.value
                for call in calls
            )
        )

    def __str__(self) -> str:
        return f"{self.tool}({self.name}={self.value!r}) {_at(self.step)}"


@dataclass(frozen=True)
class FinalAnswer:
    """Whether a text stands in the final answer, as 1 or 0, whatever its capitals.

    Attributes:
        text: the text.
    """

    text: str

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise ValueError(f"the text {self.text!r} is empty; every answer has it in it")

    def __call__(self, run: AgentRun, /) -> float:
        """The score of a run."""
        return float(self.text.casefold() in run.answer.casefold())

    def __str__(self) -> str:
        return f"{self.text!r} in the answer"


def _at(step: int | None) -> str:
    return "in any call" if step is None else f"in call {step}"


def check_run(run: object) -> AgentRun:
    """What an agent returned, if it is a run.

    Raises:
        GameError: it is none, its answer is no text, or its cost is no finite number from 0 on.
    """
    if not isinstance(run, AgentRun):
        raise GameError(
            f"the agent returned {run!r}, of which no score can be read; return an AgentRun, or "
            "leave score out and return a number"
        )
    if not all(
        isinstance(call, ToolCall) and call.source in get_args(Source) for call in run.calls
    ):
        raise GameError(f"the calls {run.calls!r} of a run are no ToolCalls; return those")
    if not isinstance(run.answer, str):
        raise GameError(
            f"the answer {run.answer!r} of a run is no text; give one, empty if there is no answer"
        )
    if not 0 <= run.cost < float("inf"):
        raise GameError(f"the cost {run.cost!r} of a run is no finite number from 0 on")
    return run
