"""Settings of a run that takes seconds."""

from __future__ import annotations

from training.config import TrainConfig
from training.run import config_of


def tiny(**overrides: object) -> TrainConfig:
    return config_of("nano", {"max_steps": 6, "warmup_steps": 2, "fact_episodes": 2, "dialogue_rows": 1,
                              "save_every": 3, "validate_every": 6, "mixed_precision": "no", **overrides})  # fmt: skip
