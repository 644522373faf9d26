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

_AHEAD = 2
"""Blocks per actor that are on their way: one evaluated, one waiting, so that none is idle."""
_PATIENCE_SECONDS = 30.0
"""After so long without an actor the user is told what is waited for."""


@dataclass(frozen=True)
class RayBackend:
    """Actors on a Ray cluster, each with a copy of the game, loaded once.

    Without a cluster (``ray.init`` was not called and ``RAY_ADDRESS`` is not set) one is started on
    this machine. When an actor dies, its blocks go to the others, and a new one is started for it
    as soon as the cluster has room.

    Attributes:
        n_actors: how many; ``None``: as many as the cluster's CPUs (and GPUs) hold; those for which
            there is no room yet come in when there is.
        num_cpus: CPUs for each; also the threads of its linear algebra.
        num_gpus: GPUs for each; ``None``: one where the game's model is on a GPU, else none.
        retries: how often a block is tried again whose actor died.
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
        request: BlockSettings,
        at_most: int,
        stopped: Callable[[], bool],
    ) -> Iterator[tuple[IntArray, BlockResult]]:
        """See :meth:`interplay.ablation.backends.base.Backend.run`."""
        if find_spec("ray") is None:
            raise MissingDependencyError("ray", "ray", 'backend="ray"')
        import ray

        if not ray.is_initialized():
            ray.init(logging_level=logging.ERROR, log_to_driver=False)
        troupe = self._troupe(game, fingerprint)
        again: deque[_Work] = deque()
        more = True
        try:
            while troupe.flying or (not stopped() and (more or again)):
                while (actor := troupe.idle()) is not None and (more or again) and not stopped():
                    if not again:
                        try:
                            block = next(blocks)
                        except StopIteration:
                            more = False
                            break
                        if block is None:  # others are at it: see to our own meanwhile
                            break
                        again.append(_Work(*block))
                    troupe.give(actor, again.popleft(), request, at_most)
                for work, answer in troupe.results():
                    if answer is None:
                        if work.tries == self.retries:
                            raise GameError(
                                f"a block of {len(work.rows)} masks was given up: the actors that "
                                f"evaluated it died {work.tries + 1} times; they may need more "
                                "memory, or smaller blocks (batch_size)"
                            )
                        again.append(replace(work, tries=work.tries + 1))
                        continue
                    at_most = min(at_most, answer.at_most)
                    yield work.rows, answer
        finally:
            troupe.end()

    def _troupe(self, game: Game, fingerprint: str | None) -> _Troupe:
        import ray

        if self.n_actors is not None and self.n_actors < 1:
            raise ValueError(
                f"n_actors={self.n_actors} is below 1; give a number from 1 on, or None"
            )
        num_gpus = _gpus(game) if self.num_gpus is None else self.num_gpus
        has: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        count = self.n_actors or _room(has, self.num_cpus, num_gpus)
        if count < 1:
            raise ValueError(
                f"no actor of {self.num_cpus:g} CPUs and {num_gpus:g} GPUs fits the cluster, which "
                f"has {has.get('CPU', 0):g} CPUs and {has.get('GPU', 0):g} GPUs; ask for less"
            )
        player = ray.remote(_Player).options(num_cpus=self.num_cpus, num_gpus=num_gpus)
        troupe = _Troupe(player, ray.put(game), fingerprint, self.retries * count)
        for _ in range(count):
            troupe.start()
        return troupe


@dataclass(frozen=True)
class _Work:
    """A block, and how many actors have died over it."""

    rows: IntArray
    masks: BoolArray
    tries: int = 0


@dataclass
class _Troupe:
    """The actors of a run: those that are ready, those that are not yet, and what they are at."""

    player: Any
    game: Any
    fingerprint: str | None
    spare: int
    """How many more may die before they were ready."""
    ready: dict[Any, int] = field(default_factory=dict)
    """How many blocks each has."""
    starting: dict[Any, Any] = field(default_factory=dict)
    flying: dict[Any, tuple[_Work, Any]] = field(default_factory=dict)
    since: float = field(default_factory=time.monotonic)

    def start(self) -> None:
        """Ask for one more."""
        actor = self.player.remote(self.game, self.fingerprint)
        self.starting[actor.check.remote()] = actor

    def idle(self) -> Any | None:
        """An actor that has the fewest blocks, and room for one."""
        actor = min(self.ready, key=self.ready.__getitem__, default=None)
        return actor if actor is not None and self.ready[actor] < _AHEAD else None

    def give(self, actor: Any, work: _Work, request: BlockSettings, at_most: int) -> None:
        """Send a block to an actor."""
        self.flying[actor.evaluate.remote(work.masks, request, at_most)] = work, actor
        self.ready[actor] += 1

    def results(self) -> Iterator[tuple[_Work, BlockResult | None]]:
        """Blocks that came back within a moment; ``None`` for one whose actor died."""
        import ray

        waited_for = [*self.flying, *self.starting]
        if not waited_for:
            return
        done, _ = ray.wait(waited_for, timeout=0.2)
        for came in done:
            if came in self.starting:
                self._begin(came)
                continue
            work, actor = self.flying.pop(came)
            try:
                answer: BlockResult = ray.get(came)
            except ray.exceptions.RayTaskError as error:
                raise _unpacked(error) from error
            except ray.exceptions.RayError:  # it died, or its node, or for want of memory
                if self.ready.pop(actor, None) is not None:  # the first that is heard of it
                    ray.kill(actor)
                    self.start()
                yield work, None
                continue
            if actor in self.ready:
                self.ready[actor] -= 1
            yield work, answer
        if self.ready:
            self.since = time.monotonic()
        elif time.monotonic() - self.since > _PATIENCE_SECONDS:
            self.since = float("inf")  # once is enough
            say("No Ray actor is ready yet: waiting for room in the cluster, or for the model.")

    def _begin(self, came: Any) -> None:
        import ray

        actor = self.starting.pop(came)
        try:
            ray.get(came)
        except ray.exceptions.RayTaskError as error:
            raise _unpacked(error) from error
        except ray.exceptions.RayError as error:
            if self.spare == 0:
                raise GameError(
                    "Ray's actors die while they load the game; they may need more memory "
                    f"({error})"
                ) from error
            self.spare -= 1
            self.start()
        else:
            self.ready[actor] = 0

    def end(self) -> None:
        """End all actors."""
        import ray

        for actor in [*self.ready, *self.starting.values()]:
            ray.kill(actor)


class _Player:
    """A copy of a game in an actor."""

    def __init__(self, game: Game, fingerprint: str | None) -> None:
        self.game = game
        self.expected = fingerprint

    def check(self) -> None:
        """Refuse to play another game than the one that was sent."""
        found = None if self.expected is None else fingerprint_of(self.game)
        if found != self.expected:
            raise GameError(
                f"the copy of {self.game!r} on a worker has the fingerprint {found!r}, but the "
                f"game here has {self.expected!r}: they would give different values; see that "
                "both machines have the same versions, model and data"
            )

    def evaluate(self, masks: BoolArray, request: BlockSettings, at_most: int) -> BlockResult:
        # what was raised may not travel; the message does
        return replace(evaluate_block(self.game, masks, request, at_most), cause=None)


def _room(resources: dict[str, float], num_cpus: float, num_gpus: float) -> int:
    fits = [
        resources.get(kind, 0.0) // each
        for kind, each in (("CPU", num_cpus), ("GPU", num_gpus))
        if each > 0
    ]
    return int(min(fits, default=1))


def _gpus(game: Game) -> float:
    device = getattr(getattr(game, "model", None), "device", None)
    return 1.0 if getattr(device, "type", None) == "cuda" else 0.0


def _unpacked(error: Any) -> Exception:
    """What was raised on the worker."""
    cause = error.cause
    return cause if isinstance(cause, GameError) else GameError(f"a worker failed: {cause}")
