"""A flag for a file that a command writes when it is done: where it cannot be written, that is said at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


def output_file(**options: Any) -> dict[str, Any]:
    """The options of a flag or an argument that names a file to write. Its directory must be there before anything is
    measured."""
    return {"type": click.Path(path_type=Path, dir_okay=False, writable=True), "callback": _in_a_directory, **options}


def _in_a_directory(context: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
    if path is not None and not path.absolute().parent.is_dir():
        raise click.BadParameter(f"there is no directory {path.parent}.", context, parameter)
    return path
