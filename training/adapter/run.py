"""Trains an adapter: ``python -m training.adapter --base DIR --data-dir DIR --output-dir DIR``; resumes from its saves.

First the address alone (the frozen layers below the memory are run, forward only), then speech with it (LoRA above).
"""

from __future__ import annotations

import json
import math
import random
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.adapter import losses as L
from training.adapter.address import (
    LineStates,
    address_losses,
    draw_lines,
    read_lines,
    statements_by_topic,
    train_address,
)
from training.adapter.assemble import add_lora, load_adapter, save_adapter, with_memory
from training.adapter.batch import SessionBatch, VectorRing
from training.adapter.lines import load_facts, load_lines
from training.adapter.sessions import SessionBuilder
from training.data.corpora import Dialogue
from training.data.dialogues import exchanges
from training.data.prepare import load_dialogues
from training.data.relations import ALL_RELATIONS
from training.sentence_encoder import SentenceEncoder, packaged_encoder
from varda_chat.model.chat_format import ChatFormat
from varda_chat.model.llama import VardaLlamaAssociative

ADDRESS = ("memory_layer.fc_query.", "memory_layer.fc_storable_vector.")
"""Parts that the first stage has taught."""


@dataclass(frozen=True)
class AdapterConfig:
    """Settings of a run.

    people, sessions, length: of a step, people with so many sessions of so many tokens; ``address_people`` in its first
    ``address_steps``, which are without speech. line_steps, line_batch, line_rate: of the first stage, on
    ``real_lines`` real lines and those that are drawn; lines: cached ones in each later step. The rates: of the two
    statement maps, single numbers, the memory's other parts, and LoRA (``rank``, ``alpha``). distractors: most vectors
    of other people beside a person's own, out of the last ``ring``. talkative: how much is said between facts, 1 for
    as much as is told; speech_only: 1 leaves the decisions as they are, and learns speech and what it reads. weights:
    of the loss terms.
    """

    people: int = 4
    sessions: int = 2
    length: int = 448
    lines: int = 384
    real_lines: int = 9000
    line_steps: int = 1200
    line_batch: int = 768
    line_rate: float = 1e-3
    address_steps: int = 150
    max_steps: int = 700
    warmup_steps: int = 20
    memory_rate: float = 1e-3
    address_rate: float = 1e-4
    scalar_rate: float = 1e-2
    lora_rate: float = 3e-3
    rank: int = 32
    alpha: int = 32
    weight_decay: float = 0.02
    clip: float = 1.0
    distractors: int = 1024
    ring: int = 6144
    seed: int = 1
    save_every: int = 50
    address_people: int = 7
    talkative: float = 2.5
    speech_only: int = 0
    frozen_address: bool = False
    weights: dict[str, float] = field(
        default_factory=lambda: {
            "address": 1.0, "value": 0.7, "store": 1.0, "intent": 0.5, "delete": 1.0, "distil": 0.5, "pairs": 0.7,
            "quiet": 0.5, "speech": 1.0,
        }
    )  # fmt: skip


@dataclass
class AdapterData:
    """What a run draws from. real: (user, assistant) lines of real dialogue."""

    builder: SessionBuilder
    validation: SessionBuilder
    real: list[tuple[str, str]]
    real_lines: list[str]


def load_data(chat: ChatFormat, data_dir: Path) -> AdapterData:
    training, validation = load_dialogues(data_dir)
    people = {"personachat", "spc", "msc", "memorybank_en"}

    def real(dialogues: list[Dialogue]) -> list[tuple[str, str]]:
        about = exchanges((d for d in dialogues if d.corpus in people), 260)
        other = exchanges((d for d in dialogues if d.corpus not in people and d.corpus != "ms_personality_chat"), 200)
        rng = random.Random(0)
        return about + rng.sample(other, min(len(other), len(about)))

    pairs = real(training)
    lines = [user for user, _ in pairs if len(user.split()) > 3] + [
        reply for _, reply in pairs if len(reply.split()) > 3
    ]
    return AdapterData(
        builder=SessionBuilder(chat, load_lines(validation=False), pairs, load_facts(validation=False)),
        validation=SessionBuilder(chat, load_lines(validation=True), real(validation), load_facts(validation=True),
                                  split="test", relations=ALL_RELATIONS),
        real=pairs, real_lines=lines,
    )  # fmt: skip


