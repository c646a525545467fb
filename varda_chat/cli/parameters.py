"""What arguments of the command line may be: whole numbers that every part of the program can hold, text, and paths.
Imports nothing but click before one is given."""

from __future__ import annotations

import math
import os
from typing import Any

import click

from varda_chat.errors import VardaError

MAX_ID = 2**63 - 1
"""The largest id of a row in SQLite."""
_DIGITS = 19  # of MAX_ID


class WholeNumber(click.IntRange):
    """A whole number from ``min`` to ``max``, written with no more digits than it can have."""

    def __init__(self, min: int = 1, max: int = MAX_ID) -> None:
        super().__init__(min, max)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and len(value.strip()) > _DIGITS + 1:
            from varda_chat.text import one_line

            self.fail(f"{one_line(value, 30)!r} is not a whole number from {self.min} to {self.max}.", param, ctx)
        return super().convert(value, param, ctx)


class Number(click.FloatRange):
    """A finite number from ``min`` to ``max``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(value, param, ctx)
        if math.isnan(found):  # no bound rules it out
            self.fail(f"{value!r} is not a number from {self.min} to {self.max}.", param, ctx)
        return found


class TypedText(click.ParamType):  # type: ignore[type-arg]
    """Text as a person typed it; where it is not UTF-8, it is read as Windows-1252, which is said."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from varda_chat.text import sanitize, typed

        try:
            text, notice = typed(value, "The text")
        except VardaError as error:
            self.fail(str(error), param, ctx)
        if notice and not (ctx is not None and ctx.resilient_parsing):
            click.echo(sanitize(notice), err=True)
        return text


class TypedPath(click.Path):
    """A path as a person typed it, as a ``pathlib.Path``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from pathlib import Path

        return Path(os.fsdecode(super().convert(value, param, ctx)))


ID = WholeNumber()
LIMIT = WholeNumber()
TEXT = TypedText()
FILE = TypedPath(dir_okay=False)
DIRECTORY = TypedPath(file_okay=False)
