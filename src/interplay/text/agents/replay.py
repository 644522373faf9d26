"""Replay: tools that are called once for the same arguments, and never where that may do harm."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from interplay.errors import GameError
from interplay.text.agents.record import ToolCall


@dataclass
class Replay:
    """Tools for an agent that is run many times.

    A call with the arguments of an earlier one has its result, without the tool. Other calls go to
    the tool if it is among those that are safe; if it is not, they have a stand-in, or are refused.
    Results must therefore depend on the arguments alone.

    Example:
        >>> tools = Replay(
        ...     safe={"add": lambda a, b: a + b}, stand_ins={"send_mail": "Sent."}
        ... )
        >>> tools("add", a=1, b=2).result, tools("add", a=1, b=2).source
        (3, 'replayed')
        >>> tools("send_mail", to="Anna").source
        'stand-in'

    Attributes:
        safe: functions that have no effects, by the tools' names.
        stand_ins: what other tools say for arguments of which nothing is recorded.
        recorded: calls of earlier runs, with their results.
    """

    safe: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    stand_ins: Mapping[str, Any] = field(default_factory=dict)
    recorded: Iterable[ToolCall] = ()

    def __post_init__(self) -> None:
        both = sorted(self.safe.keys() & self.stand_ins.keys())
        if both:
            raise ValueError(
                f"the tool {both[0]!r} is safe to call and has a stand-in; give one of the two"
            )
        self._results = {_key(call.tool, call.arguments): call.result for call in self.recorded}

    def __call__(self, tool: str, /, **arguments: Any) -> ToolCall:
        """Call a tool.

        Raises:
            GameError: nothing is recorded for these arguments, and the tool is not safe to call.
        """
        key = _key(tool, arguments)
        if key in self._results:
            return ToolCall(tool, arguments, self._results[key], "replayed")
        if tool in self.safe:
            self._results[key] = result = self.safe[tool](**arguments)
            return ToolCall(tool, arguments, result)
        if tool in self.stand_ins:
            return ToolCall(tool, arguments, self.stand_ins[tool], "stand-in")
        raise GameError(
            f"the tool {tool!r} was called with {arguments!r}, of which no result is recorded, and "
            "it is not said to be safe to call; give it among safe= if it has no effects, or what "
            "it says among stand_ins="
        )


def _key(tool: str, arguments: Mapping[str, Any]) -> str:
    try:
        return json.dumps([tool, dict(arguments)], sort_keys=True)
    except (TypeError, ValueError) as error:
        raise GameError(
            f"the arguments {dict(arguments)!r} of {tool!r} are no JSON ({error}), so calls cannot "
            "be compared; give texts, numbers, lists and mappings"
        ) from error
