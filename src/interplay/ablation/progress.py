"""Progress of a run on stderr: done, rate, time left, failures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
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

from interplay._types import BoolArray, FloatArray


def say(message: str) -> None:
    """A line for the user, on stderr."""
    Console(stderr=True).print(message, style="yellow", highlight=False)


class Bar:
    """The bar of one run.

    Args:
        progress: rich's.
        cost: what each mask costs: the time left goes by cost, not by count.
        known: which masks are known before the run, which takes no time.
    """

    def __init__(self, progress: Progress, cost: FloatArray, known: BoolArray) -> None:
        self._progress = progress
        self._cost = cost
        self._before = known.copy()
        self._task = progress.add_task(
            "ablating", total=len(known), completed=int(known.sum()), rate=0.0, left=0.0, failed=0
        )

    def update(self, known: BoolArray, failed: int) -> None:
        """Show what is known by now."""
        fresh = known & ~self._before
        spent, left = float(self._cost[fresh].sum()), float(self._cost[~known].sum())
        seconds = self._progress.tasks[self._task].elapsed or 0.0
        self._progress.update(
            self._task,
            description="ablating",
            completed=int(known.sum()),
            rate=int(fresh.sum()) / max(seconds, 1e-9),
            left=left / max(spent, 1e-9) * seconds,
            failed=failed,
        )

    def waiting(self, count: int) -> None:
        """Say that other processes are evaluating what is left."""
        self._progress.update(self._task, description=f"waiting for {count} of another process")


class _Pace(ProgressColumn):
    def render(self, task: Task) -> Text:
        rate, left, failed = (task.fields[name] for name in ("rate", "left", "failed"))
        if not rate:
            return Text("")
        minutes, seconds = divmod(round(left), 60)
        text = Text(f"{rate:,.1f}/s, {minutes}:{seconds:02d} left", style="progress.remaining")
        return text.append(f", {failed} failed", style="red") if failed else text


@contextmanager
def progress_bar(enabled: bool, cost: FloatArray, known: BoolArray) -> Iterator[Bar]:
    """A bar that is shown while its context lasts, where it is enabled."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        _Pace(),
        console=Console(stderr=True),
        disable=not enabled,
    ) as progress:
        yield Bar(progress, cost, known)
