"""What ``varda-eval`` does for each of its measures: check the flags, measure, print, write files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from varda_chat.errors import VardaError

Load = Callable[[str], Any]
"""From a checkpoint's directory or hub id to the loaded checkpoint."""


def run(measure: str, source: str, flags: dict[str, Any], load: Load, console: Console) -> None:
    """Measure the checkpoint ``source``. Raises VardaError or click's UsageError, each with what to do."""
    if flags["data_dir"] is not None and not flags["data_dir"].is_dir():
        raise VardaError(f"--data-dir: there is no directory {flags['data_dir']}.")
    if flags["files"] and measure != "retrieval":
        raise click.UsageError(f"{measure} takes no files, but {flags['files'][0]} was given.")

    def loaded(named: str) -> Any:
        checkpoint = load(named)
        flags["about"] = {
            "checkpoint": checkpoint.name,
            "fingerprint": checkpoint.fingerprint,
            "thresholds": _thresholds(checkpoint.model.config.to_dict()),
            "measure": measure,
            "command": flags.get("command", ""),
            "date": date.today().isoformat(),
        }
        return checkpoint

    MEASURES[measure](source, flags, loaded, console)


def recall(source: str, flags: dict[str, Any], load: Load, console: Console) -> None:
    """``varda-eval CHECKPOINT recall``."""
    from training.evaluation.figures.plots import check_chart, draw_chart
    from training.evaluation.recall.benchmark import Plan, measure
    from training.evaluation.recall.controls import CONTROLS
    from training.evaluation.recall.report import recall_json, recall_tables, wrong_answers
    from training.evaluation.recall.tasks import TASKS, TIERS
    from training.evaluation.statistics import check_scipy

    plan = Plan(
        facts=flags["facts"],
        per_person=flags["per_person"],
        tasks=chosen(flags["tasks"], TASKS),
        tiers=chosen(flags["tiers"], TIERS),
        distractors=_numbers(flags["distractors"]),
        controls=() if flags["controls"].strip() == "none" else chosen(flags["controls"], CONTROLS),
        seed=flags["seed"],
    )
    if flags["chart"] is not None:
        check_chart(flags["chart"])
        if "recall" not in plan.tasks:
            raise VardaError("--chart draws the recall task, which --tasks leaves out.")
    if "recall" in plan.tasks and plan.controls:
        check_scipy("The comparison with the controls")
    checkpoint = load(source)
    with progress("recall") as show:
        found = measure(checkpoint, plan, data_dir=flags["data_dir"], on_progress=show)
    lines = (*found.notices, *wrong_answers(found, flags["show"]))
    show_result(recall_json(found), recall_tables(found), flags, console, lines)
    if flags["chart"] is not None:
        draw_chart(found, flags["chart"])


def dialogue(source: str, flags: dict[str, Any], load: Load, console: Console) -> None:
    """``varda-eval CHECKPOINT dialogue``."""
    from training.evaluation.perplexity.dialogue import load_twin, measure_dialogue
    from training.evaluation.perplexity.dialogue_report import dialogue_json, dialogue_tables

    if flags["data_dir"] is None:
        raise click.UsageError("dialogue needs the directory of the corpora: --data-dir.")
    checkpoint = load(source)
    twin = None if flags["twin"] is None else load_twin(flags["twin"], checkpoint)
    with progress("dialogue") as show:
        found = measure_dialogue(
            checkpoint, flags["data_dir"], twin=twin, on_progress=lambda done, total: show("dialogue", done, total)
        )
    show_result(dialogue_json(found), dialogue_tables(found), flags, console)


