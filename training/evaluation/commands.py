"""What ``varda-eval`` does for measures of this package: check the flags, measure, print, write files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

Load = Callable[[str], Any]
"""From a checkpoint's directory or hub id to the loaded checkpoint."""


MEASURES: dict[str, Callable[[str, dict[str, Any], Load, Console], None]] = {}


def show_result(
    result: Any, tables: list[Any], flags: dict[str, Any], console: Console, notices: tuple[str, ...] = ()
) -> None:
    """Print the tables and notices. With ``--json`` print the JSON object instead, with ``--json FILE`` write it."""
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


@contextmanager
def progress(first: str) -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on stderr. Yields a function of a description, the steps done and the total."""
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task(first, total=None)
        yield lambda doing, done, total: bar.update(task, description=doing, completed=done, total=total)
