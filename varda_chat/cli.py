"""The ``varda-chat`` command. Imports nothing heavy at the top: ``--help`` and ``--reset-memory`` answer at once."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from varda_chat import __version__, paths
from varda_chat.config import GenerationSettings
from varda_chat.errors import VardaError
from varda_chat.sanitize import sanitize

if TYPE_CHECKING:
    from varda_chat.session import ChatSession, Progress, Turn
    from varda_chat.transcripts import Transcripts

INTERRUPTED = 130
_SUBCOMMANDS = {
    "memory": ("varda_chat.memory_commands", "memory"),
    "sessions": ("varda_chat.session_commands", "sessions"),
}
"""Modules that hold the subcommands, and their names there."""


@dataclass(frozen=True)
class _Request:
    """What the flags ask for."""

    profile: str
    folder: Path
    checkpoint: str | None
    incognito: bool
    generation: GenerationSettings

    def transcripts(self) -> Transcripts:
        """Where sessions are kept; incognito, a copy in RAM. Raises VardaError."""
        from varda_chat.transcripts import Transcripts

        return Transcripts.open(self.folder, read_only=self.incognito)

    def open(self, on_progress: Progress | None = None, transcripts: Transcripts | None = None) -> ChatSession:
        from varda_chat.session import ChatSession

        return ChatSession.open(
            self.folder,
            self.checkpoint,
            incognito=self.incognito,
            generation=self.generation,
            transcripts=transcripts,
            on_progress=on_progress,
        )


class _Commands(click.Group):
    """``varda-chat``, with its commands loaded when they are asked for and every error as one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _SUBCOMMANDS:
            return None
        module, name = _SUBCOMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except VardaError as error:
            click.echo(f"Error: {sanitize(str(error))}", err=True)
            sys.exit(error.exit_code)
        except BrokenPipeError:
            # the reader has gone (as in `| head`): nothing more to say, and Python must not complain at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except (KeyboardInterrupt, click.Abort):
            sys.exit(INTERRUPTED)
        except OSError as error:
            click.echo(f"Error: {sanitize(str(error))}", err=True)
            sys.exit(1)


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.option("-p", "--prompt", metavar="TEXT", help="Answer one message on stdout and exit.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a turn, and nothing else.")
@click.option("--profile", default="default", metavar="NAME", help="Which memory to use.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help=f"Where the memories lie.  [default: ${paths.HOME_VARIABLE} or the user's data folder]",
)
@click.option("--checkpoint", metavar="DIR_OR_HUB_ID", help="The model.  [default: the bundled one]")
@click.option(
    "--incognito",
    "--read-only",
    is_flag=True,
    help="Read the memory, write none of it, save no session; also while another varda-chat writes it.",
)
@click.option("-c", "--continue", "go_on", is_flag=True, help="Go on with the last session, if there is one.")
@click.option("-r", "--resume", type=click.IntRange(min=1), metavar="ID", help="Go on with that session.")
@click.option("--theme", metavar="NAME", help="Colours of the chat, such as varda-dark or varda-light.")
@click.option(
    "--temperature",
    type=click.FloatRange(0, 10),
    default=GenerationSettings.temperature,
    help="Randomness of the answers; 0 for none.",
)
@click.option(
    "--top-p",
    type=click.FloatRange(0, 1, min_open=True),
    default=GenerationSettings.top_p,
    help="Draw from the likeliest tokens of this total probability.",
)
@click.option(
    "--max-new-tokens", type=click.IntRange(min=1), default=GenerationSettings.max_new_tokens, help="Longest answer."
)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Makes the answers repeatable.")
@click.option("--reset-memory", is_flag=True, help="Back up the memory, clear it and exit.")
@click.option("--yes", is_flag=True, help="With --reset-memory: do not ask.")
@click.option("--purge", is_flag=True, help="With --reset-memory: no backup, and the earlier ones go too.")
@click.version_option(__version__, prog_name="varda-chat")
def main(
    prompt: str | None,
    as_json: bool,
    profile: str,
    data_dir: Path | None,
    checkpoint: str | None,
    incognito: bool,
    go_on: bool,
    resume: int | None,
    theme: str | None,
    temperature: float,
    top_p: float,
    max_new_tokens: int,
    seed: int | None,
    reset_memory: bool,
    yes: bool,
    purge: bool,
) -> None:
    """Chat with a small language model that remembers.

    In a terminal this opens the chat. With --prompt, or with text on a pipe (each line is a turn), answers go to
    stdout.
    """
    _speak_utf8()
    if click.get_current_context().invoked_subcommand is not None:
        return
    folder = paths.profile_dir(profile, data_dir)
    if reset_memory:
        _reset(folder, profile, yes, purge)
        return
    if yes or purge:
        raise click.UsageError(f"{'--yes' if yes else '--purge'} goes with --reset-memory.")
    generation = GenerationSettings(temperature, top_p, max_new_tokens, seed)
    request = _Request(profile, folder, checkpoint, incognito, generation)
    if go_on and resume is not None:
        raise click.UsageError("--continue and --resume do not go together.")
    if prompt is not None:
        _answer(request, [prompt], as_json, resume, go_on)
    elif sys.stdin is None or not sys.stdin.isatty():
        _answer(request, sys.stdin or (), as_json, resume, go_on)
    elif as_json:
        raise click.UsageError("--json needs --prompt or text on a pipe.")
    else:
        _chat(request, theme, resume, go_on)


def _speak_utf8() -> None:
    """Text in and out is UTF-8 whatever the locale; what cannot be read or written is replaced."""
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")


def _reset(folder: Path, profile: str, yes: bool, purge: bool) -> None:
    """Say what would go, ask, back up, clear."""
    from varda_chat.memory.upkeep import peek, reset
    from varda_chat.transcripts.store import FILE_NAME as SESSIONS
    from varda_chat.transcripts.store import remove_file
    from varda_chat.tui.history import FILE_NAME

    found = peek(folder)
    typed = folder / FILE_NAME
    where = f"profile {profile!r} in {folder}"
    kept = purge and any((*folder.glob("backups/*"), *folder.glob("memory.db.damaged-*"), *folder.glob("sessions.db*")))
    if not (found.vectors or found.statements or found.events or found.damaged or typed.exists() or kept):
        click.echo(f"The memory of {where} is empty already.")
        return
    if found.damaged:
        click.echo(f"The memory of {where} is damaged and will be set aside.")
    else:
        click.echo(f"The memory of {where} holds {found.vectors} vectors (statements: {found.statements}).")
    question = "Clear it, and all backups of it and all saved sessions, for good?" if purge else "Clear it?"
    if not yes and not click.confirm(question):
        click.echo("Nothing was changed.")
        return
    backup = reset(folder, purge=purge)
    typed.unlink(missing_ok=True)
    said = "The memory is empty, and the list of what you typed."
    if purge and remove_file(folder):
        said += " The saved sessions are gone."
    elif (folder / SESSIONS).exists():
        said += " Saved sessions are kept; --purge removes them too."
    click.echo(said + (f" A backup is in {backup}" if backup else ""))


def _answer(request: _Request, prompts: Iterable[str], as_json: bool, resume: int | None, go_on: bool) -> None:
    """Answer each prompt on stdout; every turn's memory is on disk before its line is printed."""
    transcripts = _transcripts(request, needed=resume is not None)
    session: ChatSession | None = None
    try:
        resume = _session_to_resume(transcripts, resume, go_on)
        for line in prompts:
            prompt = line.strip()
            if not sanitize(prompt).strip():
                continue
            if session is None:
                session = request.open(transcripts=transcripts)
                for notice in session.notices:
                    click.echo(notice, err=True)
                if resume is not None:
                    session.resume(resume)
            _print_turn(session.reply(prompt), as_json)
        if session is None:
            raise VardaError("There is nothing to answer: the message is empty.")
    finally:
        if session is not None:
            shown = len(session.notices)
            session.close()
            for notice in session.notices[shown:]:
                click.echo(notice, err=True)
        if transcripts is not None:
            transcripts.close()


def _transcripts(request: _Request, needed: bool) -> Transcripts | None:
    """Where sessions are kept; where that cannot be opened and is not ``needed``, the chat goes on without."""
    try:
        transcripts = request.transcripts()
    except VardaError as error:
        if needed:
            raise
        click.echo(f"{sanitize(str(error))} This session is not saved.", err=True)
        return None
    for notice in transcripts.notices:
        click.echo(sanitize(notice), err=True)
    return transcripts


def _session_to_resume(transcripts: Transcripts | None, resume: int | None, go_on: bool) -> int | None:
    """The session that the flags name, None for a new one; raises VardaError where --resume names none."""
    if transcripts is None:
        return None
    if resume is not None:
        return transcripts.session(resume).id
    latest = transcripts.latest() if go_on else None
    return latest.id if latest is not None else None


def _print_turn(turn: Turn, as_json: bool) -> None:
    click.echo(json.dumps(turn.to_json(), ensure_ascii=False) if as_json else turn.reply)
    sys.stdout.flush()


def _chat(request: _Request, theme: str | None, resume: int | None, go_on: bool) -> None:
    """Open the Textual app."""
    from varda_chat.memory.files import DATABASE
    from varda_chat.tui.app import VardaApp

    first_run = not (request.folder / DATABASE).exists()
    transcripts = _transcripts(request, needed=resume is not None)
    name = "default" if request.checkpoint is None else Path(request.checkpoint).name
    app = VardaApp(
        lambda on_progress: request.open(on_progress, transcripts),
        profile=request.profile,
        profile_dir=request.folder,
        model_name=name,
        incognito=request.incognito,
        first_run=first_run,
        theme=theme,
        transcripts=transcripts,
        resume=_session_to_resume(transcripts, resume, go_on),
    )
    app.run()
    if transcripts is not None:
        transcripts.close()
    sys.exit(app.return_code or 0)
