"""The last stage: what a line wants and which statements it makes obsolete, learned on cached ends of turns.

Everything else is frozen, so each turn is read once, and each is then weighed hundreds of times against its person's
statements and against hundreds of other people's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from training.adapter.losses import CHANGES
from training.adapter.read_sessions import AT_ONCE, ReadSessions, lower_pass
from training.data.episodes import NONE, STATEMENTS
from varda_chat.models.addressing import Address
from varda_chat.models.configuration import INTENTS

PARTS = ("fc_delete_decision", "fc_deletable_vector", "fc_answer_decision", "fc_intent")
POSITIVE = 3.0
"""What a deletion that should happen weighs, beside 1 for each that should not."""
ALIKE = 0.5
"""Cosine from which on two statements may be about the same thing."""
OTHERS = 48
"""Statements of other people that each turn is weighed against."""
UNLIKELY = -1e4


@dataclass
class TurnEnds:
    """Of T turns, float16: address parts (T, F) each. intent (T,), -1 for unlabelled real lines and -2 for other
    unlabelled ones; statements (T, STATEMENTS, D): vectors of the person's; topics (T, STATEMENTS): what they are
    about; alive, obsolete, answers (T, STATEMENTS) bool: in memory; ended by the turn; what a question asks for."""

    mean: Tensor
    end: Tensor
    previous: Tensor
    intent: Tensor
    statements: Tensor
    topics: Tensor
    alive: Tensor
    obsolete: Tensor
    answers: Tensor


@torch.no_grad()
def turn_ends(model: Any, read: ReadSessions) -> TurnEnds:
    """The ends of the turns of all people, as the memory's parts now make them."""
    parts: list[TurnEnds] = []
    for start in range(0, len(read), AT_ONCE):
        batch, states = read.batch(range(start, min(len(read), start + AT_ONCE)))
        done = lower_pass(model, batch, states)
        assert done.address is not None and done.vectors is not None
        alive, obsolete = batch.lifetimes()
        mean, end, previous = (each[batch.row, batch.end].half() for each in
                               (done.address.mean, done.address.end, done.address.previous))  # fmt: skip
        numbers = torch.arange(STATEMENTS).expand_as(alive)
        asks = batch.intent == INTENTS.index("ask")
        # asked for what it remembers at all, anything will do
        answers = (
            alive & asks.unsqueeze(1) & ((numbers == batch.target.unsqueeze(1)) | (batch.target == NONE).unsqueeze(1))
        )
        statements, topics = batch.statement_vectors(done.vectors).half(), batch.topic[batch.person].long()
        parts.append(TurnEnds(mean, end, previous, batch.intent, statements, topics, alive, obsolete, answers))
    return TurnEnds(*(torch.cat([getattr(p, name) for p in parts]) for name in TurnEnds.__dataclass_fields__))


