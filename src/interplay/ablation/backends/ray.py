"""The back end that runs copies of a game on a Ray cluster."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any

from interplay._types import BoolArray, IntArray
from interplay.ablation.backends.base import Blocks
from interplay.ablation.progress import say
from interplay.ablation.retry import BlockResult, BlockSettings, evaluate_block
from interplay.errors import GameError, MissingDependencyError
from interplay.game import Game, fingerprint_of

_BLOCKS_PER_ACTOR = 2
"""Blocks in flight per actor. It evaluates one while the next waits, and is never idle."""
_NOTICE_SECONDS = 30.0
"""If no actor is ready for so long, the user is shown what the run waits for."""


@dataclass(frozen=True)
class RayBackend:
    """Runs the game in actors on a Ray cluster. Each actor loads its copy of the game once.

    If there is no cluster (``ray.init`` was not called and ``RAY_ADDRESS`` is not set), one is
    started on this machine. If an actor dies, other actors evaluate its blocks, and a new actor
    takes its place as soon as the cluster has room.

    Attributes:
        n_actors: the number of actors. ``None``: as many as the cluster's CPUs (and GPUs) allow. An
            actor for which there is no room yet starts when there is.
        num_cpus: CPUs per actor; also the number of threads of its linear algebra.
        num_gpus: GPUs per actor. ``None``: one if the game's model is on a GPU, otherwise none.
        retries: how often a block is tried again after its actor died.
    """

    n_actors: int | None = None
    num_cpus: float = 1
    num_gpus: float | None = None
    retries: int = 3
    name: str = "ray"

    def run(
        self,
        game: Game,
        fingerprint: str | None,
        blocks: Blocks,
        settings: BlockSettings,
        max_masks: int,
        stopped: Callable[[], bool],
    ) -> Iterator[tuple[IntArray, BlockResult]]:
        """See :meth:`interplay.ablation.backends.base.Backend.run`."""
        if find_spec("ray") is None:
            raise MissingDependencyError("ray", "ray", 'backend="ray"')
        import ray

        if not ray.is_initialized():
            ray.init(logging_level=logging.ERROR, log_to_driver=False)
        pool = self._start_pool(game, fingerprint)
        queue: deque[_Task] = deque()
        more = True
        try:
            while pool.in_flight or (not stopped() and (more or queue)):
                while (actor := pool.free()) is not None and (more or queue) and not stopped():
                    if not queue:
                        try:
                            block = next(blocks)
                        except StopIteration:
                            more = False
                            break
                        if block is None:  # other processes evaluate it: collect results meanwhile
                            break
                        queue.append(_Task(*block))
                    pool.submit(actor, queue.popleft(), settings, max_masks)
                for task, result in pool.results():
                    if result is None:
                        if task.n_deaths == self.retries:
                            raise GameError(
                                f"a block of {len(task.rows)} masks was given up: the actors that "
                                f"evaluated it died {task.n_deaths + 1} times; they may need more "
                                "memory, or smaller blocks (batch_size)"
                            )
                        queue.append(replace(task, n_deaths=task.n_deaths + 1))
                        continue
                    max_masks = min(max_masks, result.max_masks)
                    yield task.rows, result
        finally:
            pool.shut_down()

    def _start_pool(self, game: Game, fingerprint: str | None) -> _ActorPool:
        import ray

        if self.n_actors is not None and self.n_actors < 1:
            raise ValueError(
                f"n_actors={self.n_actors} is below 1; give a number from 1 on, or None"
            )
        num_gpus = _gpus(game) if self.num_gpus is None else self.num_gpus
        cluster: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        count = self.n_actors or _capacity(cluster, self.num_cpus, num_gpus)
        if count < 1:
            raise ValueError(
                f"no actor of {self.num_cpus:g} CPUs and {num_gpus:g} GPUs fits the cluster, which "
                f"has {cluster.get('CPU', 0):g} CPUs and {cluster.get('GPU', 0):g} GPUs; "
                "ask for less"
            )
        worker = ray.remote(_Worker).options(num_cpus=self.num_cpus, num_gpus=num_gpus)
        pool = _ActorPool(worker, ray.put(game), fingerprint, self.retries * count)
        for _ in range(count):
            pool.start_actor()
        return pool


@dataclass(frozen=True)
class _Task:
    """A block, and how many actors have died while they evaluated it."""

    rows: IntArray
    masks: BoolArray
    n_deaths: int = 0


@dataclass
class _ActorPool:
    """The actors of a run, and the blocks that they are evaluating.

    Attributes:
        worker: the remote class :class:`_Worker`, with the resources of an actor.
        game: a reference to the game in Ray's object store.
        fingerprint: the game's fingerprint.
        deaths_left: how many more actors may die before they are ready.
        ready: the actors that are ready, each with its number of blocks in flight.
        starting: actors that are not ready yet, by the reference to their check.
        in_flight: blocks, each with its actor, by the reference to their result.
        last_ready: when an actor was last ready, in seconds of the monotonic clock.
    """

    worker: Any
    game: Any
    fingerprint: str | None
    deaths_left: int
    ready: dict[Any, int] = field(default_factory=dict)
    starting: dict[Any, Any] = field(default_factory=dict)
    in_flight: dict[Any, tuple[_Task, Any]] = field(default_factory=dict)
    last_ready: float = field(default_factory=time.monotonic)

    def start_actor(self) -> None:
        """Start one more actor."""
        actor = self.worker.remote(self.game, self.fingerprint)
        self.starting[actor.check.remote()] = actor

    def free(self) -> Any | None:
        """The actor with the fewest blocks, if it has room for another; otherwise ``None``."""
        actor = min(self.ready, key=self.ready.__getitem__, default=None)
        return actor if actor is not None and self.ready[actor] < _BLOCKS_PER_ACTOR else None

    def submit(self, actor: Any, task: _Task, settings: BlockSettings, max_masks: int) -> None:
        """Send a block to an actor."""
        self.in_flight[actor.evaluate.remote(task.masks, settings, max_masks)] = task, actor
        self.ready[actor] += 1

    def results(self) -> Iterator[tuple[_Task, BlockResult | None]]:
        """Wait briefly, and yield the blocks that are done. ``None``: the block's actor died."""
        import ray

        references = [*self.in_flight, *self.starting]
        if not references:
            return
        done, _ = ray.wait(references, timeout=0.2)
        for reference in done:
            if reference in self.starting:
                self._add_actor(reference)
                continue
            task, actor = self.in_flight.pop(reference)
            try:
                result: BlockResult = ray.get(reference)
            except ray.exceptions.RayTaskError as error:
                raise _unpacked(error) from error
            except ray.exceptions.RayError:  # the actor or its node died, or ran out of memory
                if self.ready.pop(actor, None) is not None:  # its first block to come back
                    ray.kill(actor)
                    self.start_actor()
                yield task, None
                continue
            if actor in self.ready:
                self.ready[actor] -= 1
            yield task, result
        if self.ready:
            self.last_ready = time.monotonic()
        elif time.monotonic() - self.last_ready > _NOTICE_SECONDS:
            self.last_ready = float("inf")  # once is enough
            say("No Ray actor is ready yet: waiting for room in the cluster, or for the model.")

    def _add_actor(self, reference: Any) -> None:
        """Add an actor that has finished its check to those that are ready."""
        import ray

        actor = self.starting.pop(reference)
        try:
            ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            raise _unpacked(error) from error
        except ray.exceptions.RayError as error:
            if self.deaths_left == 0:
                raise GameError(
                    "Ray's actors die while they load the game; they may need more memory "
                    f"({error})"
                ) from error
            self.deaths_left -= 1
            self.start_actor()
        else:
            self.ready[actor] = 0

    def shut_down(self) -> None:
        """End all actors."""
        import ray

        for actor in [*self.ready, *self.starting.values()]:
            ray.kill(actor)


