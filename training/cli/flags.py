"""What the commands of the training package share: flags in both spellings, the console, errors as one line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from varda_chat.config.installer import install_command
from varda_chat.errors import VardaError

HELP: dict[str, Any] = {"help_option_names": ["-h", "--help"], "show_default": True}


def flag(name: str, *parameter: str, **options: Any) -> Any:
    """A click option in both spellings: ``--learning-rate`` and, as in the original, ``--learning_rate``. ``on/off`` is
    a switch with two names."""
    spellings = [f"--{part}" for part in name.split("/")]
    both = ["/".join(spellings), "/".join(each[:2] + each[2:].replace("-", "_") for each in spellings)]
    return click.option(*dict.fromkeys(both), *parameter, **options)


def flags(options: Sequence[Any]) -> Callable[[Any], Any]:
    """A decorator that gives a command all ``options``, shown in their order."""

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def directory(**options: Any) -> dict[str, Any]:
    """The options of a flag that names a directory."""
    return {"type": click.Path(path_type=Path, file_okay=False), "default": None, **options}


def console() -> Any:
    """Where tables go: as wide as the terminal, 140 columns on a pipe."""
    from rich.console import Console

    return Console(width=None if Console().is_terminal else 140)


def run(action: Callable[[], object]) -> None:
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
    except ModuleNotFoundError as error:
        extra = {"accelerate": "train", "peft": "lora"}.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        click.echo(f"Error: Training needs one more package: {install_command(f'varda-chat[{extra}]')}.", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
