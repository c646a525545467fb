"""The losses of an adapter: address, store, intent, delete, distillation, and speech."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from training.adapter.batch import SessionBatch, SessionMemory
from training.adapter.labels import STATUS
from training.data.episodes import NONE, NULL
from varda_chat.models.addressing import Address
from varda_chat.models.configuration import INTENTS
from varda_chat.models.memory_layer import MemoryLayer
from varda_chat.models.results import MASKED_SCORE

DELETE_POSITIVE = 4.0
CHANGES = [INTENTS.index("correct"), INTENTS.index("forget")]


@dataclass
class Lower:
    """What the layers up to the memory gave, of all rows: query (E, N, D), no_match (E*S, T, 1), address (E*S, T, F)
    each, store_logits (E*S, T, 1), memory bound to the vectors."""

    query: Tensor
    no_match: Tensor
    address: Address
    store_logits: Tensor
    memory: SessionMemory


def at(values: Tensor, batch: SessionBatch) -> Tensor:
    """values (E*S, T, …) at the ends of the turns' user messages: (U, …)."""
    return values[batch.row, batch.end]


def address_at(address: Address, batch: SessionBatch) -> Address:
    return address.map(lambda part: at(part, batch))


def candidates(layer: MemoryLayer, lower: Lower, query: Tensor, person: Tensor, seen: Tensor) -> Tensor:
    """Scores (P, N + M) of queries (P, D) of ``person`` (P,) over what is stored and ``seen`` (P, N)."""
    memory = lower.memory
    assert memory.vectors is not None and memory.log_gates is not None
    own = torch.einsum("pd,pnd->pn", query, memory.vectors[person])
    own = layer.scores(own, memory.log_gates[person]).masked_fill(~seen, MASKED_SCORE)
    if memory.negatives is None:
        return own
    other = layer.scores(query @ memory.negatives.T, memory.negative_gates()[person])
    return torch.cat([own, other], dim=1)


