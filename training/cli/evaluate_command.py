"""``varda-eval``: its flags."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from training.cli.flags import HELP, console, directory, flag, run
from training.output_file import output_file


class _Evaluate(click.Command):
    """The command, which hands over to another one where the first word is not a checkpoint but that one's name."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args and args[0] in OTHERS:
            return OTHERS[args[0]].make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)


@click.command(context_settings=HELP)
@click.argument("out", **output_file())
@flag("data-dir", **(directory() | {"required": True}), help="Directory of the corpora, with msc.valid.jsonl.xz.")
@flag("seed", type=int, default=0, help="Seed of the unanswerable questions.")
def build_retrieval(out: Path, data_dir: Path, seed: int) -> None:
    """Build a development set for retrieval from the held-out part of msc.valid and write it to OUT (JSONL)."""

    def action() -> None:
        from training.evaluation.retrieval.build import write

        conversations, questions = write(data_dir, out, seed)
        click.echo(f"{out}: {conversations} conversations, {questions} questions")

    run(action)


@click.command(context_settings=HELP)
@click.argument("out", **output_file())
@flag("facts", type=click.IntRange(min=1), default=100, help="Facts told for each task and tier.")
@flag("per-person", type=click.IntRange(min=1, max=100), default=5, help="Facts told to one memory.")
@flag("seed", type=int, default=0, help="Seed of facts and phrasings.")
def build_recall(out: Path, facts: int, per_person: int, seed: int) -> None:
    """Write what recall tells and asks to OUT (JSONL), so that another system can be told and asked the same.

    training/evaluation/data/README.md says what a line holds.
    """

    def action() -> None:
        from training.evaluation.recall.scripts import write_scripts

        click.echo(f"{out}: {write_scripts(out, facts=facts, per_person=per_person, seed=seed)} memories")

    run(action)


@click.command(context_settings=HELP)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@flag(
    "add",
    multiple=True,
    metavar="RESULT",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Add what varda-eval CHECKPOINT MEASURE --json RESULT wrote.",
)
@flag("chart", **output_file(), help="Draw them into this .svg or .png.")
@flag("write", is_flag=True, help="Bring README.md and the cards, in this directory, up to date.")
def figures(file: Path, add: tuple[Path, ...], chart: Path | None, write: bool) -> None:
    """Print the figures in FILE (JSON) as a page of Markdown; with --add, put results together in it first."""

    def action() -> None:
        from training.evaluation.figures import store as stored
        from training.evaluation.figures.page import page, write_documents
        from training.evaluation.figures.plots import check_chart, draw_figures
        from training.evaluation.statistics import check_scipy

        check_scipy("The page of figures")
        if chart is not None:
            check_chart(chart)
        found = stored.read_figures(file)
        for result in add:
            stored.add(found, stored.read_result(result))
        if add:
            stored.write_figures(found, file)
        if chart is not None:
            draw_figures(found, chart)
        for name in write_documents(found, Path()) if write else ():
            click.echo(f"{name} is up to date now.", err=True)
        click.echo(page(found), nl=False)

    run(action)


OTHERS = {"build-retrieval": build_retrieval, "build-recall": build_recall, "figures": figures}


def _command_line(context: click.Context) -> str:
    """What was typed, as others can run it: without what only shows or writes results; data are DATA, files names."""
    checkpoint = context.params["checkpoint"]
    name = Path(checkpoint).resolve().name if Path(checkpoint).is_dir() else checkpoint
    words = ["varda-eval", name, context.params["measure"]]
    for parameter in context.command.params:
        name, value = str(parameter.name), context.params[str(parameter.name)]
        typed = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if not typed or name in ("checkpoint", "measure", "json", "chart", "exchanges", "show"):
            continue
        for each in value if isinstance(value, tuple) else (value,):
            text = "DATA" if name == "data_dir" else each.name if isinstance(each, Path) else str(each)
            words += [text] if isinstance(parameter, click.Argument) else [parameter.opts[0], text]
    return shlex.join(words)


