"""The matching loss: a question finds the statement that answers it, and nothing where there is none.

Episodes hold few questions, and most of what they compute is not about matching. Here only the blocks below the memory
are run, on tellings and questions alone, so that a step sees many times more of them, among them those that are easily
taken for each other.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers.masking_utils import create_causal_mask

from training.data.pairs import PairArrays
from varda_chat.model.modeling import MASKED_SCORE, VardaGPTAssociative

FEW = 6
"""Statements of a small memory, beside those of the pair's own group."""


def matching_loss(model: VardaGPTAssociative, pairs: PairArrays, generator: torch.Generator) -> Tensor:
    """Cross-entropy of reading ``pairs``' questions, a scalar: where the answer is in memory, the share that its
    vectors get; where it is not, the share of the null result; among few statements (relatives and a few others), and
    among all. At the question's end any vector of the value will do, before the value only that of its first token."""
    arrays = {name: torch.from_numpy(getattr(pairs, name)).to(model.device) for name in pairs.__dataclass_fields__}
    count = len(arrays["topic"])
    reader = model.memory_reader
    written, asking = _lower_states(model, torch.cat([arrays["told"], arrays["asked"]]), generator)
    vectors, _ = reader.write(written[:count], None, arrays["sentence"].long())
    unread = asking[count:]
    query, _ = reader.query(unread)
    rows = torch.arange(count, device=model.device).unsqueeze(1)
    query, unread = query[rows, arrays["ends"]], unread[rows, arrays["ends"]]  # (P, 2, D)
    owner, place = arrays["value"].nonzero(as_tuple=True)
    scores = reader.scores(query @ vectors[owner, place].T, None)  # (P, 2, M)
    null = reader.null_scores(unread)  # (P, 2, 1)
    own = owner == rows  # (P, M)
    positive = torch.stack([own, own & arrays["first"][owner, place]], dim=1)
    everything = torch.ones_like(own)
    chosen = torch.rand(count, count, generator=generator).to(model.device).argsort(dim=1) < FEW
    few = (chosen | (arrays["group"] == arrays["group"].unsqueeze(1)))[:, owner]
    losses = []
    for there in (few, everything):
        losses.append(_share_lost(scores, null, there, positive))
        losses.append(_share_lost(scores, null, there & ~own, None))
    return torch.stack(losses).mean()


def _lower_states(model: VardaGPTAssociative, ids: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """States (rows, L, n_embd) of ``ids`` (rows, L) that are stored from, and those that the memory is asked from."""
    config, body = model.config, model.transformer
    offset = torch.randint(0, config.n_positions - ids.shape[1] + 1, (len(ids), 1), generator=generator)
    positions = (offset + torch.arange(ids.shape[1])).to(ids.device)
    hidden = body.drop(body.wte(ids) + body.wpe(positions))
    mask = create_causal_mask(config=config, inputs_embeds=hidden, attention_mask=None, past_key_values=None)
    states = [hidden]
    for block in body.h[: max(config.store_layer, config.memory_layer)]:
        states.append(block(states[-1], attention_mask=mask))
    return states[config.store_layer], states[config.memory_layer]


def _share_lost(scores: Tensor, null: Tensor, there: Tensor, positive: Tensor | None) -> Tensor:
    """-log of the share of ``positive`` (P, 2, M), or of the null result for None, of what is ``there`` (P, M)."""
    seen = scores.masked_fill(~there.unsqueeze(1), MASKED_SCORE)
    whole = torch.cat([seen, null], dim=-1).logsumexp(dim=-1)
    mass = null.squeeze(-1) if positive is None else seen.masked_fill(~positive, MASKED_SCORE).logsumexp(dim=-1)
    return (whole - mass).mean()
