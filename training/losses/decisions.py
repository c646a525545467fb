"""The losses of the store and delete decisions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from training.data.episodes import STATEMENTS
from training.episodes.batch import Batch
from training.episodes.memory import EpisodeMemory
from training.losses import Part
from varda_chat.models.gpt2 import VardaGPTAssociative, VardaGPTOutput

DELETE_NEGATIVES = 256
"""Negatives, at most, that deletes are trained to spare."""
DELETE_NEGATIVES_WEIGHT = 0.25
"""What sparing them weighs: with 1, a third of what is outdated stayed."""


def store_loss(output: VardaGPTOutput, batch: Batch) -> Part:
    """Binary cross-entropy of the store decision with hindsight labels."""
    assert output.store_decision is not None
    label = batch.store_label.flatten(0, 1).float()
    weight = batch.store_weight.flatten(0, 1) * (label >= 0)
    loss = F.binary_cross_entropy_with_logits(output.store_decision.squeeze(-1), label.clamp_min(0), reduction="none")
    return (loss * weight).sum(), weight.sum()


def delete_loss(bare: VardaGPTAssociative, output: VardaGPTOutput, batch: Batch, turns: int) -> tuple[Part, Tensor]:
    """Binary cross-entropy of "this turn deletes that statement", over all pairs where the statement is older; the
    probability of a pair is 1 - prod over the turn's tokens (1 - max over the statement's vectors). No turn deletes a
    negative. ``turns``: of the step's longest episode. Also returns the probabilities (E, turns, STATEMENTS)."""
    memory: EpisodeMemory = output.memory
    assert memory.vectors is not None and output.deletable_vector is not None and output.last_hidden_state is not None
    episodes, length = memory.tokens.shape
    # only labelled vectors can be deleted: a few of the episode's N
    statement = batch.statement.flatten(1)
    count = int((statement >= 0).sum(dim=1).max())
    statement, place = statement.topk(count, dim=1)  # (E, count), NONE where there are fewer
    vectors = memory.vectors.detach().gather(1, place.unsqueeze(-1).expand(-1, -1, memory.vectors.shape[-1]))
    cosine = torch.einsum("end,emd->enm", output.deletable_vector.reshape(episodes, length, -1), vectors)
    hidden = output.last_hidden_state.reshape(episodes, length, -1)
    logits = bare.memory_heads.delete_logits(hidden, vectors.unsqueeze(1))
    probability = bare.delete_probability(logits, cosine)  # (E, N tokens, count)
    owner = statement.masked_fill(statement < 0, STATEMENTS).long().unsqueeze(1).expand_as(probability)
    empty = probability.new_zeros(episodes, length, STATEMENTS + 1)
    matches = empty.scatter_reduce(2, owner, probability, "amax")[..., :STATEMENTS]
    log_kept = torch.log1p(-matches.clamp_max(1 - 1e-5))  # (E, N, STATEMENTS)
    turn = batch.turn.flatten(1)
    member = F.one_hot(turn.clamp_min(0).long(), turns) * (turn >= 0).unsqueeze(-1)
    log_kept_turn = torch.einsum("ent,ens->ets", member.float(), log_kept).clamp_max(-1e-6)
    numbers = torch.arange(turns, device=turn.device)[None, :, None]
    created, deleted = batch.created_turn.unsqueeze(1), batch.deleted_turn.unsqueeze(1)
    pair = (created >= 0) & (created < numbers) & (deleted >= numbers)
    obsolete = deleted == numbers
    kept, deleted = log_kept_turn, torch.log(-torch.expm1(log_kept_turn))
    loss = torch.where(obsolete, -5.0 * deleted, -kept) * pair
    weight = torch.where(obsolete, 5.0, 1.0) * pair
    total = loss.sum()
    if memory.negatives is not None:
        negatives = memory.negatives[:DELETE_NEGATIVES]
        cosine = torch.einsum("end,md->enm", output.deletable_vector.reshape(episodes, length, -1), negatives)
        logits = bare.memory_heads.delete_logits(hidden, negatives.expand(episodes, 1, -1, -1))
        lost = -torch.log1p(-bare.delete_probability(logits, cosine).clamp_max(1 - 1e-5))
        hidden_ones = memory.negative_gates()[:, None, : len(negatives)] < 0
        spared = lost.masked_fill(hidden_ones, 0.0) * (turn >= 0).unsqueeze(-1)
        total = total + DELETE_NEGATIVES_WEIGHT * spared.sum() / len(negatives)
    return (total, weight.sum()), -torch.expm1(log_kept_turn)
