"""Validation: losses on held-out dialogue, and what the memory gives on held-out episodes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from accelerate import Accelerator

from training.calibration import delete_counts, opened_deletes
from training.config import TrainConfig
from training.data.episodes import EpisodeArrays
from training.data.mixture import Data
from training.episodes.batch import Batch
from training.losses.language_model import value_hits
from training.losses.objective import episode_losses
from varda_chat.models import VardaGPTAssociative

ROWS, EPISODES = 12, 16
"""Rows and episodes that are read at once."""


@dataclass(frozen=True)
class Validation:
    """Figures of one validation: losses a token, and shares of spoken values that are right, teacher-forced."""

    loss: float
    facts_loss: float
    values_soft: float
    values_hard: float
    values_without: float
    deleted: float
    deleted_wrongly: float
    store_rate: float


@torch.no_grad()
def validate(model: VardaGPTAssociative, data: Data, config: TrainConfig, accelerator: Accelerator) -> Validation:
    """Read the held-out rows, and the held-out episodes without memory and with it, its stores soft and hard. The same
    each time; ``model`` is in training mode afterwards."""
    model.eval()
    generator = torch.Generator().manual_seed(config.seed)

    def batch(arrays: EpisodeArrays) -> Batch:
        return Batch.of(arrays, model.config.n_positions, generator, accelerator.device)

    talk, facts = [], []
    hits = {"soft": [0, 0], "hard": [0, 0], "without": [0, 0]}
    deletes = [0, 0, 0, 0]
    stored = tokens = 0
    rows = data.validation_rows
    for start in range(0, len(rows.ids), ROWS):
        with accelerator.autocast():
            losses = episode_losses(
                model, batch(rows.part(start, start + ROWS)), config.weights, use_memory=config.use_memory
            )
        talk.append(float(losses.language_model))
    episodes = data.validation_facts
    for start in range(0, len(episodes.ids), EPISODES):
        part = batch(episodes.part(start, start + EPISODES))
        for how in ("without", "soft", "hard"):
            with accelerator.autocast():
                losses = episode_losses(
                    model, part, config.weights, hard_gates=how == "hard", use_memory=how != "without"
                )
            right, total = value_hits(losses.output, part)
            hits[how][0] += right
            hits[how][1] += total
        facts.append(float(losses.language_model))
        assert losses.output.store_decision is not None
        if losses.delete_probability is not None:  # None where nothing was told
            opened = opened_deletes(
                losses.delete_probability, part, model.config.delete_threshold, model.config.delete_share
            )
            deletes = [total + count for total, count in zip(deletes, delete_counts(opened, part), strict=True)]
        gate = losses.output.store_decision.flatten().sigmoid() > model.config.store_threshold
        valid = part.valid.flatten()
        stored += int((gate & valid).sum())
        tokens += int(valid.sum())
    model.train()
    deleted, obsolete, wrongly, kept = deletes
    return Validation(
        loss=sum(talk) / len(talk),
        facts_loss=sum(facts) / len(facts),
        **{f"values_{how}": right / max(1, total) for how, (right, total) in hits.items()},
        deleted=deleted / max(1, obsolete),
        deleted_wrongly=wrongly / max(1, kept),
        store_rate=stored / max(1, tokens),
    )
