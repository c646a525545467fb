"""Ends a run: thresholds, and the adapter directory that a chat opens."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from training.adapter.assemble import save_adapter
from training.adapter.calibrate import calibrate
from training.adapter.run import AdapterTrainer

GENERATION = {"do_sample": True, "temperature": 0.5, "top_p": 0.9, "max_new_tokens": 80}


def finish(trainer: AdapterTrainer, output: Path, say: Callable[[str], None]) -> None:
    """Choose the thresholds of ``trainer``'s model and write the adapter to ``output``: weights, config naming the
    base, and generation settings; the tokenizer is the base's."""
    model, chat = trainer.model.eval(), trainer.chat
    calibrate(model, trainer.data.validation, people=64, say=say)
    # a line that is neither a telling nor a question may hold a fact all the same: the store gates decide
    model.config.memory.other_threshold = 1.0
    save_adapter(model, output, base=trainer.base)
    ends = {"eos_token_id": chat.end_id, "pad_token_id": chat.end_id, "bos_token_id": chat.headers["user"][0]}
    (output / "generation_config.json").write_text(json.dumps(GENERATION | ends, indent=1), encoding="utf-8")
