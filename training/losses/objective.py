"""The loss of whole episodes: language model, retrieval, read-out, store and delete decisions, weighted."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from training.config import ObjectiveWeights
from training.data.episodes import NONE
from training.episodes.batch import Batch, Negatives
from training.episodes.memory import EpisodeMemory
from training.losses import Part
from training.losses.decisions import delete_loss, store_loss
from training.losses.language_model import language_model_loss
from training.losses.retrieval import read_out_loss, retrieval_loss
from training.process_group import ALONE, ProcessGroup
from varda_chat.models.gpt2 import VardaGPTAssociative, VardaGPTOutput


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
    negatives: Negatives | None = None,
    hard_gates: bool = False,
    use_memory: bool = True,
    group: ProcessGroup = ALONE,
) -> Losses:
    """Run ``model`` over whole episodes, through the memory, and score it.

    Args:
        negatives: what every token sees beside its episode's own vectors.
        hard_gates: store by threshold, as in chat.
        use_memory: False leaves the memory out: a plain GPT-2 and its loss.
        group: with which other processes ``batch`` is shared, each having its own rows of it.
    """
    _, sessions, length = batch.ids.shape
    memory = EpisodeMemory(
        tokens=batch.ids.flatten(1),
        visible=batch.visible(),
        sessions=sessions,
        negatives=negatives.vectors if negatives else None,
        negative_tokens=negatives.tokens if negatives else None,
        hidden_negatives=negatives.hidden_from(batch) if negatives else None,
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
        "language_model": language_model_loss(output, target.flatten(0, 1), batch.target_weight.flatten(0, 1))
    }
    nothing: Part = (output.logits.new_zeros(()), output.logits.new_zeros(()))
    hits, probability = nothing, None
    if use_memory:
        supervised = bool((batch.target_statement != NONE).any())
        parts["retrieval"], hits = retrieval_loss(model, output, batch, target) if supervised else (nothing, nothing)
        # in the whole step: what one process alone would look at, all do
        looks = torch.stack([batch.statement.max(), batch.created_turn.max(), batch.turn.max()]).view(1, 3)
        last_statement, last_created, last_turn = group.gather(looks).amax(dim=0).tolist()
        parts["read_out"] = read_out_loss(model, output, batch, last_statement >= 0, group)
        parts["store"] = store_loss(output, batch)
        if last_created >= 0:
            parts["delete"], probability = delete_loss(model, output, batch, last_turn + 1)
        else:
            parts["delete"] = nothing
    weight = group.sum(torch.stack([weight.float() for _, weight in parts.values()])).clamp_min(1.0)
    terms = {name: part / w for (name, (part, _)), w in zip(parts.items(), weight, strict=True)}
    total = terms["language_model"] + sum(
        getattr(weights, name) * term for name, term in terms.items() if name != "language_model"
    )
    zero = total.new_zeros(())
    absent = {name: zero for name in ("retrieval", "read_out", "store", "delete") if name not in terms}
    return Losses(total=total, output=output, delete_probability=probability, hits=hits, **terms, **absent)
