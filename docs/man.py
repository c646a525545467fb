"""Writes docs/man/varda-chat.1, the manual page of every command and flag, from the commands themselves: make man."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click

from varda_chat import __version__
from varda_chat.cli.main import main
from varda_chat.cli.tokens import TOKEN_VARIABLE
from varda_chat.config import paths

PAGE = Path(__file__).parent / "man" / "varda-chat.1"
_VARIABLES = {
    paths.HOME_VARIABLE: "Where the memories, the settings and the cache lie.",
    paths.MODEL_VARIABLE: "The model where none is named: one that comes with the package, or a directory.",
    paths.BASE_VARIABLE: "Directory of the base model.",
    TOKEN_VARIABLE: "The token of serve and api.",
}


def written() -> str:
    """The page."""
    lines = [f'.TH VARDA\\-CHAT 1 "" "varda\\-chat {__version__}" "User Commands"']
    lines += [".SH NAME", r"varda\-chat \- chat with a small language model that remembers"]
    context = click.Context(main, info_name="varda-chat", **main.context_settings)
    lines += [".SH SYNOPSIS", *_synopsis(main, context), ".SH DESCRIPTION", *_description(main)]
    lines += [".SH OPTIONS", *_options(main, context), ".SH COMMANDS"]
    for command, below in _commands(main, context):
        lines += [f".SS {_plain(below.command_path)}", *_synopsis(command, below)]
        lines += [*_description(command), *_options(command, below)]
    lines.append(".SH ENVIRONMENT")
    for name, what in (_VARIABLES | _of_flags()).items():
        lines += [".TP", f".B {_plain(name)}", _text(what)]
    lines += [
        ".SH EXIT STATUS",
        "0 on success, 1 where something could not be done, 2 for a wrong command line, 130 after",
    ]
    lines += ["Ctrl+C."]
    return "\n".join(lines) + "\n"


def _commands(group: click.Group, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    """Every command below ``group``, groups before what is in them."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if command.hidden:
            continue
        below = click.Context(command, info_name=name, parent=context, **command.context_settings)
        yield command, below
        if isinstance(command, click.Group):
            yield from _commands(command, below)


def _synopsis(command: click.Command, context: click.Context) -> list[str]:
    pieces = " ".join(command.collect_usage_pieces(context))
    return [f".B {_plain(context.command_path)}", _text(pieces), ".PP"]


def _description(command: click.Command) -> list[str]:
    paragraphs = (command.help or "").split("\n\n")
    lines: list[str] = []
    for paragraph in paragraphs:
        if paragraph.startswith("\b\n"):
            lines += [".nf", *(_text(line) for line in paragraph.splitlines()[1:]), ".fi", ".PP"]
        else:
            lines += [_text(" ".join(paragraph.split())), ".PP"]
    return lines


def _options(command: click.Command, context: click.Context) -> list[str]:
    lines: list[str] = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            names, what = record
            lines += [".TP", f".B {_plain(names)}", _text(re.sub(r"\s+", " ", what))]
    return lines


def _of_flags() -> dict[str, str]:
    """The variables that stand for flags of the chat."""
    return {
        str(each.envvar): f"Stands for {max(each.opts, key=len)}."
        for each in main.params
        if isinstance(each, click.Option) and each.envvar
    }


def _text(text: str) -> str:
    """A line of text, which roff must not take for a request."""
    return (r"\&" if text.startswith((".", "'")) else "") + _plain(text)


def _plain(text: str) -> str:
    return text.replace("\\", r"\e").replace("-", r"\-")


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(written(), "utf-8")
