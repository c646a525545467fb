"""What a training run shows: its validations as a table; and how Ctrl+C is noted instead of raised."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich.table import Table


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


def validation_table(records: list[dict[str, Any]]) -> Table:
    """A row for each validation: training and validation loss, what the memory gives, elapsed time."""
    table = Table()
    for name in ("step", "epoch", "training loss", "validation loss", "perplexity",
                 "values right: soft / hard / no memory", "deleted / wrongly", "tokens stored", "elapsed"):  # fmt: skip
        table.add_column(name, justify="right")
    for record in records:
        v = record["validation"]
        table.add_row(
            f"{record['step']:,}", f"{record.get('epoch', float('nan')):.2f}", f"{record['training_loss']:.3f}",
            f"{v['loss']:.3f}", f"{math.exp(v['loss']):.1f}",
            f"{v['values_soft']:.1%} / {v['values_hard']:.1%} / {v.get('values_without', float('nan')):.1%}",
            f"{v['deleted']:.1%} / {v['deleted_wrongly']:.1%}", f"{v['store_rate']:.1%}",
            f"{record['seconds'] / 60:.1f} min",
        )  # fmt: skip
    return table


@contextlib.contextmanager
def interrupts() -> Iterator[Any]:
    """Within it, Ctrl+C is noted instead of raised; a second one is raised."""
    import signal

    seen = False

    def note(_signal: int, _frame: Any) -> None:
        nonlocal seen
        if seen:
            raise KeyboardInterrupt
        seen = True

    previous = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: seen
    finally:
        signal.signal(signal.SIGINT, previous)
