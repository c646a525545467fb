"""``make bench-growth``: how cost grows with the memory, the prompt, a search's results and the session.

python -m training.benchmarks.growth --json docs/figures/growth.json --chart docs/images/growth.svg
python -m training.benchmarks.growth --sizes 1000,10000 --models mini --runs 2
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import torch
from rich.console import Console
from rich.table import Table

from training.benchmarks.machine import this_machine
from training.benchmarks.ratios import in_turns, names, seconds
from training.benchmarks.speed import MODELS, VECTORS, WRITING_PROMPT, WRITTEN, ModelBench
from training.evaluation.figures.plots import COLOURS, FAINT, check_chart, drawn_to
from training.output_file import output_file
from training.quiet import quiet_libraries
from varda_chat import ChatSession
from varda_chat.config.defaults import GenerationSettings
from varda_chat.errors import VardaError
from varda_chat.models.checkpoint import load_checkpoint

LEAST = 100
"""Vectors of the smallest memory that is measured."""
SIZES = (1_000, 10_000, 100_000)
PROMPTS = (48, 96, 192, 384, 768, 1536)
RESULTS = (1, 4, 16, 64, 256)
TURNS, REPLY, TOGETHER = 100, 16, 10
"""Turns of a session, tokens of each reply, and turns that one point of the curve is the mean of."""
WHAT = {
    "memory": ("writing, tokens/s", "vectors in memory"),
    "prompt": ("first token, ms", "tokens of the prompt"),
    "results": (f"search of {VECTORS:,} vectors, ms", "results (k)"),
    "session": (f"a turn of {REPLY} tokens, ms", "turns of the session"),
}
"""What each curve shows, with its unit, and against what."""


@dataclass(frozen=True)
class Curve:
    """Figures ``ours``, and those of the ``plain`` part where it has some, against ``at``; ``of``: a name in WHAT."""

    of: str
    model: str
    at: tuple[int, ...]
    ours: tuple[float, ...]
    plain: tuple[float, ...] = ()


@torch.inference_mode()
def by_memory(model: str, sizes: Sequence[int], runs: int) -> Curve:
    """Tokens/s of writing, the plain base beside, against vectors in memory."""
    found = []
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="varda-bench-") as place:
            bench = ModelBench(model, load_checkpoint(model), Path(place), size)
            prompt = bench.prompt(WRITING_PROMPT)
            found.append(in_turns(bench.plain_write(prompt, WRITTEN), bench.write(prompt, WRITTEN), runs))
            bench.close()
    plain, ours = zip(*found, strict=True)
    return Curve("memory", model, tuple(sizes), *(tuple(WRITTEN / each for each in times) for times in (ours, plain)))


@torch.inference_mode()
def by_prompt_and_results(model: str, runs: int) -> Iterator[Curve]:
    """ms to the first token against the prompt's length, the plain base beside; ms of one search against its results,
    bare FAISS beside."""
    with tempfile.TemporaryDirectory(prefix="varda-bench-") as place:
        bench = ModelBench(model, load_checkpoint(model), Path(place), VECTORS)
        lengths = sorted({bench.fitting(length, 1) for length in PROMPTS})
        prompts = [bench.prompt(length) for length in lengths]
        found = [in_turns(bench.plain_write(each, 1), bench.write(each, 1), runs) for each in prompts]
        yield _in_ms("prompt", model, lengths, found)
        yield _in_ms("results", model, RESULTS, [bench.searches(k, runs) for k in RESULTS])
        bench.close()


def by_session(model: str, turns: int) -> Curve:
    """ms of a turn against its number: means of at most TOGETHER turns."""
    with tempfile.TemporaryDirectory(prefix="varda-bench-") as place:
        settings = GenerationSettings(temperature=0.0, max_new_tokens=REPLY)
        with ChatSession.open(Path(place), model, generation=settings) as session:
            chat = session.checkpoint.chat
            chat.banned = [*chat.banned, chat.end_id]  # every reply is as long
            times = [seconds(partial(session.reply, _line(turn))) for turn in range(turns)]
    means = [statistics.fmean(times[at : at + TOGETHER]) for at in range(0, turns, TOGETHER)]
    ends = [min(at + TOGETHER, turns) for at in range(0, turns, TOGETHER)]
    return Curve("session", model, tuple(ends), tuple(1000 * each for each in means))


def _line(turn: int) -> str:
    told = f"My cousin number {turn} lives at {3 * turn + 1} Harbour Street.", f"Which way is it to bridge {turn}?"
    return told[turn % 2]


def _in_ms(of: str, model: str, at: Sequence[int], found: Sequence[tuple[float, float]]) -> Curve:
    plain, ours = ([1000 * each for each in times] for times in zip(*found, strict=True))
    return Curve(of, model, tuple(at), tuple(ours), tuple(plain))


def measure(models: Sequence[str], sizes: Sequence[int], runs: int, turns: int) -> Iterator[Curve]:
    """Every curve of each of ``models``, as it is measured."""
    for model in models:
        yield by_memory(model, sizes, runs)
        yield from by_prompt_and_results(model, runs)
        yield by_session(model, turns)


def draw(curves: Sequence[Curve], path: Path) -> None:
    """Write the chart, a row of panels a model, to ``path`` (.svg or .png). Raises StorageError."""
    models = list(dict.fromkeys(each.model for each in curves))
    with drawn_to(path, (11.0, 0.4 + 2.5 * len(models))) as figure:
        rows = figure.subplots(len(models), len(WHAT), squeeze=False)
        for curve in curves:
            _panel(rows[models.index(curve.model)][list(WHAT).index(curve.of)], curve)
        figure.legend(*rows[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)


def _panel(axes: Any, curve: Curve) -> None:
    what, against = WHAT[curve.of]
    axes.plot(curve.at, curve.ours, color=COLOURS[0], marker="o", markersize=3.5, label="with the memory")
    if curve.plain:
        axes.plot(curve.at, curve.plain, color=COLOURS[1], marker="s", markersize=3.5, label="the plain part")
    axes.set_title(f"{curve.model}: {what}", fontsize=9)
    axes.set_xlabel(against)
    if curve.of in ("memory", "results"):
        axes.set_xscale("log")
        axes.set_xticks(curve.at, [f"{at:,}" for at in curve.at])
        axes.set_xticks([], minor=True)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color=FAINT, linewidth=0.6)


def table_of(curves: Sequence[Curve]) -> Table:
    """The curves' figures."""
    table = Table("model", "what", "against", title="How cost grows", title_justify="left")
    for column in ("at", "plain", "ours"):
        table.add_column(column, justify="right")
    for curve in curves:
        what, against = WHAT[curve.of]
        for place, at in enumerate(curve.at):
            plain = f"{curve.plain[place]:,.3g}" if curve.plain else ""
            named = (curve.model, what, against) if place == 0 else ("", "", "")
            table.add_row(*named, f"{at:,}", plain, f"{curve.ours[place]:,.3g}")
    return table


