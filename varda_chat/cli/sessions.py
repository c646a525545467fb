"""``varda-chat sessions``: saved sessions listed, searched, shown, renamed, deleted, exported; no model loads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click

from varda_chat.cli.options import Place, at_a_place, confirmed
from varda_chat.cli.parameters import ID, LIMIT, TEXT
from varda_chat.text import counted, one_line, sanitize, speaker, to_json
from varda_chat.transcripts import SessionInfo, StoredTurn, Transcripts
from varda_chat.transcripts.export import export as write
from varda_chat.transcripts.export import file_name, moment, render
from varda_chat.transcripts.store import FILE_NAME


@click.group()
def sessions() -> None:
    """Look into the saved sessions, and change them."""


@contextmanager
def _opened(place: Place, *, read_only: bool = True) -> Iterator[Transcripts]:
    """The sessions of the place; where there are none, nothing is made."""
    if not read_only:
        place.check_writable()
    read_only = read_only or not (place.directory / FILE_NAME).exists()
    with Transcripts.open(place.directory, read_only=read_only) as transcripts:
        for notice in transcripts.notices:
            click.echo(sanitize(notice), err=True)
        yield transcripts


@sessions.command("list")
@click.option("--limit", type=LIMIT, help="At most so many, the last used.")
@at_a_place()
def list_sessions(place: Place, limit: int | None) -> None:
    """List the sessions, the last used first."""
    with _opened(place) as transcripts:
        found = transcripts.sessions(limit)
    for info in found:
        place.say(asdict(info), line_of(info))
    if not found:
        place.say_none("No sessions yet.")


@sessions.command()
@click.argument("text", type=TEXT)
@click.option("--limit", type=LIMIT, default=50, help="At most so many.")
@at_a_place()
def search(place: Place, text: str, limit: int) -> None:
    """Find the turns that hold all words of TEXT, in whatever session."""
    with _opened(place) as transcripts:
        results = transcripts.search(text, limit)
    for found in results:
        who = speaker(found.role)
        head = f"{found.session_id:>6}  {moment(found.at)}  {one_line(found.session_name, 40)}"
        place.say(asdict(found), f"{head}\n        {who}: {found.excerpt}")
    if not results:
        place.say_none("No turns match.")


@sessions.command()
@click.argument("session_id", metavar="ID", type=ID)
@at_a_place()
def show(place: Place, session_id: int) -> None:
    """Print a session."""
    with _opened(place) as transcripts:
        info, turns = transcripts.session(session_id), transcripts.turns(session_id)
    if place.as_json:
        click.echo(to_json(asdict(info) | {"turns": [turn.to_json() for turn in turns]}))
        return
    click.echo(f"{sanitize(info.name)}\n")
    for turn in turns:
        click.echo(sanitize(f"you    {_indented(turn.prompt)}\nVarda  {_indented(_reply(turn))}\n"))


@sessions.command()
@click.argument("session_id", metavar="ID", type=ID)
@click.argument("name", type=TEXT)
@at_a_place()
def rename(place: Place, session_id: int, name: str) -> None:
    """Give a session another name."""
    with _opened(place, read_only=False) as transcripts:
        transcripts.session(session_id)
        info = transcripts.rename(session_id, name)
    place.say(asdict(info), line_of(info))


@sessions.command()
@click.argument("session_id", metavar="ID", type=ID)
@click.option("--yes", is_flag=True, help="Do not ask.")
@at_a_place()
def delete(place: Place, session_id: int, yes: bool) -> None:
    """Delete a session for good. What the memory holds of it stays there."""
    with _opened(place, read_only=False) as transcripts:
        info = transcripts.session(session_id)
        if not place.as_json:
            click.echo(sanitize(line_of(info)))
        if not confirmed("Delete it for good?", yes, place.as_json):
            return
        transcripts.delete(session_id)
    place.say(
        {"deleted": asdict(info)}, "It is deleted. What the memory holds of it stays: see varda-chat memory forget."
    )


@sessions.command()
@click.argument("session_id", metavar="ID", type=ID)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True), required=False)
@at_a_place()
def export(place: Place, session_id: int, file: Path | None) -> None:
    """Write a session to FILE (.md or .json; - for stdout, as Markdown or with --json)."""
    with _opened(place) as transcripts:
        info = transcripts.session(session_id)
        if file is not None and str(file) == "-":
            kind = "json" if place.as_json else "markdown"
            click.echo(render(info, transcripts.turns(session_id), kind), nl=False)  # type: ignore[arg-type]
            return
        path = write(transcripts, session_id, file or Path(file_name(info, ".json" if place.as_json else ".md")))
    place.say({"exported": info.id, "file": str(path)}, f"The session was written to {sanitize(str(path))}.")


def line_of(info: SessionInfo) -> str:
    """A session in a list."""
    return f"{info.id:>6}  {moment(info.updated_at)}  {counted(info.turns, 'turn', 5)}  {info.name}"


def _reply(turn: StoredTurn) -> str:
    ends = {"stopped": " (stopped)", "failed": " (not finished)", "open": "(no answer)"}
    return f"{turn.reply}{ends.get(turn.state, '')}".strip()


def _indented(text: str) -> str:
    return text.replace("\n", "\n       ")
