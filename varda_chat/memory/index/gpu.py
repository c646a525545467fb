"""Searching on a GPU: a copy there of an index here, made again when it is next searched after a change."""

from __future__ import annotations

from typing import Any

import faiss

from varda_chat.errors import VardaError

_MAX_RESULTS = 2048
"""The most results a query that FAISS finds on a GPU; wider searches stay on the CPU."""


def check_gpu(device: int, index_type: str, half_precision: bool) -> None:
    """Raise VardaError unless FAISS can search an index of this type on GPU ``device``."""
    if not hasattr(faiss, "StandardGpuResources"):
        raise VardaError("use_gpu needs FAISS with GPU support, which is not installed; leave it out for the CPU.")
    count = faiss.get_num_gpus()
    if not 0 <= device < count:
        raise VardaError(f"gpu_device is {device}, but FAISS finds {count} GPUs.")
    if index_type == "graph" or (index_type == "flat" and half_precision):
        raise VardaError("FAISS has graphs and half-precision flat indexes on the CPU only; leave out use_gpu.")


class GpuCopy:
    """The copy, on GPU ``device``; with None, there is none and every search stays on the CPU."""

    def __init__(self, device: int | None) -> None:
        self._device = device
        self._resources: Any = None if device is None else faiss.StandardGpuResources()
        self._copy: Any = None

    def of(self, index: Any, k: int) -> Any:
        """What to search for ``k`` results of ``index``: the copy, or that itself."""
        if self._device is None or k > _MAX_RESULTS:
            return index
        if self._copy is None:
            try:
                self._copy = faiss.index_cpu_to_gpu(self._resources, self._device, index)
            except RuntimeError as error:
                raise VardaError(f"The index cannot be searched on the GPU ({error}).") from error
        return self._copy

    def drop(self) -> None:
        """Call after every change of the index."""
        self._copy = None
