"""Arrays in, arrays of the same kind out: numpy or torch, checked, without ever importing torch; and ids as bytes."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from varda_chat.errors import VardaError

Ids = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]
Piece = npt.NDArray[np.uint8]

MAX_SQUARED_NORM = float(np.finfo(np.float32).max) / 8
"""Above this, a squared distance between two vectors can overflow float32: |x - y|² <= 2(|x|² + |y|²)."""

_BATCH = 65_536  # vectors handed from one index to another at once


def is_tensor(array: Any) -> bool:
    """Whether ``array`` is a torch tensor, as far as its methods tell."""
    return hasattr(array, "detach") and hasattr(array, "device")


def same_kind(array: npt.NDArray[Any], model: Any) -> Any:
    """``array`` as it is, or as a tensor on ``model``'s device where ``model`` is one."""
    if not is_tensor(model):
        return array
    # whoever made the tensor has imported torch
    tensor = sys.modules["torch"].from_numpy(array)
    return tensor if model.device.type == "cpu" else tensor.to(model.device)


def stacked(arrays: Sequence[Any]) -> Any:
    """Arrays of one shape and kind as one array with a first axis for them."""
    return sys.modules["torch"].stack(list(arrays)) if is_tensor(arrays[0]) else np.stack(arrays)


def as_vectors(array: Any, dim: int, what: str = "vectors") -> Vectors:
    """``array`` of shape (..., dim) as C-contiguous float32.

    Raises VardaError for another dimension, a dtype that is not floating point, and values that are NaN,
    infinite or too large to measure distances between.
    """
    if is_tensor(array):
        if not array.is_floating_point():
            raise VardaError(f"The {what} are {array.dtype}; floating-point numbers are needed.")
        array = array.detach().float().cpu().numpy()
    given = np.asarray(array)
    if not np.issubdtype(given.dtype, np.floating):
        raise VardaError(f"The {what} are {given.dtype}; floating-point numbers are needed.")
    if given.ndim == 0 or given.shape[-1] != dim:
        raise VardaError(f"The {what} have shape {given.shape}; this memory holds vectors of {dim} dimensions.")
    with np.errstate(over="ignore", invalid="ignore"):
        vectors = np.ascontiguousarray(given, dtype=np.float32)
        squared_norms = np.einsum("...d,...d->...", vectors, vectors)
    if not (squared_norms <= MAX_SQUARED_NORM).all():  # written so that NaN fails it too
        raise VardaError(f"The {what} have values that are not finite or are too large.")
    return vectors


def rounded_to_half(vectors: Vectors) -> Vectors:
    """``vectors`` with every value as 16 bits can hold it; raises VardaError where one is too large for that."""
    if vectors.size and np.abs(vectors).max() > np.finfo(np.float16).max:
        raise VardaError("The vectors have values that are too large for half precision (65504 at most).")
    return vectors.astype(np.float16).astype(np.float32)


def as_ids(ids: Any) -> Ids:
    """One id or several as (n,) int64; raises VardaError unless they are whole numbers from 0, in one row."""
    if is_tensor(ids):
        ids = ids.detach().cpu().numpy()
    given = np.atleast_1d(np.asarray(ids))
    if given.size == 0:
        given = given.astype(np.int64)
    if given.ndim != 1 or not np.issubdtype(given.dtype, np.integer) or (given < 0).any():
        raise VardaError("Ids are whole numbers from 0 up, in one row.")
    return np.ascontiguousarray(given, dtype=np.int64)


def distinct(ids: Ids, count: int) -> Ids:
    """``ids``; raises VardaError unless there are ``count`` of them, no two the same."""
    if len(ids) != count:
        raise VardaError(f"{len(ids)} ids were given for {count} vectors.")
    if len(np.unique(ids)) != count:
        raise VardaError("The same id was given twice.")
    return ids


def batches(ids: Ids) -> Iterator[Ids]:
    """``ids`` in runs short enough to hold the vectors of."""
    for start in range(0, len(ids), _BATCH):
        yield ids[start : start + _BATCH]


def piece_of(ids: Ids) -> Piece:
    """``ids`` (n,) as bytes of a file."""
    return ids.astype("<i8").view(np.uint8)


def ids_in(piece: Piece) -> Ids:
    """The ids (n,) that ``piece_of`` was given; raises ValueError where they are cut."""
    return piece.view("<i8").astype(np.int64)


def share_of(count: int, share: float, rng: np.random.Generator) -> Ids:
    """Random distinct positions below ``count``, ``share`` (0..1) of them on average."""
    wanted = count * share
    number = int(wanted) + int(rng.random() < wanted - int(wanted))
    return np.sort(rng.choice(count, size=number, replace=False)).astype(np.int64)
