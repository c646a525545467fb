"""The ``varda-chat`` command. Imports next to nothing at the top: ``--help`` answers at once."""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from varda_chat import __version__
from varda_chat.cli.completion import profile_names
from varda_chat.cli.parameters import DIRECTORY, FILE, ID, TEXT, Number, WholeNumber
from varda_chat.config.defaults import (
    DEFAULT_PROFILE,
    DEFAULT_THEME,
    MAX_MEMORY_SIZE,
    MAX_NEW_TOKENS,
    WAIT_SECONDS,
    GenerationSettings,
)
from varda_chat.errors import VardaError

if TYPE_CHECKING:
    from pathlib import Path

WRONG_INPUT = 2
INTERRUPTED = 130
_SUBCOMMANDS = {
    "api": ("varda_chat.cli.api", "api", "Serve the chat to programs that speak OpenAI's interface."),
    "mcp": ("varda_chat.cli.mcp", "mcp", "Serve the memory to an MCP client on stdin and stdout: tools..."),
    "memory": ("varda_chat.cli.memory", "memory", "Look at, change and move what is remembered."),
    "models": ("varda_chat.cli.models", "models", "List models, and prepare or remove their files."),
    "serve": ("varda_chat.cli.serve", "serve", "Chat in a browser."),
    "sessions": ("varda_chat.cli.sessions", "sessions", "Look into the saved sessions, and change them."),
}
"""The subcommands: the module that holds each, its name there, and its line in the help, for which none is loaded."""


class _Commands(click.Group):
    """``varda-chat``, with its commands loaded when they are asked for and every error as one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _SUBCOMMANDS:
            return None
        from importlib import import_module

        module, name, _ = _SUBCOMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in _SUBCOMMANDS.items()])

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with _clean_errors():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _clean_errors():
                return super().invoke(ctx)
        except VardaError as error:
            _say_error(error)
            sys.exit(error.exit_code)
        except BrokenPipeError:
            # the reader has closed the pipe (as in `| head`): nothing more to say, and Python must not complain at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except (KeyboardInterrupt, click.Abort):
            sys.exit(INTERRUPTED)
        except OSError as error:
            _say_error(error)
            sys.exit(1)


def _say_error(error: Exception) -> None:
    from varda_chat.text import sanitize

    click.echo(f"Error: {sanitize(str(error))}", err=True)


@contextmanager
def _clean_errors() -> Iterator[None]:
    """Click's own errors quote what was typed: let them quote it as text."""
    try:
        yield
    except click.ClickException as error:
        from varda_chat.text import sanitize

        said, clean = error.format_message(), sanitize(error.format_message())
        if said == clean:
            raise
        context = error.ctx if isinstance(error, click.UsageError) else None
        cleaned = click.UsageError(clean, context) if context is not None else click.ClickException(clean)
        cleaned.exit_code = error.exit_code  # type: ignore[misc]
        raise cleaned from error


class _WrongInputError(click.ClickException):
    exit_code = WRONG_INPUT


def theme_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The themes there are, for the shell's completion."""
    from varda_chat.tui.themes import KNOWN

    return [name for name in KNOWN if name.startswith(incomplete)]


