"""The contrastive loss: a question finds the statement that answers it, and nothing where there is none.

Episodes hold few questions, and most of what they compute is not about matching. Here only the blocks below the memory
are run, on tellings and questions alone, so that a step sees many times more of them, among them those that are easily
taken for each other.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers.masking_utils import create_causal_mask

from training.data.synthetic.pairs import PairArrays
from training.episodes.memory import EpisodeMemory
from training.process_group import ALONE, ProcessGroup
from varda_chat.models.gpt2 import VardaGPTAssociative
from varda_chat.models.results import MASKED_SCORE

FEW = 6
"""Statements of a small memory, beside those of the pair's own group."""


OBSOLETE_WEIGHT = 5.0
"""What a deletion that should happen weighs, beside 1 for one that should not."""


def contrastive_losses(
    model: VardaGPTAssociative, pairs: PairArrays, generator: torch.Generator, group: ProcessGroup = ALONE
) -> tuple[Tensor, Tensor]:
    """Losses of reading and of deleting, scalars; of a step that processes share, this one's share of both. Every
    process has all ``pairs``, runs the model on its own, and matches its questions with the tellings of all.

    Of reading ``pairs``' questions, cross-entropy: where the answer is in memory, the share that its vectors get; where
    it is not, the share of the no-match slot; among few statements (relatives and a few others), and among all. At the
    question's end any vector of the value will do, before the value only that of its first token. Of deleting, binary
    cross-entropy: a turn that withdraws or corrects what was told deletes it, and nothing else.
    """
    arrays = {name: torch.from_numpy(getattr(pairs, name)).to(model.device) for name in pairs.__dataclass_fields__}
    count, length = arrays["told"].shape
    own_pairs = group.part(count)
    reader = model.memory_reader
    offset = _offsets(model, 2 * count, length, generator).view(2, count)[:, own_pairs]
    ids = torch.cat([arrays["told"][own_pairs], arrays["asked"][own_pairs]])
    written, asking = _lower_states(model, ids, offset.reshape(-1, 1))
    told = len(ids) // 2
    vectors, *_ = reader.write(written[:told], None, arrays["sentence"][own_pairs].long())
    vectors = group.gather(vectors)  # (P, L, D)
    unread = asking[told:]
    query, _ = reader.query(unread)
    rows = torch.arange(count, device=model.device)[own_pairs].unsqueeze(1)
    ends, at = arrays["ends"][own_pairs], torch.arange(told, device=model.device).unsqueeze(1)
    query, unread = query[at, ends], unread[at, ends]  # (own P, 2, D)
    owner, place = arrays["value"].nonzero(as_tuple=True)
    scores = reader.scores(query @ vectors[owner, place].T, None)  # (P, 2, M)
    no_match = reader.no_match_scores(unread)  # (P, 2, 1)
    own = owner == rows  # (own P, M)
    positive = torch.stack([own, own & arrays["first"][owner, place]], dim=1)
    everything = torch.ones_like(own)
    chosen = torch.rand(count, count, generator=generator).to(model.device).argsort(dim=1) < FEW
    few = (chosen | (arrays["group"] == arrays["group"].unsqueeze(1)))[own_pairs][:, owner]
    losses = []
    for there in (few, everything):
        losses.append(_info_nce(scores, no_match, there, positive))
        losses.append(_info_nce(scores, no_match, there & ~own, None))
    vectors = vectors[owner, place].detach()
    reading = torch.stack(losses).mean() / count
    ours = group.part(len(arrays["turn"]))
    if ours.start == ours.stop:
        return reading, reading.new_zeros(())
    turns = arrays["turn"][ours]
    memory = EpisodeMemory(
        tokens=turns,
        visible=torch.zeros(*turns.shape, turns.shape[1], dtype=torch.bool, device=model.device),
        sessions=1,
        negatives=vectors,
        negative_tokens=arrays["told"][owner, place],
    )
    near = arrays["turn_group"].unsqueeze(1) == arrays["group"]  # (N, P)
    deleted = near & (near.cumsum(dim=1) == 1) & arrays["deletes"].unsqueeze(1)
    return reading, _delete_loss(model, memory, owner, arrays["over"], near, deleted, ours)


def _delete_loss(
    model: VardaGPTAssociative,
    memory: EpisodeMemory,
    owner: Tensor,
    over: Tensor,
    near: Tensor,
    deleted: Tensor,
    own: slice,
) -> Tensor:
    """Of turns, with tokens where ``over`` (N, L), which are ``near`` (N, P) to some statements, and of these end those
    ``deleted`` (N, P); the memory holds the vectors (M, D) of the statements ``owner`` (M,), and the tokens (own N, L)
    of the turns ``own``."""
    output = model(memory.tokens, memory=memory, mix_copies=False, use_cache=False, logits_to_keep=1)
    assert memory.negatives is not None
    cosine = output.deletable_vector @ memory.negatives.T  # (N, L, M)
    logits = model.memory_heads.delete_logits(output.last_hidden_state, memory.negatives.expand(1, 1, -1, -1))
    probability = model.delete_probability(logits, cosine)
    of_statement = probability.new_zeros(*over[own].shape, near.shape[1]).scatter_reduce(
        2, owner.expand_as(probability), probability, "amax"
    )
    kept = (torch.log1p(-of_statement.clamp_max(1 - 1e-5)) * over[own].unsqueeze(-1)).sum(dim=1).clamp_max(-1e-6)
    # the group's relatives weigh 1 each, all others together as much as those
    spared = torch.where(near, 1.0, (near.sum(dim=1, keepdim=True) - 1) / (~near).sum(dim=1, keepdim=True).clamp_min(1))
    weight = torch.where(deleted, OBSOLETE_WEIGHT, spared)
    lost = torch.where(deleted[own], -torch.log(-torch.expm1(kept)), -kept)
    return (lost * weight[own]).sum() / weight.sum()


def _offsets(model: VardaGPTAssociative, rows: int, length: int, generator: torch.Generator) -> Tensor:
    """Where each of ``rows`` of ``length`` tokens begins among the model's positions."""
    offset = torch.randint(0, model.config.n_positions - length + 1, (rows,), generator=generator)
    return offset.to(model.device)


def _lower_states(model: VardaGPTAssociative, ids: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
    """States (rows, L, n_embd) of ``ids`` (rows, L), at positions from ``offset`` (rows, 1) on, that are stored from,
    and those that the memory is asked from."""
    config, body = model.config, model.transformer
    positions = offset + torch.arange(ids.shape[1], device=ids.device)
    hidden = body.drop(body.wte(ids) + body.wpe(positions))
    mask = create_causal_mask(config=config, inputs_embeds=hidden, attention_mask=None, past_key_values=None)
    states = [hidden]
    for block in body.h[: max(config.store_layer, config.memory_layer)]:
        states.append(block(states[-1], attention_mask=mask))
    return states[config.store_layer], states[config.memory_layer]


def _info_nce(scores: Tensor, no_match: Tensor, there: Tensor, positive: Tensor | None) -> Tensor:
    """-log of the share of ``positive`` (P, 2, M), or of the no-match slot for None, of what is ``there`` (P, M),
    summed over the P questions."""
    seen = scores.masked_fill(~there.unsqueeze(1), MASKED_SCORE)
    whole = torch.cat([seen, no_match], dim=-1).logsumexp(dim=-1)
    mass = no_match.squeeze(-1) if positive is None else seen.masked_fill(~positive, MASKED_SCORE).logsumexp(dim=-1)
    return (whole - mass).sum() / whole.shape[1]
