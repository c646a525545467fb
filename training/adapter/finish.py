"""Ends a run: decisions on cached turns, thresholds, and the adapter directory that a chat opens."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from training.adapter.assemble import save_adapter
from training.adapter.calibrate import calibrate
from training.adapter.decisions import read_turns, train_decisions
from training.adapter.run import AdapterTrainer

GENERATION = {"do_sample": True, "temperature": 0.5, "top_p": 0.9, "max_new_tokens": 80}


def finish(
    trainer: AdapterTrainer, base: Path, output: Path, *, people: int, steps: int, say: Callable[[str], None]
) -> None:
    """Train the decisions of ``trainer``'s model on the turns of ``people`` people, choose its thresholds, and write
    the adapter to ``output``."""
    model, config = trainer.model, trainer.config
    model.eval()
    if steps:
        turns = read_turns(model, trainer.data.builder, people, f"decisions/{config.seed}", config.length, say)
        train_decisions(model.memory_layer, turns, steps=steps, batch=384, rate=5e-4, seed=config.seed, say=say)
    calibrate(model, trainer.data.validation, people=64, say=say)
    write_adapter(trainer, base, output)


def write_adapter(trainer: AdapterTrainer, base: Path, output: Path) -> None:
    """The adapter directory: weights, config naming the base, tokenizer and generation settings."""
    chat, config = trainer.chat, trainer.config
    save_adapter(trainer.model, output, base=trainer.base, rank=config.rank, alpha=config.alpha)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if (base / name).exists():
            shutil.copyfile(base / name, output / name)
    ends = {"eos_token_id": chat.end_id, "pad_token_id": chat.end_id, "bos_token_id": chat.headers["user"][0]}
    (output / "generation_config.json").write_text(json.dumps(GENERATION | ends, indent=1), encoding="utf-8")