def _read_settings(ctx: click.Context, _: click.Parameter, value: Path | None) -> None:
    """Let the settings file give the defaults of the flags."""
    if ctx.resilient_parsing:
        return
    from varda_chat.config import paths, settings
    from varda_chat.text import sanitize

    try:
        ctx.obj = settings.read(value or paths.config_file(), required=value is not None)
    except VardaError as error:
        raise _WrongInputError(sanitize(str(error))) from error
    ctx.default_map = ctx.obj.flags


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.option("-p", "--prompt", type=TEXT, metavar="TEXT", help="Answer one message on stdout and exit.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a turn, and nothing else.")
@click.option(
    "--why",
    is_flag=True,
    help="With --prompt or a pipe: also what the answer would be without each memory it was recalled from.",
)
@click.option(
    "--plain", is_flag=True, help="Chat line by line, without a screen: for screen readers, dumb terminals and logs."
)
@click.option(
    "--config",
    type=FILE,
    metavar="FILE",
    envvar="VARDA_CHAT_CONFIG",
    is_eager=True,
    expose_value=False,
    callback=_read_settings,
    help="Settings, as the settings screen writes them.  [default: config.toml in the user's settings folder]",
)
@click.option(
    "--profile",
    default=DEFAULT_PROFILE,
    metavar="NAME",
    envvar="VARDA_CHAT_PROFILE",
    shell_complete=profile_names,
    help="Which memory to use.",
)
@click.option(
    "--data-dir",
    type=DIRECTORY,
    metavar="DIR",
    help="Where the memories are kept.  [default: $VARDA_CHAT_HOME or the user's data folder]",
)
@click.option(
    "--checkpoint",
    metavar="DIR_OR_HUB_ID",
    envvar="VARDA_CHAT_CHECKPOINT",
    help="The model.  [default: the bundled one]",
)
@click.option(
    "--incognito",
    "--read-only",
    is_flag=True,
    help="Read the memory, write none of it, save no session; also while another varda-chat writes it.",
)
@click.option("-c", "--continue", "resume_last", is_flag=True, help="Resume the last session, if there is one.")
@click.option("-r", "--resume", type=ID, metavar="ID", help="Resume that session.")
@click.option(
    "--theme",
    default=DEFAULT_THEME,
    metavar="NAME",
    envvar="VARDA_CHAT_THEME",
    shell_complete=theme_names,
    help="Colours of the chat, such as varda-dark or varda-light.",
)
@click.option(
    "--temperature",
    type=Number(0, 10),
    default=GenerationSettings.temperature,
    envvar="VARDA_CHAT_TEMPERATURE",
    help="Randomness of the answers; 0 for none.",
)
@click.option(
    "--top-p",
    type=Number(0, 1, min_open=True),
    default=GenerationSettings.top_p,
    envvar="VARDA_CHAT_TOP_P",
    help="Draw from the likeliest tokens of this total probability.",
)
@click.option(
    "--max-new-tokens",
    type=WholeNumber(1, MAX_NEW_TOKENS),
    default=GenerationSettings.max_new_tokens,
    envvar="VARDA_CHAT_MAX_NEW_TOKENS",
    help="Longest answer.",
)
@click.option(
    "--memory-size",
    type=WholeNumber(1, MAX_MEMORY_SIZE),
    envvar="VARDA_CHAT_MEMORY_SIZE",
    help="Capacity of the memory, in vectors, from now on.  [default: its own; of a new one, the model's]",
)
@click.option(
    "--system",
    type=TEXT,
    metavar="TEXT",
    envvar="VARDA_CHAT_SYSTEM",
    help="How Varda should speak in this session.  [default: as the profile keeps it (/persona)]",
)
@click.option("--seed", type=WholeNumber(0, 2**63 - 1), help="Makes the answers repeatable.")
@click.option(
    "--wait",
    type=Number(0, 3600),
    metavar="SECONDS",
    help=f"Wait so long for another varda-chat that is using the memory.  [default: {WAIT_SECONDS:g} for --prompt and "
    "text on a pipe, else 0]",
)
@click.option("--reset-memory", is_flag=True, help="Back up the memory, clear it and exit.")
@click.option("--yes", is_flag=True, help="With --reset-memory: do not ask.")
@click.option("--purge", is_flag=True, help="With --reset-memory: no backup, and the earlier ones go too.")
@click.version_option(__version__, prog_name="varda-chat")
def main(
    prompt: str | None,
    as_json: bool,
    why: bool,
    plain: bool,
    resume_last: bool,
    resume: int | None,
    theme: str,
    wait: float | None,
    reset_memory: bool,
    yes: bool,
    purge: bool,
    **_of_the_request: Any,
) -> None:
    """Chat with a small language model that remembers.

    In a terminal this opens the chat, or with --plain the same chat line by line. With --prompt, or with text on a pipe
    (each line is a turn), answers go to stdout. With both, the text on the pipe is put before the prompt.
    """
    _speak_utf8()
    if click.get_current_context().invoked_subcommand is not None:
        return
    from dataclasses import replace

    from varda_chat.cli.options import request_of
    from varda_chat.tui import terminals

    request = request_of(click.get_current_context())
    if reset_memory:
        if request.incognito:
            raise click.UsageError("--incognito (--read-only) does not go with --reset-memory, which writes.")
        _reset(request.directory, request.profile, yes, purge)
        return
    if yes or purge:
        raise click.UsageError(f"{'--yes' if yes else '--purge'} goes with --reset-memory.")
    if resume_last and resume is not None:
        raise click.UsageError("--continue and --resume do not go together.")
    if plain and (prompt is not None or as_json or why):
        other = "--json" if as_json else "--prompt" if prompt is not None else "--why; /why does that there"
        raise click.UsageError(f"--plain does not go with {other}.")
    if plain or (prompt is None and not as_json and not why and terminals.is_typed() and not terminals.can_draw()):
        from varda_chat.cli import plain as plain_chat
        from varda_chat.cli.chat import lines_of

        typed = terminals.is_typed()
        lines = terminals.typed_lines(asked_for=plain) if typed else lines_of(sys.stdin)
        wait = request.wait if typed or wait is not None else WAIT_SECONDS
        plain_chat.chat(replace(request, wait=wait), lines, resume, resume_last, typed=typed)
        return
    if prompt is None and terminals.can_draw():
        if as_json or why:
            raise click.UsageError(f"{'--json' if as_json else '--why'} needs --prompt or text on a pipe.")
        from varda_chat.tui.controllers.collecting import starting

        with starting():
            from varda_chat.tui.start import chat

            chat(request, click.get_current_context().obj, theme, resume, resume_last)
        return
    from varda_chat.cli.chat import answer, lines_of

    if prompt is None and terminals.is_typed():
        answer(request, terminals.typed_lines(), as_json, resume, resume_last, may_be_none=True, why=why)
        return
    if prompt is not None:
        prompts: Iterable[str] = ["\n\n".join(filter(None, (_material(), prompt)))]
    else:
        prompts = lines_of(sys.stdin)
    answer(
        replace(request, wait=WAIT_SECONDS if wait is None else wait), prompts, as_json, resume, resume_last, why=why
    )


