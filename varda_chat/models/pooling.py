"""Means of hidden states: over each statement, and over all that was read so far."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class RunningMean(NamedTuple):
    """A mean in which what is older weighs less, at each of T states: weighted sums (B, T, n) and the sums of their
    weights (B or 1, T, 1)."""

    total: Tensor
    weight: Tensor


def running_means(
    state: Tensor, before: RunningMean | None, decay: float, real: Tensor | None = None
) -> tuple[Tensor, RunningMean]:
    """At each of the states (B, T, n) the mean of it and those before it, each weighing ``decay`` times the one after
    it; and what the next call starts from, at its last state. Padding, not ``real`` (B, T), does not count."""
    length = state.shape[1]
    there = torch.ones(1, length, device=state.device) if real is None else real.float()
    ages = there.cumsum(dim=1)  # (B or 1, T), states so far
    steps = (ages.unsqueeze(2) - ages.unsqueeze(1)).clamp_min(0)
    # (B or 1, T, T), [t, j] = decay^(states from j to t)
    kernel = torch.tril(torch.full_like(steps, decay) ** steps) * there.unsqueeze(1)
    sums, weights = kernel @ state.float(), kernel.sum(dim=2, keepdim=True)
    if before is not None:
        faded = (decay**ages).unsqueeze(2)
        sums, weights = sums + faded * before.total[:, -1:], weights + faded * before.weight[:, -1:]
    means = (sums / weights.clamp_min(torch.finfo(torch.float32).tiny)).to(state.dtype)
    return means, RunningMean(sums.detach(), weights)


def segment_mean_pool(state: Tensor, statements: Tensor) -> Tensor:
    """Each token's state (B, T, n) replaced by the mean over its statement (numbers (B, T)); 0 for none, -1."""
    rows, length, width = state.shape
    count = int(statements.max()) + 1 if statements.numel() else 0
    if count <= 0:
        return torch.zeros_like(state)
    # one more group a row, for the tokens of no statement
    group = torch.where(statements >= 0, statements, count)
    group = group + (count + 1) * torch.arange(rows, device=group.device).unsqueeze(1)
    group = group.flatten()
    sums = torch.zeros(rows * (count + 1), width, device=state.device).index_add(0, group, state.flatten(0, 1).float())
    sizes = torch.zeros(rows * (count + 1), 1, device=state.device)
    sizes = sizes.index_add(0, group, torch.ones(rows * length, 1, device=state.device))
    means = (sums / sizes.clamp_min(1.0)).index_select(0, group).view(rows, length, width)
    return means.masked_fill((statements < 0).unsqueeze(-1), 0.0).to(state.dtype)
