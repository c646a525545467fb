"""One new token through a Llama-shaped decoder: the operations of transformers' layers, in their order and on their
weights (but heads that share keys read them at once), without the modules, masks and interfaces around them, on which a
small model spends much of its time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaMLP, LlamaRMSNorm, rotate_half

from varda_chat.models.linear_maps import LINEAR_MAPS
from varda_chat.models.memory_cache import MemoryCache


class OneToken:
    """The layers of ``decoder``, a LlamaModel, laid out for one token at a time. Holds its linear maps."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder
        self._layers = [_parts_of(layer) for layer in decoder.layers]
        self._first = decoder.layers[0].self_attn.q_proj
        attention = decoder.layers[0].self_attn
        self._head, self._scale = attention.head_dim, attention.scaling
        self._eps = decoder.norm.variance_epsilon

    @staticmethod
    def can_take(decoder: Any) -> bool:
        """Whether all layers are Llama's own, with plain linear maps."""
        return decoder.config._attn_implementation == "sdpa" and all(
            type(layer.self_attn) is LlamaAttention
            and type(layer.mlp) is LlamaMLP
            and type(layer.input_layernorm) is LlamaRMSNorm
            and all(type(each) in LINEAR_MAPS and each.bias is None for each in _linears(layer))
            for layer in decoder.layers
        )

    def fits(self, decoder: Any) -> bool:
        """Whether the linear maps are still those of ``decoder``."""
        return bool(decoder.layers) and self._first is decoder.layers[0].self_attn.q_proj

    def __call__(self, token: Tensor, position: Tensor, cache: MemoryCache, memory_pass: Any) -> Tensor:
        """The decoder's last hidden state (1, 1, width) at ``token`` (1, 1), which goes into the cache."""
        decoder, eps, head = self._decoder, self._eps, self._head
        hidden: Tensor = decoder.embed_tokens(token)
        cos, sin = decoder.rotary_emb(hidden, position_ids=position)
        cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
        for index, (norm, q, k, v, o, norm_2, gate, up, down) in enumerate(self._layers):
            if memory_pass is not None:
                hidden = memory_pass.apply_memory(index, hidden)
            state = _rms_norm(hidden, norm, eps)
            query = q(state).view(1, 1, -1, head).transpose(1, 2)
            key = k(state).view(1, 1, -1, head).transpose(1, 2)
            value = v(state).view(1, 1, -1, head).transpose(1, 2)
            query = query * cos + rotate_half(query) * sin
            keys, values = cache.update(key * cos + rotate_half(key) * sin, value, index)
            # the heads that share keys are read as as many positions: the keys are not copied for each of them
            shared = query.reshape(1, keys.shape[1], -1, head)
            read = F.scaled_dot_product_attention(shared, keys, values, scale=self._scale)
            hidden = hidden + o(read.reshape(1, 1, -1))
            state = _rms_norm(hidden, norm_2, eps)
            hidden = hidden + down(F.silu(gate(state)) * up(state))
        return _rms_norm(hidden, decoder.norm.weight, eps)


def _rms_norm(hidden: Tensor, weight: Tensor, eps: float) -> Tensor:
    """As LlamaRMSNorm, rounded where that rounds."""
    wide = hidden.to(torch.float32)
    scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
    return weight * (wide * scale).to(hidden.dtype)


def _linears(layer: Any) -> tuple[Any, ...]:
    attention, mlp = layer.self_attn, layer.mlp
    return (attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj, mlp.gate_proj, mlp.up_proj,
            mlp.down_proj)  # fmt: skip


def _parts_of(layer: Any) -> tuple[Any, ...]:
    """Of a layer: a norm's weight and four linear maps, the other norm's weight and three more; each as a function."""
    q, k, v, o, gate, up, down = (each.forward for each in _linears(layer))
    return layer.input_layernorm.weight, q, k, v, o, layer.post_attention_layernorm.weight, gate, up, down
