"""Ablations: small models trained alike but for one part, measured on the same held-out episodes and dialogues.

``python -m training.benchmarks.ablations --data-dir DATA`` prints the table; minutes a row on two CPU cores. Same data,
order, seed and steps for all; the plain twin is the same model trained without a memory. Figures are teacher-forced: a
value is right where each of its tokens is the first choice.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import torch
from rich.console import Console
from rich.table import Table

from training.config import ObjectiveWeights, TrainConfig
from training.data.mixture import Data, fresh_tokenizer, load_dialogues, prepare
from training.episodes.batch import Batch
from training.losses.language_model import value_hits
from training.losses.objective import episode_losses
from training.quiet import quiet_libraries
from training.run import config_of, fresh_model
from training.trainer import Trainer
from varda_chat.errors import VardaError
from varda_chat.models import VardaGPTAssociative
from varda_chat.models.chat_format import ChatFormat
from varda_chat.models.results import EmptyMemory

SIZES: dict[str, Any] = {"n_positions": 384, "n_embd": 128, "n_layer": 4, "n_head": 4, "memory_dim": 64}
VOCABULARY = 4096
RUN: dict[str, Any] = {
    "fact_episodes": 10, "multi_session_episodes": 0, "dialogue_rows": 4, "question_pairs": 64,
    "episode_length": 384, "row_length": 192, "learning_rate": 1.5e-3,
    "warmup_steps": 50, "hard_from": 0.5, "max_distractors": 512,
}  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """A model to train: what differs from the whole one in its configuration, its objective, and whether it reads."""

    name: str
    model: dict[str, Any] = field(default_factory=dict)
    weights: ObjectiveWeights = field(default_factory=ObjectiveWeights)
    use_memory: bool = True


VARIANTS = (
    Variant("all parts"),
    Variant("without retrieval loss", weights=ObjectiveWeights(retrieval=0.0)),
    Variant("without matching loss", weights=ObjectiveWeights(matching=0.0)),
    Variant("without read-out loss", weights=ObjectiveWeights(read_out=0.0)),
    Variant("memory read at the input (the original's place)", {"memory_layer": 0, "store_layer": 0}),
    Variant("vectors without their statement", {"store_statement_state": False}),
    Variant("copies are not followed", {"follow_copies": False}),
    Variant("without copying", {"copy_results": False}),
    Variant("plain GPT-2 twin", use_memory=False),
)


@dataclass(frozen=True)
class Row:
    """A variant's figures. values: shares of asked values that are right, with stores by the gates, with every token
    stored, and without memory. perplexity: of ordinary dialogue, reading EmptyMemory (the twin: none). stored: share
    of tokens."""

    name: str
    values: float
    values_all_stored: float
    values_without: float
    perplexity: float
    stored: float
    seconds: float


def measure_ablations(data_dir: Path, steps: int, seed: int, only: str | None, on_row: Callable[[Row], None]) -> None:
    """Train and measure the variants (those whose name contains ``only``), each given to ``on_row`` when it is done."""
    config = replace(config_of("mini", {**RUN, "seed": seed, "max_steps": steps}), validate_every=steps + 1)
    training, validation = load_dialogues(data_dir)
    chat = ChatFormat(fresh_tokenizer(training, VOCABULARY, seed))
    data = prepare(config, chat, training, validation)
    for variant in VARIANTS:
        if only is None or only in variant.name:
            on_row(_row(variant, config, data, chat))


def _row(variant: Variant, config: TrainConfig, data: Data, chat: ChatFormat) -> Row:
    config = replace(config, weights=variant.weights, use_memory=variant.use_memory)
    torch.manual_seed(config.seed)
    model = fresh_model("mini", chat, SIZES | variant.model)
    with tempfile.TemporaryDirectory(prefix="varda-ablation-") as directory:
        trainer = Trainer(model, data, config, Path(directory), Console(quiet=True))
        while trainer.step < config.max_steps:
            before = time.monotonic()
            trainer.train_step()
            trainer.elapsed += time.monotonic() - before
    trained: VardaGPTAssociative = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False).eval()
    chosen = _values(trained, data, store_threshold=0.5) if variant.use_memory else (0.0, 0.0)
    everything = _values(trained, data, store_threshold=0.0)[0] if variant.use_memory else 0.0
    without = _values(trained, data, store_threshold=None)[0]
    perplexity = _perplexity(trained, data, EmptyMemory() if variant.use_memory else None)
    return Row(variant.name, chosen[0], everything, without, perplexity, chosen[1], trainer.elapsed)


@torch.no_grad()
def _values(model: VardaGPTAssociative, data: Data, store_threshold: float | None) -> tuple[float, float]:
    """Share of values right, and of tokens stored; a threshold of None leaves the memory out."""
    model.config.store_threshold = 0.5 if store_threshold is None else store_threshold
    right = total = stored = tokens = 0
    for start in range(0, len(data.validation_facts.ids), 16):
        part = data.validation_facts.part(start, start + 16)
        batch = Batch.of(part, model.config.n_positions, torch.Generator().manual_seed(start), model.device)
        losses = episode_losses(
            model, batch, data.config.weights, hard_gates=True, use_memory=store_threshold is not None
        )
        hits = value_hits(losses.output, batch)
        right, total = right + hits[0], total + hits[1]
        assert losses.output.store_decision is not None
        opened = losses.output.store_decision.flatten().sigmoid() > model.config.store_threshold
        stored += int((opened & batch.valid.flatten()).sum())
        tokens += int(batch.valid.sum())
    return right / max(1, total), stored / max(1, tokens)


@torch.no_grad()
def _perplexity(model: VardaGPTAssociative, data: Data, memory: EmptyMemory | None) -> float:
    """Of held-out ordinary dialogue, a token, reading ``memory``."""
    rows = data.validation_rows
    nats, weight = 0.0, 0.0
    for start in range(0, len(rows.ids), 12):
        ids = torch.from_numpy(rows.ids[start : start + 12, 0])
        counted = torch.from_numpy(rows.target_weight[start : start + 12, 0])[:, :-1]
        logits = model(ids.to(model.device), memory=memory, use_cache=False).logits[:, :-1].float().cpu()
        losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
        nats += float((losses.view(counted.shape) * counted).sum())
        weight += float(counted.sum())
    return math.exp(nats / weight)


@click.command()
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), required=True)
@click.option("--steps", type=click.IntRange(min=1), default=500, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--only", default=None, help="Only variants whose name contains this.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a variant.")
def main(data_dir: Path, steps: int, seed: int, only: str | None, as_json: bool) -> None:
    """Train small models that lack one part each, and compare them."""
    table = Table("trained", title=f"Ablations: {SIZES['n_layer']} blocks, width {SIZES['n_embd']}, {steps} steps each")
    for column in ("values right", "every token stored", "no memory", "dialogue perplexity", "tokens stored", "min"):
        table.add_column(column, justify="right")

    def show(row: Row) -> None:
        if as_json:
            click.echo(json.dumps(asdict(row)))
        else:
            click.echo(f"{row.name}: done after {row.seconds / 60:.1f} minutes", err=True)
        table.add_row(
            row.name, f"{row.values:.1%}", f"{row.values_all_stored:.1%}", f"{row.values_without:.1%}",
            f"{row.perplexity:.1f}", f"{row.stored:.1%}", f"{row.seconds / 60:.1f}",
        )  # fmt: skip

    quiet_libraries()
    try:
        measure_ablations(data_dir, steps, seed, only, show)
    except VardaError as error:
        raise click.ClickException(str(error)) from error
    if not as_json:
        Console().print(table)


if __name__ == "__main__":
    main()
