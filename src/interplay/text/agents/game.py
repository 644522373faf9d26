"""AgentGame: an agent is run again without some of its tools, notes or results."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import TIMEOUT_MAX, Thread
from typing import Any

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.errors import GameError
from interplay.fourier.interactions import names_of
from interplay.fourier.masks import as_masks
from interplay.game import repeats_of
from interplay.text.agents.record import AgentRun, RunScore, check_run
from interplay.text.digests import document_digest

_CODE_VERSION = 1
"""Part of the fingerprint. It is raised when a change makes the same settings give other values."""
_SNIPPET = 200
"""The most characters that a page shows of what a player is."""


@dataclass(frozen=True)
class AgentUsage:
    """What the runs of a game have taken so far, in this process.

    Attributes:
        n_runs: how many runs there were.
        seconds: how long they took.
        cost: what they cost, in the unit of their records.
        calls: how often each tool was called, replayed or stood in for: by tool and source.
    """

    n_runs: int
    seconds: float
    cost: float
    calls: Mapping[tuple[str, str], int]


class AgentGame:
    """How what an agent does depends on its tools, notes, results or turns.

    The agent is a function. It is run again for each mask with what is kept, and returns a number,
    or a record of what it did, of which scores are read. A run is a real one: what it does to the
    world, it does for every mask. Let its tools go through :class:`Replay`, and say that it is safe
    to repeat.

    Example:
        >>> import numpy as np
        >>> from interplay.text import AgentGame, AgentRun, Replay, ToolChoice
        >>> tools = Replay(safe={"search": lambda query: "rain", "guess": lambda query: "sun"})
        >>> def agent(kept, seed):
        ...     tool = "search" if "search" in kept else "guess"
        ...     call = tools(tool, query="the weather")
        ...     return AgentRun((call,), answer=call.result)
        >>> game = AgentGame(
        ...     agent, ["search", "guess"], ToolChoice("search"), safe_to_repeat=True
        ... )
        >>> game(np.array([[True, True], [False, True]]))
        array([1., 0.])

    Args:
        run: takes the players that are kept, a dict in their order, and a seed. It returns a finite
            number, or with ``score`` an :class:`AgentRun`. The same players and seed must give the
            same.
        players: the players by name, with anything that ``run`` needs of each: a tool's
            description, the text of a note. Or their names only.
        score: what is read off the record, such as ``ToolChoice("search")``; several are outputs of
            one run. ``None``: the agent returns the number itself.
        safe_to_repeat: that ``run`` may be called hundreds of times without harm. It must be said.
        n_repeats: for an agent that draws at random, how often it is run for each mask, with other
            seeds; the value is the mean. An agent of one repeat gets the seed 0.
        name: identifies the agent, its model and everything that its runs depend on, for the
            fingerprint. Without a name the values are held for the run only and never stored.
        time_limit: seconds that one run may take. One that takes longer is given up; Python cannot
            end it, so it may go on until the process ends.
        cost_limit: the most that all runs of this game may cost together, in the unit of the
            records. The run that passes it is the last.
        log: a file to which each run is added as a line of JSON: what was kept, the seed, the
            values, the calls with where their results came from, the answer, the cost, the seconds.

    Raises:
        ValueError: it is not said that ``run`` is safe to repeat, names repeat, ``run`` cannot be
            called, or a limit is no finite number above 0.
    """

    def __init__(
        self,
        run: Callable[[dict[str, Any], int], AgentRun | float],
        players: Mapping[str, Any] | Sequence[str],
        score: RunScore | Sequence[RunScore] | None = None,
        *,
        safe_to_repeat: bool = False,
        n_repeats: int = 1,
        name: str | None = None,
        time_limit: float | None = None,
        cost_limit: float | None = None,
        log: str | Path | None = None,
    ) -> None:
        if safe_to_repeat is not True:
            raise ValueError(
                "the agent is run again for every mask, often hundreds of times, and each time it "
                "does what its tools do: send, order, delete. Let tools with effects go through "
                "interplay.text.Replay, which replays recorded results, and then give "
                "safe_to_repeat=True"
            )
        for limit, value in (("time_limit", time_limit), ("cost_limit", cost_limit)):
            is_number = isinstance(value, int | float | np.integer | np.floating)
            if value is not None and not (is_number and 0 < value < np.inf):
                raise ValueError(
                    f"{limit}={value!r} is no finite number above 0; give one, or None for no limit"
                )
        if time_limit is not None and time_limit > TIMEOUT_MAX:
            raise ValueError(
                f"time_limit={time_limit!r} is above {TIMEOUT_MAX:.0f} s, the longest that Python "
                "waits; give less, or None for no limit"
            )
        if not callable(run):
            raise ValueError(f"run={run!r} cannot be called; give a function of (kept, seed)")
        if name == "":
            raise ValueError("name='' identifies nothing; give the agent's name, or leave it out")
        if isinstance(players, str):
            raise ValueError(f"players={players!r} is one text; give a list of names, or a mapping")
        self._described = isinstance(players, Mapping)
        self._contents = dict(players) if isinstance(players, Mapping) else {p: p for p in players}
        names = list(players)
        self.players = names_of(names, len(names))
        """Their names."""
        self.n_players = len(names)
        if not names or len(self._contents) < len(names):
            raise ValueError(
                f"the players {names!r} are none, or have a name twice; the agent is told by name "
                "which of them are kept, so give different names"
            )
        if cost_limit is not None and score is None:
            raise ValueError(
                "cost_limit needs records with a cost; return AgentRuns and give score"
            )
        several = isinstance(score, Sequence)
        self._run = run
        self._scores: tuple[RunScore, ...] = ()
        if score is not None:
            self._scores = tuple(score) if isinstance(score, Sequence) else (score,)
        self.outputs = tuple(map(str, self._scores)) if several else ()
        """The names of several scores."""
        if len(set(self.outputs)) < len(self.outputs) or (several and not self.outputs):
            raise ValueError(
                f"the scores {self.outputs!r} are none, or repeat; give different ones"
            )
        self.name = name
        self.n_repeats = n_repeats
        repeats_of(self)
        self.time_limit, self.cost_limit = time_limit, cost_limit
        self.log = None if log is None else Path(log)
        self._n_runs, self._seconds, self._cost = 0, 0.0, 0.0
        self._calls: Counter[tuple[str, str]] = Counter()

    batch_size = 1
    """A run is long, so each is known and stored as soon as it has ended."""

    @property
    def usage(self) -> AgentUsage:
        """What the runs have taken so far. Stored values took none."""
        return AgentUsage(self._n_runs, self._seconds, self._cost, dict(self._calls))

    def __call__(self, masks: BoolArray, /, *seeds: IntArray) -> FloatArray:
        """Run the agent: ``(m,)``, or ``(m, k)`` for k scores, of masks ``(m, n)``.

        Raises:
            GameError: the agent raised, took or cost too much, or returned what no score can be
                read of. The message names what it had.
        """
        masks = as_masks(masks, self.n_players)
        numbers = seeds[0] if seeds else np.zeros(len(masks), dtype=np.int64)
        width = len(self.outputs)
        values = np.empty((len(masks), width) if width else len(masks))
        for row, (mask, seed) in enumerate(zip(masks, numbers.tolist(), strict=True)):
            values[row] = self._value(mask, seed)
        return values

    def _value(self, mask: BoolArray, seed: int) -> float | list[float]:
        """The value of one run."""
        if self.cost_limit is not None and self._cost >= self.cost_limit:
            raise GameError(
                f"{self._n_runs} runs have cost {self._cost:g}, which is cost_limit="
                f"{self.cost_limit:g} or more; make a game with a higher limit (what is in a store "
                "is not run again), or lower the budget"
            )
        kept = {
            name: self._contents[name]
            for name, is_kept in zip(self.players, mask, strict=True)
            if is_kept
        }
        began = time.monotonic()
        try:
            returned = self._limited(dict(kept), seed)
        # an agent that exits must not end the run as if all were well
        except (Exception, SystemExit) as error:
            raise GameError(
                f"the agent with {list(kept)} and the seed {seed} raised "
                f"{type(error).__name__}: {error}"
            ) from error
        seconds = time.monotonic() - began
        self._n_runs += 1
        self._seconds += seconds
        if not self._scores:
            value = _number(returned, kept)
            self._note(kept, seed, [value], AgentRun(), seconds)
            return value
        run = check_run(returned)
        self._cost += run.cost
        self._calls.update((call.tool, call.source) for call in run.calls)
        scores = [_number(score(run), kept) for score in self._scores]
        self._note(kept, seed, scores, run, seconds)
        return scores if self.outputs else scores[0]

    def _limited(self, kept: dict[str, Any], seed: int) -> AgentRun | float:
        """What the agent returns, in time."""
        if self.time_limit is None:
            return self._run(kept, seed)
        outcome: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

        def work() -> None:
            try:
                outcome.put((self._run(kept, seed), None))
            except BaseException as error:
                outcome.put((None, error))

        # a daemon, so that a run that never ends does not keep the process from ending
        Thread(target=work, daemon=True, name="agent").start()
        try:
            returned, error = outcome.get(timeout=self.time_limit)
        except Empty:
            raise TimeoutError(
                f"the run took longer than time_limit={self.time_limit:g} s"
            ) from None
        if error is not None:
            raise error
        result: AgentRun | float = returned
        return result

    def _note(
        self, kept: Mapping[str, Any], seed: int, values: list[float], run: AgentRun, seconds: float
    ) -> None:
        if self.log is None:
            return
        line: Json = {
            "kept": list(kept),
            "seed": seed,
            "values": values,
            "calls": [call.to_json() for call in run.calls],
            "answer": run.answer,
            "cost": run.cost,
            "seconds": round(seconds, 6),
        }
        with self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False, default=repr) + "\n")

    def arrange(self, masks: BoolArray, /) -> IntArray:
        """The masks' own order, ``(m,)``."""
        return np.arange(len(masks))

    def cost(self, masks: BoolArray, /) -> FloatArray:
        """One run each, ``(m,)``."""
        return np.ones(len(masks))

    def describe(self) -> Json:
        """The players, the scores and the limits, as JSON."""
        snippets = [_snippet(self._contents[name]) if self._described else None
                    for name in self.players]  # fmt: skip
        return {
            "lens": "agent",
            "model": self.name or getattr(self._run, "__qualname__", type(self._run).__qualname__),
            "view": {"kind": "tiles", "title": "What the agent has"},
            "snippets": snippets,
            "scores": [str(score) for score in self._scores] or ["the number that it returns"],
            "outputs": list(self.outputs),
            "safe_to_repeat": True,
            "time_limit": self.time_limit,
            "cost_limit": self.cost_limit,
            "paid": self.cost_limit is not None,
        }

    @property
    def fingerprint(self) -> str | None:
        """A hash of the name, the players and the scores; ``None`` without a name."""
        if self.name is None:
            return None
        identity = {
            "agent_code": _CODE_VERSION,
            "name": self.name,
            "players": [[name, _plain(self._contents[name])] for name in self.players],
            "scores": [str(score) for score in self._scores],
        }
        return document_digest(identity)

    def __repr__(self) -> str:
        scores = ", ".join(map(str, self._scores))
        return f"AgentGame({self.n_players} players{', ' if scores else ''}{scores})"


def _number(value: object, kept: Mapping[str, Any]) -> float:
    """A score as a number.

    Raises:
        GameError: it is none, or not finite.
    """
    is_number = isinstance(value, int | float | np.integer | np.floating | np.bool_)
    if not is_number or not np.isfinite(value):  # type: ignore[call-overload]
        raise GameError(
            f"the agent with {list(kept)} gave {value!r}; a finite number is expected, or an "
            "AgentRun with score=, such as ToolChoice('search')"
        )
    return float(value)  # type: ignore[arg-type]


def _plain(content: object) -> object:
    """What a player is, where JSON has it; otherwise the game's name stands for it."""
    try:
        json.dumps(content)
    except (TypeError, ValueError):
        return None
    return content


def _snippet(content: object) -> str:
    text = content if isinstance(content, str) else repr(content)
    return text if len(text) <= _SNIPPET else text[: _SNIPPET - 1] + "…"
