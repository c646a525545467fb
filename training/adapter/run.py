"""Trains the memory of a base that has learned to speak: addresses, stores and decisions, then reading and speech.

LoRA has changed every layer before (``speech.py``); what is below the memory stays as it is from then on, so that lines
and sessions are read through it once. Resumes from its saves.
"""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
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
from training.adapter.assemble import add_lora, layer_of, load_adapter, load_lora, save_adapter
from training.adapter.batch import SessionBatch, VectorRing
from training.adapter.config import AdapterConfig
from training.adapter.data import AdapterData
from training.adapter.decisions import train_decisions, turn_ends
from training.adapter.progress import shown
from training.adapter.read_sessions import ReadSessions, lower_pass, read_sessions
from training.checkpointing import write_whole
from training.optimizer import descend, schedule
from training.precision import autocast
from varda_chat.models.adapters import LORA_CONFIG
from varda_chat.models.chat_format import ChatFormat
from varda_chat.models.llama import VardaLlamaAssociative

ADDRESS = ("memory_layer.fc_query.", "memory_layer.fc_storable_vector.")
"""Parts that the first stage has taught."""


READING = (
    "memory_layer.fc.", "memory_layer.fc_token.", "memory_layer.fc_query_token.", "memory_layer.fc_query_share.",
    "memory_layer.no_match", "memory_layer.status", "memory_layer.log_scale", "memory_layer.chain_score",
    "memory_heads.",
)  # fmt: skip
"""Parts that the last steps teach; what decisions are made of stays as it is."""