class _Worker:
    """A copy of a game in an actor."""

    def __init__(self, game: Game, fingerprint: str | None) -> None:
        self.game = game
        self.expected = fingerprint

    def check(self) -> None:
        """Refuse a copy that has another fingerprint than the game that was sent."""
        fingerprint = None if self.expected is None else fingerprint_of(self.game)
        if fingerprint != self.expected:
            raise GameError(
                f"the copy of {self.game!r} on a worker has the fingerprint {fingerprint!r}, but "
                f"the game here has {self.expected!r}: they would give different values; make sure "
                "that both machines have the same versions, model and data"
            )

    def evaluate(self, masks: BoolArray, settings: BlockSettings, max_masks: int) -> BlockResult:
        """Evaluate a block."""
        # an exception may not be serialisable; its message is in the result
        return replace(evaluate_block(self.game, masks, settings, max_masks), cause=None)


def _capacity(resources: dict[str, float], num_cpus: float, num_gpus: float) -> int:
    """How many actors fit the cluster."""
    fits = [
        resources.get(kind, 0.0) // per_actor
        for kind, per_actor in (("CPU", num_cpus), ("GPU", num_gpus))
        if per_actor > 0
    ]
    return int(min(fits, default=1))


def _gpus(game: Game) -> float:
    """GPUs per actor: one if the game's model is on a GPU, otherwise none."""
    device = getattr(getattr(game, "model", None), "device", None)
    return 1.0 if getattr(device, "type", None) == "cuda" else 0.0


def _unpacked(error: Any) -> Exception:
    """The exception that was raised on the worker."""
    cause = error.cause
    return cause if isinstance(cause, GameError) else GameError(f"a worker failed: {cause}")