def schedule(step: int, config: AdapterConfig) -> float:
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.max_steps - config.warmup_steps)
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


class AdapterTrainer:
    """Trains ``model`` on ``data``; its state is in ``output``/last."""

    def __init__(
        self, model: VardaLlamaAssociative, chat: ChatFormat, data: AdapterData, config: AdapterConfig, output: Path,
        teacher: Callable[[list[str]], Tensor], base: dict[str, str], say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.model, self.chat, self.data, self.config, self.output = model, chat, data, config, output
        self.teacher, self.base, self.say = teacher, base, say
        self.ring = VectorRing(config.ring, model.config.memory.memory_dim)
        lora = [p for n, p in model.named_parameters() if ".lora_" in n]
        address = [p for n, p in model.named_parameters() if n.startswith(ADDRESS)]
        memory = [
            p
            for n, p in model.named_parameters()
            if p.requires_grad and ".lora_" not in n and not n.startswith(ADDRESS)
        ]
        self.parameters = [*address, *memory, *lora]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": address, "rate": config.address_rate},
                {"params": [p for p in memory if p.ndim > 1], "rate": config.memory_rate},
                # one number cannot follow the others by a learning rate made for thousands
                {"params": [p for p in memory if p.ndim == 0], "rate": config.scalar_rate, "weight_decay": 0.0},
                {"params": [p for p in memory if p.ndim == 1], "rate": config.memory_rate, "weight_decay": 0.0},
                {"params": lora, "rate": config.lora_rate, "weight_decay": 0.0},
            ],
            lr=1e-4, betas=(0.9, 0.98), weight_decay=config.weight_decay,
        )  # fmt: skip
        self.step = 0
        self.smooth: dict[str, float] = {}
        self.lines: LineStates
        self.by_topic: dict[int, list[int]] = {}

    # one step

    def batch(self, step: int, people: int, builder: SessionBuilder) -> SessionBatch:
        config = self.config
        drawn = [
            builder.draw(random.Random(f"{config.seed}/{step}/{person}"), config.sessions, config.length)
            for person in range(people)
        ]
        return SessionBatch.of(drawn)

    def losses(self, batch: SessionBatch, step: int, speech: bool) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Loss terms and counts of one batch; also fills the ring of other memories' vectors."""
        model, layer = self.model, self.model.memory_layer
        generator = torch.Generator().manual_seed(self.config.seed * 100_003 + step)
        count = int(torch.randint(0, self.config.distractors, (1,), generator=generator)) if step % 4 else 0
        memory = batch.memory(0.5, self.ring.sample(count, generator))
        people, total = memory.tokens.shape
        terms: dict[str, Tensor] = {}
        output: Any = None
        if speech:
            with torch.autocast("cpu", torch.bfloat16):
                output = model(
                    batch.rows, memory=memory, statements=batch.statements(), status=batch.status.flatten(0, 1),
                    with_logits=False, use_cache=False,
                )  # fmt: skip
            lower = L.Lower(
                output.query.reshape(people, total, -1), output.no_match, output.address, output.store_decision,
                output.memory,
            )  # fmt: skip
        else:
            done = model.lower_pass(batch.rows, statements=batch.statements())
            assert done.query is not None and done.no_match is not None and done.address is not None
            assert done.vectors is not None and done.store_logits is not None
            lower = L.Lower(
                done.query.reshape(people, total, -1), done.no_match, done.address, done.store_logits,
                memory.over(done.vectors, done.store_logits),
            )  # fmt: skip
        found, counts = L.retrieval(layer, lower, batch)
        terms |= found
        if not self.config.speech_only:
            self._add_decisions(terms, counts, lower, batch)
        if speech:
            terms["quiet"] = L.quiet(lower, layer, batch, output.read_weights)
            with torch.autocast("cpu", torch.bfloat16):
                terms["speech"], said = L.speech(model, output, batch)
            counts |= said
        self._remember(lower, batch)
        return terms, counts

    def _add_decisions(
        self, terms: dict[str, Tensor], counts: dict[str, Tensor], lower: L.Lower, batch: SessionBatch
    ) -> None:
        """The terms of what is decided: stores, intents, deletes."""
        layer = self.model.memory_layer
        terms["store"], stored = L.store(lower, batch)
        address = L.address_at(lower.address, batch)
        terms["intent"], intents = L.intent(layer, address, batch)
        terms["delete"], deleted = L.delete(layer, lower, address, batch)
        counts |= stored | intents | deleted

    @torch.no_grad()
    def _remember(self, lower: L.Lower, batch: SessionBatch) -> None:
        memory = lower.memory
        assert memory.vectors is not None and memory.log_gates is not None
        stored = memory.log_gates > -1.0
        self.ring.add(memory.vectors[stored], memory.tokens[stored], batch.topic_of_token()[stored])

    def line_losses(self, step: int) -> dict[str, Tensor]:
        """Distillation and contrast on cached lines, so that what the first stage learned is kept."""
        rng = random.Random(f"{self.config.seed}/lines/{step}")
        pairs, distil = address_losses(
            self.model.memory_layer,
            self.lines,
            self.by_topic,
            rng,
            self.config.lines,
            self.model.memory_layer.log_scale,
        )
        return {"distil": distil, "pairs": pairs}

    @torch.no_grad()
    def standardise(self) -> None:
        """Set the layer's feature statistics from typical sessions."""
        batch = self.batch(-1, 4, self.data.builder)
        done = self.model.lower_pass(batch.rows)
        assert done.features is not None and done.roles is not None
        self.model.memory_layer.standardise(done.features[done.roles.text])

    def train_step(self) -> dict[str, float]:
        config, speech = self.config, self.step >= self.config.address_steps
        factor = schedule(self.step, config)
        for group in self.optimizer.param_groups:
            group["lr"] = group["rate"] * factor
        batch = self.batch(self.step, config.people if speech else config.address_people, self.data.builder)
        terms, counts = self.losses(batch, self.step, speech)
        if not config.speech_only:
            terms |= self.line_losses(self.step)
        loss = sum((config.weights[name] * term for name, term in terms.items()), torch.zeros(()))
        if not math.isfinite(loss.item()):
            raise RuntimeError(f"the loss became {loss.item()} at step {self.step}")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, config.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        return {**{k: float(v.detach()) for k, v in terms.items()}, **{f"#{k}": float(v) for k, v in counts.items()}}

    def run(self) -> None:
        began, first = time.monotonic(), self.step
        while self.step < self.config.max_steps:
            found = self.train_step()
            self.smooth = {k: 0.9 * self.smooth.get(k, v) + 0.1 * v for k, v in found.items()}
            if self.step % 10 == 0:
                rate = (time.monotonic() - began) / (self.step - first)
                self.say(f"{self.step:5d} {rate:5.1f} s/step  {shown(self.smooth)}")
            if self.step % self.config.save_every == 0 or self.step == self.config.max_steps:
                self.save()

    # the first stage

    def read_lines(self) -> None:
        """Read the lines of the first stage, or load them from an earlier run's file in ``output``."""
        cache = self.output / "lines.pt"
        if cache.exists():
            self.lines, self.held_lines = torch.load(cache, weights_only=False)
        else:
            rng = random.Random(self.config.seed + 4)
            lines = draw_lines(self.data.builder, self.data.real_lines, rng, each=3, others=self.config.real_lines)
            held = draw_lines(self.data.validation, [], random.Random(self.config.seed + 5), each=1, others=0)
            self.lines = read_lines(self.model, self.chat, lines, self.teacher, self.say)
            self.held_lines = read_lines(self.model, self.chat, held, self.teacher, self.say)
            torch.save((self.lines, self.held_lines), cache)
        self.by_topic = statements_by_topic(self.lines)

    def learn_addresses(self) -> None:
        """The first stage: what lines are about."""
        config = self.config
        train_address(
            self.model.memory_layer, self.lines, self.held_lines, steps=config.line_steps, batch=config.line_batch,
            rate=config.line_rate, seed=config.seed, contrast=0.5, say=self.say,
        )  # fmt: skip

    # saves

    def save(self) -> None:
        """Save the run's state, in place of the one before only when it is whole."""
        fresh, last = self.output / "fresh", self.output / "last"
        shutil.rmtree(fresh, ignore_errors=True)
        save_adapter(self.model, fresh, base=self.base, rank=self.config.rank, alpha=self.config.alpha, small=False)
        torch.save(
            {"optimizer": self.optimizer.state_dict(), "step": self.step, "smooth": self.smooth,
             "ring": self.ring.__dict__},
            fresh / "state.pt",
        )  # fmt: skip
        (fresh / "run.json").write_text(json.dumps(asdict(self.config), indent=1), encoding="utf-8")
        shutil.rmtree(self.output / "old", ignore_errors=True)
        if last.exists():
            last.rename(self.output / "old")
        fresh.rename(last)
        shutil.rmtree(self.output / "old", ignore_errors=True)

    def resume(self, *, fresh_schedule: bool = False, source: Path | None = None) -> bool:
        """Go on from the last save, if there is one; ``fresh_schedule``: only its weights, and others' vectors."""
        last = source or self.output / "last"
        if not (last / "state.pt").exists():
            return False
        load_adapter(self.model, last)
        state = torch.load(last / "state.pt", weights_only=True)
        self.ring.__dict__.update(state["ring"])
        if not fresh_schedule:
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.smooth = state["step"], state["smooth"]
        return True