def train_decisions(
    layer: Any, turns: TurnEnds, *, steps: int, batch: int, rate: float, seed: int, say: Callable[[str], None]
) -> None:
    """Train the parts of ``layer`` that decide on intents and deletes, and nothing else."""
    modules = [getattr(layer, name) for name in PARTS]
    parameters = [p for module in modules for p in module.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.05, betas=(0.9, 0.98))
    generator = torch.Generator().manual_seed(seed)
    pool, about = turns.statements[turns.alive], turns.topics[turns.alive]
    for step in range(steps):
        factor = min(1.0, (step + 1) / 20) * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = rate * max(factor, 0.02)
        rows = torch.randint(0, len(turns.intent), (batch,), generator=generator)
        # turns that change or ask for something are few: a quarter of a batch, and two fifths of it
        changing = turns.obsolete.any(1).nonzero()[:, 0]
        rows[: batch // 4] = changing[torch.randint(0, len(changing), (batch // 4,), generator=generator)]
        asking = (turns.intent == INTENTS.index("ask")).nonzero()[:, 0]
        rows[batch // 4 : 2 * batch // 3] = asking[
            torch.randint(0, len(asking), (2 * batch // 3 - batch // 4,), generator=generator)
        ]
        address = Address(*(each[rows].float() for each in (turns.mean, turns.end, turns.previous)))
        others = torch.randint(0, len(pool), (OTHERS,), generator=generator)
        loss, shares = decision_losses(layer, address, turns, rows, pool[others].float(), about[others])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if step % 50 == 49 or step == steps - 1:
            say(
                f"decisions {step + 1}: loss {float(loss.detach()):.3f} "
                + " ".join(f"{k} {v}" for k, v in shares.items())
            )


def _unlike(layer: Any, statements: Tensor, obsolete: Tensor, strange: Tensor) -> Tensor:
    """(n, M) bool: negatives that say nothing like what the line ends; another person's dog's name would go too."""
    width = layer.config.memory_dim - layer.config.token_dim
    own, others = (F.normalize(each[..., :width], dim=-1) for each in (statements, strange))
    like = torch.einsum("nsd,md->nsm", own, others).masked_fill(~obsolete.unsqueeze(-1), -1.0)
    return like.amax(dim=1) < ALIKE


def decision_losses(
    layer: Any, address: Address, turns: TurnEnds, rows: Tensor, strange: Tensor, strange_topics: Tensor
) -> tuple[Tensor, dict[str, str]]:
    """Loss of turns ``rows`` against their own statements and ``strange`` ones (M, D), about ``strange_topics`` (M,);
    and shares for display."""
    intent, alive, obsolete = turns.intent[rows], turns.alive[rows], turns.obsolete[rows]
    logits = layer.intent_logits(address)
    known = intent >= 0
    loss = F.cross_entropy(logits[known], intent[known])
    real = intent < 0
    changes = logits[real].softmax(-1)[:, CHANGES].sum(-1)
    loss = loss - 0.5 * torch.log1p(-changes.clamp_max(1 - 1e-5)).mean() if bool(real.any()) else loss
    both = torch.cat([turns.statements[rows].float(), strange.expand(len(rows), -1, -1)], dim=1)
    there = torch.cat([alive, torch.ones(len(rows), len(strange), dtype=torch.bool)], dim=1)
    own, other = layer.delete_logits(address, both, there).split([STATEMENTS, len(strange)], dim=1)
    lost = POSITIVE * (F.softplus(-own) * obsolete).sum() + (F.softplus(own) * (alive & ~obsolete)).sum()
    unlike = _unlike(layer, turns.statements[rows].float(), obsolete, strange)
    loss = loss + 3.0 * (lost + 0.3 * (F.softplus(other) * unlike).sum()) / len(rows)
    # other people's statements may answer a question too (everybody has a name): only its own person's count, and
    # those of other people where the line asks for nothing
    answers, answerable = turns.answers[rows], (intent >= 0) & (intent != INTENTS.index("ask"))
    # compared with its own person's statements alone half of the time, as in a young memory
    alone = torch.cat([alive, (torch.rand(len(rows), 1) < 0.5).expand(-1, len(strange))], dim=1)
    reply, negatives = layer.answer_logits(address, both, alone).split([STATEMENTS, len(strange)], dim=1)
    labelled = alive & known.unsqueeze(1)
    lost = POSITIVE * (F.softplus(-reply) * answers).sum() + (F.softplus(reply) * (labelled & ~answers)).sum()
    loss = loss + 2.0 * (lost + 0.3 * (F.softplus(negatives) * answerable.unsqueeze(1)).sum()) / len(rows)
    ranked, first = _ranked(reply, negatives, alive, answers, turns.topics[rows], strange_topics)
    loss = loss + ranked
    deleted = f"{int(((own > 0) & obsolete).sum())}/{int(obsolete.sum())}"
    wrong = int(((own > 0) & alive & ~obsolete).sum()) + int(((other > 0) & unlike).sum())
    right = float((logits[known].argmax(-1) == intent[known]).float().mean())
    answered = f"{int(((reply > 0) & answers).sum())}/{int(answers.sum())}"
    falsely = str(int(((reply > 0) & labelled & ~answers).sum()))
    return loss, {
        "first": first,
        "answered": answered,
        "falsely": falsely,
        "deleted": deleted,
        "wrong": str(wrong),
        "intents": f"{100 * right:.0f}%",
    }


def _ranked(
    reply: Tensor, negatives: Tensor, alive: Tensor, answers: Tensor, topics: Tensor, strange_topics: Tensor
) -> tuple[Tensor, str]:
    """Of turns that have an answer: the loss of its share among all statements, negatives of other topics too (a note
    has room for few); and how many are first, for display."""
    same = (strange_topics == topics.unsqueeze(-1)) & answers.unsqueeze(-1)
    scores = torch.cat([reply.masked_fill(~alive, UNLIKELY), negatives.masked_fill(same.any(1), UNLIKELY)], dim=1)
    right = F.pad(answers, (0, negatives.shape[1]))
    has = answers.any(1)
    share = scores.masked_fill(~right, UNLIKELY).logsumexp(1) - scores.logsumexp(1)
    first = right.gather(1, scores.argmax(1, keepdim=True)).squeeze(1) & has
    return -(share * has).sum() / has.sum().clamp_min(1), f"{int(first.sum())}/{int(has.sum())}"
