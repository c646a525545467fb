"""Grows a trained model: new blocks below the memory, longer vectors, and parts that it was made without; at first they
change nothing."""

from __future__ import annotations

import copy
import math

import torch

from training.config import FUSED_GELU
from varda_chat.errors import DataError
from varda_chat.models import VardaGPTAssociative, VardaGPTConfig


@torch.no_grad()
def deepened(model: VardaGPTAssociative, n_layer: int) -> VardaGPTAssociative:
    """A model of ``n_layer`` blocks with the function of ``model``; the memory is read after as many more blocks.

    A new block is a copy of the one below the memory whose two outputs are zero, so hidden states pass it unchanged
    until training makes use of it (compare Net2DeeperNet, Chen et al. 2016).
    """
    old = model.config
    added = n_layer - old.n_layer
    if added < 0:
        raise DataError(f"The checkpoint has {old.n_layer} blocks; --n-layer {n_layer} would take some away.")
    if added == 0:
        return model
    values = copy.deepcopy(old.to_dict()) | {
        "n_layer": n_layer,
        "memory_layer": old.memory_layer + added,
        "store_layer": old.store_layer + added,
        "activation_function": FUSED_GELU if old.activation_function == "gelu_new" else old.activation_function,
    }
    grown = VardaGPTAssociative(VardaGPTConfig(**values))
    state = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("transformer.h.")}
    for block in range(n_layer):
        new = old.memory_layer <= block < old.memory_layer + added
        source = max(old.memory_layer - 1, 0) if new else block if block < old.memory_layer else block - added
        for name, tensor in model.transformer.h[source].state_dict().items():
            zero = new and ".c_proj." in name
            state[f"transformer.h.{block}.{name}"] = torch.zeros_like(tensor) if zero else tensor
    grown.load_state_dict(state)
    return grown


@torch.no_grad()
def widened(model: VardaGPTAssociative, memory_dim: int) -> VardaGPTAssociative:
    """A model of ``memory_dim`` floats a vector, with the parts that ``model`` was made without: the statement's state,
    the query's context, a no-match slot by state that is read, copies followed. It gives nearly the results of
    ``model``: what is new starts small."""
    old = model.config
    added = memory_dim - old.memory_dim
    if added < 0:
        raise DataError(f"The checkpoint's vectors have {old.memory_dim} floats; --memory-dim {memory_dim} is fewer.")
    parts = ("store_statement_state", "null_by_state", "read_null", "follow_copies", "query_context")
    whole = dict.fromkeys(parts, True)
    if added == 0 and all(getattr(old, name) for name in whole):
        return model
    grown = VardaGPTAssociative(VardaGPTConfig(**(copy.deepcopy(old.to_dict()) | whole | {"memory_dim": memory_dim})))
    state = grown.state_dict()
    for name, tensor in model.state_dict().items():
        new = state[name]
        if name == "memory_reader.fc.weight":
            # a block for each result; reading brings vectors to the states' scale by the square root of their length
            width, scale = old.n_embd, math.sqrt(old.memory_dim / memory_dim)
            new[:, :width] = tensor[:, :width]
            blocks = tensor[:, width:].unflatten(1, (old.num_search_results, old.memory_dim))
            new[:, width:].unflatten(1, (old.num_search_results, memory_dim))[:, :, : old.memory_dim] = blocks * scale
        elif tensor.shape != new.shape:
            new.mul_(0.1)
            if new.ndim == 2:
                new[: tensor.shape[0], tensor.shape[1] :] = 0.0  # what is new in the input says nothing yet
            new[tuple(slice(0, size) for size in tensor.shape)] = tensor
        else:
            new.copy_(tensor)
    grown.load_state_dict(state)
    return grown


@torch.no_grad()
def with_fresh_matching(model: VardaGPTAssociative) -> VardaGPTAssociative:
    """``model`` with the layers that make queries, vectors and deletable vectors, and those that read vectors, as in a
    fresh model: old ones may have learned to tell apart by so little that they learn no more."""
    fresh = VardaGPTAssociative(model.config)
    reader, heads = model.memory_reader, model.memory_heads
    for name in ("fc_query", "fc_storable_vector", "fc_null", "log_scale", "null_score", "follow_score"):
        part = getattr(reader, name)
        if part is not None:
            _copy(part, getattr(fresh.memory_reader, name))
    width = model.config.n_embd
    reader.fc.weight[:, width:] = fresh.memory_reader.fc.weight[:, width:]
    _copy(heads.fc_deletable_vector, fresh.memory_heads.fc_deletable_vector)
    heads.fc_delete_decision.weight[:, width:] = fresh.memory_heads.fc_delete_decision.weight[:, width:]
    return model


def _copy(target: torch.nn.Module | torch.Tensor, source: torch.nn.Module | torch.Tensor) -> None:
    """Give ``target`` the values of ``source``, of the same kind and shape."""
    if isinstance(target, torch.nn.Module):
        assert isinstance(source, torch.nn.Module)
        target.load_state_dict(source.state_dict())
    else:
        assert isinstance(source, torch.Tensor)
        target.copy_(source)
