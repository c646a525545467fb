"""``make bench``: what memory costs, in one table: each row a ratio against its plain part, measured in the same run.

python -m training.benchmarks                          all of it, both shipped models: about half an hour
python -m training.benchmarks --quick --rows help,search,writing --models mini
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from training.benchmarks import commits, processes, speed
from training.benchmarks.machine import Machine, load_a_core, this_machine
from training.benchmarks.ratios import Figure, Row, names
from training.benchmarks.speed import MODELS
from training.benchmarks.training import TRAINING, measure_training_row
from training.output_file import output_file
from training.quiet import quiet_libraries
from varda_chat.models.checkpoint import load_checkpoint

PLAIN_TRAINED = "mini"
"""The preset that is trained in the same loop as its plain twin."""
OF_MODELS = (speed.WRITING, speed.READING, speed.FIRST, speed.SEARCH)
OF_A_MILLION = (speed.WRITING_MILLION, speed.SEARCH_MILLION)
OF_PROCESSES = (processes.HELP, processes.PAINT, processes.START, processes.MEMORY, processes.PIPE, processes.LONGEST)
ROWS: dict[str, Row] = {row.name: row for row in (*OF_MODELS, *OF_A_MILLION, *OF_PROCESSES, commits.COMMIT, TRAINING)}
REPEATS, QUICK = 7, 2
MANNER = (
    "Each ratio is of medians, of runs in turns with the plain part; * a GPU would change it. "
    "Writing, reading and first token: as the chat does them."
)


@dataclass(frozen=True)
class Report:
    """All figures; what they were measured on; and the load when they were done."""

    machine: Machine
    figures: tuple[Figure, ...]
    load_at_end: float

    def as_json(self) -> dict[str, Any]:
        rows = []
        for each in self.figures:
            row = {name: value for name, value in asdict(each.row).items() if name != "goals"}
            figures = {"model": each.model, "plain": each.plain, "ours": each.ours, "ratio": each.ratio}
            goal = {"goal": each.goal, "met": each.met, "runs": each.runs, "command": command_of(each)}
            goal |= {"detail": each.detail} if each.detail else {}
            rows.append(row | figures | goal)
        return {"machine": asdict(self.machine), "load_at_end": self.load_at_end, "rows": rows}


def command_of(figure: Figure) -> str:
    """What measures this figure alone."""
    name = figure.row.name.replace("-searching", "")
    model = f" --models {figure.model}" if figure.model else ""
    return f"python -m training.benchmarks --rows {name}{model}"


def measure(rows: frozenset[str], models: Sequence[str], repeats: int, vectors: int) -> Iterator[Figure]:
    """The figures of ``rows`` on ``models``, as each is measured."""
    yield from processes.measure_processes(rows, models, repeats)
    of_models = frozenset(row.name for row in OF_MODELS) & rows
    of_a_million = frozenset(row.name for row in OF_A_MILLION) & rows
    if of_models or of_a_million or commits.COMMIT.name in rows:
        checkpoints = {model: load_checkpoint(model) for model in models}
        for size, wanted in ((vectors, of_models), (speed.MILLION, of_a_million)):
            for model in models if wanted else ():
                with tempfile.TemporaryDirectory(prefix="varda-bench-") as directory:
                    bench = speed.ModelBench(model, checkpoints[model], Path(directory), size)
                    try:
                        yield from speed.measure_models(bench, wanted, repeats)
                    finally:
                        bench.close()
        if commits.COMMIT.name in rows:
            dims = {model: int(each.model.config.memory_dim) for model, each in checkpoints.items()}
            yield from commits.measure_commits(dims, repeats)
    if TRAINING.name in rows and PLAIN_TRAINED in models:
        yield measure_training_row(PLAIN_TRAINED, repeats)


def table_of(report: Report) -> Table:
    """The figures, with what is aimed at."""
    caption = f"{report.machine}, {report.load_at_end:.2f} at the end. {MANNER}"
    table = Table("what", title="What memory costs", title_justify="left", caption=caption, caption_justify="left")
    table.add_column("against")
    table.add_column("model")
    for column in ("plain", "ours", "ratio", "goal", ""):
        table.add_column(column, justify="right")
    for each in report.figures:
        sign = "≤" if each.row.at_most else "≥"
        goal = "" if each.goal is None else f"{sign} {each.goal:g}"
        what = each.row.what + (" *" if each.row.gpu else "") + (f" ({each.detail})" if each.detail else "")
        mark = {None: "", True: "✓", False: "✗"}[each.met]
        table.add_row(
            what, each.row.against, each.model,
            _shown(each.plain, each.row.unit), _shown(each.ours, each.row.unit), f"{each.ratio:.2f}", goal, mark,
        )  # fmt: skip
    return table


def _shown(value: float, unit: str) -> str:
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:,.3g} {unit}"


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--rows", default=None, help=f"Some of {','.join(ROWS)}.  [default: all but those of a million]")
@click.option("--models", default=",".join(MODELS), help="The shipped models to measure.")
@click.option("--million", is_flag=True, help="Measure a memory of 1,000,000 vectors too (many minutes, several GB).")
@click.option("--vectors", type=click.IntRange(min=100), default=speed.VECTORS, help="Vectors of the other memories.")
@click.option("--repeats", type=click.IntRange(min=1), default=REPEATS, help="Runs of each that count.")
@click.option("--quick", is_flag=True, help=f"{QUICK} runs of each: rough, in a few minutes.")
@click.option("--json", "json_file", **output_file(), help="Write the figures there.")
def main(
    rows: str | None, models: str, million: bool, vectors: int, repeats: int, quick: bool, json_file: Path | None
) -> None:
    """Measure what memory costs, against plain parts, and print it with the goals."""
    usual = [name for name, row in ROWS.items() if million or row not in OF_A_MILLION]
    wanted = frozenset(usual if rows is None else names(rows, list(ROWS), "--rows"))
    chosen = names(models, MODELS, "--models")
    quiet_libraries()
    machine = this_machine()
    found: list[Figure] = []
    for each in measure(wanted, chosen, QUICK if quick else repeats, vectors):
        found.append(each)
        click.echo(f"{each.row.name} {each.model}: {each.ratio:.2f}", err=True)
    report = Report(machine, tuple(found), load_a_core())
    Console(width=150).print(table_of(report))
    if json_file is not None:
        json_file.write_text(json.dumps(report.as_json(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