def retrieval(layer: MemoryLayer, lower: Lower, batch: SessionBatch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """At the ends of questions: the share that the statement's vectors get, or the no-match slot; before a value: the
    share of the vectors of its first token. Losses, and counts (hits of those sought)."""
    memory = lower.memory
    length = batch.ids.shape[2]
    people, total = memory.tokens.shape
    statement = batch.statement.flatten(1)
    stored = memory.log_gates > MASKED_SCORE / 2 if memory.log_gates is not None else statement >= 0
    # ends of questions
    wanted = batch.target != NONE
    person, target = batch.person[wanted], batch.target[wanted]
    place = (batch.row % batch.ids.shape[1] * length + batch.end)[wanted]
    query = lower.query[person, place]
    seen = memory.visible[person, place]
    scores = candidates(layer, lower, query, person, seen)
    null = lower.no_match.view(people, total)[person, place].unsqueeze(1)
    positive = F.pad((statement[person] == target.unsqueeze(1)) & seen & stored[person], (0, scores.shape[1] - total))
    none = (target == NULL).unsqueeze(1)
    everything, marks = torch.cat([scores, null], 1), torch.cat([positive, none], 1)
    lost, right = _info_nce(everything, marks)
    known = positive.any(1)
    # before a value
    spoken = batch.target_statement.flatten(1)
    first = (spoken >= 0) & ~F.pad(spoken >= 0, (1, 0))[:, :-1]
    reader, where = first.nonzero(as_tuple=True)
    value_query, value_seen = lower.query[reader, where], memory.visible[reader, where]
    value_scores = candidates(layer, lower, value_query, reader, value_seen)
    value_null = lower.no_match.view(people, total)[reader, where].unsqueeze(1)
    next_token = memory.tokens[reader, (where + 1).clamp_max(total - 1)]
    value_positive = (
        (statement[reader] == spoken[reader, where].unsqueeze(1)) & value_seen & stored[reader]
        & (memory.tokens[reader] == next_token.unsqueeze(1))
    )  # fmt: skip
    value_positive = F.pad(value_positive, (0, value_scores.shape[1] - total + 1))
    value_lost, value_right = _info_nce(torch.cat([value_scores, value_null], 1), value_positive)
    counts = {
        "found": right[known].sum(), "sought": known.sum(),
        "admitted": right[none.squeeze(1)].sum(), "unknown": none.sum(),
        "values": value_right.sum(), "spoken": value_positive.any(1).sum(),
    }  # fmt: skip
    return {"address": lost, "value": value_lost}, counts


def _info_nce(scores: Tensor, positive: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of -log of the share of ``positive`` (P, M) over rows that have any; and whether the best is one (P,)."""
    there = positive.any(1)
    mass = scores.masked_fill(~positive, MASKED_SCORE).logsumexp(1) - scores.logsumexp(1)
    right = positive.gather(1, scores.argmax(1, keepdim=True)).squeeze(1) & there
    return -(mass * there).sum() / there.sum().clamp_min(1), right


def quiet(lower: Lower, layer: MemoryLayer, batch: SessionBatch, weights: Tensor | None) -> Tensor:
    """At the tokens of replies that recall nothing, what is read weighs little; ``weights`` (E*S, T, k)."""
    if weights is None:
        return lower.query.new_zeros(())
    status = batch.status.flatten(0, 1)
    spoken = batch.target_statement.flatten(0, 1) >= 0
    # in a reply that recalls, from the end of the value to the end of the reply
    said = spoken.long().cumsum(1)
    begun = torch.where(status != STATUS["recalled"], said, 0).cummax(1).values
    after = (status == STATUS["recalled"]) & ~spoken & (said > begun)
    still = ((status >= 0) & (status != STATUS["recalled"])) | after
    nothing = (1 - weights.sum(-1)).clamp_min(1e-6)
    return -(nothing.log() * still).sum() / still.sum().clamp_min(1)


def store(lower: Lower, batch: SessionBatch) -> tuple[Tensor, dict[str, Tensor]]:
    """Binary cross-entropy of the store decision; counts of stored and all user tokens, and of the values'."""
    label = batch.store_label.flatten(0, 1).float()
    weight = batch.store_weight.flatten(0, 1) * (label >= 0)
    logits = lower.store_logits.squeeze(-1)
    loss = F.binary_cross_entropy_with_logits(logits, label.clamp_min(0), reduction="none")
    opened, mine = logits > 0, (label >= 0) & ~_real(batch)
    counts = {
        "stored": (opened & mine).sum(), "user_tokens": mine.sum(),
        "value_stored": (opened & (label == 1)).sum(), "value_tokens": (label == 1).sum(),
    }  # fmt: skip
    return (loss * weight).sum() / weight.sum().clamp_min(1), counts


def _real(batch: SessionBatch) -> Tensor:
    return (batch.store_weight > 0).logical_and(batch.store_weight < 0.1).flatten(0, 1)


def intent(layer: MemoryLayer, address: Address, batch: SessionBatch) -> tuple[Tensor, dict[str, Tensor]]:
    """Cross-entropy of what a line wants; an unlabelled real line wants no change."""
    logits = layer.intent_logits(address)
    known = batch.intent >= 0
    loss = F.cross_entropy(logits[known], batch.intent[known])
    if bool(batch.real.any()):
        changes = logits[batch.real].softmax(-1)[:, CHANGES].sum(-1)
        loss = loss - 0.3 * torch.log1p(-changes.clamp_max(1 - 1e-5)).mean()
    right = (logits[known].argmax(-1) == batch.intent[known]).sum()
    return loss, {"intent_right": right, "intents": known.sum()}


def delete(layer: MemoryLayer, lower: Lower, address: Address, batch: SessionBatch) -> tuple[Tensor, dict[str, Tensor]]:
    """Binary cross-entropy of "this line deletes that statement", for all statements in the person's memory and some of
    others'."""
    memory = lower.memory
    assert memory.vectors is not None
    own = batch.statement_vectors(memory.vectors).detach()
    alive, obsolete = batch.lifetimes()
    logits = layer.delete_logits(address, own, alive)
    positive = F.softplus(-logits) * obsolete * DELETE_POSITIVE
    negative = F.softplus(logits) * (alive & ~obsolete)
    loss = (positive + negative).sum() / (alive.sum() + (DELETE_POSITIVE - 1) * obsolete.sum()).clamp_min(1)
    if memory.negatives is not None:
        some = memory.negatives[:64]
        gates = memory.negative_gates()[batch.person, : len(some)] >= 0
        strange = layer.delete_logits(address, some.unsqueeze(0).expand(len(batch.person), -1, -1))
        loss = loss + (F.softplus(strange) * gates).sum() / gates.sum().clamp_min(1)
    opened = logits > 0
    counts = {
        "deleted": (opened & obsolete).sum(), "obsolete": obsolete.sum(),
        "wrongly": (opened & alive & ~obsolete).any(1).sum(), "turns": alive.any(1).sum(),
    }  # fmt: skip
    return loss, counts


def distillation(query: Tensor, key: Tensor, teacher: Tensor, temperature: float = 0.05) -> Tensor:
    """KL from the teacher's similarities of R lines (teacher (R, R) cosines) to the layer's: of lines as questions with
    lines as statements, and of either among themselves; query and key (R, D) unit vectors."""
    off = torch.eye(len(teacher), dtype=torch.bool)
    goal = (teacher / temperature).masked_fill(off, -1e4).softmax(-1)
    total = query.new_zeros(())
    for left, right, weight in ((query, key, 1.0), (key, key, 0.5), (query, query, 0.5)):
        own = (left @ right.T / temperature).masked_fill(off, -1e4).log_softmax(-1)
        total = total + weight * F.kl_div(own, goal, reduction="batchmean")
    return total


def speech(model: Any, output: Any, batch: SessionBatch) -> tuple[Tensor, dict[str, Tensor]]:
    """Weighted cross-entropy of the mixture of language model and copies at the tokens that the loss looks at; and how
    many values are right in whole, teacher-forced."""
    ids = batch.rows
    target = torch.cat([ids[:, 1:], ids[:, :1]], dim=1)
    weight = batch.target_weight.flatten(0, 1)
    chosen = weight > 0
    logits = model.lm_head(output.last_hidden_state[chosen])
    wanted = target[chosen]
    log_p = -F.cross_entropy(logits.float(), wanted, reduction="none")
    right = logits.argmax(-1) == wanted
    if output.read_weights is not None and output.search_results is not None:
        share = torch.sigmoid(output.copy_decision[chosen]) * output.read_weights[chosen]
        tokens = output.search_results.token_ids[chosen]
        copied = (share * (tokens == wanted.unsqueeze(-1))).sum(-1)
        kept = torch.log1p(-share.sum(-1).clamp_max(1 - 1e-6))
        log_p = torch.logaddexp(log_p + kept, copied.clamp_min(1e-12).log())
        # the likeliest of copied tokens and the language model's own first choice
        top, first = logits.float().softmax(-1).max(-1)
        by_token = (share.unsqueeze(-1) * (tokens.unsqueeze(-1) == tokens.unsqueeze(-2))).sum(-2)
        best, which = by_token.max(-1)
        said = torch.where(best > top * (1 - share.sum(-1)), tokens.gather(1, which.unsqueeze(1)).squeeze(1), first)
        right = said == wanted
    loss = -(log_p * weight[chosen]).sum() / weight.sum().clamp_min(1)
    spoken = batch.target_statement.flatten(0, 1)[chosen] >= 0
    starts = batch.target_statement.flatten(0, 1) >= 0
    starts = starts & ~F.pad(starts, (1, 0))[:, :-1]
    run = starts.flatten().cumsum(0).view(starts.shape)[chosen]
    wrong = run[spoken & ~right].unique().numel()
    count = run[spoken].unique().numel()
    return loss, {"values_right": torch.tensor(count - wrong), "values_said": torch.tensor(count)}
