"""The last stage: the response selector learns which known lines a line is near, and whether a reply fits it."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.adapter.saves import load_state, save_state
from training.data.synthetic.known_replies import Offers, Wordings
from training.optimizer import anneal, descend
from varda_chat.models.chat_format import ChatFormat
from varda_chat.models.known_replies import KnownReply, read_together
from varda_chat.models.llama import VardaLlamaAssociative
from varda_chat.models.low_rank import features_at_ends
from varda_chat.models.reranker import ANSWERS
from varda_chat.models.response_selection import ResponseSelector

NEAREST, NEAR = 12, 200
"""Known lines, by nearness, from which on and up to which wrong offers are drawn; the nearest may fit."""
BY_ITSELF = 0.25
"""Share of drawn lines whose reply was found by the line itself."""
READ_AT_ONCE = 64


@dataclass(frozen=True)
class ResponseConfig:
    """rank, dim: of the maps and of a line's vector; threshold: probability above which a reply is said, chosen on
    held-out lines (docs/experiments.md); told_threshold: the same for a line that tells what is stored; lines:
    of a step, of which ``worded`` are wordings; map_rate, decision_rate: of the maps and of the decision, along a
    cosine over ``max_steps``; line_steps, line_rate: of the map to vectors; sharpness: what similarities of lines are
    multiplied by; same_weight: of pairs of lines that the same reply fits, of which ``same_lines`` are drawn at a
    step."""

    rank: int = 8
    dim: int = 64
    threshold: float = 0.7
    told_threshold: float = 0.85
    lines: int = 14
    worded: int = 3
    max_steps: int = 540
    warmup_steps: int = 10
    map_rate: float = 1.5e-3
    decision_rate: float = 1e-3
    weight_decay: float = 0.05
    clip: float = 1.0
    line_steps: int = 1500
    line_rate: float = 1e-3
    sharpness: float = 20.0
    same_weight: float = 0.3
    same_lines: int = 256
    seed: int = 1
    save_every: int = 40


def add_selector(model: VardaLlamaAssociative, config: ResponseConfig, lines: int) -> None:
    """Give ``model`` a selector for so many known ``lines``: the maps and the decision of the one that it has, or new
    ones, the decision as the reranker's."""
    memory, old = model.config.memory, model.response_selector
    memory.response_rank, memory.response_dim, memory.response_lines = config.rank, config.dim, lines
    memory.response_threshold, memory.response_told_threshold = config.threshold, config.told_threshold
    assert model.reranker is not None
    selector = model.response_selector = ResponseSelector(model)
    selector.init_weights()
    if old is not None:
        selector.maps, selector.decision = old.maps, old.decision
        return
    selector.init_maps()
    before = model.reranker.decision
    with torch.no_grad():
        selector.decision.fc_in.load_state_dict(before.fc_in.state_dict())
        selector.decision.fc_out.weight.copy_(before.fc_out.weight[ANSWERS : ANSWERS + 1])
        selector.decision.fc_out.bias.copy_(before.fc_out.bias[ANSWERS : ANSWERS + 1])


@torch.no_grad()
def read_lines(model: VardaLlamaAssociative, chat: ChatFormat, lines: Sequence[str]) -> Tensor:
    """Features (n, width), half precision, at the ends of ``lines``, each read alone."""
    ids = [chat.encode("user", line).ids for line in lines]
    order = sorted(range(len(ids)), key=lambda each: len(ids[each]))
    found: list[Tensor] = [torch.empty(0)] * len(ids)
    for at in range(0, len(order), READ_AT_ONCE):
        part = order[at : at + READ_AT_ONCE]
        for place, features in zip(part, features_at_ends(model, [ids[each] for each in part]).half(), strict=True):
            found[place] = features
    return torch.stack(found)


