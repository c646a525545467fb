"""varda-train and varda-eval."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from varda_chat.errors import VardaError


def flag(name: str, **options: Any) -> Any:
    """A click option in both spellings: ``--learning-rate`` and, as in the original, ``--learning_rate``."""
    both = (f"--{name}",) if "-" not in name else (f"--{name}", f"--{name.replace('-', '_')}")
    return click.option(*both, **options)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@flag("preset", default="mini", help="Size of the fresh model: nano, mini or small.")
@flag("data-dir", type=click.Path(path_type=Path, file_okay=False), default=None,
      help="Folder of the corpora (NAME.jsonl.xz).")
@flag("output-dir", type=click.Path(path_type=Path, file_okay=False), default=Path("runs/model"), help="Where the checkpoint goes.")
@flag("max-steps", type=click.IntRange(min=1), default=None, help="Optimizer steps. [default: the preset's]")
@flag("epochs", type=click.FloatRange(min=0, min_open=True), default=None, help="Passes over the dialogues, instead of steps.")
@flag("learning-rate", type=click.FloatRange(min=0, min_open=True), default=None, help="[default: the preset's]")
@flag("memory-dim", type=click.IntRange(min=1), default=None, help="Floats in a stored vector. [default: the preset's]")
@flag("num-search-results", type=click.IntRange(min=1), default=None, help="Results read at every token. [default: 5]")
@flag("memory-layer", type=click.IntRange(min=0), default=None, help="Blocks before the memory is read. [default: half]")
@flag("fact-episodes", type=click.IntRange(min=1), default=None, help="Fact episodes a step. [default: the preset's]")
@flag("dialogue-rows", type=click.IntRange(min=1), default=None, help="Rows of real dialogue a step. [default: the preset's]")
@flag("mixed-precision", type=click.Choice(["no", "bf16", "fp16"]), default=None, help="[default: bf16]")
@flag("save-every", type=click.IntRange(min=1), default=None, help="Steps between saves. [default: 250]")
@flag("validate-every", type=click.IntRange(min=1), default=None, help="Steps between validations. [default: 500]")
@flag("seed", type=int, default=None, help="Seed of weights, data and order. [default: 0]")
@flag("resume", is_flag=True, help="Go on with the run saved in --output-dir, with its settings.")
def train(preset: str, data_dir: Path | None, output_dir: Path, resume: bool, epochs: float | None, **flags: Any) -> None:
    """Build a checkpoint: corpora -> training -> checkpoint folder."""
    _run(lambda: _train(preset, data_dir, output_dir, resume, epochs, flags))


def _train(
    preset: str, data_dir: Path | None, output_dir: Path, resume: bool, epochs: float | None, flags: dict[str, Any]
) -> None:
    from rich.console import Console

    from training.config import PRESETS

    if preset not in PRESETS:
        raise click.UsageError(f"There is no preset {preset!r}; choose one of {', '.join(PRESETS)}.")
    if data_dir is None:
        raise click.UsageError("Give the folder of the corpora with --data-dir.")

    from training.build import build, config_of, saved_config

    model_flags = {name: flags.pop(name) for name in ("memory_dim", "num_search_results", "memory_layer")}
    console = Console(width=None if Console().is_terminal else 140)
    config = saved_config(output_dir) if resume else config_of(preset, flags)
    build(config, data_dir, output_dir, console, resume=resume, model_overrides=model_flags)
    console.print(f"The checkpoint is in {output_dir}. Chat with it: varda-chat --checkpoint {output_dir}")


def _run(action: Any) -> None:
    """Run ``action``; our errors become one line on stderr and exit code 1, Ctrl+C exit code 130."""
    import sys

    try:
        action()
    except VardaError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
