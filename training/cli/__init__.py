"""varda-train and varda-eval: the commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from training.cli.evaluate_command import evaluate
from training.cli.flags import HELP, console, directory, flag, flags, run
from training.cli.train_flags import TRAIN

__all__ = ["evaluate", "train"]


@click.group(invoke_without_command=True, context_settings=HELP)
@flags(TRAIN)
@click.pass_context
def train(context: click.Context, /, **_: Any) -> None:
    """Build a checkpoint: corpora -> training -> checkpoint directory."""
    if context.invoked_subcommand is not None:
        return

    def action() -> None:
        from training.cli.train_command import run_training

        run_training(context)

    run(action)


@train.command("prepare")
@click.argument("sources", nargs=-1, metavar="[NAME|PATH]...")
@flag(
    "data-dir",
    **directory(),
    help="Directory that already holds the corpora (NAME.jsonl.xz); otherwise they are fetched.",
)
@flag(
    "output-dir",
    **directory(),
    help="Where prepared text goes. [default: a directory of ours, found again by --dataset]",
)
@flag("tokenizer", default=None, metavar="MODEL", help="Of this checkpoint or GPT-2. [default: a new one is trained]")
@flag("vocab-size", type=click.IntRange(min=300), default=4096, help="Tokens of a new tokenizer.")
@flag("seed", type=int, default=0, help="Seed of the split.")
@flag("held-out", type=float, default=0.02, help="Share for validation, and for test, without an official split.")
@flag("list", "show_list", is_flag=True, help="Show the corpora that have a name.")
def prepare(**given: Any) -> None:
    """Clean, split and tokenise text for --dataset: corpora by name, or your own files and directories.

    \b
    .txt .md        plain text, cut into parts of about 10,000 characters
    .jsonl .json    dialogues ({"turns": [...]}, {"messages": [...]}, chat exports) or {"text": ...}
    hub:ID[/CONFIG] a dataset of the Hugging Face hub
    """

    def action() -> None:
        from training.cli.prepare_command import Asked
        from training.cli.prepare_command import run as prepared
        from training.quiet import quiet_libraries

        quiet_libraries()
        prepared(Asked(**given), console())

    run(action)


_checkpoint = click.argument("checkpoint", metavar="DIR", type=click.Path(path_type=Path, exists=True, file_okay=False))


@train.command("card")
@_checkpoint
@click.argument(
    "results", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
def card(checkpoint: Path, results: tuple[Path, ...]) -> None:
    """Write results into the metadata of a model card (model-index).

    FILE is what varda-eval CHECKPOINT recall --json FILE or varda-eval CHECKPOINT perplexity --json FILE wrote.
    """

    def action() -> None:
        from training.model_card_metadata import add_results

        click.echo(f"The model card of {checkpoint} has {add_results(checkpoint, results)} figures.")

    run(action)


@train.command("push")
@_checkpoint
@click.argument("repository", metavar="REPO")
@flag("private/public", default=None, help="Of a new repository. [default: as the hub has it]")
@flag("message", default=None, metavar="TEXT", help="Of the commit. [default: Upload DIR]")
def push(checkpoint: Path, repository: str, private: bool | None, message: str | None) -> None:
    """Push a checkpoint to a Hugging Face hub, as OWNER/NAME.

    A complete model goes with its code: AutoModelForCausalLM.from_pretrained(REPO, trust_remote_code=True) loads it.
    HF_TOKEN, or `hf auth login`, says who you are; HF_ENDPOINT names another hub.
    """

    def action() -> None:
        from training.cli.push_command import push as pushed
        from training.quiet import quiet_libraries

        quiet_libraries()
        address, files = pushed(checkpoint, repository, private=private, message=message)
        click.echo(f"{len(files)} files are in {address}.")

    run(action)
