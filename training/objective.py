"""The loss: language model on the mixed distribution, retrieval, read-out, store and delete decisions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from training.batch import Batch, Distractors
from training.config import ObjectiveWeights
from training.data.episodes import STATEMENTS
from training.data.messages import NONE, NULL
from training.memory import EpisodeMemory
from training.shares import ALONE, Shares
from varda_chat.models.gpt2 import MASKED_SCORE, VardaGPTAssociative, VardaGPTOutput, mix_copy_distribution

DELETE_STRANGERS = 256
"""Distractors, at most, that deletes are trained to spare."""
DELETE_STRANGERS_WEIGHT = 0.25
"""What sparing them weighs: with 1, a third of what is outdated stayed."""
READ_OUT_TOKENS = 64
"""Tokens of a step that are read out where none is labelled."""
NOTHING_SAID = -1e4
"""Store logit of padding."""

Part = tuple[Tensor, Tensor]
"""A loss term's sum over this process' rows, and the weight that the sums of all processes are divided by."""


@dataclass
class Losses:
    """The terms, each a scalar, and the parts that metrics are made of. Where processes share a step, a term is this
    process' share of it: those of all add up to the step's."""

    total: Tensor
    language_model: Tensor
    retrieval: Tensor
    read_out: Tensor
    store: Tensor
    delete: Tensor
    output: VardaGPTOutput
    delete_probability: Tensor | None  # (E, turns, STATEMENTS)
    hits: Part  # of the tokens that a result is sought for, those whose best candidate is right


def episode_losses(
    model: VardaGPTAssociative,
    batch: Batch,
    weights: ObjectiveWeights,
    *,
    distractors: Distractors | None = None,
    hard_gates: bool = False,
    use_memory: bool = True,
    shares: Shares = ALONE,
) -> Losses:
    """Run ``model`` over whole episodes, through the memory, and score it.

    Args:
        distractors: what every token sees beside its episode's own vectors.
        hard_gates: store by threshold, as in chat.
        use_memory: False leaves the memory out: a plain GPT-2 and its loss.
        shares: with which other processes ``batch`` is shared, each having its own rows of it.
    """
    _, sessions, length = batch.ids.shape
    memory = EpisodeMemory(
        tokens=batch.ids.flatten(1),
        visible=batch.visible(),
        sessions=sessions,
        distractors=distractors.vectors if distractors else None,
        distractor_tokens=distractors.tokens if distractors else None,
        hidden_distractors=distractors.hidden_from(batch) if distractors else None,
        statements=batch.statement_numbers(),
        hard_gates=hard_gates,
        store_threshold=model.config.store_threshold,
    )
    positions = batch.position_offset + torch.arange(length, device=batch.ids.device)
    output: VardaGPTOutput = model(
        batch.ids.flatten(0, 1),
        position_ids=positions,
        memory=memory if use_memory else None,
        statements=batch.sentence.flatten(0, 1).long(),
        mix_copies=False,
        use_cache=False,
    )
    target = torch.cat([batch.ids[..., 1:], batch.ids[..., :1]], dim=-1)
    assert output.logits is not None
    parts: dict[str, Part] = {
        "language_model": _language_model(output, target.flatten(0, 1), batch.target_weight.flatten(0, 1))
    }
    nothing: Part = (output.logits.new_zeros(()), output.logits.new_zeros(()))
    hits, probability = nothing, None
    if use_memory:
        supervised = bool((batch.target_statement != NONE).any())
        parts["retrieval"], hits = _retrieval(model, output, batch, target) if supervised else (nothing, nothing)
        # in the whole step: what one process alone would look at, all do
        looks = torch.stack([batch.statement.max(), batch.told.max(), batch.turn.max()]).view(1, 3)
        last_statement, last_told, last_turn = shares.gather(looks).amax(dim=0).tolist()
        parts["read_out"] = _read_out(model, output, batch, last_statement >= 0, shares)
        parts["store"] = _store(output, batch)
        if last_told >= 0:
            parts["delete"], probability = _delete(model, output, batch, last_turn + 1)
        else:
            parts["delete"] = nothing
    weight = shares.sum(torch.stack([weight.float() for _, weight in parts.values()])).clamp_min(1.0)
    terms = {name: part / w for (name, (part, _)), w in zip(parts.items(), weight, strict=True)}
    total = terms["language_model"] + sum(
        getattr(weights, name) * term for name, term in terms.items() if name != "language_model"
    )
    zero = total.new_zeros(())
    absent = {name: zero for name in ("retrieval", "read_out", "store", "delete") if name not in terms}
    return Losses(total=total, output=output, delete_probability=probability, hits=hits, **terms, **absent)


def _language_model(output: VardaGPTOutput, target: Tensor, weight: Tensor) -> Part:
    """Weighted sum of -log p(target) under the mixture of language model and copies, without building the mixture."""
    assert output.logits is not None
    log_p = -F.cross_entropy(output.logits.float().flatten(0, 1), target.flatten(), reduction="none").view(target.shape)
    if output.copy_decision is not None and output.read_weights is not None and output.search_results is not None:
        share = torch.sigmoid(output.copy_decision) * output.read_weights  # (rows, T, k)
        assert output.search_results.token_ids is not None
        copied = (share * (output.search_results.token_ids == target.unsqueeze(-1))).sum(-1)
        kept = torch.log1p(-share.sum(-1).clamp_max(1 - 1e-6))
        log_p = torch.logaddexp(log_p + kept, copied.clamp_min(1e-12).log())
    return -(log_p * weight).sum(), weight.sum()


def retrieval_scores(
    bare: VardaGPTAssociative, output: VardaGPTOutput, batch: Batch, target: Tensor
) -> tuple[Tensor, Tensor]:
    """At the P supervised tokens: scores (P, N + M + 1) of all candidates, the null result last, and which of them are
    positives, same shape."""
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
    if memory.distractors is not None:
        strange = query[supervised] @ memory.distractors.T
        parts.append(reader.scores(strange, memory.distractor_gates()[episode]))
        marks.append(torch.zeros_like(strange, dtype=torch.bool))
    parts.append(reader.null_scores(output.unread_state.reshape(*supervised.shape, -1)[supervised]))
    marks.append((wanted == NULL).unsqueeze(1))
    return torch.cat(parts, dim=1), torch.cat(marks, dim=1)


def _retrieval(bare: VardaGPTAssociative, output: VardaGPTOutput, batch: Batch, target: Tensor) -> tuple[Part, Part]:
    """-log of the softmax mass on the vectors stored at earlier occurrences of the wanted token (the objective of
    TRIME, Zhong et al. 2022, on labelled statements). And how often one of them is the best."""
    scores, positive = retrieval_scores(bare, output, batch, target)
    weight = positive.any(dim=1).float()
    mass = scores.masked_fill(~positive, MASKED_SCORE).logsumexp(dim=1) - scores.logsumexp(dim=1)
    sought = positive[:, :-1].any(dim=1)  # the last is the null result
    right = positive.gather(1, scores.argmax(dim=1, keepdim=True)).squeeze(1) & sought
    return (-(mass * weight).sum(), weight.sum()), (right.sum(), sought.sum())


def _read_out(bare: VardaGPTAssociative, output: VardaGPTOutput, batch: Batch, labelled: bool, shares: Shares) -> Part:
    """Sent through the memory block of ``fc`` and the output embedding, a vector must name its own token: where any are
    ``labelled``, those; else the tokens of the step that the gate likes best."""
    memory: EpisodeMemory = output.memory
    assert memory.vectors is not None and output.store_decision is not None
    chosen = batch.statement.flatten(1) >= 0
    if not labelled:
        gate = output.store_decision.detach().reshape(chosen.shape).masked_fill(batch.turn.flatten(1) < 0, NOTHING_SAID)
        best = shares.gather(gate.flatten().topk(min(READ_OUT_TOKENS, gate.numel())).values)
        least = best.topk(min(READ_OUT_TOKENS, len(best))).values[-1]
        chosen = (gate >= least) & (gate > NOTHING_SAID)
    said = bare.transformer.ln_f(bare.memory_reader.read_out(memory.vectors[chosen]))
    lost = F.cross_entropy(bare.lm_head(said).float(), memory.tokens[chosen], reduction="sum")
    return lost, chosen.sum()


def _store(output: VardaGPTOutput, batch: Batch) -> Part:
    """Binary cross-entropy of the store decision with hindsight labels."""
    assert output.store_decision is not None
    label = batch.store_label.flatten(0, 1).float()
    weight = batch.store_weight.flatten(0, 1) * (label >= 0)
    loss = F.binary_cross_entropy_with_logits(output.store_decision.squeeze(-1), label.clamp_min(0), reduction="none")
    return (loss * weight).sum(), weight.sum()


def _delete(bare: VardaGPTAssociative, output: VardaGPTOutput, batch: Batch, turns: int) -> tuple[Part, Tensor]:
    """Binary cross-entropy of "this turn deletes that statement", over all pairs where the statement is older; the
    probability of a pair is 1 - prod over the turn's tokens (1 - max over the statement's vectors). No turn deletes a
    distractor. ``turns``: of the step's longest episode. Also returns the probabilities (E, turns, STATEMENTS)."""
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
    told, dead = batch.told.unsqueeze(1), batch.dead.unsqueeze(1)
    pair = (told >= 0) & (told < numbers) & (dead >= numbers)
    obsolete = dead == numbers
    kept, deleted = log_kept_turn, torch.log(-torch.expm1(log_kept_turn))
    loss = torch.where(obsolete, -5.0 * deleted, -kept) * pair
    weight = torch.where(obsolete, 5.0, 1.0) * pair
    total = loss.sum()
    if memory.distractors is not None:
        strangers = memory.distractors[:DELETE_STRANGERS]
        cosine = torch.einsum("end,md->enm", output.deletable_vector.reshape(episodes, length, -1), strangers)
        logits = bare.memory_heads.delete_logits(hidden, strangers.expand(episodes, 1, -1, -1))
        lost = -torch.log1p(-bare.delete_probability(logits, cosine).clamp_max(1 - 1e-5))
        hidden_ones = memory.distractor_gates()[:, None, : len(strangers)] < 0
        spared = lost.masked_fill(hidden_ones, 0.0) * (turn >= 0).unsqueeze(-1)
        total = total + DELETE_STRANGERS_WEIGHT * spared.sum() / len(strangers)
    return (total, weight.sum()), -torch.expm1(log_kept_turn)


