"""The optimizer's groups of parameters, the learning rate's course, and a step down a loss."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from training.config import TrainConfig
from varda_chat.models import VardaGPTAssociative

MEMORY_PARTS = "memory_"
DELETE_HEADS = ("memory_heads.fc_deletable_vector", "memory_heads.fc_delete_decision")
"""How the names of parameters begin."""


def cosine(progress: float) -> float:
    """A factor that falls from 1, at no ``progress``, along a cosine to a twentieth at 1 and beyond."""
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def schedule(step: int, steps: int, warmup: int) -> float:
    """Learning rate's factor at ``step`` of ``steps``: a linear rise over ``warmup``, then a cosine."""
    if step < warmup:
        return (step + 1) / warmup
    return cosine((step - warmup) / max(1, steps - warmup))


def warm_cosine(step: int, steps: int, warmup: int) -> float:
    """As ``schedule``, with the cosine running from the first step on, during the rise too."""
    return min(1.0, (step + 1) / warmup) * cosine(step / steps)


def anneal(optimizer: torch.optim.Optimizer, step: int, steps: int, warmup: int) -> None:
    """Set the learning rate of each group of ``optimizer`` to its own ``rate`` times ``warm_cosine``."""
    factor = warm_cosine(step, steps, warmup)
    for group in optimizer.param_groups:
        group["lr"] = group["rate"] * factor


def descend(
    loss: Tensor, optimizer: torch.optim.Optimizer, parameters: Sequence[nn.Parameter], clip: float, step: int,
    but: Iterable[nn.Parameter] = (),
) -> None:  # fmt: skip
    """One step of ``optimizer`` down ``loss``, the gradient's norm at most ``clip``; parameters in ``but`` keep their
    values. Raises RuntimeError at a loss that is no number."""
    if not math.isfinite(loss.item()):
        raise RuntimeError(f"the loss became {loss.item()} at step {step}")
    loss.backward()
    for parameter in but:
        parameter.grad = None
    nn.utils.clip_grad_norm_(parameters, clip)
    optimizer.step()
    optimizer.zero_grad()


def parameter_groups(model: VardaGPTAssociative, config: TrainConfig) -> list[dict[str, Any]]:
    """The optimizer's groups: matrices decay, what has fewer dimensions does not; the memory's parts learn faster."""
    groups = []
    for of_memory in (False, True):
        for decays in (False, True):
            parameters = [
                parameter
                for name, parameter in model.named_parameters()
                if name.startswith(MEMORY_PARTS) == of_memory and (parameter.ndim >= 2) == decays
            ]
            rate = config.learning_rate * (config.memory_rate if of_memory else 1.0)
            groups.append({"params": parameters, "lr": rate, "weight_decay": config.weight_decay if decays else 0.0})
    return groups
