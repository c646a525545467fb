"""Metrics: what a run logs of itself, as lines of ``metrics.jsonl`` and, if asked for, for a tracker of accelerate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from training.checkpointing import cut_log
from varda_chat.config.installer import install_command
from varda_chat.errors import VardaError

FILE, TRACKED = "metrics.jsonl", "tensorboard"


def check_tracker(name: str | None) -> None:
    """Raise VardaError where what tracker ``name`` needs is not installed."""
    if name is None:
        return
    from importlib.util import find_spec

    if find_spec("tensorboard") is None:
        how = install_command("varda-chat[tensorboard]")
        raise VardaError(f"--log-with tensorboard needs TensorBoard: {how}.")


class Metrics:
    """The metrics of the run in ``directory``; only the first process writes."""

    def __init__(self, directory: Path, accelerator: Accelerator) -> None:
        self.path, self.accelerator = directory / FILE, accelerator

    def begin(self, step: int) -> None:
        """Before the first step, or after a resume at ``step``: what was logged after it never was."""
        if not self.accelerator.is_main_process:
            return
        cut_log(self.path, step)
        if self.accelerator.log_with:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.accelerator.init_trackers(TRACKED, init_kwargs={"tensorboard": {"purge_step": step + 1}})

    def log(self, record: dict[str, Any]) -> None:
        """Add a ``record`` of a step, or of a validation, whose figures are in an entry of that name."""
        if not self.accelerator.is_main_process:
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        group = "validation" if "validation" in record else "training"
        figures = record.get("validation", record)
        skipped = ("step", "seconds")
        self.accelerator.log(
            {f"{group}/{name}": value for name, value in figures.items() if name not in skipped}, step=record["step"]
        )

    def records(self) -> list[dict[str, Any]]:
        """All of the run, what came before a resume too."""
        return [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]

    def validations(self) -> list[dict[str, Any]]:
        """The records of validations."""
        return [record for record in self.records() if "validation" in record]