def _material() -> str:
    """What a pipe or a file on stdin holds, for a prompt that asks about it; "" where stdin is neither."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode if sys.stdin is not None else 0
    except (OSError, ValueError):
        return ""
    if not (stat.S_ISFIFO(mode) or stat.S_ISREG(mode)):
        return ""
    from varda_chat.cli.chat import text_of

    return text_of(sys.stdin).strip()


def _speak_utf8() -> None:
    """Text in and out is UTF-8 whatever the locale; what cannot be read or written is replaced."""
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")


def _reset(directory: Path, profile: str, yes: bool, purge: bool) -> None:
    """Say what would go, ask, back up, clear."""
    from varda_chat.cli.options import confirmed
    from varda_chat.memory.maintenance import peek, reset
    from varda_chat.memory.store import MemoryStore
    from varda_chat.session.purging import PROOFS, remove_all
    from varda_chat.session.purging import finish as finish_purges
    from varda_chat.storage.files import DATABASE
    from varda_chat.text import numbered, sanitize
    from varda_chat.transcripts.store import FILE_NAME as SESSIONS
    from varda_chat.tui.controllers.history import FILE_NAME

    found = peek(directory)
    typed = directory / FILE_NAME
    where = f"profile {profile!r} in {sanitize(str(directory))}"
    beside = ("backups/*", "memory.db.damaged-*", f"{SESSIONS}*", f"{FILE_NAME}*", f"{PROOFS}*")
    kept = purge and any(path for pattern in beside for path in directory.glob(pattern))
    if not (found.vectors or found.statements or found.events or found.damaged or typed.exists() or kept):
        click.echo(f"The memory of {where} is empty already.")
        return
    if found.damaged:
        click.echo(f"The memory of {where} is damaged and will be set aside.")
    else:
        held = f"{numbered(found.statements, 'memory')} ({numbered(found.vectors, 'vector')})"
        click.echo(f"The memory of {where} holds {held}.")
    question = "Clear it, and all backups of it and all saved sessions, for good?" if purge else "Clear it?"
    if not confirmed(question, yes, as_json=False):
        return
    if not (purge or found.damaged) and (directory / DATABASE).exists():
        with MemoryStore.open_records(directory) as store:  # what was to be purged must not stay in the backup
            for line in finish_purges(store):
                click.echo(sanitize(line), err=True)
    backup = reset(directory, purge=purge)
    said = "The memory is empty, and the list of what you typed."
    if any(directory.glob(f"{SESSIONS}*")):
        said += " The saved sessions are deleted." if purge else " Saved sessions are kept; --purge removes them too."
    if purge:
        remove_all(directory)
    else:
        typed.unlink(missing_ok=True)
    click.echo(said + (f" A backup is in {sanitize(str(backup))}" if backup else ""))
