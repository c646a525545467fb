"""What a training run shows: live, its progress and losses; on a pipe, lines; and its validations as a table."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

SHOWN = (
    ("talk", "language"), ("facts", "facts"), ("retrieval", "retrieval"), ("matching", "matching"),
    ("read_out", "read out"), ("store", "store"), ("delete", "delete"),
)  # fmt: skip
"""Loss terms, by what they are called in the view."""


class View(Protocol):
    """How a run is watched while it goes on."""

    def show(self, step: int, figures: dict[str, float]) -> None:
        """After each step: smoothed figures, of ``training.trainer``."""

    def report(self, record: dict[str, Any]) -> None:
        """After each validation."""


@contextmanager
def view_of(console: Console, max_steps: int, steps_per_epoch: float, done: int) -> Iterator[View]:
    """The live view on a terminal; lines where ``console`` writes into a pipe or a file."""
    if console.is_terminal and not console.quiet:
        live = _LiveView(console, max_steps, steps_per_epoch, done)
        with live.live:
            yield live
    else:
        yield _Lines(console, max_steps, done)


class _LiveView:
    """Two bars, of the epoch and of the run; below them the figures."""

    def __init__(self, console: Console, max_steps: int, steps_per_epoch: float, done: int) -> None:
        self.per_epoch = steps_per_epoch
        columns = (TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.progress = Progress(*columns, TextColumn("left"), TimeRemainingColumn(), console=console)
        of_epoch = (TextColumn("{task.description:<12}"), BarColumn(), TextColumn("{task.percentage:.0f}%"))
        self.epoch_bar = Progress(*of_epoch, console=console)
        self.steps = self.progress.add_task("step", total=max_steps, completed=done)
        self.epoch = self.epoch_bar.add_task("epoch", total=1.0)
        self.console = console
        self.live = Live(self._drawn({}), console=console, refresh_per_second=4, transient=True)

    def show(self, step: int, figures: dict[str, float]) -> None:
        epochs = step / self.per_epoch
        # at an epoch's end its bar is full
        within = epochs - math.floor(epochs) or min(1.0, epochs)
        self.progress.update(self.steps, completed=step)
        self.epoch_bar.update(self.epoch, completed=within, description=f"epoch {max(1, math.ceil(epochs))}")
        self.live.update(self._drawn(figures))

    def report(self, record: dict[str, Any]) -> None:
        self.console.print(validation_table([record]))

    def _drawn(self, figures: dict[str, float]) -> Group:
        return Group(self.epoch_bar, self.progress, figures_table(figures)) if figures else Group(self.progress)


class _Lines:
    """A line now and then, and a row for each validation."""

    SECONDS = 30.0

    def __init__(self, console: Console, max_steps: int, done: int) -> None:
        self.console, self.max_steps = console, max_steps
        self.begun, self.done = time.monotonic(), done
        self.last = self.begun

    def show(self, step: int, figures: dict[str, float]) -> None:
        now = time.monotonic()
        if now - self.last < self.SECONDS:
            return
        self.last = now
        left = (now - self.begun) / max(1, step - self.done) * (self.max_steps - step)
        self.console.print(
            f"step {step:,} of {self.max_steps:,}: loss {figures['loss']:.3f}, "
            f"{figures['tokens_per_second']:,.0f} tokens/s, {left / 60:.0f} min left",
            highlight=False,
        )

    def report(self, record: dict[str, Any]) -> None:
        self.console.print(validation_table([record]))


def figures_table(figures: dict[str, float]) -> Table:
    """The figures of a step: loss, perplexity, the loss' terms, what the memory does, and the speed."""
    table = Table(show_header=True, box=None, padding=(0, 2, 0, 0))
    cells = [("loss", f"{figures['loss']:.3f}"), ("perplexity", f"{perplexity(figures['talk']):,.1f}")]
    cells += [(title, f"{figures[name]:.3f}") for name, title in SHOWN if name in figures]
    cells += [
        ("stored", f"{figures['store_rate']:.0%}"),
        ("found", f"{figures['retrieval_hits']:.0%}"),
        ("tokens/s", f"{figures['tokens_per_second']:,.0f}"),
    ]
    for title, _ in cells:
        table.add_column(title, justify="right", no_wrap=True)
    table.add_row(*(value for _, value in cells))
    return table


def validation_table(records: Sequence[dict[str, Any]]) -> Table:
    """A row for each validation: training and validation loss, what the memory gives, elapsed time."""
    table = Table()
    for name in ("step", "epoch", "training loss", "validation loss", "perplexity",
                 "values right: soft / hard / no memory", "deleted / wrongly", "tokens stored", "elapsed"):  # fmt: skip
        table.add_column(name, justify="right")
    for record in records:
        v = record["validation"]
        table.add_row(
            f"{record['step']:,}", f"{record.get('epoch', float('nan')):.2f}", f"{record['training_loss']:.3f}",
            f"{v['loss']:.3f}", f"{perplexity(v['loss']):.1f}",
            f"{v['values_soft']:.1%} / {v['values_hard']:.1%} / {v.get('values_without', float('nan')):.1%}",
            f"{v['deleted']:.1%} / {v['deleted_wrongly']:.1%}", f"{v['store_rate']:.1%}",
            f"{record['seconds'] / 60:.1f} min",
        )  # fmt: skip
    return table


def perplexity(loss: float) -> float:
    """exp(loss), where it can be told."""
    return math.exp(loss) if loss < 700 else math.inf


@contextmanager
def preparing() -> Iterator[Callable[[str, int, int | None], None]]:
    """A progress bar of preparation, on stderr."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("preparing", total=None)
        yield lambda doing, done, total: bars.update(task, description=doing, completed=done, total=total)
