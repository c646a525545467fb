"""Writes the tables of docs/guide.md from the tables in the code: run ``.venv/bin/python docs/tables.py``.

What stands between ``<!-- NAME -->`` and ``<!-- end of NAME -->`` is written; all else is left alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import click

from varda_chat.cli.main import main
from varda_chat.config.settings import HELP, Settings
from varda_chat.tui.bindings import named, places
from varda_chat.tui.commands import COMMANDS

GUIDE = Path(__file__).with_name("guide.md")


def commands() -> str:
    """What one types after a slash."""
    rows = ((f"`{each.usage}`", each.help, each.keys) for each in COMMANDS)
    return _table(("command", "what it does", "key"), rows)


def keys() -> str:
    """What each key does, place by place, and what it is called in the settings."""
    tables = []
    for place in places():
        fixed = [(keys, does, "") for keys, does in place.fixed]
        own = [(named(each.key), each.description, f"`{each.id}`") for each in place.bindings]
        if fixed or own:
            tables.append(f"**{place.title}**\n\n" + _table(("key", "what it does", "name"), [*fixed, *own]))
    return "\n\n".join(tables)


def settings() -> str:
    """What a settings file may hold."""
    flags = {option.name: option for option in main.params if isinstance(option, click.Option)}
    rows = []
    for name, does in HELP.items():
        option = flags.get(name)
        ways = f"`{option.opts[-1]}`, `{option.envvar}`" if option is not None else ""
        rows.append((f"`{name} = {json.dumps(getattr(Settings(), name))}`", does, ways))
    return _table(("setting, with its default", "what it is", "flag, variable"), rows)


def written(text: str) -> str:
    """``text`` with its tables as they are in the code."""
    for make in (commands, keys, settings):
        begin, end = f"<!-- {make.__name__} -->\n", f"<!-- end of {make.__name__} -->"
        before, _, rest = text.partition(begin)
        _, found, after = rest.partition(end)
        assert found, make.__name__
        text = f"{before}{begin}{make()}\n{end}{after}"
    return text


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    GUIDE.write_text(written(GUIDE.read_text("utf-8")), "utf-8")