def learn_vectors(
    selector: ResponseSelector, features: Tensor, teacher: Tensor, same: Sequence[Sequence[int]],
    config: ResponseConfig, say: Callable[[str], None],
) -> None:  # fmt: skip
    """Let the vectors of lines with these ``features`` (n, width) be as like each other as the unit vectors
    ``teacher`` (n, dim) are, and nearest where lines mean the ``same``, given by their numbers."""
    linear = selector.fc_line.requires_grad_(True)
    nn.init.normal_(linear.weight, std=linear.in_features**-0.5)
    group = {"params": linear.parameters(), "rate": config.line_rate}
    optimizer = torch.optim.AdamW([group], lr=config.line_rate, weight_decay=0.01)
    rng, smooth = random.Random(config.seed), math.nan
    for step in range(config.line_steps):
        anneal(optimizer, step, config.line_steps, config.warmup_steps)
        chosen = rng.sample(range(len(features)), min(512, len(features)))
        wanted = teacher[chosen] @ teacher[chosen].T
        own = selector.vectors_of(features[chosen])
        apart = ~torch.eye(len(chosen), dtype=torch.bool)
        hidden = torch.finfo(own.dtype).min
        loss = F.kl_div(
            (config.sharpness * (own @ own.T)).masked_fill(~apart, hidden).log_softmax(-1),
            (config.sharpness * wanted).masked_fill(~apart, hidden).softmax(-1),
            reduction="batchmean",
        )
        if same:
            pairs = [rng.sample(list(each), 2) for each in rng.sample(list(same), min(config.same_lines, len(same)))]
            one, other = (selector.vectors_of(features[[pair[side] for pair in pairs]]) for side in (0, 1))
            meeting = F.cross_entropy(config.sharpness * (one @ other.T), torch.arange(len(pairs)))
            loss = loss + config.same_weight * meeting
        descend(loss, optimizer, list(linear.parameters()), config.clip, step)
        smooth = loss.item() if math.isnan(smooth) else 0.98 * smooth + 0.02 * loss.item()
    linear.requires_grad_(False)
    say(f"vectors of lines: loss {smooth:.3f}")


class WordingOffers:
    """Offers drawn for a known line: its own reply, found by itself or by a line that means the same, and replies to
    other lines not far from it, which hardly fit. ``vectors``: unit vectors (n, dim) of the lines ``known``."""

    def __init__(self, wordings: Sequence[Wordings], known: Sequence[KnownReply], vectors: Tensor) -> None:
        self.known, self.vectors = known, vectors
        self.place = {each.line: number for number, each in enumerate(known)}
        lines = ((tuple(line for line in each.lines if line in self.place), each.reply) for each in wordings)
        self.wordings = [Wordings(known_lines, reply) for known_lines, reply in lines if len(known_lines) > 1]

    def draw(self, rng: random.Random, wrong: int = 2) -> Offers:
        """A right offer and so many ``wrong`` ones."""
        if rng.random() < BY_ITSELF:
            right = rng.choice(self.known)
            line = right.line
        else:
            each = rng.choice(self.wordings)
            line, near = rng.sample(each.lines, 2)
            right = KnownReply(near, each.reply)
        order = (self.vectors @ self.vectors[self.place[line]]).argsort(descending=True)[NEAREST:NEAR].tolist()
        others = [self.known[number] for number in order if self.known[number].reply != right.reply]
        return Offers(line, ((right, True), *((other, False) for other in rng.sample(others, wrong))))


