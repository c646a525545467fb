"""What a step is computed in: bfloat16 where the processor or GPU multiplies it, else float32."""

from __future__ import annotations

import torch

from varda_chat.models.linear_maps import multiplies_bfloat16


def autocast() -> torch.autocast:
    """bfloat16 for what is computed on the CPU within it, where that is faster."""
    return torch.autocast("cpu", torch.bfloat16, enabled=multiplies_bfloat16())


def precision_on(device: torch.device, asked: str) -> str:
    """The mixed precision ``asked`` for, or "no" where it is bfloat16 and the CPU ``device`` has no such products."""
    return "no" if asked == "bf16" and device.type == "cpu" and not multiplies_bfloat16() else asked
