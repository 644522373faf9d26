"""The back end that runs copies of a game on a Ray cluster."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

from interplay._types import BoolArray, IntArray
from interplay.ablation.ask import Answer, Request, ask
from interplay.ablation.backends.base import Blocks
from interplay.errors import GameError, MissingDependencyError
from interplay.game import Game, fingerprint_of

_AHEAD = 2
"""Blocks per actor that are on their way: one evaluated, one waiting, so that none is idle."""


@dataclass(frozen=True)
class RayBackend:
    """Actors on a Ray cluster, each with a copy of the game, loaded once.

    Without a cluster (``ray.init`` was not called and ``RAY_ADDRESS`` is not set) one is started on
    this machine. An actor that dies is started again, elsewhere if need be, and its blocks with it.

    Attributes:
        n_actors: how many; ``None``: as many as the cluster's free CPUs (and GPUs) hold.
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
        self, game: Game, fingerprint: str | None, blocks: Blocks, request: Request, at_most: int
    ) -> Iterator[tuple[IntArray, Answer]]:
        """See :meth:`interplay.ablation.backends.base.Backend.run`."""
        if find_spec("ray") is None:
            raise MissingDependencyError("ray", "ray", 'backend="ray"')
        import ray

        if not ray.is_initialized():
            ray.init(logging_level=logging.ERROR, log_to_driver=False)
        actors = self._start(game, fingerprint)
        flying: dict[Any, tuple[IntArray, int]] = {}
        load = [0] * len(actors)
        more = True
        try:
            while more or flying:
                while more and min(load) < _AHEAD:
                    try:
                        block = next(blocks)
                    except StopIteration:
                        more = False
                        break
                    if block is None:  # others are at it: see to our own meanwhile
                        break
                    rows, masks = block
                    actor = load.index(min(load))
                    flying[actors[actor].ask.remote(masks, request, at_most)] = rows, actor
                    load[actor] += 1
                if not flying:
                    continue
                ready, _ = ray.wait(list(flying), timeout=0.2)
                for done in ready:
                    rows, actor = flying.pop(done)
                    load[actor] -= 1
                    try:
                        answer: Answer = ray.get(done)
                    except ray.exceptions.RayTaskError as error:
                        raise _unpacked(error) from error
                    except ray.exceptions.RayActorError as error:
                        raise GameError(
                            f"a block of {len(rows)} masks was given up: the actors that evaluated "
                            f"it died {self.retries + 1} times; they may need more memory "
                            f"({type(error).__name__})"
                        ) from error
                    at_most = min(at_most, answer.at_most)
                    yield rows, answer
        finally:
            for handle in actors:
                ray.kill(handle)

    def _start(self, game: Game, fingerprint: str | None) -> list[Any]:
        import ray

        num_gpus = _gpus(game) if self.num_gpus is None else self.num_gpus
        free: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
        count = self.n_actors or _room(free, self.num_cpus, num_gpus)
        if count < 1:
            raise ValueError(
                f"no actor of {self.num_cpus:g} CPUs and {num_gpus:g} GPUs fits what is free of "
                f"the cluster: {free.get('CPU', 0):g} CPUs and {free.get('GPU', 0):g} GPUs; ask "
                "for less"
            )
        shared = ray.put(game)
        player = ray.remote(_Player)
        return [
            player.options(
                num_cpus=self.num_cpus,
                num_gpus=num_gpus,
                max_restarts=-1,
                max_task_retries=self.retries,
            ).remote(shared, fingerprint)
            for _ in range(count)
        ]


class _Player:
    """A copy of a game in an actor."""

    def __init__(self, game: Game, fingerprint: str | None) -> None:
        self.game = game
        self.expected = fingerprint
        self.checked = fingerprint is None

    def ask(self, masks: BoolArray, request: Request, at_most: int) -> Answer:
        if not self.checked:
            found = fingerprint_of(self.game)
            if found != self.expected:
                raise GameError(
                    f"the copy of {self.game!r} on a worker has the fingerprint {found!r}, but the "
                    f"game here has {self.expected!r}: they would give different values; see that "
                    "both machines have the same versions, model and data"
                )
            self.checked = True
        # what was raised may not travel; the message does
        return replace(ask(self.game, masks, request, at_most), cause=None)


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
