"""One model for all browsers: a thread that evaluates, and the jobs that wait for it.

A job is a run: a confirmation, or more ablations. Jobs are done one after the other. A question, a
mask whose value a reader waits for, is answered between two blocks of the job that runs.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from interplay._types import Json, visible
from interplay.ablation.interruption import Stop, stopped_by
from interplay.ablation.progress import followed_by
from interplay.cli.live.events import Events
from interplay.errors import InterplayError

MOST_JOBS, MOST_QUESTIONS = 8, 64
"""The most jobs and questions that wait."""
_KEPT = 20
"""The last jobs that are shown."""
_MOST_WORDS = 2_000
"""The most characters of an error that are shown."""
_T = TypeVar("_T")


class BusyError(ValueError):
    """Too much waits already."""


class EndingError(ValueError):
    """Nothing begins any more."""


@dataclass
class Job:
    """A run that was asked for in a browser.

    Attributes:
        number: of the job, from 1 on.
        kind: ``"confirm"``, ``"more"`` or ``"run"``.
        label: what it does, in words.
        run: does it, in the thread that evaluates; returns what to say of it at its end.
        where: the name of the run that it is of, in the studio.
        state: ``"waiting"``, ``"running"``, ``"done"``, ``"stopped"`` or ``"failed"``.
        progress: what was last told of it.
        said: how it ended, in words.
        stop: ends it after the ablations in flight.
    """

    number: int
    kind: str
    label: str
    run: Callable[[Job], str] = field(repr=False)
    where: str = ""
    state: str = "waiting"
    progress: Json = field(default_factory=dict)
    said: str = ""
    stop: Stop = field(default_factory=Stop)

    def to_json(self) -> Json:
        """What browsers are shown of it."""
        names = ("number", "kind", "label", "where", "state", "progress", "said")
        return {name: getattr(self, name) for name in names} | {"stopping": self.stop.requested}


class Session:
    """The thread that evaluates, its jobs and its questions.

    Args:
        events: where browsers are told of jobs.
    """

    def __init__(self, events: Events) -> None:
        self.events = events
        self._changed = threading.Condition()
        self._jobs: list[Job] = []
        self._questions: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._ending = False
        self._thread = threading.Thread(target=self._work, name="evaluates", daemon=True)
        self._thread.start()

    def submit(self, kind: str, label: str, run: Callable[[Job], str], where: str = "") -> Job:
        """Let a job wait for its turn.

        Raises:
            BusyError: too many wait already.
            EndingError: the session ends.
        """
        with self._changed:
            waiting = sum(job.state == "waiting" for job in self._jobs)
            if self._ending:
                raise EndingError("the server is ending; start it again")
            if waiting >= MOST_JOBS:
                raise BusyError(f"{waiting} jobs wait already, the most that may; try again later")
            job = Job(self._jobs[-1].number + 1 if self._jobs else 1, kind, label, run, where)
            ended = [old for old in self._jobs if old.state not in ("waiting", "running")]
            self._jobs = [old for old in self._jobs if old not in ended[:-_KEPT]] + [job]
            self._changed.notify_all()
        self._tell(job)
        return job

    def ask(self, question: Callable[[], _T]) -> Future[_T]:
        """Have something short done in the thread that evaluates, before the next block of a job.

        Raises:
            BusyError: too many questions wait already.
            EndingError: the session ends.
        """
        answer: Future[_T] = Future()
        with self._changed:
            if self._ending:
                raise EndingError("the server is ending; start it again")
            if len(self._questions) >= MOST_QUESTIONS:
                raise BusyError(f"{len(self._questions)} questions wait already; try again later")
            self._questions.append((question, answer))
            self._changed.notify_all()
        return answer

    def stop(self, number: int) -> Job:
        """End a job after the ablations in flight; one that waits does not begin.

        Raises:
            ValueError: there is no such job.
        """
        with self._changed:
            job = next((job for job in self._jobs if job.number == number), None)
            if job is None:
                raise ValueError(f"there is no job {number}")
            job.stop.requested = True
            if job.state == "waiting":
                job.state, job.said = "stopped", "It had not begun."
        self._tell(job)
        return job

    @property
    def is_at_work(self) -> bool:
        """Whether a job runs."""
        return any(job.state == "running" for job in self._jobs)

    def state(self) -> Json:
        """The jobs, the oldest first."""
        with self._changed:
            return {"jobs": [job.to_json() for job in self._jobs]}

    def close(self) -> None:
        """End the job that runs after the ablations in flight, and wait until it is written."""
        with self._changed:
            self._ending = True
            for job in self._jobs:
                job.stop.requested = True
                if job.state == "waiting":
                    job.state, job.said = "stopped", "The server ended before its turn."
            while self._questions:
                answer = self._questions.popleft()[1]
                if answer.set_running_or_notify_cancel():
                    answer.set_exception(EndingError("the server ended before it could answer"))
            self._changed.notify_all()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                job = next((job for job in self._jobs if job.state == "waiting"), None)
                if job is not None and not self._questions:
                    job.state = "running"
                elif not self._questions:
                    if self._ending:
                        return
                    self._changed.wait()
                    continue
            self._answer()
            if job is not None and job.state == "running":
                self._do(job)

    def _do(self, job: Job) -> None:
        """Do a job, whatever comes of it: the thread must not end."""
        started, told = time.monotonic(), [0.0]

        def follow(facts: Json) -> None:
            job.progress = job.progress | facts | {"seconds": round(time.monotonic() - started, 1)}
            if time.monotonic() - told[0] > 0.1 or facts.get("done") == facts.get("total"):
                told[0] = time.monotonic()
                self._tell(job)
            if "done" in facts:
                self._answer()

        self._tell(job)
        try:
            with stopped_by(job.stop), followed_by(follow):
                job.said = job.run(job)
            job.state = "stopped" if job.stop.requested else "done"
        except KeyboardInterrupt as interrupt:
            job.state, job.said = "stopped", str(interrupt)
        except (ValueError, OSError, InterplayError) as error:
            job.state, job.said = "failed", _in_words(error)
        except BaseException as error:  # a defect: who started the server sees where
            traceback.print_exc()
            job.state, job.said = "failed", _in_words(error)
        self._tell(job)

    def _answer(self) -> None:
        """Answer the questions that wait."""
        while True:
            with self._changed:
                if not self._questions:
                    return
                question, answer = self._questions.popleft()
            if not answer.set_running_or_notify_cancel():
                continue
            try:
                with stopped_by(None), followed_by(None):
                    answer.set_result(question())
            except Exception as error:
                answer.set_exception(error)
            except BaseException as error:  # would end the server's loop, which reads the answer
                answer.set_exception(RuntimeError(_in_words(error)))

    def _tell(self, job: Job) -> None:
        self.events.publish("job", job.to_json())


def _in_words(error: BaseException) -> str:
    """What a browser is told of an error."""
    return visible(str(error) or type(error).__name__)[:_MOST_WORDS]
