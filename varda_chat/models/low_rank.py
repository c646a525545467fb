"""MapsBeside: low-rank maps beside the linear maps of a decoder's lower layers, while a part of ours reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import initialization as init

from varda_chat.models.linear_maps import product

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


class MapsBeside(nn.Module):
    """Low-rank maps, one for each linear map of ``model``'s layers from ``first`` on and below its memory."""

    def __init__(self, model: Any, rank: int, first: int = 0) -> None:
        super().__init__()
        self.first = first
        self.maps = nn.ModuleDict({name: LowRank(linear, rank) for name, linear in _linear_maps(model, first)})

    def init_maps(self) -> None:
        """Initial values of the maps: they add nothing yet."""
        for each in self.maps.children():
            assert isinstance(each, LowRank)
            each.init_weights()

    @contextmanager
    def beside(self, model: Any) -> Iterator[None]:
        """Within it, the lower layers' linear maps of ``model`` have these beside them."""
        maps = _linear_maps(model, self.first)
        hooks = [linear.register_forward_hook(partial(_add, self.maps[name])) for name, linear in maps]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def features_width(model: Any) -> int:
    """Width of the features that the layers below the memory of ``model`` give."""
    return len(model.config.memory.feature_layers) * int(model.config.hidden_size)


def features_at_ends(model: Any, texts: Sequence[Sequence[int]]) -> Tensor:
    """The features (n, width) at the last token of each of ``texts``, token ids, read alone."""
    longest = max(map(len, texts))
    rows = [[*text, *[0] * (longest - len(text))] for text in texts]  # nothing looks at what comes behind it
    done = model.lower_pass(torch.tensor(rows, device=model.device))
    last = torch.tensor([len(text) - 1 for text in texts], device=model.device)
    features: Tensor = done.features[torch.arange(len(rows)), last]
    return features


def _add(beside: nn.Module, _linear: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    added: Tensor = beside(inputs[0])
    return output + added


def _linear_maps(model: Any, first: int) -> Iterator[tuple[str, nn.Linear]]:
    """Each with a name that says its layer and its place there."""
    for index in range(first, model.config.memory.memory_layer):
        for name, module in model.model.layers[index].named_modules():
            if isinstance(module, nn.Linear):
                yield f"{index}_{name}".replace(".", "_"), module
