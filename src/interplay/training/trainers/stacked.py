"""Networks of one architecture, stacked: each tensor has the networks as its first axis."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from interplay._types import IntArray

if TYPE_CHECKING:
    import torch

_BETAS, _EPSILON = (0.9, 0.999), 1e-8
"""Adam's own, as torch has them."""


@dataclass(frozen=True)
class Start:
    """Networks before their first step.

    Attributes:
        module: one of them, which lends its code.
        trained: the parameters by name, ``(m, ...)``; training changes them in place.
        fixed: buffers, and parameters that need no gradient, likewise.
        orders: the rows of each minibatch, ``(m, steps, batch)``; with one seed, ``(1, ...)``.
    """

    module: torch.nn.Module
    trained: dict[str, torch.Tensor]
    fixed: dict[str, torch.Tensor]
    orders: torch.Tensor


def start(
    make: Callable[[], torch.nn.Module],
    seeds: IntArray,
    n_rows: int,
    steps: int,
    batch: int,
    device: str,
) -> Start:
    """Networks and minibatches, drawn from each seed; on the CPU, so that devices agree."""
    import torch

    distinct, inverse = np.unique(seeds, return_inverse=True)
    modules, orders = [], []
    with torch.random.fork_rng(devices=[]):
        for seed in distinct.tolist():
            torch.default_generator.manual_seed(seed)
            modules.append(make())
            passes = [torch.randperm(n_rows) for _ in range(-(-steps * batch // n_rows))]
            orders.append(torch.cat(passes)[: steps * batch].reshape(steps, batch))
    trained, fixed = (
        {
            name: torch.stack([state[name] for state in states])[inverse].to(device)
            for name in states[0]
        }
        for states in zip(*map(_state, modules), strict=True)
    )
    order = torch.stack(orders)
    return Start(
        modules[0].to(device),
        trained,
        fixed,
        (order if len(distinct) == 1 else order[inverse]).to(device),
    )


def _state(module: torch.nn.Module) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """What training changes, and the rest, by name."""
    parameters = dict(module.named_parameters())
    trained = {name: p.detach() for name, p in parameters.items() if p.requires_grad}
    frozen = {name: p.detach() for name, p in parameters.items() if not p.requires_grad}
    return trained, frozen | dict(module.named_buffers())


def scores(
    networks: Start, trained: dict[str, torch.Tensor], x: torch.Tensor, alike: bool
) -> torch.Tensor:
    """The logits of all networks, ``(m, rows, classes)``; ``alike``: on the same rows."""
    import torch
    from torch.func import functional_call

    def one(
        trained: dict[str, torch.Tensor], fixed: dict[str, torch.Tensor], x: torch.Tensor
    ) -> torch.Tensor:
        logits: torch.Tensor = functional_call(networks.module, (trained, fixed), (x,))
        return logits

    if len(next(iter(trained.values()))) > 1:
        stacked: torch.Tensor = torch.vmap(one, in_dims=(0, 0, None if alike else 0))(
            trained, networks.fixed, x
        )
        return stacked
    only, rest = ({name: p[0] for name, p in each.items()} for each in (trained, networks.fixed))
    return one(only, rest, x if alike else x[0])[None]


def train(
    networks: Start,
    x: torch.Tensor,
    y: torch.Tensor,
    kept: torch.Tensor,
    learning_rate: float,
    weight_decay: float,
) -> torch.Tensor:
    """Train all networks in place; which of them had finite losses throughout, ``(m,)``."""
    import torch
    from torch.nn.functional import cross_entropy

    networks.module.train()
    parameters = list(networks.trained.values())
    means, squares = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
    n_steps = torch.zeros(len(kept), device=kept.device)
    fine = torch.ones(len(kept), dtype=torch.bool, device=kept.device)
    alike = len(networks.orders) == 1
    for step in range(networks.orders.shape[1]):
        rows = networks.orders[:, step]  # (m, batch), or (1, batch)
        weights = kept.gather(1, rows.expand(len(kept), -1))
        with torch.enable_grad():
            # networks share no parameter, so the gradient of a sum of losses is that of each
            leaves = {name: p.detach().requires_grad_() for name, p in networks.trained.items()}
            logits = scores(networks, leaves, x[rows[0]] if alike else x[rows], alike)
            losses = cross_entropy(
                logits.transpose(1, 2), y[rows].expand(len(kept), -1), reduction="none"
            )
            n_kept = weights.sum(dim=1)
            losses = (losses * weights).sum(dim=1) / n_kept.clamp(min=1)
            gradients = torch.autograd.grad(
                losses.sum(), list(leaves.values()), allow_unused=True, materialize_grads=True
            )
        fine &= losses.detach().isfinite()
        moves = (n_kept > 0).float()  # 0: no kept row, so nothing is to change
        n_steps += moves
        with torch.no_grad():
            # 1 - beta^n, of which the subtraction would lose three of float32's seven digits
            n = n_steps.clamp(min=1)
            corrections = [-torch.expm1(n * math.log(beta)) for beta in _BETAS]
            for p, g, mean, square in zip(parameters, gradients, means, squares, strict=True):
                each = (-1, *[1] * (p.ndim - 1))
                on, first, second = (a.view(each) for a in (moves, *corrections))
                p.mul_(1 - learning_rate * weight_decay * on)
                mean.lerp_(g, (1 - _BETAS[0]) * on)
                square.lerp_(g * g, (1 - _BETAS[1]) * on)
                size = (square / second).sqrt_().add_(_EPSILON)
                p.sub_(learning_rate * on / first * mean / size)
    return fine


def check(make: Callable[[], torch.nn.Module], rows: torch.Tensor, n_classes: int) -> None:
    """Refuse a module that cannot be trained in this way, found by what it does.

    Raises:
        ValueError: it is no function of one row, its parameters and constants alone.
    """
    import torch

    def made() -> torch.nn.Module:
        torch.default_generator.manual_seed(0)
        return make()

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        module = made().train()
        (trained, fixed), again = _state(module), _state(made())
        if not trained:
            raise ValueError("the module of build has no parameters to train; give one that has")
        if any(
            now.shape != then.shape or not torch.equal(now, then)
            for one, other in zip((trained, fixed), again, strict=True)
            for now, then in zip(one.values(), other.values(), strict=True)
        ):
            raise ValueError(
                "build made two different modules after the same torch.manual_seed; draw initial "
                "parameters by torch's own random numbers only"
            )
        before = {name: each.clone() for name, each in fixed.items()}
        random = torch.default_generator.get_state()
        try:
            logits = module(rows)
        except Exception as error:
            raise ValueError(
                f"the module of build fails on {len(rows)} rows of shape {tuple(rows.shape[1:])}: "
                f"{type(error).__name__}: {error}"
            ) from error
        if logits.shape != (len(rows), n_classes):
            raise ValueError(
                f"the module of build returned the shape {tuple(logits.shape)} for {len(rows)} "
                f"rows of {n_classes} classes; it must return {(len(rows), n_classes)}"
            )
        if not torch.equal(random, torch.default_generator.get_state()):
            raise ValueError(
                "the module of build draws random numbers while it is trained (dropout?), so a "
                "seed would not fix its values; build it without"
            )
        if any(not torch.equal(each, before[name]) for name, each in fixed.items()):
            raise ValueError(
                "the module of build has buffers that training changes (batch normalisation?), "
                "which would see removed rows too; build it without, or with group or layer "
                "normalisation"
            )
        others = torch.cat([rows[:1], torch.randn(7, *rows.shape[1:])])
        if not torch.allclose(module(others)[0], logits[0], rtol=1e-3, atol=1e-4, equal_nan=True):
            raise ValueError(
                "in the module of build the logits of a row depend on the other rows of its "
                "minibatch (batch normalisation?), removed ones included; build it without"
            )
