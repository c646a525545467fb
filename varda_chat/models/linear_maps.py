"""Linear maps as this processor computes them fastest, on bfloat16 weights that training and saving use as ever.

With bfloat16 instructions, oneDNN lays a weight out again for every product. For one token, which has few products to
share that with, this takes longer than the product: a PackedLinear lays it out once, and gives the same bit for bit;
only processors with AMX may round a product of many tokens the other way.

Without them (before AVX-512), a product of many tokens takes a hundred times as long as in float32: a WidenedLinear
widens the weight for it, each time, which costs less memory than keeping it. One token is as fast in bfloat16.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEW = 12
"""Tokens from which on a weight is widened: for fewer, that takes longer than it saves."""


@cache
def multiplies_bfloat16() -> bool:
    """Whether this build of torch has fast bfloat16 products on this processor."""
    ops: Any = torch.ops.mkldnn
    return hasattr(ops, "_is_mkldnn_bf16_supported") and bool(ops._is_mkldnn_bf16_supported())


def product(state: Tensor, weight: Tensor) -> Tensor:
    """``F.linear`` of two tensors of one type, in float32 where that is faster on this processor."""
    many = state.numel() >= FEW * state.shape[-1]
    if many and state.dtype is torch.bfloat16 and state.device.type == "cpu" and not multiplies_bfloat16():
        return F.linear(state.float(), weight.float()).to(state.dtype)
    return F.linear(state, weight)


class _Suited(nn.Linear):
    """``nn.Linear`` without a bias, on the weight of another."""

    def __init__(self, linear: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight = linear.weight
        self.register_parameter("bias", None)
        self.train(linear.training)


class WidenedLinear(_Suited):
    """For processors without bfloat16 instructions; also in training."""

    def forward(self, input: Tensor) -> Tensor:
        return product(input, self.weight)


class PackedLinear(_Suited):
    """For processors with bfloat16 instructions; where its weight is trained or has changed, as a plain one."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        self._packed = torch.ops.mkldnn._reorder_linear_weight(self.weight.detach(), 1)
        self._of = self._version_of_weight()

    def forward(self, input: Tensor) -> Tensor:
        if torch.is_grad_enabled() or input.dtype is not torch.bfloat16 or self._version_of_weight() != self._of:
            return F.linear(input, self.weight)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(input, self._packed, None, "none", [], "")
        return product

    def _version_of_weight(self) -> tuple[int, int]:
        """Another one when the weight has been changed, replaced or moved to another device."""
        return self.weight.data_ptr(), self.weight._version

    def __getstate__(self) -> dict[str, Any]:
        # what is packed is opaque to copying and pickling
        return self.__dict__ | {"_packed": None, "_of": None}


LINEAR_MAPS = (nn.Linear, PackedLinear, WidenedLinear)
"""Types of a map that computes a weight's product and nothing else."""


def suit(model: nn.Module) -> None:
    """Make the bfloat16 maps of ``model`` those that this processor chats with fastest."""
    if not multiplies_bfloat16():
        widen(model)
    elif packs():
        _replace(model, PackedLinear)


def widen(model: nn.Module) -> None:
    """Where this processor has no fast bfloat16 products, let ``model`` do without them, also in training."""
    if not multiplies_bfloat16():
        _replace(model, WidenedLinear)


def packs() -> bool:
    """Whether this build of torch packs weights."""
    return all(hasattr(torch.ops.mkldnn, name) for name in ("_reorder_linear_weight", "_linear_pointwise"))


def _replace(model: nn.Module, kind: type[_Suited]) -> None:
    found = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if type(child) is nn.Linear and _fits(child)
    ]
    for parent, name, child in found:
        setattr(parent, name, kind(child))


def _fits(linear: Any) -> bool:
    weight = linear.weight
    return bool(
        linear.bias is None
        and weight.dtype is torch.bfloat16
        and weight.device.type == "cpu"
        and weight.is_contiguous()
        and not weight.is_inference()
    )
