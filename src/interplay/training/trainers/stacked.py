"""Stacked networks of one architecture: the first axis of each tensor numbers the networks."""

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
"""Adam's settings, the defaults of torch."""


@dataclass(frozen=True)
class StackedNetworks:
    """Networks of one architecture, and the minibatches that they are trained on.

    Attributes:
        module: one of the networks; its code serves them all.
        trained: the parameters by name, ``(m, ...)``; training changes them in place.
        fixed: buffers, and parameters that need no gradient, by name, ``(m, ...)``.
        orders: the rows of each minibatch, ``(m, steps, batch)``; ``(1, steps, batch)`` if all
            networks have one seed.
    """

    module: torch.nn.Module
    trained: dict[str, torch.Tensor]
    fixed: dict[str, torch.Tensor]
    orders: torch.Tensor


def initialise(
    make: Callable[[], torch.nn.Module],
    seeds: IntArray,
    n_rows: int,
    steps: int,
    batch: int,
    device: str,
) -> StackedNetworks:
    """Draw the initial networks and the minibatches of each seed.

    They are drawn on the CPU and then moved: other devices draw other random numbers.
    """
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
    return StackedNetworks(
        modules[0].to(device),
        trained,
        fixed,
        (order if len(distinct) == 1 else order[inverse]).to(device),
    )


def _state(module: torch.nn.Module) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return the trained parameters, and the other parameters and buffers, by name."""
    parameters = dict(module.named_parameters())
    trained = {name: p.detach() for name, p in parameters.items() if p.requires_grad}
    frozen = {name: p.detach() for name, p in parameters.items() if not p.requires_grad}
    return trained, frozen | dict(module.named_buffers())


def stacked_logits(
    networks: StackedNetworks,
    trained: dict[str, torch.Tensor],
    x: torch.Tensor,
    same_rows: bool,
) -> torch.Tensor:
    """Compute the logits of all networks, ``(m, rows, classes)``.

    Args:
        networks: the networks.
        trained: their trained parameters, ``(m, ...)``.
        x: the rows, ``(rows, ...)``, or one set for each network, ``(m, rows, ...)``.
        same_rows: whether all networks have the same rows.
    """
    import torch
    from torch.func import functional_call

    def forward(
        trained: dict[str, torch.Tensor], fixed: dict[str, torch.Tensor], x: torch.Tensor
    ) -> torch.Tensor:
        logits: torch.Tensor = functional_call(networks.module, (trained, fixed), (x,))
        return logits

    if len(next(iter(trained.values()))) > 1:
        stacked: torch.Tensor = torch.vmap(forward, in_dims=(0, 0, None if same_rows else 0))(
            trained, networks.fixed, x
        )
        return stacked
    first_trained, first_fixed = (
        {name: tensor[0] for name, tensor in tensors.items()}
        for tensors in (trained, networks.fixed)
    )
    return forward(first_trained, first_fixed, x if same_rows else x[0])[None]


def train(
    networks: StackedNetworks,
    x: torch.Tensor,
    y: torch.Tensor,
    kept: torch.Tensor,
    learning_rate: float,
    weight_decay: float,
) -> torch.Tensor:
    """Train all networks in place, and return which had finite losses throughout, ``(m,)``.

    Args:
        networks: the networks, changed in place.
        x: the features of all rows, ``(rows, ...)``.
        y: their classes, ``(rows,)``.
        kept: 1 for each row that a network's subset keeps, else 0, ``(m, rows)``.
        learning_rate: Adam's.
        weight_decay: decoupled, as in AdamW.
    """
    import torch
    from torch.nn.functional import cross_entropy

    networks.module.train()
    parameters = list(networks.trained.values())
    means, squares = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
    n_steps = torch.zeros(len(kept), device=kept.device)
    finite = torch.ones(len(kept), dtype=torch.bool, device=kept.device)
    same_rows = len(networks.orders) == 1
    for step in range(networks.orders.shape[1]):
        rows = networks.orders[:, step]  # (m, batch), or (1, batch)
        weights = kept.gather(1, rows.expand(len(kept), -1))
        with torch.enable_grad():
            # networks share no parameter, so the gradient of a sum of losses is that of each
            leaves = {name: p.detach().requires_grad_() for name, p in networks.trained.items()}
            logits = stacked_logits(
                networks, leaves, x[rows[0]] if same_rows else x[rows], same_rows
            )
            losses = cross_entropy(
                logits.transpose(1, 2), y[rows].expand(len(kept), -1), reduction="none"
            )
            n_kept = weights.sum(dim=1)
            losses = (losses * weights).sum(dim=1) / n_kept.clamp(min=1)
            gradients = torch.autograd.grad(
                losses.sum(), list(leaves.values()), allow_unused=True, materialize_grads=True
            )
        finite &= losses.detach().isfinite()
        has_rows = (n_kept > 0).float()  # a minibatch without a kept row changes nothing
        n_steps += has_rows
        with torch.no_grad():
            # 1 - beta^n: the plain subtraction would lose three of float32's seven digits
            n = n_steps.clamp(min=1)
            corrections = [-torch.expm1(n * math.log(beta)) for beta in _BETAS]
            for p, g, mean, square in zip(parameters, gradients, means, squares, strict=True):
                per_network = (-1, *[1] * (p.ndim - 1))
                on, first, second = (a.view(per_network) for a in (has_rows, *corrections))
                p.mul_(1 - learning_rate * weight_decay * on)
                mean.lerp_(g, (1 - _BETAS[0]) * on)
                square.lerp_(g * g, (1 - _BETAS[1]) * on)
                size = (square / second).sqrt_().add_(_EPSILON)
                p.sub_(learning_rate * on / first * mean / size)
    return finite


def check_module(make: Callable[[], torch.nn.Module], rows: torch.Tensor, n_classes: int) -> None:
    """Run a module on a few rows, and refuse it if it cannot be trained in parallel.

    Args:
        make: builds the module.
        rows: the rows to run it on.
        n_classes: the number of logits that it must return for each row.

    Raises:
        ValueError: a row's logits depend on more than the row, the parameters and constants; or
            they have another shape.
    """
    import torch

    def make_seeded() -> torch.nn.Module:
        torch.default_generator.manual_seed(0)
        return make()

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        module = make_seeded().train()
        (trained, fixed), second_state = _state(module), _state(make_seeded())
        if not trained:
            raise ValueError("the module of build has no parameters to train; give one that has")
        if any(
            tensor.shape != second.shape or not torch.equal(tensor, second)
            for tensors, seconds in zip((trained, fixed), second_state, strict=True)
            for tensor, second in zip(tensors.values(), seconds.values(), strict=True)
        ):
            raise ValueError(
                "build made two different modules after the same torch.manual_seed; draw initial "
                "parameters by torch's own random numbers only"
            )
        before = {name: tensor.clone() for name, tensor in fixed.items()}
        random_state = torch.default_generator.get_state()
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
        if not torch.equal(random_state, torch.default_generator.get_state()):
            raise ValueError(
                "the module of build draws random numbers while it is trained (dropout?), so a "
                "seed would not fix its values; build it without"
            )
        if any(not torch.equal(tensor, before[name]) for name, tensor in fixed.items()):
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
