"""The progress of a run on stderr: masks done, rate, time left, failures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from interplay._types import BoolArray, FloatArray, Json
from interplay.ablation.terminal import Terminal

SAY_AFTER_SECONDS = 2.0
"""A wait for other processes that is longer is told, also where no progress is shown."""

_WORTH_TELLING = 0.1
"""The share of ablations in the store from which on that is told before a run."""
LINE_EVERY_SECONDS = 15.0
"""How often progress is told where a bar cannot be drawn, as in a log."""

Follower: TypeAlias = Callable[[Json], None]
_follower: ContextVar[Follower | None] = ContextVar("follower", default=None)


@contextmanager
def followed_by(follower: Follower | None) -> Iterator[None]:
    """Tell a function what the runs of this thread do, in the same thread.

    Args:
        follower: is given ``{"done": ..., "total": ..., "failed": ...}``, numbers of masks, after
            each block, and ``{"ablations": ..., "cv_r2": ...}`` after each step of an adaptive run;
            ``None``: nobody is told.
    """
    before = _follower.set(follower)
    try:
        yield
    finally:
        _follower.reset(before)


def tell(facts: Json) -> None:
    """Tell the follower of this thread's runs, if there is one."""
    follower = _follower.get()
    if follower is not None:
        follower(facts)


def say(message: str) -> None:
    """Print a line for the user on stderr."""
    Terminal(stderr=True).print(message, style="yellow", markup=False, highlight=False)


class Lines:
    """Progress by lines, at most one in a while, where a bar cannot be drawn.

    Args:
        enabled: print them.
    """

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self._at = time.monotonic()

    def tell(self, message: Callable[[], str]) -> None:
        """Print what a function says, if it is time."""
        now = time.monotonic()
        if self.enabled and now - self._at >= LINE_EVERY_SECONDS:
            self._at = now
            say(message())


class Bar:
    """The progress bar of one run; where no bar can be drawn, a line now and then.

    Args:
        progress: the display of the package rich.
        cost: what each mask costs, ``(m,)``. The time left is estimated from the cost, not from the
            number of masks.
        known: which masks have a value before the run, ``(m,) bool``. They take no time.
        lines: where there is no bar.
    """

    def __init__(
        self, progress: Progress, cost: FloatArray, known: BoolArray, lines: Lines
    ) -> None:
        self._progress = progress
        self._cost = cost
        self._before = known.copy()
        self._waiting_since = 0.0
        self._said = False
        self._lines = lines
        if lines.enabled and known.mean() >= _WORTH_TELLING:
            say(f"{int(known.sum()):,} of {len(known):,} ablations are in the store already.")
        self._task = progress.add_task(
            "ablating", total=len(known), completed=int(known.sum()), rate=0.0, left=0.0, failed=0
        )

    def update(self, known: BoolArray, failed: int) -> None:
        """Show how many masks have a value, and how many have failed."""
        new = known & ~self._before
        cost_done, cost_left = float(self._cost[new].sum()), float(self._cost[~known].sum())
        seconds = self._progress.tasks[self._task].elapsed or 0.0
        self._progress.update(
            self._task,
            description="ablating",
            completed=int(known.sum()),
            rate=int(new.sum()) / max(seconds, 1e-9),
            left=cost_left / max(cost_done, 1e-9) * seconds,
            failed=failed,
        )
        self._lines.tell(
            lambda: (
                f"{int(known.sum()):,} of {len(known):,} ablations, "
                + _pace(self._progress.tasks[self._task].fields)
            )
        )
        tell({"done": int(known.sum()), "total": len(known), "failed": failed})

    def waiting(self, count: int, holders: str) -> None:
        """Show that other processes are evaluating the masks that are left.

        Args:
            count: how many masks.
            holders: which processes, since when. It is said on a line of its own once, in case the
                wait turns out long.
        """
        self._progress.update(self._task, description=f"waiting for {count} of {holders}")
        now = time.monotonic()
        self._waiting_since = self._waiting_since or now
        if not self._said and now - self._waiting_since >= SAY_AFTER_SECONDS:
            self._said = True
            say(
                f"Waiting for {count} ablations that others are evaluating: {holders}. If they are "
                "not, end them; the masks of a process that has ended are taken over."
            )


class _Pace(ProgressColumn):
    def render(self, task: Task) -> Text:
        text, failed = Text(_pace(task.fields), style="progress.remaining"), task.fields["failed"]
        return text.append(f", {failed} failed", style="red") if failed else text


def _pace(fields: Json) -> str:
    """The rate and the time left, in words; empty before the first ablation."""
    if not fields["rate"]:
        return ""
    minutes, seconds = divmod(round(fields["left"]), 60)
    return f"{fields['rate']:,.1f}/s, {minutes}:{seconds:02d} left"


@contextmanager
def display(enabled: bool, *columns: ProgressColumn) -> Iterator[tuple[Progress, Lines]]:
    """A display on stderr while the context lasts: a bar on a terminal, else lines.

    Args:
        enabled: show either.
        columns: of the bar.
    """
    console = Terminal(stderr=True)
    is_bar, in_lines = enabled and console.is_terminal, enabled and not console.is_terminal
    with Progress(*columns, console=console, disable=not is_bar) as progress:
        yield progress, Lines(in_lines)


@contextmanager
def progress_bar(enabled: bool, cost: FloatArray, known: BoolArray) -> Iterator[Bar]:
    """Show progress while the context lasts, if it is enabled: on a terminal by a bar."""
    with display(
        enabled,
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        _Pace(),
    ) as (progress, lines):
        yield Bar(progress, cost, known, lines)