class AdapterTrainer:
    """Trains ``model`` on ``data``; its state is in ``output``/last."""

    def __init__(
        self, model: VardaLlamaAssociative, chat: ChatFormat, data: AdapterData, config: AdapterConfig, output: Path,
        base: dict[str, str], say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.model, self.chat, self.data, self.config, self.output = model, chat, data, config, output
        self.base, self.say = base, say
        memory_layer = model.config.memory.memory_layer
        for name, parameter in model.named_parameters():  # what has been read below stays true
            if ".lora_" in name:
                parameter.requires_grad_(layer_of(name) >= memory_layer)
        self.ring = VectorRing(config.ring, model.config.memory.memory_dim)
        self.lora = lora = [p for n, p in model.named_parameters() if p.requires_grad and ".lora_" in n]
        address = [p for n, p in model.named_parameters() if n.startswith(ADDRESS)]
        memory = [
            p
            for n, p in model.named_parameters()
            if p.requires_grad and ".lora_" not in n and not n.startswith(ADDRESS)
        ]
        self.reading = [*lora, *(p for n, p in model.named_parameters() if p.requires_grad and n.startswith(READING))]
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
        self.decided = False
        self.lines: LineStates
        self.read: ReadSessions
        self.by_topic: dict[int, list[int]] = {}

    # one step

    def batch(self, step: int, people: int) -> SessionBatch:
        config, name = self.config, f"{self.config.seed}/{step}"
        return SessionBatch.of(self.data.builder.draw_people(name, range(people), config.sessions, config.length))

    def losses(
        self, batch: SessionBatch, step: int, states: Tensor | None = None, *, reading: bool
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Loss terms and counts of one batch; also fills the ring of other memories' vectors. ``states``: of the
        feature layers, where they have been read."""
        model, layer = self.model, self.model.memory_layer
        generator = torch.Generator().manual_seed(self.config.seed * 100_003 + step)
        count = int(torch.randint(0, self.config.distractors, (1,), generator=generator)) if step % 4 else 0
        memory = batch.memory(0.5, self.ring.sample(count, generator))
        people, total = memory.tokens.shape
        terms: dict[str, Tensor] = {}
        output: Any = None
        if reading:
            with autocast():
                output = model(
                    batch.rows, memory=memory, statements=batch.statements(), status=batch.status.flatten(0, 1),
                    with_logits=False, use_cache=False,
                )  # fmt: skip
            lower = L.Lower(
                output.query.reshape(people, total, -1), output.no_match, output.address, output.store_decision,
                output.memory,
            )  # fmt: skip
        else:
            done = lower_pass(model, batch, states)
            assert done.query is not None and done.no_match is not None and done.address is not None
            assert done.vectors is not None and done.store_logits is not None
            lower = L.Lower(
                done.query.reshape(people, total, -1), done.no_match, done.address, done.store_logits,
                memory.over(done.vectors, done.store_logits),
            )  # fmt: skip
        found, counts = L.retrieval(layer, lower, batch)
        terms |= found
        if not reading:
            self._add_decisions(terms, counts, lower, batch)
        else:
            terms["quiet"] = L.quiet(lower, layer, batch, output.read_weights)
            with autocast():
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
        batch = self.batch(-1, 4)
        done = self.model.lower_pass(batch.rows)
        assert done.features is not None and done.roles is not None
        self.model.memory_layer.standardise(done.features[done.roles.text])

    def phase(self) -> tuple[str, int, int]:
        """The name of what is learned now, the step in it, and how many it has."""
        config, step = self.config, self.step
        if step < config.memory_steps:
            return "memory", step, config.memory_steps
        step -= config.memory_steps
        if step < config.reading_steps:
            return "reading", step, config.reading_steps
        return "speech", step - config.reading_steps, config.speech_steps

    def train_step(self) -> dict[str, float]:
        config, (phase, step, steps) = self.config, self.phase()
        factor = schedule(step, steps, config.warmup_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = group["rate"] * factor
        taught = {"memory": self.parameters, "reading": self.reading, "speech": self.lora}[phase]
        if phase == "memory":
            rng = random.Random(f"{config.seed}/people/{self.step}")
            people = rng.sample(range(len(self.read)), min(config.memory_people, len(self.read)))
            batch, states = self.read.batch(people)
            terms, counts = self.losses(batch, self.step, states, reading=False)
            terms |= self.line_losses(self.step)
        else:
            terms, counts = self.losses(self.batch(self.step, config.people), self.step, reading=True)
        if phase == "speech":
            self.optimizer.param_groups[-1]["lr"] = config.speech_rate * factor
            terms = {"speech": terms["speech"]}
        loss = sum((config.weights[name] * term for name, term in terms.items()), torch.zeros(()))
        # what decisions are made of stays as it is while reading is learned, and reading while speech is
        descend(loss, self.optimizer, self.parameters, config.clip, self.step, but=set(self.parameters) - set(taught))
        self.step += 1
        return {**{k: float(v.detach()) for k, v in terms.items()}, **{f"#{k}": float(v) for k, v in counts.items()}}

    def run(self) -> None:
        config = self.config
        self._steps_until(config.memory_steps)
        if not self.decided:
            self.learn_decisions()
            self.save()
        self.learn_speech()

    def learn_speech(self) -> None:
        """What comes after the decisions: reading, then LoRA above the memory alone."""
        config = self.config
        self._steps_until(config.memory_steps + config.reading_steps)
        for parameter in set(self.parameters) - set(self.lora):
            parameter.requires_grad_(False)
        self._steps_until(config.memory_steps + config.reading_steps + config.speech_steps)

    def _steps_until(self, end: int) -> None:
        began, first = time.monotonic(), self.step
        while self.step < end:
            found = self.train_step()
            self.smooth = {k: 0.9 * self.smooth.get(k, v) + 0.1 * v for k, v in found.items()}
            if self.step % 10 == 0:
                rate = (time.monotonic() - began) / (self.step - first)
                self.say(f"{self.step:5d} {rate:5.1f} s/step  {shown(self.smooth)}")
            if self.step % self.config.save_every == 0 or self.step == end:
                self.save()

    # the first stage

    def read_lines(self, teacher: Callable[[list[str]], Tensor]) -> None:
        """Read the lines of the first stage, or load them from an earlier run's file in ``output``. ``teacher``: unit
        vectors of texts, that addresses follow."""
        cache = self.output / "lines.pt"
        if cache.exists():
            self.lines, self.held_lines = torch.load(cache, weights_only=False)
        else:
            rng = random.Random(self.config.seed + 4)
            lines = draw_lines(self.data.builder, self.data.real_lines, rng, each=3, others=self.config.real_lines)
            held = draw_lines(self.data.validation, [], random.Random(self.config.seed + 5), each=1, others=0)
            self.lines = read_lines(self.model, self.chat, lines, teacher, self.say)
            self.held_lines = read_lines(self.model, self.chat, held, teacher, self.say)
            write_whole(cache, lambda path: torch.save((self.lines, self.held_lines), path))
        self.by_topic = statements_by_topic(self.lines)

    def read_people(self) -> None:
        """Read the sessions of the memory steps, or load them from an earlier run's file in ``output``."""
        config, cache = self.config, self.output / "sessions.pt"
        if cache.exists():
            self.read = torch.load(cache, weights_only=False)
        else:
            self.read = read_sessions(
                self.model, self.data.builder, config.read_people, config.sessions, config.length,
                f"read/{config.seed}", self.say,
            )  # fmt: skip
            write_whole(cache, lambda path: torch.save(self.read, path))

    def learn_decisions(self) -> None:
        """What a line wants, what answers it and what it ends, on the ends of the turns that have been read."""
        config = self.config
        if config.decision_steps:
            train_decisions(
                self.model.memory_layer, turn_ends(self.model, self.read), steps=config.decision_steps, batch=384,
                rate=5e-4, seed=config.seed, say=self.say,
            )  # fmt: skip
        self.decided = True

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
        fresh, last, old = (self.output / name for name in ("fresh", "last", "old"))
        shutil.rmtree(fresh, ignore_errors=True)
        save_adapter(self.model, fresh, base=self.base, small=False)
        torch.save(
            {"optimizer": self.optimizer.state_dict(), "step": self.step, "smooth": self.smooth,
             "decided": self.decided, "ring": self.ring.__dict__},
            fresh / "state.pt",
        )  # fmt: skip
        (fresh / "run.json").write_text(json.dumps(asdict(self.config), indent=1), encoding="utf-8")
        if last.exists():
            shutil.rmtree(old, ignore_errors=True)
            last.rename(old)
        fresh.rename(last)
        shutil.rmtree(old, ignore_errors=True)

    def resume(self) -> bool:
        """Resume from the last save, if there is one."""
        saves = (self.output / name for name in ("last", "old"))  # a kill may come before the new one is the last
        save = next((each for each in saves if (each / "state.pt").exists()), None)
        if save is None:
            return False
        load_adapter(self.model, save)
        state = torch.load(save / "state.pt", weights_only=True)
        self.ring.__dict__.update(state["ring"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.smooth, self.decided = state["step"], state["smooth"], state["decided"]
        return True


def prepare(
    speech: Path, data: AdapterData, chat: ChatFormat, model: VardaLlamaAssociative, output: Path,
    config: AdapterConfig, *, base_name: dict[str, str], encoder: Callable[[list[str]], Tensor],
    say: Callable[[str], None] = print,
) -> AdapterTrainer:  # fmt: skip
    """A trainer of ``model``, which speaks as the LoRA weights in ``speech`` do: new, or as its last save left it.
    ``encoder``: unit vectors of texts, that addresses follow."""
    output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    spoken = json.loads((speech / LORA_CONFIG).read_text(encoding="utf-8"))
    add_lora(model, spoken["r"], spoken["lora_alpha"])
    load_lora(model, speech)
    data.builder.talkative = config.talkative
    trainer = AdapterTrainer(model, chat, data, config, output, base_name, say)
    resumed = trainer.resume()
    if not resumed:
        trainer.standardise()
    trainer.read_lines(encoder)
    trainer.read_people()
    if resumed:
        say(f"Resumed at step {trainer.step}.")
    else:
        trainer.learn_addresses()
    return trainer
