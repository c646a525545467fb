"""Chooses the thresholds of an adapter's decisions on held-out sessions and on lines that concern nothing in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from training.adapter import losses as L
from training.adapter.batch import SessionBatch, VectorRing
from training.adapter.sessions import SessionBuilder
from training.data.episodes import NULL
from varda_chat.models.addressing import Address
from varda_chat.models.configuration import INTENTS
from varda_chat.models.llama import VardaLlamaAssociative

WRONG_DELETE = 6.0
"""What deleting an unconcerned statement costs, beside 1 for leaving an obsolete one."""
DENIAL = 1.5
"""What denying a known fact costs, beside 1 for claiming to know one."""
GRID = tuple(round(0.02 * step, 2) for step in range(1, 50))
DELETE_GRID = (*GRID, 0.985, 0.99, 0.995, 0.998)


@dataclass
class Evidence:
    """Of T turns of held-out people: intents (T, 5) probabilities, wanted intent (T,), -1 for unlabelled; match (T,)
    the largest probability that a statement answers; target (T,); right (T,) bool: the best match is the target;
    obsolete (T,) delete probability of the statement that the turn ends, nan for none; wrongly (T,) the largest of any
    other statement; store_chance and store_label of the tokens of users' lines."""

    intents: Tensor
    intent: Tensor
    match: Tensor
    target: Tensor
    right: Tensor
    obsolete: Tensor
    wrongly: Tensor
    store_chance: Tensor
    store_label: Tensor


@torch.no_grad()
def gather(model: VardaLlamaAssociative, builder: SessionBuilder, people: int, sessions: int, length: int) -> Evidence:
    """Read ``people`` held-out people as in chat, each with the vectors of others in memory."""
    layer = model.memory_layer
    ring = VectorRing(4096, model.config.memory.memory_dim)
    parts: list[Evidence] = []
    for start in range(0, people, 4):
        batch = SessionBatch.of(builder.draw_people("calibrate", range(start, start + 4), sessions, length))
        memory = batch.memory(0.5, ring.sample(256 if start % 8 else 0, torch.Generator().manual_seed(start)))
        done = model.lower_pass(batch.rows, statements=batch.statements())
        assert done.vectors is not None and done.store_logits is not None and done.query is not None
        assert done.address is not None and done.no_match is not None
        bound = memory.over(done.vectors, done.store_logits)
        people_here, total = memory.tokens.shape
        lower = L.Lower(
            done.query.reshape(people_here, total, -1), done.no_match, done.address, done.store_logits, bound
        )
        address = L.address_at(lower.address, batch)
        match, right, obsolete, wrongly = _pairs(model, lower, address, batch)
        mine = batch.store_label.flatten(0, 1) >= 0
        intents, chance = layer.intent_logits(address).softmax(-1), torch.sigmoid(done.store_logits.squeeze(-1))[mine]
        label = batch.store_label.flatten(0, 1)[mine]
        parts.append(Evidence(intents, batch.intent, match, batch.target, right, obsolete, wrongly, chance, label))
        stored = bound.log_gates > -1.0 if bound.log_gates is not None else None
        if stored is not None and bound.vectors is not None:
            topic = batch.topic_of_token()
            known = stored & (topic >= 0)
            ring.add(bound.vectors[known], bound.tokens[known], topic[known])
    return Evidence(*(torch.cat([getattr(p, name) for p in parts]) for name in Evidence.__dataclass_fields__))


