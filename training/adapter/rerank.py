"""The last stage: the reranker learns to judge a line and a statement that it reads together; all else stays."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional as F

from training.adapter.judged import DrawnPairs, Judged, Pair, batch_of, labels
from training.adapter.saves import load_state, save_state
from training.optimizer import anneal, descend
from varda_chat.models.chat_format import ChatFormat
from varda_chat.models.llama import VardaLlamaAssociative
from varda_chat.models.reranker import ANSWERS, ENDS


@dataclass(frozen=True)
class RerankConfig:
    """pairs: of a step; judged: share of them that are hand-written; map_rate, decision_rate: of the low-rank maps and
    of the decision, along a cosine over ``max_steps``; the search's weight and the thresholds: of a model with this
    reranker, chosen on held-out facts (docs/experiments.md)."""

    rank: int = 16
    pairs: int = 32
    judged: float = 0.45
    max_steps: int = 900
    warmup_steps: int = 15
    map_rate: float = 1.5e-3
    decision_rate: float = 1e-3
    clip: float = 1.0
    seed: int = 1
    save_every: int = 100
    search_weight: float = 0.3
    answer_threshold: float = 0.7
    end_threshold: float = 0.5
    forget_threshold: float = 0.5
    change_threshold: float = 0.3


class RerankTrainer:
    """Trains the reranker of ``model``, a plain merged one; its state is in ``output``, replaced when it is whole."""

    def __init__(
        self, model: VardaLlamaAssociative, chat: ChatFormat, judged: Sequence[Judged], held: Sequence[Judged],
        drawn: DrawnPairs, config: RerankConfig, output: Path, say: Callable[[str], None],
    ) -> None:  # fmt: skip
        assert model.reranker is not None
        torch.manual_seed(config.seed)
        self.model, self.chat, self.judged, self.held, self.drawn = model, chat, judged, held, drawn
        self.config, self.output, self.say = config, output, say
        model.requires_grad_(False)
        self.reranker = model.reranker.requires_grad_(True)
        maps = list(self.reranker.maps.parameters())
        self.parameters = list(self.reranker.parameters())
        self.optimizer = torch.optim.AdamW(
            [
                {"params": maps, "rate": config.map_rate},
                {"params": self.reranker.decision.parameters(), "rate": config.decision_rate},
            ],
            lr=config.map_rate, weight_decay=0.02,
        )  # fmt: skip
        self.step = 0

    def logits(self, pairs: Sequence[Pair]) -> torch.Tensor:
        """(n, 2): see Reranker."""
        chat = self.chat
        ids = [
            [*chat.encode("user", pair.line).ids, *chat.note("recalled", (pair.statement,)), *chat.reply_prompt]
            for pair in pairs
        ]
        out: torch.Tensor = self.reranker(self.model, ids)
        return out

    def train_step(self) -> float:
        config = self.config
        anneal(self.optimizer, self.step, config.max_steps, config.warmup_steps)
        rng = random.Random(f"{config.seed}/{self.step}")
        pairs = batch_of(self.judged, self.drawn, config.pairs, config.judged, rng)
        loss = F.binary_cross_entropy_with_logits(self.logits(pairs), labels(pairs))
        descend(loss, self.optimizer, self.parameters, config.clip, self.step)
        self.step += 1
        return loss.item()

    @torch.no_grad()
    def held_out(self) -> dict[str, str]:
        """Of held-out hand-written lines: how often a fitting statement comes first; shares of fitting and other pairs
        above the threshold of one half."""
        pairs = [pair for each in self.held for pair in each.pairs]
        size = self.config.pairs
        parts = [self.logits(pairs[at : at + size]) for at in range(0, len(pairs), size)]
        judged = torch.cat(parts).split([len(each.pairs) for each in self.held])
        first = {ANSWERS: [0, 0], ENDS: [0, 0]}
        right, wrong = [0, 0], [0, 0]
        for each, of_each in zip(self.held, judged, strict=True):
            column = ANSWERS if each.kind in ("ask", "none") else ENDS
            logits, fits = of_each[:, column], labels(each.pairs)[:, column] > 0
            if bool(fits.any()):
                first[column][0] += bool(fits[logits.argmax()])
                first[column][1] += 1
            right[0] += int((logits[fits] > 0).sum())
            right[1] += int(fits.sum())
            wrong[0] += int((logits[~fits] > 0).sum())
            wrong[1] += int((~fits).sum())
        counts = {"answer first": first[ANSWERS], "ended first": first[ENDS], "right": right, "wrong": wrong}
        return {name: f"{part}/{whole}" for name, (part, whole) in counts.items()}

    def run(self) -> None:
        smooth = math.nan
        while self.step < self.config.max_steps:
            lost = self.train_step()
            smooth = lost if math.isnan(smooth) else 0.95 * smooth + 0.05 * lost
            if self.step % self.config.save_every == 0 or self.step == self.config.max_steps:
                self.save()
                shares = " ".join(f"{name} {share}" for name, share in self.held_out().items())
                self.say(f"reranker {self.step}: loss {smooth:.3f} {shares}")

    def save(self) -> None:
        save_state(self.output / "rerank.pt", self.parameters, self.optimizer, self.step)

    def resume(self) -> bool:
        """Go on from the last save, if there is one."""
        step = load_state(self.output / "rerank.pt", self.parameters, self.optimizer)
        self.step = step or 0
        return step is not None