@click.command(cls=_Evaluate, context_settings=HELP)
@click.argument("checkpoint", metavar="CHECKPOINT")
@click.argument(
    "measure",
    type=click.Choice(
        [
            "recall",
            "introductions",
            "retrieval",
            "spared",
            "conversation",
            "influence",
            "perplexity",
            "dialogue",
            "exchanges",
            "speed",
        ]
    ),
)
@click.argument("files", nargs=-1, metavar="[FILE]...", type=click.Path(path_type=Path, exists=True))
@flag("facts", type=click.IntRange(min=1), default=100, help="recall, influence: facts told for each task and tier.")
@flag("per-person", type=click.IntRange(min=1, max=100), default=5, help="recall, influence: facts told to one memory.")
@flag(
    "tasks",
    default="all",
    help="recall: all, or some of recall,update,forget,never-told,joined,interference.",
)
@flag(
    "tiers",
    default="all",
    help="recall, influence: all, or some of seen,held-out,hand-written (the phrasings); or development: held-out "
    "facts of training, to choose thresholds on.",
)
@flag(
    "controls",
    default="all",
    help="recall: all, none, or some of no-memory,shuffled-memory,store-everything,random-store,facts-in-prompt,"
    "text-search.",
)
@flag("distractors", default="0,100,1000,10000", help="recall: other vectors in memory; those above 0 need --data-dir.")
@flag(
    "data-dir",
    **directory(),
    help="Directory of the corpora (NAME.jsonl.xz): for dialogue, recall's distractors, exchanges' small talk, the "
    "real lines of spared, the torn words of conversation.",
)
@flag("chart", **output_file(), help="recall: draw a chart into this .svg or .png, too.")
@flag(
    "twin",
    **directory(),
    help="dialogue: a model without memory to compare with, of the same tokenizer.",
)
@flag(
    "dataset",
    "datasets",
    multiple=True,
    metavar="NAME|PATH",
    help="perplexity: of this text: a corpus, your files, or prepared text.",
)
@flag("split", type=click.Choice(["train", "validation", "test"]), default="test", help="perplexity: of this split.")
@flag("against", default=None, metavar="MODEL", help="perplexity: a plain GPT-2 or checkpoint to compare with.")
@flag(
    "window", type=click.IntRange(min=2), default=None, help="perplexity: tokens read at once. [default: all that fit]"
)
@flag(
    "stride", type=click.IntRange(min=1), default=None, help="perplexity: tokens to move on. [default: half the window]"
)
@flag("documents", type=click.IntRange(min=2), default=None, help="perplexity: read so many. [default: all]")
@flag("count", type=click.IntRange(min=1), default=40, help="exchanges: how many.")
@flag("memory-size", type=click.IntRange(min=1), default=10_000, help="speed: vectors in memory.")
@flag("seed", type=int, default=0, help="Seed of facts, phrasings and samples.")
@flag(
    "delete-thresholds",
    default=None,
    metavar="P,P,…",
    help="spared: also run with each of these delete thresholds, for a curve.",
)
@flag("exchanges", **output_file(), help="spared, conversation: write every exchange to this Markdown file.")
@flag(
    "questions",
    type=click.IntRange(min=1),
    default=None,
    help="retrieval: of each conversation so many, drawn by --seed. [default: all]",
)
@flag("systems", default="all", metavar="NAME;NAME", help="retrieval: only these rows (and BM25), by their names.")
@flag(
    "rankings",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    metavar="FILE",
    help="retrieval: score the rankings of another system too.",
)
@flag(
    "json",
    **output_file(),
    is_flag=False,
    flag_value="-",
    metavar="[FILE]",
    help="Print JSON instead of tables; with FILE, write it there and print the tables.",
)
@flag("show", type=click.IntRange(min=0), default=0, help="recall, introductions: print this many wrong answers too.")
def evaluate(checkpoint: str, measure: str, **given: Any) -> None:
    """Measure a checkpoint.

    \b
    recall     is it known in the next session what was told in this one?
    introductions  and what was told with other things in one line?
    retrieval  does the memory's search find the turns that answer a question? Of FILEs:
               LoCoMo's locomo10.json, a directory of BEAM (chats/100K) or JSONL
    spared     which facts survive lines that do not concern them?
    conversation  are everyday replies sensible, with an empty and a full memory?
    influence  do answers change when the memories they used are masked?
    perplexity of a text: does the memory of what came before help? also accuracy, F1
    dialogue   does the memory help to predict held-out human dialogue?
    exchanges  sample exchanges, unedited, as markdown
    speed      what does the memory cost?

    `varda-eval build-retrieval --data-dir DIR OUT` builds a development set for retrieval,
    `varda-eval build-recall OUT` writes what recall tells and asks, for other systems,
    `varda-eval figures FILE` puts results together and shows them.
    """

    given["command"] = _command_line(click.get_current_context())

    def action() -> None:
        from training.cli.measures import run as measured

        measured(measure, checkpoint, given, _load, console())

    run(action)


def _load(source: str) -> Any:
    from training.quiet import quiet_libraries
    from varda_chat.models.checkpoint import load_checkpoint
    from varda_chat.models.linear_maps import suit

    quiet_libraries()
    checkpoint = load_checkpoint(source)
    suit(checkpoint.model)
    return checkpoint
