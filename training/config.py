"""What a training run is: sizes of fresh models (presets), data, objective and schedule, as frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Preset:
    """A fresh model's size and the schedule that suits it."""

    vocab_size: int
    n_positions: int
    n_embd: int
    n_layer: int
    n_head: int
    memory_dim: int
    learning_rate: float
    fact_episodes: int
    dialogue_rows: int
    max_steps: int
    sessions: int = 4
    session_length: int = 96
    row_length: int = 256

    def model_arguments(self) -> dict[str, Any]:
        names = ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head", "memory_dim")
        return {name: getattr(self, name) for name in names}


PRESETS: dict[str, Preset] = {
    # for tests and for trying the command out: minutes
    "nano": Preset(1024, 256, 64, 2, 4, 32, 3e-3, 8, 2, 300, sessions=3, session_length=64, row_length=128),
    # the bundled model: an hour or two on two CPU cores
    "mini": Preset(4096, 384, 256, 5, 4, 128, 1e-3, 6, 16, 4000),
    # for one GPU
    "small": Preset(16384, 512, 512, 8, 8, 256, 6e-4, 64, 64, 20000),
}


@dataclass(frozen=True)
class ObjectiveWeights:
    """Weights of the loss terms beside the language model's 1."""

    retrieval: float = 0.5
    read_out: float = 0.3
    store: float = 0.3
    delete: float = 0.3


@dataclass(frozen=True)
class TrainConfig:
    """One training run. Everything that shapes its result is here and is saved with its checkpoints."""

    preset: str
    learning_rate: float
    max_steps: int
    fact_episodes: int
    dialogue_rows: int
    sessions: int
    session_length: int
    row_length: int
    seed: int = 0
    warmup_steps: int = 100
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    max_distractors: int = 768
    distractors_from: float = 0.1
    distractors_full: float = 0.5
    hard_from: float = 0.36
    mixed_precision: str = "bf16"
    save_every: int = 250
    validate_every: int = 500
    weights: ObjectiveWeights = field(default_factory=ObjectiveWeights)
