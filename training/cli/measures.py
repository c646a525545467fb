"""What ``varda-eval`` does for the evaluations of this package: check the flags, measure, print, write files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from varda_chat.errors import VardaError

Load = Callable[[str], Any]
"""From a checkpoint's directory or hub id to the loaded checkpoint."""


def spared(source: str, flags: dict[str, Any], load: Load, console: Console) -> None:
    """``varda-eval CHECKPOINT spared``."""
    from training.evaluation.spared import measure, read_sets
    from training.evaluation.spared_report import spared_json, spared_markdown, spared_tables

    thresholds = _shares(flags["delete_thresholds"], "--delete-thresholds")
    sets = read_sets(flags["data_dir"], flags["seed"])
    checkpoint = load(source)
    with progress("spared") as show:
        found = measure(checkpoint, sets, seed=flags["seed"], on_progress=show)
        write(flags["exchanges"], lambda: spared_markdown(found))
        others = [
            measure(checkpoint, sets, seed=flags["seed"], threshold=each, on_progress=show) for each in thresholds
        ]
    show_result(spared_json(found, others), spared_tables(found, others), flags, console, notices=found.notices)


def conversation(source: str, flags: dict[str, Any], load: Load, console: Console) -> None:
    """``varda-eval CHECKPOINT conversation``."""
    from training.evaluation.conversation import SEEDS, measure
    from training.evaluation.conversation_report import (
        conversation_json,
        conversation_markdown,
        conversation_tables,
    )

    seeds = [flags["seed"] + each for each in SEEDS]
    checkpoint = load(source)
    with progress("conversation") as show:
        found = measure(checkpoint, data_dir=flags["data_dir"], seeds=seeds, on_progress=show)
    write(flags["exchanges"], lambda: conversation_markdown(found))
    show_result(conversation_json(found), conversation_tables(found), flags, console, found.notices)


def retrieval(source: str, flags: dict[str, Any], load: Load, console: Console) -> None:
    """``varda-eval CHECKPOINT retrieval FILE...``."""
    from training.evaluation.retrieval import SYSTEMS, check_libraries, measure
    from training.evaluation.retrieval_data import read_conversations
    from training.evaluation.retrieval_report import retrieval_json, retrieval_tables

    if not flags["files"]:
        raise click.UsageError(
            "retrieval needs conversations with questions: LoCoMo's .json, BEAM's directory, .jsonl."
        )
    check_libraries()
    systems = [each.strip() for each in flags["systems"].split(";")] if flags["systems"] != "all" else SYSTEMS
    conversations = [each for path in flags["files"] for each in read_conversations(path)]
    checkpoint = load(source)
    with progress("retrieval") as show:
        found = measure(
            checkpoint, conversations, systems=systems, rankings=flags["rankings"], seed=flags["seed"],
            on_progress=show,
        )  # fmt: skip
    show_result(retrieval_json(found), retrieval_tables(found), flags, console, found.notices)


def influence(source: str, flags: dict[str, Any], load: Load, console: Console) -> None:
    """``varda-eval CHECKPOINT influence``."""
    from training.cli.recall_measures import chosen
    from training.evaluation.influence import measure
    from training.evaluation.influence_report import influence_json, influence_tables
    from training.evaluation.recall import Plan
    from training.evaluation.recall_scripts import TIERS
    from training.evaluation.statistics import check_scipy

    check_scipy("influence")
    plan = Plan(
        facts=flags["facts"], per_person=flags["per_person"], tasks=("recall",), tiers=chosen(flags["tiers"], TIERS),
        controls=(), seed=flags["seed"],
    )  # fmt: skip
    checkpoint = load(source)
    with progress("influence") as show:
        found = measure(
            checkpoint, facts=plan.facts, per_person=plan.per_person, tiers=plan.tiers, seed=plan.seed,
            on_progress=show,
        )  # fmt: skip
    show_result(influence_json(found), influence_tables(found), flags, console)


MEASURES: dict[str, Callable[[str, dict[str, Any], Load, Console], None]] = {
    "spared": spared,
    "conversation": conversation,
    "retrieval": retrieval,
    "influence": influence,
}


def show_result(
    result: Any, tables: list[Any], flags: dict[str, Any], console: Console, notices: tuple[str, ...] = ()
) -> None:
    """Print the tables and notices. With ``--json`` print the JSON object instead, with ``--json FILE`` write it: the
    result and, in ``about``, of which checkpoint it is and what was run."""
    if isinstance(result, dict) and "about" in flags:
        result = {"about": flags["about"], **result}
    if flags["json"] == "-":
        click.echo(json.dumps(result, ensure_ascii=False))
        return
    if flags["json"] is not None:
        write(Path(flags["json"]), lambda: json.dumps(result, ensure_ascii=False, indent=1) + "\n")
    for table in tables:
        console.print(table)
    for notice in notices:
        click.echo(notice)


def write(path: Path | None, text: Callable[[], str]) -> None:
    """Write a file that the user asked for, if they did."""
    if path is not None:
        path.write_text(text(), encoding="utf-8")


def _shares(text: str | None, name: str) -> list[float]:
    try:
        values = [float(part) for part in (text or "").split(",") if part.strip()]
    except ValueError as error:
        raise VardaError(f"{name}: {text!r} is not a list of numbers separated by commas.") from error
    if not all(0 <= value <= 1 for value in values):
        raise VardaError(f"{name}: every number must be between 0 and 1.")
    return values


@contextmanager
def progress(first: str) -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on stderr. Yields a function of a description, the steps done and the total."""
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task(first, total=None)
        yield lambda doing, done, total: bar.update(task, description=doing, completed=done, total=total)
