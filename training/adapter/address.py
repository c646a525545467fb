"""The first stage: what lines are about, learned on cached states of single lines, by distillation and contrast.

The layers below the memory are frozen, so each line is read once; the two linear maps then see it hundreds of times, in
batches of hundreds, at a thousandth of the cost.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from training.adapter.losses import distillation
from training.adapter.sessions import SessionBuilder
from training.data.synthetic.messages import telling, user_message
from training.data.synthetic.templates import Relation, draw_ask, draw_tell, render
from training.data.synthetic.values import draw
from training.data.synthetic.written import fixed_value
from varda_chat.models.addressing import Address
from varda_chat.models.chat_format import ChatFormat

READ_TOKENS = 4096
"""Tokens that are read at once."""


@dataclass
class Line:
    """text; topic: number of what it is about, -1 for unknown; asks: a question, else a statement."""

    text: str
    topic: int
    asks: bool


@dataclass
class LineStates:
    """Of N lines, float16: as a query (mean and end), and as a statement (mean, end), (N, F) each; teacher (N, D)."""

    mean: Tensor
    end: Tensor
    segment_mean: Tensor
    statement_end: Tensor
    teacher: Tensor
    topic: Tensor
    asks: Tensor


def draw_lines(builder: SessionBuilder, real: list[str], rng: random.Random, *, each: int, others: int) -> list[Line]:
    """``each`` tellings and questions of every relation, and ``others`` real lines."""
    lines = []
    for relation in (*builder.relations, *builder.facts):
        topic = builder.number[relation.topic]
        fixed = fixed_value(relation)
        for _ in range(1 if fixed else each):
            value = fixed[0] if fixed else draw(relation.kind, builder.split, rng)
            lines.append(Line(_told(relation, value, rng), topic, False))
        asked = relation.ask if fixed else [draw_ask(relation, rng) for _ in range(each)]
        lines += [Line(user_message(rng, [(ask, -1)]).text, topic, True) for ask in asked]
    lines += [Line(text[:240], -1, "?" in text) for text in rng.sample(real, min(others, len(real)))]
    lines += [Line(line.user[:240], -1, "?" in line.user) for line in builder.lines.exchanges]
    return lines


def _told(relation: Relation, value: str, rng: random.Random) -> str:
    if fixed_value(relation):
        return render(relation.tell[0], value)
    return telling(rng, draw_tell(relation, rng), value, 0).text


@torch.no_grad()
def read_lines(
    model: Any,
    chat: ChatFormat,
    lines: list[Line],
    teacher: Callable[[list[str]], Tensor],
    say: Callable[[str], None],
) -> LineStates:
    """Read every line once."""
    codes = [chat.encode("user", line.text) for line in lines]
    order = sorted(range(len(lines)), key=lambda i: len(codes[i].ids))
    names = ("mean", "end", "segment_mean", "statement_end")
    found: dict[str, Tensor] = {}
    teachers = torch.zeros(0)
    at = 0
    while at < len(order):
        width = len(codes[order[at]].ids)
        count = max(1, READ_TOKENS // (width + 4))
        rows = order[at : at + count]
        width = max(len(codes[i].ids) - codes[i].footer + 1 for i in rows)
        ids = torch.full((len(rows), width), chat.end_id)
        ends = torch.zeros(len(rows), dtype=torch.long)
        text = torch.zeros(len(rows), width, dtype=torch.bool)
        for row, i in enumerate(rows):
            kept = len(codes[i].ids) - codes[i].footer + 1
            ids[row, :kept] = torch.tensor(codes[i].ids[:kept])
            ends[row] = kept - 1
            text[row, codes[i].header : kept - 1] = True
        done = model.lower_pass(ids)
        here = torch.arange(len(rows))
        of_text = (done.features * text.unsqueeze(-1)).sum(1) / text.sum(1, keepdim=True).clamp_min(1)
        values = (done.address.mean[here, ends], done.features[here, ends], of_text, done.features[here, ends - 1])
        similar = teacher([lines[i].text for i in rows])
        if not found:
            found = {
                name: torch.zeros(len(lines), v.shape[-1], dtype=torch.float16)
                for name, v in zip(names, values, strict=True)
            }
            teachers = torch.zeros(len(lines), similar.shape[-1])
        for name, value in zip(names, values, strict=True):
            found[name][rows] = value.half()
        teachers[rows] = similar
        if at // 4000 != (at + count) // 4000:
            say(f"read {at + count:,} of {len(lines):,} lines")
        at += count
    return LineStates(
        **found, teacher=teachers, topic=torch.tensor([line.topic for line in lines]),
        asks=torch.tensor([line.asks for line in lines]),
    )  # fmt: skip


def addresses_of(layer: Any, states: LineStates, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vectors of lines: as questions, and as statements, (n, statement_dim) each."""
    zero = torch.zeros(())
    mean, end = states.mean[rows].float(), states.end[rows].float()
    query = layer.query_address(Address(mean, end, zero))
    s_mean, s_end = states.segment_mean[rows].float(), states.statement_end[rows].float()
    # a line of one statement is its own turn
    mixed = torch.cat([s_mean + layer.turn_weights[0] * s_mean, s_end], dim=-1)
    return query, F.normalize(layer.fc_storable_vector(mixed), dim=-1)