def _sizes(given: str) -> list[int]:
    sizes = [int(each) for each in given.split(",") if each.strip().isdigit()]
    if len(sizes) != len(given.split(",")) or min(sizes) < LEAST:
        raise click.UsageError(f"--sizes: {given} is no list of whole numbers of at least {LEAST}.")
    return sizes


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--models", default=",".join(MODELS), help="The models to measure.")
@click.option("--sizes", default=",".join(map(str, SIZES)), help="Vectors in memory; 1000000 takes several GB.")
@click.option("--runs", type=click.IntRange(min=1), default=3, help="Runs of each that count.")
@click.option("--turns", type=click.IntRange(min=TOGETHER), default=TURNS, help="Turns of the session.")
@click.option("--json", "json_file", **output_file(), help="Write the figures there.")
@click.option("--chart", **output_file(), help="Draw them there (.svg or .png).")
def main(models: str, sizes: str, runs: int, turns: int, json_file: Path | None, chart: Path | None) -> None:
    """Measure how cost grows, and print it."""
    chosen, memories = names(models, MODELS, "--models"), _sizes(sizes)
    if chart is not None:
        try:
            check_chart(chart)
        except VardaError as error:
            raise click.UsageError(str(error)) from error
    quiet_libraries()
    machine = this_machine()
    found: list[Curve] = []
    for each in measure(chosen, memories, runs, turns):
        found.append(each)
        click.echo(f"{each.model}, {each.of}: done", err=True)
    Console(width=120).print(table_of(found))
    if json_file is not None:
        report = {"machine": asdict(machine), "curves": [asdict(each) for each in found]}
        json_file.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if chart is not None:
        draw(found, chart)


if __name__ == "__main__":
    main()
