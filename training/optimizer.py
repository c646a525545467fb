"""The optimizer's groups of parameters, and the learning rate's course."""

from __future__ import annotations

import math
from typing import Any

from training.config import TrainConfig
from varda_chat.model import VardaGPTAssociative

MEMORY_PARTS = "memory_"
DELETE_HEADS = ("memory_heads.fc_deletable_vector", "memory_heads.fc_delete_decision")
"""How the names of parameters begin."""


def schedule(config: TrainConfig, step: int) -> float:
    """Learning rate's factor: linear warm-up, then a cosine down to a twentieth."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.max_steps - config.warmup_steps)
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


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
