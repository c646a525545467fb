"""Commands that the model runs for: search, learn."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from varda_chat.cli.options import Place, at_a_place, when
from varda_chat.cli.parameters import LIMIT, TEXT
from varda_chat.errors import VardaError
from varda_chat.text import numbered, one_line, sanitize, were

if TYPE_CHECKING:
    from varda_chat.memory.records import NewStatement
    from varda_chat.session.memory_actions import SessionMemory

_UNREAD = 1000
_UNREAD_SHOWN = 20
"""Lines and entries that could not be read: named in JSON, and told of one by one."""


@click.command()
@click.argument("text", type=TEXT)
@click.option("--limit", type=LIMIT, default=10, help="At most so many.")
@at_a_place(model=True)
def search(place: Place, text: str, limit: int) -> None:
    """Show what the model finds in memory for TEXT, with the share of its reading that each gets."""
    if not sanitize(text).strip():
        raise VardaError("There is nothing to search for: the text is empty.")
    with place.session(incognito=True) as session:
        results = session.memory.search(text, limit)
    for found in results:
        answer = {"id": found.id, "text": sanitize(found.text), "match": round(found.weight, 4)}
        place.say(answer, f"{found.weight:>6.1%}  {found.id:>6}  {one_line(found.text)}")
    if not results:
        place.say_none("No similar memories.")


@click.command()
@click.argument("files", type=click.Path(path_type=Path, dir_okay=False, exists=True), nargs=-1, required=True)
@click.option("--dry-run", is_flag=True, help="Show what would be stored, and store nothing.")
@at_a_place(model=True)
def learn(place: Place, files: Sequence[Path], dry_run: bool) -> None:
    """Read files into memory: exports of ChatGPT, Claude, mem0 or Letta, dialogues in JSON, text, Markdown.

    What a file is, its content says. If interrupted, the same command resumes; a file that was read is not read again.
    """
    from varda_chat.ingest.learning import read_file

    if not dry_run:
        place.check_writable()
    readings = [read_file(file) for file in files]  # all of them can be read, before the model loads
    for notice in (notice for reading in readings for notice in reading.notices):
        click.echo(sanitize(notice), err=True)
    unread = [f"{file}, {each}" for file, reading in zip(files, readings, strict=True) for each in reading.unread]
    counts = dict.fromkeys(("stored", "refreshed", "deleted", "refused"), 0)
    read = 0
    act: int | None = None  # all that one command learns, so that one undo brings back what it deleted
    shown: list[dict[str, Any]] = []
    with place.session(incognito=dry_run) as session:
        learned: _Rehearsal | SessionMemory = _Rehearsal(session.memory) if dry_run else session.memory
        for file, reading in zip(files, readings, strict=True):
            start = session.memory.passages_learned(reading.digest)
            left = reading.passages[start:]
            fits = True
            with click.progressbar(
                left, label=one_line(file.name, 40), file=sys.stderr, show_pos=True, hidden=place.quiet
            ) as bar:
                for number, passage in enumerate(bar, start + 1):
                    applied = learned.learn(passage.role, passage.text, at=passage.at, memory=passage.memory, act=act)
                    act, fits = applied.act, fits and not applied.refused
                    if dry_run:
                        shown += [{"role": each.role, "text": each.text, "at": passage.at} for each in applied.stored]
                    elif fits:  # what did not, the same command reads again
                        session.memory.set_passages_learned(reading.digest, number)
                    for name in counts:
                        counts[name] += len(getattr(applied, name))
                    read += 1
        answer: dict[str, Any] = {"passages": read, **counts}
        answer |= {"skipped": sum(reading.skipped for reading in readings), "unread": unread[:_UNREAD]}
        answer["memory_size"] = session.memory.size
        capacity = session.memory.capacity
    if dry_run:
        answer |= {"stored": 0, "would_store": shown}
        for each in shown if not place.as_json else ():
            said = time.time() if each["at"] is None else each["at"]
            click.echo(f"{when(said)}  {each['role']:<9}  {one_line(each['text'])}")
    of_them = f"{numbered(counts['stored'], 'memory')} {'would be ' if dry_run else ''}stored"
    of_them += f", {counts['refreshed']:,} known already"
    of_them += f", {counts['deleted']:,} deleted to make room" if counts["deleted"] else ""
    of_them += f", {counts['refused']:,} without room beside pinned ones" if counts["refused"] else ""
    place.say(answer, f"{numbered(read, 'passage')} {were(read)} read: {of_them}.")
    if counts["deleted"]:
        click.echo(
            f"The memory keeps {numbered(capacity, 'vector')}: the memories least worth keeping were deleted. "
            "varda-chat memory undo brings them back, and a larger --memory-size keeps them.",
            err=True,
        )
    if counts["refused"]:
        click.echo(
            "With a larger --memory-size, or fewer pinned memories, the same command stores what had no room.", err=True
        )
    for line in unread[:_UNREAD_SHOWN]:
        click.echo(one_line(line), err=True)
    if len(unread) > _UNREAD_SHOWN:
        click.echo(f"... and {len(unread) - _UNREAD_SHOWN:,} more that could not be read.", err=True)


class _Rehearsal:
    """Learns as a session does, but only says what would be stored and what is known already, word for word."""

    def __init__(self, memory: SessionMemory) -> None:
        from varda_chat.memory.records import normal_form

        self._memory, self._normal_form = memory, normal_form
        self._known = {(each.role, normal_form(each.text)) for each in memory.statements()}

    def learn(self, role: str, text: str, *, at: float | None, memory: bool, act: int | None) -> _Rehearsed:
        stored: list[NewStatement] = []
        refreshed: list[NewStatement] = []
        for each in self._memory.would_learn(role, text, memory=memory):
            key = (each.role, self._normal_form(each.text))
            (refreshed if key in self._known else stored).append(each)
            self._known.add(key)
        return _Rehearsed(stored, refreshed)


class _Rehearsed(NamedTuple):
    stored: list[NewStatement]
    refreshed: list[NewStatement]
    deleted: tuple[NewStatement, ...] = ()
    refused: tuple[NewStatement, ...] = ()
    act: int | None = None


COMMANDS = (search, learn)