class ResponseTrainer:
    """Trains the selector's maps and decision; its state is in ``output``, replaced when it is whole."""

    def __init__(
        self, model: VardaLlamaAssociative, chat: ChatFormat, offers: Sequence[Offers], held: Sequence[Offers],
        worded: WordingOffers, config: ResponseConfig, output: Path, say: Callable[[str], None],
    ) -> None:  # fmt: skip
        assert model.response_selector is not None
        torch.manual_seed(config.seed)
        self.model, self.chat, self.offers, self.held, self.worded = model, chat, offers, held, worded
        self.config, self.output, self.say = config, output, say
        model.requires_grad_(False)
        self.selector = model.response_selector
        maps = list(self.selector.maps.requires_grad_(True).parameters())
        decision = list(self.selector.decision.requires_grad_(True).parameters())
        self.parameters = [*maps, *decision]
        self.optimizer = torch.optim.AdamW(
            [{"params": maps, "rate": config.map_rate}, {"params": decision, "rate": config.decision_rate}],
            lr=config.map_rate, weight_decay=config.weight_decay,
        )  # fmt: skip
        self.step = 0
        self._orders: dict[int, list[int]] = {}

    def logits(self, of: Sequence[Offers]) -> Tensor:
        """Logits (n,) of all offers of these lines, in a row."""
        ids = [
            read_together(self.chat, line, known)
            for each in of
            for line in [self.chat.encode("user", each.line)]
            for known, _ in each.offers
        ]
        found: Tensor = self.selector(self.model, ids)
        return found

    def batch(self) -> list[Offers]:
        """The lines of the step at hand: the judged ones in an order of its own each time that all were seen."""
        config = self.config
        rng = random.Random(f"{config.seed}/{self.step}")
        drawn = [self.worded.draw(rng) for _ in range(config.worded)]
        size = config.lines - len(drawn)
        places = (divmod(number, len(self.offers)) for number in range(self.step * size, (self.step + 1) * size))
        return [*drawn, *(self.offers[self._order(turn)[place]] for turn, place in places)]

    def _order(self, turn: int) -> list[int]:
        """In which the judged lines are seen the ``turn``-th time."""
        if turn not in self._orders:
            order = list(range(len(self.offers)))
            random.Random(f"{self.config.seed}/order/{turn}").shuffle(order)
            self._orders = {turn: order}
        return self._orders[turn]

    def train_step(self) -> float:
        config = self.config
        anneal(self.optimizer, self.step, config.max_steps, config.warmup_steps)
        batch = self.batch()
        loss = F.binary_cross_entropy_with_logits(self.logits(batch), _fits(batch))
        descend(loss, self.optimizer, self.parameters, config.clip, self.step)
        self.step += 1
        return loss.item()

    @torch.no_grad()
    def held_out(self) -> str:
        """Of held-out lines: how often a fitting reply comes before another one, of any two; and at some thresholds, of
        how many lines one is said and how many of those fit."""
        held, size = self.held, 2 * self.config.lines
        parts = [self.logits(held[at : at + size]) for at in range(0, len(held), size)]
        chances, fits = torch.cat(parts).sigmoid(), _fits(held).bool()
        right, wrong = chances[fits], chances[~fits]
        before = (right.unsqueeze(1) > wrong.unsqueeze(0)).float().mean()
        said, lengths = [], [len(each.offers) for each in held]
        for threshold in (0.5, 0.7, 0.8, 0.9, 0.95):
            best = []
            for own, fitting in zip(chances.split(lengths), fits.split(lengths), strict=True):
                if own.max() > threshold:
                    best.append(bool(fitting[own.argmax()]))
            said.append(f"{threshold}: {sum(best)}/{len(best)}")
        return f"before others {before:.3f}; fit of {len(held)} above {', '.join(said)}"

    def run(self) -> None:
        smooth = math.nan
        while self.step < self.config.max_steps:
            lost = self.train_step()
            smooth = lost if math.isnan(smooth) else 0.95 * smooth + 0.05 * lost
            if self.step % self.config.save_every == 0 or self.step == self.config.max_steps:
                save_state(self.output / "responses.pt", self.parameters, self.optimizer, self.step)
                self.say(f"replies by heart {self.step}: loss {smooth:.3f} {self.held_out()}")

    def resume(self) -> bool:
        """Go on from the last save, if there is one."""
        step = load_state(self.output / "responses.pt", self.parameters, self.optimizer)
        self.step = step or 0
        return step is not None


def _fits(of: Iterable[Offers]) -> Tensor:
    return torch.tensor([float(fits) for each in of for _, fits in each.offers])