def _pairs(
    model: VardaLlamaAssociative, lower: L.Lower, address: Address, batch: SessionBatch
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """match, right, obsolete and wrongly, as of Evidence."""
    layer, memory = model.memory_layer, lower.memory
    assert memory.vectors is not None
    own = batch.statement_vectors(memory.vectors)
    alive, ends = batch.lifetimes()
    chance = torch.sigmoid(layer.delete_logits(address, own, alive))
    obsolete = torch.where(ends.any(1), torch.where(ends, chance, -1).amax(1), torch.nan)
    wrongly = torch.where(alive & ~ends, chance, 0).amax(1)
    if memory.negatives is not None:
        some = memory.negatives[:256]
        strange = torch.sigmoid(layer.delete_logits(address, some.expand(len(own), -1, -1)))
        strange = strange * (memory.negative_gates()[batch.person, : len(some)] >= 0)
        wrongly = torch.maximum(wrongly, strange.amax(1))
    answers = torch.where(alive, torch.sigmoid(layer.answer_logits(address, own, alive)), -1)
    match, best = answers.max(1)
    return match.clamp_min(0), (best == batch.target) & (match >= 0), obsolete, wrongly


def calibrate(
    model: VardaLlamaAssociative, builder: SessionBuilder, *, people: int, say: Callable[[str], None]
) -> None:
    """Set the thresholds in ``model.config.memory``, and report what they give."""
    found = gather(model, builder, people, 2, 448)
    memory = model.config.memory
    chance = dict(zip(INTENTS, found.intents.T, strict=True))
    change = chance["correct"] + chance["forget"]
    obsolete, known = found.obsolete, ~found.obsolete.isnan()
    meant = known & (obsolete >= found.wrongly)  # only the statement that is meant most goes

    def delete_cost(delete: float, wanted: float) -> float:
        opened = change > wanted
        lost = (known & ~(meant & (obsolete > delete) & opened)).sum()
        wrong = (~meant & (found.wrongly > delete) & opened).sum()
        return float(lost + WRONG_DELETE * wrong)

    memory.delete_threshold, memory.change_threshold = min(
        ((d, c) for d in DELETE_GRID for c in GRID), key=lambda pair: (delete_cost(*pair), -pair[0] - pair[1])
    )
    opened = change > memory.change_threshold
    deleted = (meant & (obsolete > memory.delete_threshold) & opened).sum()
    wrong = (~meant & (found.wrongly > memory.delete_threshold) & opened).sum()
    asks = found.intent == INTENTS.index("ask")
    told, untold = asks & (found.target >= 0), asks & (found.target == NULL)

    def recall_cost(threshold: float) -> float:
        return float(DENIAL * (found.match[told] <= threshold).sum() + (found.match[untold] > threshold).sum())

    memory.recall_threshold = min(GRID, key=recall_cost)
    labelled = found.intent >= 0

    def ask_cost(threshold: float) -> float:
        said = chance["ask"] > threshold
        return float((labelled & asks & ~said).sum() + (labelled & ~asks & said).sum())

    memory.ask_threshold = min(GRID, key=ask_cost)

    value = found.store_label == 1

    def store_cost(threshold: float) -> float:
        kept = found.store_chance > threshold
        return float(4 * (value & ~kept).sum() + (~value & kept).sum())

    memory.store_threshold = min(GRID, key=store_cost)
    kept = found.store_chance > memory.store_threshold
    say(
        f"delete {memory.delete_threshold} change {memory.change_threshold}: {int(deleted)} of {int(known.sum())} "
        f"deleted, {int(wrong)} wrong in {len(known)} turns\n"
        f"recall {memory.recall_threshold}: {_share(found.match[told] > memory.recall_threshold)} of known answered, "
        f"{_share(found.right[told])} with the right one first; "
        f"{_share(found.match[untold] <= memory.recall_threshold)} of unknown admitted\n"
        f"ask {memory.ask_threshold}: {_share(chance['ask'][asks] > memory.ask_threshold)} of questions, "
        f"{_share(chance['ask'][labelled & ~asks] > memory.ask_threshold)} of others\n"
        f"store {memory.store_threshold}: {_share(kept[value])} of value tokens, {_share(kept[~value])} of others"
    )


def _share(chosen: Tensor) -> str:
    return f"{100 * float(chosen.float().mean()):.1f}%" if len(chosen) else "-"
