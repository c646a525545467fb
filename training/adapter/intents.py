"""What a line wants of the memory, learned from single lines: hand-written ones, drawn ones, and real talk.

Sessions hold each kind of line among a few others; here every line that there is teaches alone, and some behind another
exchange. All else is frozen, so each is read once.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional as F

from training.adapter.judged import Judged, about
from training.adapter.labels import INTENT, UNLABELLED
from training.adapter.lines import Lines
from training.adapter.losses import CHANGES
from training.data.synthetic.messages import telling, typed, user_message
from training.data.synthetic.templates import Relation, draw_ask, draw_correct, draw_forget, draw_tell, render
from training.data.synthetic.values import Split, draw
from training.data.synthetic.written import fixed_value
from training.optimizer import warm_cosine
from varda_chat.models.addressing import Address
from varda_chat.models.chat_format import ChatFormat

READ_TOKENS: Final = 3072
"""Tokens that are read at once."""
BEHIND: Final = 0.1
"""Share of lines that are read once more, behind another exchange."""
KEPT: Final = 0.3
"""Share of facts that a line asks to be kept, and of those that one doubts to have been."""
SHARES: Final = {"other": 0.35, "tell": 0.2, "ask": 0.2, "correct": 0.12, "forget": 0.08, None: 0.05}
"""What a step is made of, by intent; None: lines that change nothing, whatever else they want."""


@dataclass(frozen=True)
class IntentConfig:
    """batch: lines of a step; drop: share of the features that a step does not see; smoothing: what each label gives to
    the other intents (Szegedy et al. 2016); the rate falls along a cosine over ``max_steps``; real: lines of real talk;
    request_threshold, other_threshold: of a model with these intents, chosen on held-out lines (docs/experiments.md).
    """

    max_steps: int = 1500
    batch: int = 384
    warmup_steps: int = 30
    rate: float = 5e-4
    weight_decay: float = 0.1
    drop: float = 0.3
    smoothing: float = 0.03
    real: int = 600
    request_threshold: float = 0.6
    other_threshold: float = 0.9
    seed: int = 1


@dataclass(frozen=True)
class WantingLine:
    """A user's line, what stands before it, and its intent; None for one that only must not change the memory."""

    text: str
    intent: str | None
    before: tuple[str, str] | None = None


@dataclass(frozen=True)
class LineEnds:
    """Of N lines: what a decision sees at the end of each, float16 (N, 3, F); intent (N,), UNLABELLED for None."""

    address: Tensor
    intent: Tensor

    def of(self, rows: Tensor) -> Address:
        mean, end, previous = self.address[rows].float().unbind(1)
        return Address(mean, end, previous)


def wanting_lines(
    lines: Lines, facts: Sequence[Relation], relations: Sequence[Relation], judged: Sequence[Judged],
    real: Sequence[str], split: Split, rng: random.Random,
) -> list[WantingLine]:  # fmt: skip
    """Every hand-written line, some of each of the ``relations`` made of templates, and ``real`` ones."""
    found = [WantingLine(line.user, "other") for line in lines.exchanges]
    found += [WantingLine(line.user, "ask") for line in lines.noted if line.asks]
    found += [WantingLine(text, "ask") for text in (*lines.replies["overview"], *lines.recalls)]
    found += [WantingLine(text, "other") for text in lines.asides]
    found += [WantingLine(line.tells, "tell") for line in lines.passing]
    found += [WantingLine(line.twin, "other") for line in lines.passing]
    found += [WantingLine(each.pairs[0].line, None if each.kind == "none" else each.kind) for each in judged]
    for fact in facts:
        found += [*_as_written(fact, rng), *_kept(fact, lines, rng)]
    for relation in relations:
        found += _drawn(relation, split, rng)
    found += [WantingLine(text, None) for text in real]
    behind = [(line.user, line.reply) for line in lines.exchanges]
    again = rng.sample(found, round(BEHIND * len(found)))
    return found + [WantingLine(line.text, line.intent, rng.choice(behind)) for line in again]


def _as_written(fact: Relation, rng: random.Random) -> list[WantingLine]:
    values = fixed_value(fact)
    assert values is not None
    old, new = values
    return [
        WantingLine(render(fact.tell[0], old), "tell"),
        WantingLine(rng.choice(fact.ask), "ask"),
        *(WantingLine(text, "ask") for text in fact.ask[3:]),
        *(WantingLine(render(text, new), "correct") for text in fact.correct),
        *(WantingLine(text, "forget") for text in fact.forget),
    ]


def _kept(fact: Relation, lines: Lines, rng: random.Random) -> list[WantingLine]:
    """Now and then, in the words of a request to forget the fact, a line that asks for it to be kept, and one that asks
    for it by a doubt."""
    what = about(rng.choice(fact.forget))
    if what is None:
        return []
    kinds = {"insist": "other", "doubt": "ask"}
    drawn = [(rng.choice(lines.replies[kind]), intent) for kind, intent in kinds.items() if rng.random() < KEPT]
    return [WantingLine(text.replace("{w}", what), intent) for text, intent in drawn]


