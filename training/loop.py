"""The training loop: accelerate for device and precision, validation tables, checkpoints and exact resume."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from safetensors.torch import load_model, save_model

from training.bank import BANK_PER_STEP, VectorBank
from training.calibrate import delete_counts, opened_deletes
from training.config import TrainConfig
from training.data.episodes import EpisodeArrays
from training.data.prepare import Data
from training.display import Validation, interrupts, validation_table
from training.matching import matching_losses
from training.objective import Batch, Distractors, Losses, episode_losses, value_hits
from varda_chat.errors import DataError, VardaError
from varda_chat.model import VardaGPTAssociative

BEST = "best.safetensors"


def schedule(config: TrainConfig, step: int) -> float:
    """Learning rate's factor: linear warm-up, then a cosine down to a twentieth."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.max_steps - config.warmup_steps)
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def parameter_groups(model: VardaGPTAssociative, config: TrainConfig) -> list[dict[str, Any]]:
    """The optimizer's groups: matrices decay, what has fewer dimensions does not; the memory's parts learn faster."""
    groups = []
    for of_memory in (False, True):
        for decays in (False, True):
            parameters = [
                parameter
                for name, parameter in model.named_parameters()
                if name.startswith("memory_") == of_memory and (parameter.ndim >= 2) == decays
            ]
            rate = config.learning_rate * (config.memory_rate if of_memory else 1.0)
            groups.append({"params": parameters, "lr": rate, "weight_decay": config.weight_decay if decays else 0.0})
    return groups


