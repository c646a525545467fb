"""ProcessGroup: how the processes of a run divide its steps. What they sum is what one process would compute alone.

Each process computes the losses of its own rows, divided by the weights of all rows, and the gradients are summed once
a step. So a run's result does not depend on how many processes share it, beyond rounding.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class ProcessGroup:
    """Process ``process`` of ``processes``. Where there are several, all must call the same methods in the same order,
    on the device that their process group is for."""

    process: int = 0
    processes: int = 1

    def part(self, count: int) -> slice:
        """This process' share of ``count`` things in a row; the shares differ by one at most."""
        return slice(count * self.process // self.processes, count * (self.process + 1) // self.processes)

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all processes; passes no gradient."""
        if self.processes == 1:
            return tensor.detach()
        total = tensor.detach().clone()
        dist.all_reduce(total)
        return total

    def gather(self, rows: Tensor) -> Tensor:
        """The (n, ...) ``rows`` of all processes in their order, where n may differ; gradients find their way back."""
        if self.processes == 1:
            return rows
        counts = torch.zeros(self.processes, dtype=torch.long, device=rows.device)
        counts[self.process] = len(rows)
        gathered: Tensor = _Gather.apply(rows, self, self.sum(counts).tolist())
        return gathered

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Give each parameter that any process has a gradient of the sum of all processes' gradients."""
        if self.processes == 1:
            return
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        if not trained:
            return
        device = trained[0].device
        there = self.sum(torch.tensor([each.grad is not None for each in trained], dtype=torch.int32, device=device))
        chosen = [each for each, count in zip(trained, there.tolist(), strict=True) if count]
        for each in chosen:
            each.grad = torch.zeros_like(each) if each.grad is None else each.grad
        for bucket in _buckets(chosen):
            gradients = [each.grad for each in bucket if each.grad is not None]
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            dist.all_reduce(flat)
            for gradient, total in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
                gradient.copy_(total.view_as(gradient))

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Give all processes the first one's ``tensors``."""
        if self.processes > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def broadcast_object(self, found: Any) -> Any:
        """What the first process found, in all of them."""
        if self.processes == 1:
            return found
        box = [found]
        dist.broadcast_object_list(box, src=0)
        return box[0]


ALONE = ProcessGroup()

BUCKET = 1 << 24
"""Floats that are summed at once: few enough to be a small part of the gradients' memory."""


def _buckets(parameters: list[torch.nn.Parameter]) -> Iterable[list[torch.nn.Parameter]]:
    bucket: list[torch.nn.Parameter] = []
    size = 0
    for parameter in parameters:
        bucket.append(parameter)
        size += parameter.numel()
        if size >= BUCKET:
            yield bucket
            bucket, size = [], 0
    if bucket:
        yield bucket


class _Gather(torch.autograd.Function):
    """Rows of all processes. Backwards, a row's gradient is the sum of what every process' losses say about it."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, group: ProcessGroup, counts: list[int]) -> Tensor:
        ctx.group, ctx.counts = group, counts
        # of one size, as every backend can gather them
        padded = rows.new_zeros(max(counts), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = gradients
        process, counts = ctx.group.process, ctx.counts
        start = sum(counts[:process])
        return ctx.group.sum(gradient.contiguous())[start : start + counts[process]], None, None
