"""varda-train and varda-eval."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from varda_chat.errors import VardaError


def flag(name: str, *parameter: str, **options: Any) -> Any:
    """A click option in both spellings: ``--learning-rate`` and, as in the original, ``--learning_rate``."""
    both = (f"--{name}",) if "-" not in name else (f"--{name}", f"--{name.replace('-', '_')}")
    return click.option(*both, *parameter, **options)


@click.group(
    invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"], "show_default": True}
)
@flag("preset", default="mini", help="Size of the fresh model: nano, micro, mini or small.")
@flag(
    "data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Folder of the corpora (NAME.jsonl.xz).",
)
@flag(
    "dataset",
    "datasets",
    multiple=True,
    metavar="NAME|PATH",
    help="Train on this instead of the chat corpora: a corpus, your files, or prepared text. May be repeated.",
)
@flag(
    "output-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs/model"),
    help="Where the checkpoint goes.",
)
@flag("max-steps", type=click.IntRange(min=1), default=None, help="Optimizer steps. [default: the preset's]")
@flag(
    "epochs",
    type=click.FloatRange(min=0, min_open=True),
    default=None,
    help="Passes over the dialogues, instead of steps.",
)
@flag("learning-rate", type=click.FloatRange(min=0, min_open=True), default=None, help="[default: the preset's]")
@flag("n-layer", type=click.IntRange(min=1), default=None, help="Blocks. [default: the preset's]")
@flag("memory-dim", type=click.IntRange(min=1), default=None, help="Floats in a stored vector. [default: the preset's]")
@flag("num-search-results", type=click.IntRange(min=1), default=None, help="Results read at every token. [default: 5]")
@flag(
    "memory-layer", type=click.IntRange(min=0), default=None, help="Blocks before the memory is read. [default: half]"
)
@flag("fact-episodes", type=click.IntRange(min=1), default=None, help="Fact episodes a step. [default: the preset's]")
@flag(
    "multi-session-episodes",
    type=click.IntRange(min=0),
    default=None,
    help="Real multi-session dialogues a step. [default: the preset's]",
)
@flag(
    "dialogue-rows",
    type=click.IntRange(min=1),
    default=None,
    help="Rows of real dialogue a step. [default: the preset's]",
)
@flag(
    "question-pairs",
    type=click.IntRange(min=0),
    default=None,
    help="Tellings and questions a step, for the matching loss. [default: the preset's]",
)
@flag("mixed-precision", type=click.Choice(["no", "bf16", "fp16"]), default=None, help="[default: bf16]")
@flag("save-every", type=click.IntRange(min=1), default=None, help="Steps between saves. [default: 250]")
@flag("validate-every", type=click.IntRange(min=1), default=None, help="Steps between validations. [default: 500]")
@flag("seed", type=int, default=None, help="Seed of weights, data and order. [default: 0]")
@flag("warmup-steps", type=click.IntRange(min=0), default=None, help="[default: 100]")
@flag(
    "hard-from",
    type=click.FloatRange(0, 1),
    default=None,
    help="Share of the run after which stores are hard, as in chat. [default: 0.36]",
)
@flag("retrieval-weight", type=click.FloatRange(min=0), default=None, help="Weight of that loss. [default: 0.5]")
@flag("matching-weight", type=click.FloatRange(min=0), default=None, help="Weight of that loss. [default: 1.0]")
@flag("read-out-weight", type=click.FloatRange(min=0), default=None, help="Weight of that loss. [default: 0.3]")
@flag("use-memory", type=bool, default=None, help="False: a plain GPT-2 on the same tokens. [default: true]")
@flag("gradient-accumulation-steps", type=click.IntRange(min=1), default=None, help="Batches to a step. [default: 1]")
@flag(
    "frozen-base-steps",
    type=click.IntRange(min=0),
    default=None,
    help="First steps that train the memory's parts alone. [default: 0]",
)
@flag(
    "patience",
    type=click.IntRange(min=1),
    default=None,
    help="Validations without a better one that end the run. [default: run all steps]",
)
@flag("base-model", default=None, metavar="MODEL", help="Adapt this plain GPT-2: gpt2, distilgpt2, ..., or a folder.")
@flag("fresh-matching", is_flag=True, help="With --finetune-from: learn anew what is stored and asked for.")
@flag("finetune-from", default=None, metavar="CHECKPOINT", help="Start with this checkpoint's weights and tokenizer.")
@flag("recall-facts", type=click.IntRange(min=1), default=200, help="Facts of the recall check at the end.")
@flag("resume", is_flag=True, help="Go on with the run saved in --output-dir, with its settings.")
@click.pass_context
def train(
    context: click.Context,
    /,
    preset: str,
    data_dir: Path | None,
    output_dir: Path,
    resume: bool,
    epochs: float | None,
    **flags: Any,
) -> None:
    """Build a checkpoint: corpora -> training -> checkpoint folder."""
    if context.invoked_subcommand is not None:
        return
    _run(lambda: _train(preset, data_dir, output_dir, resume, epochs, flags))


def _train(
    preset: str, data_dir: Path | None, output_dir: Path, resume: bool, epochs: float | None, flags: dict[str, Any]
) -> None:
    from dataclasses import replace

    from training.config import PRESETS, ObjectiveWeights

    if preset not in PRESETS:
        raise click.UsageError(f"There is no preset {preset!r}; choose one of {', '.join(PRESETS)}.")
    if data_dir is None and not flags["datasets"] and not resume:
        raise click.UsageError("Give text with --dataset, or the folder of the chat corpora with --data-dir.")
    layer, blocks = flags["memory_layer"], flags["n_layer"] or PRESETS[preset].n_layer
    if layer is not None and layer > blocks:
        raise click.UsageError(f"--memory-layer {layer}: the model has {blocks} blocks.")

    from training.benchmark.report import recall_table
    from training.build import build, config_of, saved_config
    from training.quiet import quiet_libraries

    quiet_libraries()
    recall_facts, finetune_from, base_model = (flags.pop(n) for n in ("recall_facts", "finetune_from", "base_model"))
    fresh_matching = flags.pop("fresh_matching")
    if finetune_from is not None and base_model is not None:
        raise click.UsageError("--base-model and --finetune-from both say what to start with; give one.")
    model_flags = {name: flags.pop(name) for name in ("n_layer", "memory_dim", "num_search_results", "memory_layer")}
    console = _console()
    given = {name: flags.pop(f"{name}_weight") for name in ("retrieval", "read_out", "matching")}
    weights = ObjectiveWeights(**{name: weight for name, weight in given.items() if weight is not None})
    config = saved_config(output_dir) if resume else replace(config_of(preset, flags), weights=weights)
    recall = build(
        config, data_dir, output_dir, console,
        resume=resume, finetune_from=finetune_from, fresh_matching=fresh_matching, base_model=base_model,
        epochs=epochs, model_overrides=model_flags, command=_command_line(), recall_facts=recall_facts,
    )  # fmt: skip
    if recall is None:
        console.print(
            f"The checkpoint is in {output_dir}. Measure it: varda-eval {output_dir} perplexity --dataset NAME"
        )
        return
    console.print(recall_table(recall))
    console.print(f"The checkpoint is in {output_dir}. Chat with it: varda-chat --checkpoint {output_dir}")


@train.command("prepare")
@click.argument("sources", nargs=-1, metavar="[NAME|PATH]...")
@flag(
    "data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Folder where corpora lie already (NAME.jsonl.xz); else they are fetched.",
)
@flag(
    "output-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Where prepared text goes. [default: a folder of ours, found again by --dataset]",
)
@flag("tokenizer", default=None, metavar="MODEL", help="Of this checkpoint or GPT-2. [default: a new one is trained]")
@flag("vocab-size", type=click.IntRange(min=300), default=4096, help="Tokens of a new tokenizer.")
@flag("seed", type=int, default=0, help="Seed of the split.")
@flag("held-out", type=float, default=0.02, help="Share for validation, and for test, without an official split.")
@flag("list", "show_list", is_flag=True, help="Show the corpora that have a name.")
def prepare(**flags: Any) -> None:
    """Clean, split and tokenise text for --dataset: corpora by name, or your own files and folders.

    \b
    .txt .md        plain text, cut into parts of about 10,000 characters
    .jsonl .json    dialogues ({"turns": [...]}, {"messages": [...]}, chat exports) or {"text": ...}
    hub:ID[/CONFIG] a dataset of the Hugging Face hub
    """

    def action() -> None:
        from training.prepare_command import Asked, run
        from training.quiet import quiet_libraries

        quiet_libraries()
        run(Asked(**flags), _console())

    _run(action)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("checkpoint", metavar="CHECKPOINT")
@click.argument("measure", type=click.Choice(["recall", "perplexity", "dialogue", "exchanges", "speed"]))
@flag("facts", type=click.IntRange(min=1), default=100, help="recall: facts told for each task and tier.")
@flag("per-person", type=click.IntRange(min=1, max=100), default=5, help="recall: facts told to one memory.")
@flag(
    "tasks",
    default="all",
    help="recall: all, or some of recall,update,forget,never-told,joined,interference.",
)
@flag("tiers", default="all", help="recall: all, or some of seen,held-out,hand-written (the phrasings).")
@flag(
    "controls",
    default="all",
    help="recall: all, none, or some of no-memory,shuffled-memory,store-everything,random-store,facts-in-prompt,"
    "text-search.",
)
@flag("distractors", default="0,100,1000,10000", help="recall: other vectors in memory; those above 0 need --data-dir.")
@flag(
    "data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Folder of the corpora (NAME.jsonl.xz): for dialogue, recall's distractors, exchanges' small talk.",
)
@flag(
    "chart",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="recall: draw a chart into this .svg or .png, too.",
)
@flag(
    "twin",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
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
@flag("json", is_flag=True, help="Print one JSON object instead of tables.")
@flag("show", type=click.IntRange(min=0), default=0, help="recall: print this many wrong answers too.")
def evaluate(checkpoint: str, measure: str, **flags: Any) -> None:
    """Measure a checkpoint.

    \b
    recall     is it known in the next session what was told in this one?
    perplexity of a text: does the memory of what came before help? also accuracy, F1
    dialogue   does the memory help to predict held-out human dialogue?
    exchanges  sample exchanges, unedited, as markdown
    speed      what does the memory cost?
    """

    def action() -> None:
        from training.benchmark.commands import run

        run(measure, checkpoint, flags, _load, _console())

    _run(action)


def _command_line() -> str:
    """The command as typed, without the names of this machine's folders."""
    import sys

    stand_ins = {"data-dir": "DATA", "output-dir": "DIR", "finetune-from": "STAGE1", "base-model": "BASE"}
    words = list(sys.argv[1:])
    for place, word in enumerate(words[:-1]):
        name = word.lstrip("-").replace("_", "-")
        if name in stand_ins:
            words[place + 1] = stand_ins[name]
        elif name == "dataset" and not words[place + 1].startswith("hub:"):
            words[place + 1] = Path(words[place + 1]).name
    return " ".join(["varda-train", *words])


def _load(source: str) -> Any:
    from training.quiet import quiet_libraries
    from varda_chat.model.checkpoint import load_checkpoint

    quiet_libraries()
    return load_checkpoint(source)


def _console() -> Any:
    from rich.console import Console

    return Console(width=None if Console().is_terminal else 140)


def _run(action: Any) -> None:
    """Run ``action``; our errors become one line on stderr and exit code 1, Ctrl+C exit code 130."""
    import sys

    try:
        action()
    except VardaError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
