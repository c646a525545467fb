"""Reranker: reads a line and a statement together, and says whether the statement answers the line or is ended by it.

A search compares two vectors that were made apart. The few statements that it finds are read once more, each behind the
line as a reply would read it, through low-rank maps of their own on the layers below the memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import initialization as init

from varda_chat.models.decision_heads import Decision
from varda_chat.models.linear_maps import product

ANSWERS, ENDS = 0, 1
"""Columns of the logits."""
SCALE = 2.0
"""What the low-rank maps' output is multiplied by."""


class LowRank(nn.Module):
    """What is added to a linear map: ``up`` (out, rank) of ``down`` (rank, in)."""

    def __init__(self, linear: nn.Linear, rank: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.empty(rank, linear.in_features))
        self.up = nn.Parameter(torch.empty(linear.out_features, rank))

    @torch.no_grad()
    def init_weights(self) -> None:
        """Initial values: it adds nothing yet."""
        init.normal_(self.down, std=self.down.shape[1] ** -0.5)
        init.zeros_(self.up)

    def forward(self, state: Tensor) -> Tensor:
        return SCALE * product(product(state, self.down.to(state.dtype)), self.up.to(state.dtype))


class Reranker(nn.Module):
    """Low-rank maps beside the linear maps of the lower layers, and the decision on the features at a pair's end.

    layers: a decoder's layers below its memory; width: of the features that the decision sees.
    """

    def __init__(self, layers: Sequence[nn.Module], width: int, rank: int, hidden: int) -> None:
        super().__init__()
        self.maps = nn.ModuleDict({name: LowRank(linear, rank) for name, linear in _linear_maps(layers)})
        self.decision = Decision(width, hidden, 2)

    @classmethod
    def of(cls, model: Any) -> Reranker:
        """The one that the configuration of ``model`` asks for, of its decoder's lower layers."""
        memory = model.config.memory
        width = len(memory.feature_layers) * model.config.hidden_size
        return cls(model.model.layers[: memory.memory_layer], width, memory.rerank_rank, memory.hidden_dim)

    def forward(self, model: Any, pairs: Sequence[Sequence[int]]) -> Tensor:
        """Logits (n, 2), ANSWERS and ENDS, of ``pairs``: token ids of a line with one statement in its note."""
        longest = max(map(len, pairs))
        rows = [[*pair, *[0] * (longest - len(pair))] for pair in pairs]  # nothing looks at what comes behind it
        with self._beside(model):
            done = model.lower_pass(torch.tensor(rows, device=model.device))
        last = torch.tensor([len(pair) - 1 for pair in pairs], device=model.device)
        logits: Tensor = self.decision(done.features[torch.arange(len(rows)), last])
        return logits

    @contextmanager
    def _beside(self, model: Any) -> Iterator[None]:
        """Within it, the lower layers' linear maps of ``model`` have these beside them."""
        lower = model.model.layers[: model.config.memory.memory_layer]
        hooks = [linear.register_forward_hook(partial(_add, self.maps[name])) for name, linear in _linear_maps(lower)]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def _add(beside: nn.Module, _linear: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    added: Tensor = beside(inputs[0])
    return output + added


def _linear_maps(layers: Sequence[nn.Module]) -> Iterator[tuple[str, nn.Linear]]:
    """Each with a name that says its layer and its place there."""
    for index, layer in enumerate(layers):
        for name, module in layer.named_modules():
            if isinstance(module, nn.Linear):
                yield f"{index}_{name}".replace(".", "_"), module