def perplexity(source: str, flags: dict[str, Any], load: Load, console: Console) -> None:
    """``varda-eval CHECKPOINT perplexity``."""
    from training.data.preprocess.pipeline import How
    from training.data.text_mixture import open_datasets, places_of
    from training.evaluation.perplexity.documents import measure_perplexity
    from training.evaluation.perplexity.plain_models import load_plain
    from training.evaluation.perplexity.report import perplexity_json, perplexity_table
    from varda_chat.models.chat_format import ChatMLFormat

    if not flags["datasets"]:
        raise click.UsageError("perplexity needs a text: --dataset, a corpus' name, your files, or prepared text.")
    checkpoint = load(source)
    if isinstance(checkpoint.chat, ChatMLFormat):
        raise VardaError(
            f"perplexity measures GPT-2 models only, and {checkpoint.name} is none. How well it predicts held-out "
            f"dialogue is measured by `varda-eval {source} dialogue --data-dir DIR`."
        )
    against = None if flags["against"] is None else load_plain(flags["against"], checkpoint.chat)
    with progress("preparing") as show:
        texts = open_datasets(
            flags["datasets"], places_of(flags["data_dir"]), How(tokenizer=checkpoint.chat.tokenizer),
            lambda line: click.echo(line, err=True), lambda doing, done, total: show(doing, done, total or 0),
        )  # fmt: skip
        if len(texts) > 1:
            raise click.UsageError("perplexity measures one prepared text at a time; give one --dataset.")
        found = measure_perplexity(
            checkpoint, texts[0].split(flags["split"]), flags["split"],
            window=flags["window"], stride=flags["stride"], at_most=flags["documents"], against=against,
            on_progress=lambda done, total: show("perplexity", done, total),
        )  # fmt: skip
    show_result(perplexity_json(found), [perplexity_table(found)], flags, console)


def exchanges(source: str, flags: dict[str, Any], load: Load, console: Console) -> None:
    """``varda-eval CHECKPOINT exchanges``."""
    from training.evaluation.recall.exchanges import as_markdown, sample_exchanges, small_talk
    from training.evaluation.recall.report import exchanges_json

    talk = small_talk(flags["data_dir"])
    found = sample_exchanges(load(source), flags["count"], flags["seed"], talk)
    show_result(exchanges_json(found), [], flags, console, (as_markdown(found),))


def speed(source: str, flags: dict[str, Any], load: Load, console: Console) -> None:
    """``varda-eval CHECKPOINT speed``."""
    from dataclasses import asdict

    from rich.table import Table

    from training.benchmarks.speed import measure_speed

    speeds = measure_speed(load(source), memory_size=flags["memory_size"])
    table = Table("work", title="Tokens a second, against the plain base of the same weights", title_justify="left")
    for column in ("plain", "with memory", "ratio"):
        table.add_column(column, justify="right")
    for each in speeds:
        table.add_row(each.work, f"{each.plain:,.0f}", f"{each.ours:,.0f}", f"{each.ratio:.2f}")
    show_result([asdict(each) | {"ratio": each.ratio} for each in speeds], [table], flags, console)


def spared(source: str, flags: dict[str, Any], load: Load, console: Console) -> None:
    """``varda-eval CHECKPOINT spared``."""
    from training.evaluation.replies.spared import measure, read_sets
    from training.evaluation.replies.spared_report import spared_json, spared_markdown, spared_tables

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
    from training.evaluation.replies.conversation import SEEDS, measure
    from training.evaluation.replies.conversation_report import (
        conversation_json,
        conversation_markdown,
        conversation_tables,
    )

    seeds = [flags["seed"] + each for each in SEEDS]
    checkpoint = load(source)
    with progress("conversation") as show:
        found = measure(checkpoint, data_dir=flags["data_dir"], seeds=seeds, on_progress=show)
    show_result(conversation_json(found), conversation_tables(found), flags, console, found.notices)
    write(flags["exchanges"], lambda: conversation_markdown(found))