def _drawn(relation: Relation, split: Split, rng: random.Random) -> list[WantingLine]:
    def value() -> str:
        return typed(rng, draw(relation.kind, split, rng))

    told = "correct" if relation.correct and rng.random() < 0.5 else "tell"
    template = draw_correct(relation, rng) if told == "correct" else draw_tell(relation, rng)
    wanted = "forget" if rng.random() < 0.4 else "ask"
    text = draw_forget(relation, rng) if wanted == "forget" else draw_ask(relation, rng)
    return [
        WantingLine(telling(rng, template, value(), 0).text, told),
        WantingLine(user_message(rng, [(text, -1)]).text, wanted),
    ]


@torch.no_grad()
def read_ends(model: Any, chat: ChatFormat, lines: Sequence[WantingLine], say: Callable[[str], None]) -> LineEnds:
    """Read every line once, as the first of a session or as the second."""
    coded = [_coded(chat, line) for line in lines]
    order = sorted(range(len(coded)), key=lambda i: len(coded[i][0]))
    found: list[Tensor] = [torch.empty(0)] * len(coded)
    at = 0
    while at < len(order):
        count = max(1, READ_TOKENS // (len(coded[order[at]][0]) + 4))
        rows = order[at : at + count]
        width = max(len(coded[i][0]) for i in rows)
        ids = torch.tensor([[*coded[i][0], *[chat.end_id] * (width - len(coded[i][0]))] for i in rows])
        address = model.lower_pass(ids).address
        for row, i in enumerate(rows):
            end = coded[i][1]
            found[i] = torch.stack([each[row, end] for each in (address.mean, address.end, address.previous)]).half()
        if at // 4096 != (at + count) // 4096:
            say(f"read {at + count} of {len(order)} lines")
        at += count
    return LineEnds(torch.stack(found), torch.tensor([_number(line.intent) for line in lines]))


def _coded(chat: ChatFormat, line: WantingLine) -> tuple[list[int], int]:
    """Token ids, and the place of the line's end."""
    ids = list(chat.opening)
    if line.before is not None:
        user, reply = line.before
        ids += [*chat.encode("user", user).ids, *chat.encode("assistant", reply).ids]
    own = chat.encode("user", line.text)
    return [*ids, *own.ids], len(ids) + len(own.ids) - own.footer


def _number(intent: str | None) -> int:
    return UNLABELLED if intent is None else INTENT[intent]


def train_intents(layer: Any, ends: LineEnds, held: LineEnds, config: IntentConfig, say: Callable[[str], None]) -> None:
    """Teach the memory layer's ``fc_intent``, and say how it does on the ``held`` lines."""
    generator = torch.Generator().manual_seed(config.seed)
    torch.manual_seed(config.seed)  # for the features that are dropped
    parameters = list(layer.fc_intent.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=config.rate, betas=(0.9, 0.98), weight_decay=config.weight_decay)
    pools = {intent: (ends.intent == _number(intent)).nonzero().squeeze(1) for intent in SHARES}
    for step in range(config.max_steps):
        for group in optimizer.param_groups:
            group["lr"] = config.rate * warm_cosine(step, config.max_steps, config.warmup_steps)
        rows = torch.cat([
            pool[torch.randint(0, len(pool), (round(SHARES[intent] * config.batch),), generator=generator)]
            for intent, pool in pools.items()
        ])  # fmt: skip
        address = ends.of(rows)
        dropped = address.map(lambda part: F.dropout(part, config.drop))
        loss = intent_loss(layer.intent_logits(dropped), ends.intent[rows], config.smoothing)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if step % 50 == 49 or step == config.max_steps - 1:
            lost, shares = held_out(layer, held)
            say(f"intents {step + 1}: loss {float(loss.detach()):.3f} held out {lost:.3f} {shares}")


def intent_loss(logits: Tensor, intent: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy (nats) of the labelled lines; of the others, that of changing nothing."""
    known = intent >= 0
    lost = F.cross_entropy(logits[known], intent[known], reduction="sum", label_smoothing=smoothing)
    changes = logits[~known].softmax(-1)[:, CHANGES].sum(-1)
    return (lost - torch.log1p(-changes.clamp_max(1 - 1e-5)).sum()) / len(intent)


@torch.no_grad()
def held_out(layer: Any, held: LineEnds) -> tuple[float, str]:
    """Of held-out lines: the mean of each intent's loss, and how many of each are taken for what they are."""
    logits = layer.intent_logits(held.of(torch.arange(len(held.intent))))
    right = Counter(held.intent[logits.argmax(-1) == held.intent].tolist())
    losses, shares = [], []
    for intent in SHARES:
        rows = held.intent == _number(intent)
        if not bool(rows.any()):
            continue
        losses.append(float(intent_loss(logits[rows], held.intent[rows])))
        if intent is not None:
            shares.append(f"{intent} {right[INTENT[intent]]}/{int(rows.sum())}")
        else:
            kept = logits[rows].argmax(-1)
            changed = sum(int((kept == INTENT[each]).sum()) for each in ("correct", "forget"))
            shares.append(f"changing nothing {int(rows.sum()) - changed}/{int(rows.sum())}")
    return sum(losses) / len(losses), " ".join(shares)
