"""What all memory commands share: their options, the memory they are about, and how they print."""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from varda_chat.cli.completion import profile_names
from varda_chat.config import paths
from varda_chat.errors import VardaError
from varda_chat.storage.regular import read_regular
from varda_chat.text import one_line, sanitize, to_json

if TYPE_CHECKING:
    from varda_chat.memory.records import Removed, Statement
    from varda_chat.memory.schema import MemorySettings
    from varda_chat.memory.store import MemoryStore
    from varda_chat.session.request import Request
    from varda_chat.session.session import ChatSession


MAX_CONFIG = 2**20
"""Bytes of a model's config.json that are read."""


@dataclass(frozen=True)
class Place:
    """The memory a command is about, and whether it answers in JSON. ``incognito``: it changes nothing in it."""

    profile: str
    data_dir: Path | None
    as_json: bool
    checkpoint: str | None
    memory_size: int | None
    wait: float
    incognito: bool

    @property
    def directory(self) -> Path:
        return paths.profile_dir(self.profile, self.data_dir)

    def store(self, *, read_only: bool = False) -> MemoryStore:
        """The memory without a model. Looking takes no lock; changing where there is none, or incognito, is refused."""
        from varda_chat.memory.store import MemoryStore
        from varda_chat.session.purging import finish as finish_purges
        from varda_chat.storage.files import DATABASE

        if not read_only:
            self.check_writable()
            if not (self.directory / DATABASE).exists():
                raise VardaError(f"There is no memory in {self.directory}.")
        store = MemoryStore.open_records(self.directory, read_only=read_only, wait=self.wait)
        for notice in [*store.notices, *finish_purges(store)]:
            click.echo(sanitize(notice), err=True)
        return store

    def session(self, *, incognito: bool = False) -> ChatSession:
        """The memory with the model, which reads what waits to be read."""
        from varda_chat.session.session import ChatSession

        session = ChatSession.open(
            self.directory,
            self.checkpoint,
            incognito=incognito or self.incognito,
            memory_size=self.memory_size,
            wait=self.wait,
        )
        for notice in session.notices:
            click.echo(sanitize(notice), err=True)
        return session

    def check_writable(self) -> None:
        """Raise click.UsageError where a command that writes was asked to write nothing."""
        if self.incognito:
            context = click.get_current_context()
            command = context.command_path.removeprefix(f"{context.find_root().command_path} ")
            raise click.UsageError(f"--incognito (--read-only) does not go with {command}, which writes.")

    def begin_with(self) -> MemorySettings:
        """What a new memory of the model begins with, read without the model."""
        from varda_chat.memory.schema import MemorySettings

        path = (Path(self.checkpoint) if self.checkpoint else paths.default_checkpoint()) / "config.json"
        try:
            found = json.loads(read_regular(path, MAX_CONFIG))
        except (OSError, ValueError, RecursionError, VardaError):
            return MemorySettings()  # a model of the hub, or none: it is told of when it is loaded
        try:
            return MemorySettings.of_model(found) if isinstance(found, dict) else MemorySettings()
        except VardaError as error:
            raise VardaError(f"{path}: {error}") from error

    @property
    def quiet(self) -> bool:
        """Whether nobody watches a progress bar."""
        return self.as_json or not sys.stderr.isatty()

    def say(self, answer: Any, line: str) -> None:
        """Print ``answer`` as one JSON object, or ``line`` for a person."""
        click.echo(to_json(answer) if self.as_json else sanitize(line))

    def say_none(self, line: str) -> None:
        """Tell a person that there is nothing to list; JSON that lists nothing is empty."""
        if not self.as_json:
            click.echo(line)


def request_of(root: click.Context) -> Request:
    """What the flags of the chat, the environment and the settings ask for; ``root`` is of the main command. Raises
    VardaError for a persona that is too long."""
    from varda_chat.config import persona
    from varda_chat.config.defaults import GenerationSettings
    from varda_chat.session.request import Request

    given, file = root.params, root.obj
    usual = root.get_parameter_source("system") in (ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP)
    return Request(
        given["profile"],
        given["data_dir"],
        given["checkpoint"] or None,
        given["incognito"],
        GenerationSettings(given["temperature"], given["top_p"], given["max_new_tokens"], given["seed"]),
        given["memory_size"],
        wait=given["wait"] or 0.0,
        confirm_deletes=file.settings.confirm_deletes,
        system=None if usual else persona.checked(given["system"] or ""),
        usual_system=file.settings.system,
        usual_memory_size=file.flags.get("memory_size"),
    )


def at_a_place(*, model: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command --profile, --data-dir and --json (and --checkpoint), as the main command has them.

    What stands before ``memory`` counts too. The command gets a Place as its first argument.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(*, profile: str | None, data_dir: Path | None, as_json: bool, **others: Any) -> None:
            before = click.get_current_context().find_root().params
            place = Place(
                profile if profile is not None else before.get("profile", "default"),
                data_dir or before.get("data_dir"),
                as_json or before.get("as_json", False),
                others.pop("checkpoint", None) or before.get("checkpoint") or None,
                before.get("memory_size"),
                before.get("wait") or 0.0,
                before.get("incognito", False),
            )
            command(place, **others)

        options = [
            click.option(
                "--profile",
                metavar="NAME",
                shell_complete=profile_names,
                help="Which memory to use.  [default: default]",
            ),
            click.option(
                "--data-dir",
                type=click.Path(path_type=Path, file_okay=False),
                metavar="DIR",
                help="Where the memories are kept.",
            ),
            click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else."),
        ]
        if model:
            options.append(click.option("--checkpoint", metavar="DIR_OR_HUB_ID", help="The model."))
        for option in reversed(options):
            run = option(run)
        return run

    return decorate


def as_dict(statement: Statement | Removed) -> dict[str, Any]:
    """A statement as the object that --json prints."""
    return asdict(statement) | {"text": sanitize(statement.text)}


def as_line(statement: Statement) -> str:
    """A statement as one line of a list."""
    pin = "*" if statement.pinned else " "
    return f"{statement.id:>6} {pin} {when(statement.created_at)}  {statement.role:<9}  {one_line(statement.text)}"


def when(seconds: float) -> str:
    """A time as the local clock shows it; a time no clock can show as dashes."""
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
    except (OverflowError, ValueError, OSError):
        return "---- -- -- --:--"


def confirmed(question: str, yes: bool, as_json: bool) -> bool:
    """Whether to go on. Raises click.UsageError where nobody can be asked, with --json or at the end of stdin, and
    --yes is not there."""
    if yes:
        return True
    if as_json:
        raise click.UsageError("With --json, --yes must say that it is meant.")
    try:
        if click.confirm(question):
            return True
    except click.Abort:
        if sys.stdin is not None and sys.stdin.isatty():
            raise
        click.echo()
        raise click.UsageError("There is nobody to ask: --yes must say that it is meant.") from None
    click.echo("Nothing was changed.")
    return False
