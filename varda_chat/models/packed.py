"""Linear maps whose weights are laid out once for the processor: the same results, bit for bit, in less time.

oneDNN lays a bfloat16 weight out again for every product. For one token, which has few products to share that with,
this takes longer than the product.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PackedLinear(nn.Linear):
    """``nn.Linear`` without a bias, on the same weight, which training and saving use as ever."""

    def __init__(self, linear: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight = linear.weight
        self.register_parameter("bias", None)
        self._packed = torch.ops.mkldnn._reorder_linear_weight(self.weight.detach(), 1)
        self._of = self._version_of_weight()
        self.train(linear.training)

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


def pack(model: nn.Module) -> None:
    """Pack the linear maps of ``model`` on whose weights this processor gains by it; others stay as they are."""
    if not _gains():
        return
    found = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if type(child) is nn.Linear and _fits(child)
    ]
    for parent, name, child in found:
        setattr(parent, name, PackedLinear(child))


def _gains() -> bool:
    """Whether this build of torch packs bfloat16 weights for this processor."""
    ops: Any = torch.ops.mkldnn
    needed = ("_reorder_linear_weight", "_linear_pointwise", "_is_mkldnn_bf16_supported")
    return all(hasattr(ops, name) for name in needed) and bool(ops._is_mkldnn_bf16_supported())


def _fits(linear: Any) -> bool:
    weight = linear.weight
    return bool(
        linear.bias is None
        and weight.dtype is torch.bfloat16
        and weight.device.type == "cpu"
        and weight.is_contiguous()
        and not weight.is_inference()
    )