@torch.no_grad()
def first_found(layer: Any, states: LineStates) -> dict[str, float]:
    """Share of questions that have a statement of their topic among the nearest one, three and five."""
    asked = ((states.topic >= 0) & states.asks).nonzero()[:, 0]
    told = ((states.topic >= 0) & ~states.asks).nonzero()[:, 0]
    query, _ = addresses_of(layer, states, asked)
    _, key = addresses_of(layer, states, told)
    similar = states.teacher[asked] @ states.teacher[told].T
    same = states.topic[asked].unsqueeze(1) == states.topic[told]
    kept = same.any(1)
    result = {}
    for name, scores in (("own", query @ key.T), ("teacher", similar)):
        ranked = same.gather(1, scores.argsort(1, descending=True))[kept]
        for k in (1, 3, 5):
            result[f"{name}@{k}"] = float(ranked[:, :k].any(1).float().mean())
    return result


def statements_by_topic(states: LineStates) -> dict[int, list[int]]:
    """Rows of the statements about each known topic."""
    by_topic: dict[int, list[int]] = {}
    for row in ((states.topic >= 0) & ~states.asks).nonzero()[:, 0].tolist():
        by_topic.setdefault(int(states.topic[row]), []).append(row)
    return by_topic


def address_losses(
    layer: Any, states: LineStates, by_topic: dict[int, list[int]], rng: random.Random, batch: int, log_scale: Tensor
) -> tuple[Tensor, Tensor]:
    """Of ``batch`` lines, a third of them questions, a third statements that answer these, the rest any: the
    contrastive loss (questions find statements of their topic), and the distillation loss."""
    asked = [
        row
        for row in ((states.topic >= 0) & states.asks).nonzero()[:, 0].tolist()
        if int(states.topic[row]) in by_topic
    ]
    n = batch // 3
    chosen = torch.tensor(rng.choices(asked, k=n))
    told = torch.tensor([rng.choice(by_topic[int(states.topic[row])]) for row in chosen.tolist()])
    other = torch.tensor(rng.choices(range(len(states.topic)), k=n))
    rows = torch.cat([chosen, told, other])
    query, key = addresses_of(layer, states, rows)
    scores = log_scale.exp() * query[:n] @ key[n : 2 * n].T
    same = states.topic[chosen].unsqueeze(1) == states.topic[told]
    pairs = (scores.logsumexp(1) - scores.masked_fill(~same, -1e4).logsumexp(1)).mean()
    teacher = states.teacher[rows]
    return pairs, distillation(query, key, teacher @ teacher.T)


def train_address(
    layer: Any, states: LineStates, held_out: LineStates, *, steps: int, batch: int, rate: float, seed: int,
    contrast: float, say: Callable[[str], None],
) -> None:  # fmt: skip
    """Train the layer's two statement maps on cached lines."""
    parameters = [p for each in (layer.fc_query, layer.fc_storable_vector) for p in each.parameters()]
    log_scale = torch.nn.Parameter(torch.tensor(math.log(20.0)))
    groups: list[dict[str, Any]] = [{"params": parameters}, {"params": [log_scale], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(
        groups, lr=rate, weight_decay=0.1,
        betas=(0.9, 0.98),
    )  # fmt: skip
    by_topic, rng = statements_by_topic(states), random.Random(seed)
    for step in range(steps):
        factor = min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = rate * max(factor, 0.01)
        pairs, distil = address_losses(layer, states, by_topic, rng, batch, log_scale)
        loss = distil + contrast * pairs
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 99 or step == steps - 1:
            found = first_found(layer, held_out)
            say(
                f"address {step + 1}: distil {float(distil.detach()):.2f} pairs {float(pairs.detach()):.2f} "
                + " ".join(f"{name} {100 * share:.0f}%" for name, share in found.items())
            )
