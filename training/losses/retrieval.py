"""The losses of retrieval: a query finds the statement it is about, and a vector can be read out as its token."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from training.data.episodes import NONE, NULL
from training.episodes.batch import Batch
from training.episodes.memory import EpisodeMemory
from training.losses import Part
from training.process_group import ProcessGroup
from varda_chat.models.gpt2 import VardaGPTAssociative, VardaGPTOutput
from varda_chat.models.results import MASKED_SCORE

READ_OUT_TOKENS = 64
"""Tokens of a step that are read out where none is labelled."""
NOTHING_SAID = -1e4
"""Store logit of padding."""


def retrieval_scores(
    bare: VardaGPTAssociative, output: VardaGPTOutput, batch: Batch, target: Tensor
) -> tuple[Tensor, Tensor]:
    """At the P supervised tokens: scores (P, N + M + 1) of all candidates, the no-match slot last, and which of them
    are positives, same shape."""
    memory: EpisodeMemory = output.memory
    assert memory.soft_gates is not None and memory.vectors is not None
    assert output.query is not None and output.unread_state is not None
    reader = bare.memory_reader
    wanted = batch.target_statement
    spoken = (wanted >= 0) & ~batch.probe
    after = torch.nn.functional.pad(spoken, (1, 0))[..., :-1]
    if reader.config.follow_copies:
        # a value's later tokens are followed from the first
        wanted = wanted.masked_fill(after & spoken, NONE)
    # few vectors are in a chat's memory and one of another value is soon the nearest: after the last token of a value
    # there is nothing more to find
    wanted = wanted.masked_fill(after & ~spoken & (wanted == NONE), NULL).flatten(1)
    supervised = wanted != NONE
    wanted = wanted[supervised]
    query = output.query.reshape(*memory.tokens.shape, -1)
    # by log-probability even when reading is hard: a positive that is not stored yet must be able to become so
    similarity = torch.bmm(query, memory.vectors.mT)[supervised]  # (P, N)
    visible = memory.visible[supervised]
    episode = supervised.nonzero()[:, 0]
    gates = memory.soft_gates.unsqueeze(1).expand_as(memory.visible)[supervised].masked_fill(~visible, MASKED_SCORE)
    scores = reader.scores(similarity, gates)
    same_token = memory.tokens[episode] == target.flatten(1)[supervised].unsqueeze(1)
    any_token = batch.probe.flatten(1)[supervised].unsqueeze(1)
    of_statement = batch.statement.flatten(1)[episode] == wanted.unsqueeze(1)
    positive = visible & of_statement & (same_token | any_token)
    parts, marks = [scores], [positive]
    if memory.negatives is not None:
        strange = query[supervised] @ memory.negatives.T
        parts.append(reader.scores(strange, memory.negative_gates()[episode]))
        marks.append(torch.zeros_like(strange, dtype=torch.bool))
    parts.append(reader.no_match_scores(output.unread_state.reshape(*supervised.shape, -1)[supervised]))
    marks.append((wanted == NULL).unsqueeze(1))
    return torch.cat(parts, dim=1), torch.cat(marks, dim=1)


def retrieval_loss(
    bare: VardaGPTAssociative, output: VardaGPTOutput, batch: Batch, target: Tensor
) -> tuple[Part, Part]:
    """-log of the softmax mass on the vectors stored at earlier occurrences of the wanted token (the objective of
    TRIME, Zhong et al. 2022, on labelled statements). And how often one of them is the best."""
    scores, positive = retrieval_scores(bare, output, batch, target)
    weight = positive.any(dim=1).float()
    mass = scores.masked_fill(~positive, MASKED_SCORE).logsumexp(dim=1) - scores.logsumexp(dim=1)
    sought = positive[:, :-1].any(dim=1)  # the last is the no-match slot
    right = positive.gather(1, scores.argmax(dim=1, keepdim=True)).squeeze(1) & sought
    return (-(mass * weight).sum(), weight.sum()), (right.sum(), sought.sum())


def read_out_loss(
    bare: VardaGPTAssociative, output: VardaGPTOutput, batch: Batch, labelled: bool, group: ProcessGroup
) -> Part:
    """Sent through the memory block of ``fc`` and the output embedding, a vector must name its own token: where any are
    ``labelled``, those; else the tokens of the step that the gate likes best."""
    memory: EpisodeMemory = output.memory
    assert memory.vectors is not None and output.store_decision is not None
    chosen = batch.statement.flatten(1) >= 0
    if not labelled:
        gate = output.store_decision.detach().reshape(chosen.shape).masked_fill(batch.turn.flatten(1) < 0, NOTHING_SAID)
        best = group.gather(gate.flatten().topk(min(READ_OUT_TOKENS, gate.numel())).values)
        least = best.topk(min(READ_OUT_TOKENS, len(best))).values[-1]
        chosen = (gate >= least) & (gate > NOTHING_SAID)
    said = bare.transformer.ln_f(bare.memory_reader.read_out(memory.vectors[chosen]))
    lost = F.cross_entropy(bare.lm_head(said).float(), memory.tokens[chosen], reduction="sum")
    return lost, chosen.sum()
