"""The first stage: LoRA on every layer of the base learns to speak and to read notes, as text alone; resumable.

No memory is searched: what a reply needs stands before it, in its note. The memory's parts are learned after it, on
the features that it leaves.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoModelForCausalLM

from training.adapter.assemble import add_lora, load_lora, save_lora
from training.adapter.batch import SessionBatch
from training.adapter.saves import load_state, save_state
from training.adapter.sessions import SessionBuilder
from training.optimizer import descend, warm_cosine
from training.precision import autocast
from varda_chat.models.linear_maps import widen


@dataclass(frozen=True)
class SpeechConfig:
    """people, sessions, length: of a step, people with so many sessions of so many tokens; talkative: how much is said
    between facts; rank, alpha: of LoRA; lora_rate falls along a cosine over ``max_steps``. A held-out figure is
    measured on ``held_people`` every ``save_every`` steps."""

    people: int = 2
    sessions: int = 2
    length: int = 448
    max_steps: int = 500
    warmup_steps: int = 12
    lora_rate: float = 2.5e-3
    rank: int = 24
    alpha: int = 32
    clip: float = 1.0
    talkative: float = 2.5
    seed: int = 1
    save_every: int = 40
    held_people: int = 6


class SpeechTrainer:
    """Trains LoRA weights for the base in a directory; its state is in ``output``, replaced only when it is whole."""

    def __init__(
        self, base: Path, builder: SessionBuilder, validation: SessionBuilder, config: SpeechConfig, output: Path,
        say: Callable[[str], None],
    ) -> None:  # fmt: skip
        torch.manual_seed(config.seed)
        self.builder, self.validation, self.config, self.output, self.say = builder, validation, config, output, say
        builder.talkative = validation.talkative = config.talkative
        self.model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
        self.model.requires_grad_(False)
        widen(self.model)
        add_lora(self.model, config.rank, config.alpha)
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=config.lora_rate, betas=(0.9, 0.98), weight_decay=0.0)
        self.step = 0

    def batch(self, builder: SessionBuilder, name: str, people: int) -> SessionBatch:
        return SessionBatch.of(builder.draw_people(name, range(people), self.config.sessions, self.config.length))

    def loss(self, batch: SessionBatch) -> Tensor:
        """Weighted cross-entropy (nats a token) of the replies' tokens."""
        ids, weight = batch.rows, batch.target_weight.flatten(0, 1)
        chosen = weight > 0
        with autocast():
            hidden = self.model.model(ids, use_cache=False).last_hidden_state
            logits = self.model.lm_head(hidden[chosen])
        lost = F.cross_entropy(logits.float(), torch.roll(ids, -1, 1)[chosen], reduction="none")
        return (lost * weight[chosen]).sum() / weight[chosen].sum()

    def factor(self) -> float:
        """Share of the rate at this step."""
        return warm_cosine(self.step, self.config.max_steps, self.config.warmup_steps)

    def train_step(self) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.lora_rate * self.factor()
        loss = self.loss(self.batch(self.builder, f"{self.config.seed}/{self.step}", self.config.people))
        descend(loss, self.optimizer, self.parameters, self.config.clip, self.step)
        self.step += 1
        return loss.item()

    @torch.no_grad()
    def held_out(self) -> float:
        return self.loss(self.batch(self.validation, "held-out", self.config.held_people)).item()

    def run(self) -> None:
        began, first, smooth = time.monotonic(), self.step, math.nan
        while self.step < self.config.max_steps:
            lost = self.train_step()
            smooth = lost if math.isnan(smooth) else 0.9 * smooth + 0.1 * lost
            if self.step % 10 == 0:
                self.say(f"{self.step:5d} {(time.monotonic() - began) / (self.step - first):5.1f} s/step  {smooth:.3f}")
            if self.step % self.config.save_every == 0 or self.step == self.config.max_steps:
                self.save()
                self.say(f"{self.step:5d} held out {self.held_out():.3f}")

    def save(self) -> None:
        """Save the LoRA weights, then the state that a run resumes from: LoRA is never older than its state."""
        self.output.mkdir(parents=True, exist_ok=True)
        save_lora(self.model, self.output, base_name="")
        (self.output / "speech.json").write_text(json.dumps(asdict(self.config), indent=1), encoding="utf-8")
        save_state(self.output / "state.pt", self.parameters, self.optimizer, self.step)

    def resume(self, source: Path | None = None) -> bool:
        """Go on from the last save, if there is one; from ``source``: with its weights alone."""
        step = load_state(self.output / "state.pt", self.parameters, self.optimizer)
        if step is not None:
            self.step = step
            return True
        if source is not None:
            load_lora(self.model, source)
        return False