def shown(smooth: dict[str, float]) -> str:
    """One line of figures: losses, then shares of what is counted."""

    def share(part: str, whole: str) -> str:
        return f"{100 * smooth.get('#' + part, 0) / max(1e-9, smooth.get('#' + whole, 0)):.0f}%"

    terms = " ".join(f"{k} {v:.2f}" for k, v in smooth.items() if not k.startswith("#"))
    shares = (
        f"found {share('found', 'sought')} admit {share('admitted', 'unknown')} value {share('values', 'spoken')} "
        f"said {share('values_right', 'values_said')} store {share('stored', 'user_tokens')}/"
        f"{share('value_stored', 'value_tokens')} intent {share('intent_right', 'intents')} "
        f"del {share('deleted', 'obsolete')}/{share('wrongly', 'turns')}"
    )
    return f"{terms} | {shares}"


def prepare(
    base: Path, data_dir: Path, output: Path, config: AdapterConfig, *, base_name: dict[str, str],
    source: Path | None = None, teacher: Path | None = None, say: Callable[[str], None] = print,
    memory: dict[str, Any] | None = None,
) -> AdapterTrainer:  # fmt: skip
    """A trainer, new or as its last save left it."""
    output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    chat, model = with_memory(base, memory)
    add_lora(model, config.rank, config.alpha)
    data = load_data(chat, data_dir)
    data.builder.talkative = config.talkative
    encoder = packaged_encoder() if teacher is None else SentenceEncoder(teacher)
    trainer = AdapterTrainer(model, chat, data, config, output, encoder, base_name, say)
    if trainer.resume():
        say(f"Resumed at step {trainer.step}.")
        trainer.read_lines()
    else:
        trainer.standardise()
        trainer.read_lines()
        if source is None:
            trainer.learn_addresses()
        else:
            trainer.resume(fresh_schedule=True, source=source)
    return trainer