def retrieval(source: str, flags: dict[str, Any], load: Load, console: Console) -> None:
    """``varda-eval CHECKPOINT retrieval FILE...``."""
    from training.evaluation.retrieval.benchmark import SYSTEMS, check_libraries, measure, read_rankings
    from training.evaluation.retrieval.conversations import read_conversations, with_questions
    from training.evaluation.retrieval.report import retrieval_json, retrieval_tables

    if not flags["files"]:
        raise click.UsageError(
            "retrieval needs conversations with questions: LoCoMo's .json, BEAM's directory, .jsonl."
        )
    check_libraries()
    systems = [each.strip() for each in flags["systems"].split(";")] if flags["systems"] != "all" else SYSTEMS
    conversations = tuple(each for path in flags["files"] for each in read_conversations(path))
    rankings = [(path.stem, read_rankings(path, conversations)) for path in flags["rankings"]]
    if flags["questions"] is not None:
        conversations = with_questions(conversations, flags["questions"], flags["seed"])
    checkpoint = load(source)
    with progress("retrieval") as show:
        found = measure(
            checkpoint, conversations, systems=systems, rankings=rankings, seed=flags["seed"], on_progress=show
        )  # fmt: skip
    show_result(retrieval_json(found), retrieval_tables(found), flags, console, found.notices)


def influence(source: str, flags: dict[str, Any], load: Load, console: Console) -> None:
    """``varda-eval CHECKPOINT influence``."""
    from training.evaluation.recall.benchmark import Plan
    from training.evaluation.recall.influence import measure
    from training.evaluation.recall.influence_report import influence_json, influence_tables
    from training.evaluation.recall.tasks import TIERS
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


def introductions(source: str, flags: dict[str, Any], load: Load, console: Console) -> None:
    """``varda-eval CHECKPOINT introductions``."""
    from training.evaluation.recall.introductions import (
        introductions_json,
        introductions_tables,
        measure,
        read_people,
        wrong_answers,
    )

    people = read_people()
    checkpoint = load(source)
    with progress("introductions") as show:
        found = measure(checkpoint, people, on_progress=show)
    lines = wrong_answers(found, flags["show"])
    show_result(introductions_json(found), introductions_tables(found), flags, console, lines)


MEASURES: dict[str, Callable[[str, dict[str, Any], Load, Console], None]] = {
    "recall": recall,
    "dialogue": dialogue,
    "perplexity": perplexity,
    "exchanges": exchanges,
    "speed": speed,
    "spared": spared,
    "conversation": conversation,
    "retrieval": retrieval,
    "influence": influence,
    "introductions": introductions,
}


def show_result(
    result: Any, tables: list[Any], flags: dict[str, Any], console: Console, notices: tuple[str, ...] = ()
) -> None:
    """Print the tables and notices. With ``--json`` print the JSON object instead, with ``--json FILE`` write it, too:
    the result and, in ``about``, of which checkpoint it is and what was run."""
    if isinstance(result, dict) and "about" in flags:
        result = {"about": flags["about"], **result}
    file: Path | None = flags["json"]
    if file == Path("-"):
        click.echo(json.dumps(result, ensure_ascii=False))
        return
    for table in tables:
        console.print(table)
    for notice in notices:
        click.echo(notice)
    write(file, lambda: json.dumps(result, ensure_ascii=False, indent=1) + "\n")


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


def _thresholds(config: dict[str, Any]) -> dict[str, Any]:
    """Those of a model's configuration: what is measured depends on them as it does on the weights."""
    memory = config.get("memory")
    every = config | (memory if isinstance(memory, dict) else {})
    return {name: value for name, value in sorted(every.items()) if name.endswith("_threshold")}


def chosen(text: str, known: Sequence[Any]) -> tuple[Any, ...]:
    """The names in ``text``, separated by commas, in the order of ``known``; "all" for every one. Names that are not
    known are left for the plan to complain about."""
    if text.strip() == "all":
        return tuple(known)
    names = [name.strip().replace("_", "-").replace(" ", "-") for name in text.split(",") if name.strip()]
    return tuple(sorted(names, key=lambda name: known.index(name) if name in known else -1))


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part.replace("_", "")) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise VardaError(f"--distractors: {text!r} are not whole numbers separated by commas.") from error
