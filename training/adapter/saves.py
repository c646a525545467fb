"""What a stage that trains LoRA weights saves of itself, replaced only when it is whole, and resumes from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn


def save_state(path: Path, parameters: Sequence[nn.Parameter], optimizer: torch.optim.Optimizer, step: int) -> None:
    """Write ``parameters``, the optimizer's state and the step to ``path``; its directory is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.with_suffix(".new")
    torch.save({"lora": [p.detach() for p in parameters], "optimizer": optimizer.state_dict(), "step": step}, whole)
    whole.replace(path)


@torch.no_grad()
def load_state(path: Path, parameters: Sequence[nn.Parameter], optimizer: torch.optim.Optimizer) -> int | None:
    """Put what ``path`` holds into ``parameters`` and ``optimizer``. Returns the step, None where nothing was saved."""
    if not path.exists():
        return None
    state = torch.load(path, weights_only=True)
    for own, saved in zip(parameters, state["lora"], strict=True):
        own.copy_(saved)
    optimizer.load_state_dict(state["optimizer"])
    step: int = state["step"]
    return step
