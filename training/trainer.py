"""The training loop: steps, validations, saves and exact resume; on one process or several."""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from rich.console import Console
from safetensors.torch import load_model, save_model

from training.checkpointing import Saves, write_whole
from training.config import TrainConfig
from training.data.mixture import Data
from training.display import view_of
from training.gradients import Gradients
from training.interrupts import interrupts, out_of_memory
from training.launch import make_accelerator
from training.metrics import Metrics
from training.optimizer import DELETE_HEADS, MEMORY_PARTS, parameter_groups, schedule
from training.process_group import ProcessGroup
from training.validation import Validation, validate
from varda_chat.errors import VardaError
from varda_chat.models import VardaGPTAssociative

BEST = "best.safetensors"
LOG_EVERY = 20
"""Steps between two lines of the run's metrics."""
SMOOTHING = 0.95
_COUNTS = ("hits", "sought", "stored", "tokens")


class Trainer:
    """Trains ``model`` on ``data`` and keeps its state in ``output_dir``."""

    def __init__(
        self,
        model: VardaGPTAssociative,
        data: Data,
        config: TrainConfig,
        output_dir: Path,
        console: Console,
        accelerator: Accelerator | None = None,
    ) -> None:
        self.config, self.data, self.output_dir, self.console = config, data, output_dir, console
        self.accelerator = accelerator or make_accelerator(config, output_dir)
        self.group = ProcessGroup(self.accelerator.process_index, self.accelerator.num_processes)
        # not wrapped to exchange gradients in backward: losses are shared by their weights, and gradients summed once
        self.model: VardaGPTAssociative = self.accelerator.prepare_model(model, evaluation_mode=True)
        self.group.broadcast(tensor for tensor in self.model.state_dict().values())
        if self.group.process:
            torch.manual_seed(config.seed + self.group.process)  # dropout of its own
        optimizer = torch.optim.AdamW(parameter_groups(self.model, config), betas=config.betas, fused=True)
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: schedule(step, config.max_steps, config.warmup_steps)
        )
        self.optimizer, self.scheduler = self.accelerator.prepare(optimizer, scheduler)
        self.gradients = Gradients(self.model, data, config, self.accelerator, self.group)
        self.accelerator.register_for_checkpointing(self.gradients.talk_negatives, self.gradients.fact_negatives)
        self.saves = Saves(output_dir)
        self.step = 0
        self.elapsed = 0.0
        self.best: float | None = None
        self.waited = 0
        self.smooth: dict[str, float] = {}
        self.metrics = Metrics(output_dir, self.accelerator)

    # one step

    def train_step(self) -> dict[str, float]:
        """One optimizer step on this step's dialogue rows and fact episodes; returns its loss terms, and the shares of
        tokens stored and of sought vectors found. Raises VardaError where the loss is no number any more, or memory is
        used up; the model is then as after the step before."""
        config = self.config
        learning: str | tuple[str, ...] = ""
        if config.delete_heads_only:
            learning = DELETE_HEADS
        elif self.step < config.frozen_base_steps:
            learning = MEMORY_PARTS
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name.startswith(learning))
        try:
            terms = self.gradients_of_step()
            norm = self.accelerator.clip_grad_norm_(self.model.parameters(), config.clip)
            if not math.isfinite(terms["loss"]):
                raise self._lost(f"The loss became {terms['loss']}")
            # half precision's scaler leaves out a step whose gradients are too large
            if config.mixed_precision != "fp16" and norm is not None and not math.isfinite(float(norm)):
                raise self._lost(f"The gradients became {float(norm)}")
            self.optimizer.step()
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            raise VardaError(self._too_large()) from error
        self.scheduler.step()
        self.optimizer.zero_grad()
        self.step += 1
        return terms

    def gradients_of_step(self) -> dict[str, float]:
        """The step's gradients, summed over batches and processes; returns its terms."""
        parts = self.config.gradient_accumulation_steps
        batches = [self.gradients.add(self.step * parts + part, self.step) for part in range(parts)]
        self.group.sum_gradients(self.model.parameters())
        names = list(batches[0])
        mean = torch.stack([torch.stack([batch[name] for name in names]) for batch in batches]).mean(dim=0)
        terms = dict(zip(names, self.group.sum(mean).tolist(), strict=True))
        hits, sought, stored, tokens = (terms.pop(name) for name in _COUNTS)
        return terms | {"retrieval_hits": hits / max(1, sought), "store_rate": stored / max(1, tokens)}

    def _lost(self, what: str) -> VardaError:
        """The error to raise where numbers have run away; a save of the weights that they come from is dropped."""
        kept = self.group.broadcast_object(self.saves.drop(self.step) if self.accelerator.is_main_process else None)
        how_to_resume = (
            "Nothing was saved yet; start again with a lower --learning-rate."
            if kept is None
            else f"The last good state, of step {kept}, is kept: resume it with --resume and a lower "
            f"--learning-rate than {self.config.learning_rate:g}."
        )
        return VardaError(f"{what} at step {self.step}. {how_to_resume}")

    def _too_large(self) -> str:
        where = "The GPU's memory" if self.accelerator.device.type == "cuda" else "Memory"
        kept = self.saves.kept_step()
        saved = "nothing was saved yet" if kept is None else f"the state of step {kept} is kept for --resume"
        return (
            f"{where} is used up at step {self.step}; {saved}. A step needs less with a smaller --batch-size (and more "
            "--gradient-accumulation-steps in its place), --question-pairs or --preset; that is a new run."
        )

    # the run

    def validate(self) -> Validation:
        """What the first process finds on held-out text; all have it."""
        found = None
        if self.accelerator.is_main_process:
            found = validate(self.model, self.data, self.config, self.accelerator)
        answer: Validation = self.group.broadcast_object(found)
        return answer

    def run(self) -> Validation:
        """Train to ``max_steps`` or the end of ``patience``, validating and saving on the way; Ctrl+C saves and stops
        after the step at hand."""
        config = self.config
        self.output_dir.mkdir(parents=True, exist_ok=True)
        self.metrics.begin(self.step)
        last: Validation | None = None
        started = time.monotonic() - self.elapsed
        epoch = self.data.steps_per_epoch
        self.model.train()
        with (
            view_of(self.console, config.max_steps, epoch, self.step) as view,
            interrupts(patient=self.group.processes > 1) as interrupted,
        ):
            while self.step < config.max_steps and not self._out_of_patience:
                before = time.monotonic()
                terms = self.train_step()
                rate = config.tokens_per_step / (time.monotonic() - before)
                self.elapsed = time.monotonic() - started
                self.smooth = {k: SMOOTHING * self.smooth.get(k, v) + (1 - SMOOTHING) * v for k, v in terms.items()}
                figures = {**self.smooth, "tokens_per_second": rate}
                view.show(self.step, figures)
                if self.step % LOG_EVERY == 0:
                    self.metrics.log(self._record(figures))
                done = self.step == config.max_steps
                epoch_ends = int(self.step / epoch) > int((self.step - 1) / epoch)
                if self.step % config.validate_every == 0 or epoch_ends or done:
                    last = self.validate()
                    view.report(self._validated(last))
                    done = done or self._is_over(last)
                stop = self.group.broadcast_object(interrupted())
                if self.step % config.save_every == 0 or done or stop:
                    self.save()
                if done:
                    break
                if stop:
                    self.console.print(
                        f"Stopped at step {self.step} of {config.max_steps}; saved. Resume with: "
                        f"varda-train --resume {'' if config.datasets else '--data-dir DATA '}"
                        f"--output-dir {self.output_dir}"
                    )
                    raise KeyboardInterrupt
        if self.best is not None:
            load_model(self.model, str(self.output_dir / BEST))
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
                write_whole(self.output_dir / BEST, lambda path: save_model(self.model, str(path)))
            self.accelerator.wait_for_everyone()
            return False
        self.waited += 1
        if not self._out_of_patience:
            return False
        self.console.print(f"No better validation in {self.waited}; stopped at step {self.step} with the best weights.")
        return True

    @property
    def _out_of_patience(self) -> bool:
        return self.config.patience is not None and self.waited >= self.config.patience

    # what is written

    def _record(self, figures: dict[str, float]) -> dict[str, Any]:
        rate = round(figures["tokens_per_second"])
        rounded = {name: round(value, 4) for name, value in figures.items()} | {"tokens_per_second": rate}
        return {"step": self.step, "seconds": round(self.elapsed, 1), **rounded}

    def _validated(self, figures: Validation) -> dict[str, Any]:
        """Log what training and validation gave."""
        record = {
            "step": self.step,
            "epoch": round(self.step / self.data.steps_per_epoch, 3),
            "training_loss": round(self.smooth["loss"], 4),
            "validation": asdict(figures),
            "seconds": round(self.elapsed, 1),
        }
        self.metrics.log(record)
        return record

    def save(self) -> None:
        """Save the run's state, in place of the one before only when it is whole."""
        if self.accelerator.is_main_process:
            self.saves.begin()
        self.accelerator.wait_for_everyone()
        self.accelerator.save_state(str(self.saves.fresh))
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            self.saves.finish(
                {
                    "step": self.step, "elapsed": self.elapsed, "best": self.best, "waited": self.waited,
                    "smooth": self.smooth, "config": asdict(self.config),
                }
            )  # fmt: skip
        self.accelerator.wait_for_everyone()

    def resume(self) -> None:
        """Resume from the newest whole save, as if the run had never stopped; at another learning rate, if the settings
        say so. Raises DataError where there is none."""
        for line in self.group.broadcast_object(self.saves.settle() if self.accelerator.is_main_process else None):
            self.console.print(line)
        state = self.saves.state()
        self.accelerator.load_state(str(self.saves.newest()))
        self.step, self.elapsed = state["step"], state["elapsed"]
        self.best, self.waited = state.get("best"), state.get("waited", 0)
        self.smooth = state.get("smooth", {})
        if state["config"]["learning_rate"] != self.config.learning_rate:
            self._change_rate()
        self.console.print(f"Resumed at step {self.step} of {self.config.max_steps}.")

    def _change_rate(self) -> None:
        """Take the settings' learning rate in place of the saved one, at its place in the schedule."""
        rates = [group["lr"] for group in parameter_groups(self.model, self.config)]
        self.scheduler.scheduler.base_lrs = rates
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            factor = schedule(self.step, self.config.max_steps, self.config.warmup_steps)
            group["initial_lr"], group["lr"] = rate, rate * factor