class Trainer:
    """Trains ``model`` on ``data`` and keeps its state in ``output_dir/last``."""

    def __init__(self, model: VardaGPTAssociative, data: Data, config: TrainConfig, output_dir: Path, console: Console):
        self.config, self.data, self.output_dir, self.console = config, data, output_dir, console
        self.accelerator = Accelerator(mixed_precision=config.mixed_precision)
        optimizer = torch.optim.AdamW(
            parameter_groups(model, config),
            betas=config.betas,
            fused=True,
        )
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: schedule(config, step))
        self.model, self.optimizer, self.scheduler = self.accelerator.prepare(model, optimizer, scheduler)
        self.bare: VardaGPTAssociative = self.accelerator.unwrap_model(self.model)
        # what other memories hold: real talk, and other people's facts
        self.talk_bank = VectorBank(model.config.memory_dim, self.accelerator.device)
        self.fact_bank = VectorBank(model.config.memory_dim, self.accelerator.device)
        self.accelerator.register_for_checkpointing(self.talk_bank, self.fact_bank)
        self.step = 0
        self.elapsed = 0.0
        self.best: float | None = None
        self.waited = 0
        self.metrics_path = output_dir / "metrics.jsonl"

    # one step

    def train_step(self) -> dict[str, float]:
        """One optimizer step on this step's dialogue rows and fact episodes; returns its loss terms."""
        config = self.config
        frozen = self.step < config.frozen_base_steps
        for name, parameter in self.bare.named_parameters():
            parameter.requires_grad_(not frozen or name.startswith("memory_"))
        parts = config.gradient_accumulation_steps
        batches = [self._accumulate(self.step * parts + part) for part in range(parts)]
        terms = {name: sum(batch[name] for batch in batches) / parts for name in batches[0]}
        if not math.isfinite(terms["loss"]):
            raise VardaError(
                f"The loss became {terms['loss']} at step {self.step}. The last good checkpoint is "
                f"{self.output_dir / 'last'}; start a new run with a lower --learning-rate, or go on with --resume."
            )
        self.accelerator.clip_grad_norm_(self.model.parameters(), config.clip)
        self.optimizer.step()
        self.scheduler.step()
        self.optimizer.zero_grad()
        self.step += 1
        return terms

    def _accumulate(self, number: int) -> dict[str, float]:
        """Add the gradients of the run's batch ``number``; returns its loss terms."""
        config, progress = self.config, self.step / self.config.max_steps
        generator = torch.Generator().manual_seed((config.seed << 32) + number)
        process, processes = self.accelerator.process_index, self.accelerator.num_processes
        talk = self._batch(self.data.rows(number, process, processes), generator)
        facts = self._batch(self.data.facts(number, process), generator)
        # what is in memory beside the episode's own: few vectors first, then many
        share = (progress - config.distractors_from) / (config.distractors_full - config.distractors_from)
        count = int(config.max_distractors * min(1.0, max(0.0, share))) if number % config.without_distractors else 0
        distractors = self._distractors(count, generator)
        # later on, two steps of three read what the store decisions leave, as in chat; the third keeps them soft
        hard = progress >= config.hard_from and self.step % 3 != 0
        weight = 0.5 / config.gradient_accumulation_steps
        with self.accelerator.autocast():
            of_talk = self._losses(talk, distractors, hard)
        self._backward(of_talk, weight)
        self._remember_talk(of_talk, talk)
        matching, deleting = self._match(number, generator)
        with self.accelerator.autocast():
            of_facts = self._losses(facts, distractors, hard)
        self._backward(of_facts, weight)
        self._remember_facts(of_facts, facts)
        return {
            "loss": float((of_talk.total + of_facts.total).detach()) / 2,
            "talk": float(of_talk.language_model.detach()),
            "facts": float(of_facts.language_model.detach()),
            "retrieval": float(of_facts.retrieval.detach()),
            "read_out": float(of_facts.read_out.detach()),
            "store": float(of_facts.store.detach()),
            "delete": float(of_facts.delete.detach()),
            "matching": matching,
            "pair_deletes": deleting,
        }

    def _match(self, number: int, generator: torch.Generator) -> tuple[float, float]:
        """Add the gradients of the losses on pairs; returns those of reading and deleting. Not through the model as a
        launcher wrapped it, so the gradients are exchanged with those of the next losses."""
        config = self.config
        if not config.question_pairs or not config.use_memory:
            return 0.0, 0.0
        pairs = self.data.pairs(number, self.accelerator.process_index)
        with self.accelerator.no_sync(self.model):
            with self.accelerator.autocast():
                reading, deleting = matching_losses(self.bare, pairs, generator)
                loss = config.weights.matching * reading + config.weights.delete * deleting
            self.accelerator.backward(loss / config.gradient_accumulation_steps)
        return float(reading.detach()), float(deleting.detach())

    def _backward(self, losses: Losses, weight: float) -> None:
        if losses.total.requires_grad:  # a frozen plain model has nothing to learn
            self.accelerator.backward(losses.total * weight)

    def _losses(self, batch: Batch, distractors: Distractors | None, hard_gates: bool) -> Losses:
        config = self.config
        return episode_losses(
            self.model,
            batch,
            config.weights,
            distractors=distractors,
            hard_gates=hard_gates,
            use_memory=config.use_memory,
        )

    def _batch(self, arrays: EpisodeArrays, generator: torch.Generator) -> Batch:
        return Batch.of(arrays, self.bare.config.n_positions, generator, self.accelerator.device)

    def _distractors(self, count: int, generator: torch.Generator) -> Distractors | None:
        """``count`` vectors, as many of real talk as of facts, in random order; None for none."""
        drawn = [bank.sample(count // 2, generator) for bank in (self.talk_bank, self.fact_bank)]
        order = torch.randperm(sum(len(d.tokens) for d in drawn), generator=generator).to(self.accelerator.device)
        if not len(order):
            return None
        return Distractors(*(torch.cat(parts)[order] for parts in zip(*map(astuple, drawn), strict=True)))

    @torch.no_grad()
    def _remember_facts(self, of_facts: Losses, facts: Batch) -> None:
        """Put some vectors of told values into their bank, with what they are about."""
        output = of_facts.output
        assert output.storable_vector is not None
        told = ((facts.statement >= 0) & (facts.store_label == 1)).flatten()
        topic = facts.topic.gather(1, facts.statement.flatten(1).clamp_min(0).long()).flatten()
        chosen = (told & (topic >= 0)).nonzero().squeeze(1)[: 2 * BANK_PER_STEP]
        self.fact_bank.add(
            output.storable_vector.flatten(0, 1)[chosen].float(), facts.ids.flatten()[chosen], topic[chosen].int()
        )

    @torch.no_grad()
    def _remember_talk(self, of_talk: Losses, talk: Batch) -> None:
        """Put the vectors of real talk that are likeliest to be stored into the bank."""
        output = of_talk.output
        assert output.storable_vector is not None and output.store_decision is not None
        gate = output.store_decision.flatten().masked_fill(talk.turn.flatten() < 0, -1e4)
        best = gate.topk(min(BANK_PER_STEP, gate.numel())).indices
        self.talk_bank.add(output.storable_vector.flatten(0, 1)[best], talk.ids.flatten()[best])

    # validation

    @torch.no_grad()
    def validate(self) -> Validation:
        """Losses on held-out dialogue, and the memory's figures on held-out episodes, soft and hard."""
        self.model.eval()
        generator = torch.Generator().manual_seed(self.config.seed)
        talk, facts = [], []
        hits = {"soft": [0, 0], "hard": [0, 0], "without": [0, 0]}
        deletes = [0, 0, 0, 0]
        stored = tokens = 0
        rows = self.data.validation_rows
        for start in range(0, len(rows.ids), 12):
            with self.accelerator.autocast():
                losses = self._losses(self._batch(rows.part(start, start + 12), generator), None, False)
            talk.append(float(losses.language_model))
        episodes = self.data.validation_facts
        for start in range(0, len(episodes.ids), 16):
            batch = self._batch(episodes.part(start, start + 16), generator)
            for how in ("without", "soft", "hard"):
                with self.accelerator.autocast():
                    losses = episode_losses(
                        self.model, batch, self.config.weights, hard_gates=how == "hard", use_memory=how != "without"
                    )
                right, total = value_hits(losses.output, batch)
                hits[how][0] += right
                hits[how][1] += total
            facts.append(float(losses.language_model))
            assert losses.output.store_decision is not None
            if losses.delete_probability is not None:  # None where nothing was told
                config = self.bare.config
                opened = opened_deletes(losses.delete_probability, batch, config.delete_threshold, config.delete_share)
                counts = delete_counts(opened, batch)
                deletes = [total + count for total, count in zip(deletes, counts, strict=True)]
            gate = losses.output.store_decision.flatten().sigmoid() > self.bare.config.store_threshold
            valid = batch.valid.flatten()
            stored += int((gate & valid).sum())
            tokens += int(valid.sum())
        self.model.train()
        deleted, obsolete, wrongly, kept = deletes
        return Validation(
            loss=sum(talk) / len(talk),
            facts_loss=sum(facts) / len(facts),
            **{f"values_{how}": right / max(1, total) for how, (right, total) in hits.items()},
            deleted=deleted / max(1, obsolete),
            deleted_wrongly=wrongly / max(1, kept),
            store_rate=stored / max(1, tokens),
        )

    # the run

    def run(self) -> Validation:
        """Train to ``max_steps``, validating and saving on the way; Ctrl+C saves and stops after the step at hand."""
        config = self.config
        self.output_dir.mkdir(parents=True, exist_ok=True)
        last: Validation | None = None
        started = time.monotonic() - self.elapsed
        smooth: dict[str, float] = {}
        epoch = self.data.steps_per_epoch
        self.model.train()
        with self._progress() as (progress, task), interrupts() as interrupted:
            while self.step < config.max_steps:
                before = time.monotonic()
                terms = self.train_step()
                seconds = time.monotonic() - before
                self.elapsed = time.monotonic() - started
                smooth = {k: 0.95 * smooth.get(k, v) + 0.05 * v for k, v in terms.items()}
                rate = self._tokens_per_step() / seconds
                progress.update(task, completed=self.step, loss=smooth["loss"], rate=rate)
                if self.step % 20 == 0:
                    self._log({"step": self.step, "seconds": round(self.elapsed, 1), "tokens_per_second": round(rate),
                               **{k: round(v, 4) for k, v in smooth.items()}})  # fmt: skip
                done = self.step == config.max_steps
                epoch_ends = int(self.step / epoch) > int((self.step - 1) / epoch)
                if self.step % config.validate_every == 0 or epoch_ends or done:
                    last = self.validate()
                    self._report(smooth["loss"], last)
                    if self._is_over(last):
                        self.save()
                        break
                if self.step % config.save_every == 0 or done:
                    self.save()
                if interrupted():
                    self.save()
                    self.console.print(
                        f"Stopped at step {self.step} of {config.max_steps}; saved. Go on with: "
                        f"varda-train --resume --data-dir DATA --output-dir {self.output_dir}"
                    )
                    raise KeyboardInterrupt
        if self.best is not None:
            load_model(self.bare, str(self.output_dir / BEST))
            return self.validate()
        return last if last is not None else self.validate()

    def _is_over(self, found: Validation) -> bool:
        """Keep the weights where they are the best so far; whether patience has ended (without ``patience``: never)."""
        if self.config.patience is None:
            return False
        score = found.loss + found.facts_loss
        if self.best is None or score < self.best:
            self.best, self.waited = score, 0
            if self.accelerator.is_main_process:
                save_model(self.bare, str(self.output_dir / BEST))
            return False
        self.waited += 1
        if self.waited < self.config.patience:
            return False
        self.console.print(f"No better validation in {self.waited}; stopped at step {self.step} with the best weights.")
        return True

    def _tokens_per_step(self) -> int:
        config = self.config
        per_process = (
            config.fact_episodes + config.multi_session_episodes
        ) * config.episode_length + config.dialogue_rows * config.row_length
        per_process *= config.gradient_accumulation_steps
        return per_process * self.accelerator.num_processes

    @contextlib.contextmanager
    def _progress(self) -> Iterator[tuple[Progress, Any]]:
        columns = (
            TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("loss {task.fields[loss]:.3f}"),
            TextColumn("{task.fields[rate]:,.0f} tokens/s"), TimeElapsedColumn(), TimeRemainingColumn(),
        )  # fmt: skip
        with Progress(*columns, console=self.console, disable=not self.accelerator.is_main_process) as progress:
            yield progress, progress.add_task("", total=self.config.max_steps, completed=self.step, loss=0.0, rate=0.0)

    def _log(self, record: dict[str, Any]) -> None:
        if self.accelerator.is_main_process:
            with self.metrics_path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")

    def _report(self, training_loss: float, figures: Validation) -> None:
        """Log what training and validation gave, and show it as a row of the run's table."""
        record = {
            "step": self.step,
            "epoch": round(self.step / self.data.steps_per_epoch, 3),
            "training_loss": round(training_loss, 4),
            "validation": asdict(figures),
            "seconds": round(self.elapsed, 1),
        }
        self._log(record)
        if self.accelerator.is_main_process:
            self.console.print(validation_table([record]))

    def report_run(self) -> None:
        """Show the table of the whole run, what came before a resume too."""
        if self.accelerator.is_main_process:
            lines = self.metrics_path.read_text(encoding="utf-8").splitlines()
            records = [record for record in map(json.loads, lines) if "validation" in record]
            self.console.print(validation_table(records))

    # checkpoints

    def save(self) -> None:
        """Write the run's state to ``last``, in place of the one before only when it is complete."""
        target, fresh = self.output_dir / "last", self.output_dir / "last.new"
        if self.accelerator.is_main_process:
            shutil.rmtree(fresh, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        self.accelerator.save_state(str(fresh))
        if self.accelerator.is_main_process:
            state = {
                "step": self.step, "elapsed": self.elapsed, "best": self.best, "waited": self.waited,
                "config": asdict(self.config),
            }  # fmt: skip
            (fresh / "run.json").write_text(json.dumps(state, indent=1), encoding="utf-8")
            old = self.output_dir / "last.old"
            shutil.rmtree(old, ignore_errors=True)
            if target.exists():
                target.rename(old)
            fresh.rename(target)
            shutil.rmtree(old, ignore_errors=True)
        self.accelerator.wait_for_everyone()

    def resume(self) -> None:
        """Go on from ``last`` (or ``last.old``, if a kill came between two renames)."""
        for name in ("last", "last.old"):
            folder = self.output_dir / name
            if (folder / "run.json").exists():
                state = json.loads((folder / "run.json").read_text(encoding="utf-8"))
                self.accelerator.load_state(str(folder))
                self.step, self.elapsed = state["step"], state["elapsed"]
                self.best, self.waited = state.get("best"), state.get("waited", 0)
                self.console.print(f"Resumed at step {self.step} of {self.config.max_steps}.")
                return
        raise DataError(f"Nothing to resume in {self.output_dir}: it holds no saved run.")
