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
from training.memory import EpisodeMemory
from varda_chat.model.modeling import MASKED_SCORE, VardaGPTAssociative

FEW = 6
"""Statements of a small memory, beside those of the pair's own group."""


OBSOLETE_WEIGHT = 5.0
"""What a deletion that should happen weighs, beside 1 for one that should not."""


def matching_losses(model: VardaGPTAssociative, pairs: PairArrays, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Losses of reading and of deleting, scalars.

    Of reading ``pairs``' questions, cross-entropy: where the answer is in memory, the share that its vectors get; where
    it is not, the share of the null result; among few statements (relatives and a few others), and among all. At the
    question's end any vector of the value will do, before the value only that of its first token. Of deleting, binary
    cross-entropy: a turn that withdraws or corrects what was told deletes it, and nothing else.
    """
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
    memory = EpisodeMemory(
        tokens=arrays["turn"],
        visible=torch.zeros(*arrays["turn"].shape, arrays["turn"].shape[1], dtype=torch.bool, device=model.device),
        sessions=1,
        distractors=vectors[owner, place].detach(),
        distractor_tokens=arrays["told"][owner, place],
    )
    near = arrays["turn_group"].unsqueeze(1) == arrays["group"]  # (N, P)
    deleted = near & (near.cumsum(dim=1) == 1) & arrays["deletes"].unsqueeze(1)
    return torch.stack(losses).mean(), _delete_loss(model, memory, owner, arrays["over"], near, deleted)


def _delete_loss(
    model: VardaGPTAssociative, memory: EpisodeMemory, owner: Tensor, over: Tensor, near: Tensor, deleted: Tensor
) -> Tensor:
    """Of turns (N, L), with tokens where ``over``, which are ``near`` (N, P) to some statements, and of these end those
    ``deleted`` (N, P); the memory holds the vectors (M, D) of the statements ``owner`` (M,)."""
    output = model(memory.tokens, memory=memory, mix_copies=False, use_cache=False, logits_to_keep=1)
    assert memory.distractors is not None
    cosine = output.deletable_vector @ memory.distractors.T  # (N, L, M)
    logits = model.memory_heads.delete_logits(output.last_hidden_state, memory.distractors.expand(1, 1, -1, -1))
    probability = model.delete_probability(logits, cosine)
    of_statement = probability.new_zeros(*over.shape, near.shape[1]).scatter_reduce(
        2, owner.expand_as(probability), probability, "amax"
    )
    kept = (torch.log1p(-of_statement.clamp_max(1 - 1e-5)) * over.unsqueeze(-1)).sum(dim=1).clamp_max(-1e-6)  # (N, P)
    # the group's relatives weigh 1 each, all others together as much as those
    spared = torch.where(near, 1.0, (near.sum(dim=1, keepdim=True) - 1) / (~near).sum(dim=1, keepdim=True).clamp_min(1))
    weight = torch.where(deleted, OBSOLETE_WEIGHT, spared)
    lost = torch.where(deleted, -torch.log(-torch.expm1(kept)), -kept)
    return (lost * weight).sum() / weight.sum()


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