def mixed_logits(output: VardaGPTOutput, chosen: Tensor) -> Tensor:
    """Logits (P, V) of the mixture of language model and copies at the P ``chosen`` tokens, (rows, T) bool."""
    assert output.logits is not None
    results, copies, weights = output.search_results, output.copy_decision, output.read_weights
    if results is None or copies is None or weights is None:
        return output.logits[chosen]
    assert results.token_ids is not None
    return mix_copy_distribution(output.logits[chosen], copies[chosen], weights[chosen], results.token_ids[chosen])


@torch.no_grad()
def value_hits(output: VardaGPTOutput, batch: Batch) -> tuple[int, int]:
    """(right, all) spoken values, teacher-forced: every token of the value is the mixture's first choice."""
    spoken = ((batch.target_statement >= 0) & ~batch.probe).flatten(0, 1)
    mixed = mixed_logits(output, spoken)
    target = torch.cat([batch.ids[..., 1:], batch.ids[..., :1]], dim=-1).flatten(0, 1)
    right_token = torch.ones_like(spoken)
    right_token[spoken] = mixed.argmax(-1) == target[spoken]
    # a run of supervised tokens is one value
    starts = spoken & ~torch.nn.functional.pad(spoken, (1, 0))[:, :-1]
    run = starts.flatten().cumsum(0).view(spoken.shape)
    wrong = run[spoken & ~right_token].unique().numel()
    total = int(starts.sum())
    return total - wrong, total
