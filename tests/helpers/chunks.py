"""A sequence read whole and read in pieces, and what must be the same."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from varda_chat.models.addressing import Address, Roles

CLOSE: Any = {"atol": 1e-4, "rtol": 1e-4}
TENSORS = ("logits", "query", "no_match", "read_weights", "copy_decision")


def assert_same(whole: Any, part: Any, start: int, end: int, *, vectors: bool = False) -> None:
    """``part`` is what ``whole`` has at positions ``start`` to ``end``."""
    for name in (*TENSORS, *(("storable_vector", "store_decision") if vectors else ())):
        torch.testing.assert_close(getattr(whole, name)[:, start:end], getattr(part, name), **CLOSE, msg=name)
    for fields, kinds in ((whole.address, Address), (whole.roles, Roles)):
        other = part.address if kinds is Address else part.roles
        for name in kinds.__dataclass_fields__:
            torch.testing.assert_close(getattr(fields, name)[:, start:end], getattr(other, name), **CLOSE)
    assert torch.equal(whole.search_results.ids[:, start:end], part.search_results.ids)


def in_chunks(model: Any, ids: Tensor, sizes: list[int], cache: Any = None, **given: Any) -> list[tuple[int, int, Any]]:
    """(start, end, output) of each chunk, read one after the other with a cache; (B, T) tensors are cut likewise."""
    parts, start = [], 0
    for size in sizes:
        cut = {
            name: value[:, start : start + size] if isinstance(value, Tensor) and value.ndim == 2 else value
            for name, value in given.items()
        }
        output = model(ids[:, start : start + size], past_key_values=cache, use_cache=True, **cut)
        cache = output.past_key_values
        parts.append((start, start + size, output))
        start += size
    assert start == ids.shape[1]
    return parts
