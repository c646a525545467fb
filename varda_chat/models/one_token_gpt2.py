"""One new token through GPT-2's blocks: as ``one_token`` does for Llama-shaped decoders, by GPT-2's own operations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from varda_chat.models.memory_cache import MemoryCache


def takes_short_way(decoder: Any, ids: Tensor | None, cache: Any, mask: Tensor | None, others: dict[str, Any]) -> bool:
    """Whether ``decoder``, a GPT2Model, would give for these arguments of its ``forward`` what ``one_token`` gives."""
    config = decoder.config
    return (
        type(cache) is MemoryCache
        and ids is not None
        and ids.shape == (1, 1)
        and cache.get_seq_length() > 0
        and not torch.is_grad_enabled()
        and not decoder.training
        and config._attn_implementation == "sdpa"
        and not (config.add_cross_attention or config.output_hidden_states or config.output_attentions)
        and (mask is None or (mask.ndim == 2 and bool(mask.all())))
        and not any(value for name, value in others.items() if name not in ("use_cache", "return_dict"))
    )


def one_token(decoder: Any, token: Tensor, position: Tensor | None, cache: MemoryCache, memory_pass: Any) -> Any:
    """What ``decoder`` gives for ``token`` (1, 1), which goes into the cache."""
    if position is None:
        position = torch.tensor([[cache.get_seq_length()]], device=token.device)
    hidden = F.embedding(token, decoder.wte.weight) + F.embedding(position, decoder.wpe.weight)
    last = len(decoder.h)
    for index, block in enumerate(decoder.h):
        if memory_pass is not None:
            hidden = memory_pass.apply_memory(index, hidden)
        parts = block._modules
        attention, mlp = parts["attn"], parts["mlp"]
        of_attention, of_mlp = attention._modules, mlp._modules
        states = _linear(_norm(hidden, parts["ln_1"]), of_attention["c_attn"]).view(1, 1, 3, attention.num_heads, -1)
        query, key, value = states.permute(2, 0, 3, 1, 4)  # (1, heads, 1, head) each
        keys, values = cache.update(key, value, index)
        read = F.scaled_dot_product_attention(query, keys, values, scale=attention.scaling)
        hidden = _linear(read.transpose(1, 2).reshape(1, 1, -1), of_attention["c_proj"]) + hidden
        inner = mlp.act(_linear(_norm(hidden, parts["ln_2"]), of_mlp["c_fc"]))
        hidden = hidden + _linear(inner, of_mlp["c_proj"])
    if memory_pass is not None:
        hidden = memory_pass.apply_memory(last, hidden)
    return BaseModelOutputWithPastAndCrossAttentions(
        last_hidden_state=_norm(hidden, decoder.ln_f), past_key_values=cache
    )


def _norm(hidden: Tensor, norm: Any) -> Tensor:
    return F.layer_norm(hidden, norm.normalized_shape, norm.weight, norm.bias, norm.eps)


def _linear(hidden: Tensor, layer: Any) -> Tensor:
    """As transformers' Conv1D: weights (in, out)."""
    return torch.addmm(layer.bias, hidden.view(-1, hidden.shape[-1]), layer.weight).view(1, 1, -1)
