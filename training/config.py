"""What a training run is: sizes of fresh models (presets), data, objective and schedule, as frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

FUSED_GELU = "gelu_pytorch_tanh"
"""GPT-2's "gelu_new" by another name, which PyTorch computes in one kernel."""


@dataclass(frozen=True)
class Preset:
    """A fresh model's size, or the ``base_model`` that is adapted in its place, and the schedule that suits it.
    ``epochs``: in place of ``max_steps``."""

    vocab_size: int
    n_positions: int
    n_embd: int
    n_layer: int
    n_head: int
    memory_dim: int
    learning_rate: float
    fact_episodes: int
    multi_session_episodes: int
    dialogue_rows: int
    question_pairs: int
    max_steps: int
    episode_length: int = 480
    row_length: int = 256
    base_model: str | None = None
    epochs: float | None = None
    forgetfulness_factor: float = 0.0

    def model_arguments(self) -> dict[str, Any]:
        names = ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head", "memory_dim")
        return {name: getattr(self, name) for name in names}


PRESETS: dict[str, Preset] = {
    # for tests and for trying the command out: minutes
    "nano": Preset(1024, 256, 64, 2, 4, 32, 3e-3, 8, 1, 2, 16, 300, episode_length=192, row_length=128),
    # a quarter of an hour on one CPU core: for text, and for comparing
    "micro": Preset(4096, 256, 128, 4, 4, 64, 2e-3, 4, 1, 8, 32, 1500, row_length=256),
    # the bundled model: an hour or two on two CPU cores
    "mini": Preset(4096, 384, 256, 6, 4, 192, 1e-3, 6, 1, 14, 64, 4000),
    # for one GPU
    "small": Preset(16384, 512, 512, 8, 8, 256, 6e-4, 64, 8, 64, 256, 20000),
    # the set-up of the original VardaGPT, by its README: gpt2, one row of text at a time, five passes
    "ancestor": Preset(
        50257, 1024, 768, 12, 12, 768, 1e-4, 1, 0, 1, 16, 20000, 768, 512, "gpt2", epochs=5, forgetfulness_factor=0.001
    ),
}


@dataclass(frozen=True)
class ObjectiveWeights:
    """Weights of the loss terms beside the language model's 1."""

    retrieval: float = 0.5
    read_out: float = 0.3
    store: float = 0.3
    delete: float = 0.3
    matching: float = 1.0


@dataclass(frozen=True)
class TrainConfig:
    """One training run. Everything that shapes its result is here and is saved with its checkpoints.

    fact_episodes, multi_session_episodes, dialogue_rows, question_pairs: of each, in a batch; without pairs there is no
    matching loss. memory_rate: factor on the learning rate for the memory's parts. layouts: numbers of sessions that an
    episode of ``episode_length`` tokens is divided into; every batch takes one of them. without_distractors: one batch
    of so many has none, as a young memory. gradient_accumulation_steps: batches whose gradients make one step.
    frozen_base_steps: first steps in which the memory's parts alone are trained. delete_heads_only: nothing but what
    decides on deletes is trained. patience: validations without a better one (by the losses of dialogues and facts
    together) that end the training, with the best weights. use_memory: False trains a plain GPT-2 (the memory's parts
    stay as they are) on the same tokens, with the same weights. datasets: names and paths of the text to train on, in
    place of the chat corpora. log_with: a tracker of accelerate that gets the metrics too.
    """

    preset: str
    learning_rate: float
    max_steps: int
    fact_episodes: int
    multi_session_episodes: int
    dialogue_rows: int
    question_pairs: int
    episode_length: int
    row_length: int
    layouts: tuple[int, ...] = (2, 3, 4)
    seed: int = 0
    warmup_steps: int = 100
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    memory_rate: float = 3.0
    without_distractors: int = 4
    max_distractors: int = 2048
    distractors_from: float = 0.05
    distractors_full: float = 0.4
    hard_from: float = 0.36
    mixed_precision: str = "bf16"
    save_every: int = 250
    validate_every: int = 500
    gradient_accumulation_steps: int = 1
    frozen_base_steps: int = 0
    delete_heads_only: bool = False
    patience: int | None = None
    use_memory: bool = True
    datasets: tuple[str, ...] = ()
    log_with: str | None = None
    weights: ObjectiveWeights = field(default_factory=ObjectiveWeights)

    @property
    def tokens_per_step(self) -> int:
        """Tokens of rows and episodes; not those of pairs, of which half a model is run."""
        episodes = (self.fact_episodes + self.multi_session_episodes) * self.episode_length
        return (episodes + self.dialogue_rows * self.row_length) * self.gradient_accumulation_steps
