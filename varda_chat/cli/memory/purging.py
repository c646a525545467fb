"""Commands that leave no trace: purge, and the proof that there is none."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from varda_chat.cli.memory.matching import confirm_within_words, id_meant, reading_option, within_words
from varda_chat.cli.options import Place, as_dict, as_line, at_a_place, confirmed
from varda_chat.cli.parameters import TEXT
from varda_chat.errors import VardaError
from varda_chat.text import numbered, one_line, sanitize

if TYPE_CHECKING:
    from varda_chat.memory.records import Removed, Statement
    from varda_chat.session.purging import Read


@click.command()
@click.argument("what", metavar="ID|TEXT", type=TEXT)
@click.option("--check", is_flag=True, help="Only search every byte of the profile for TEXT; exits 1 if it is there.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@reading_option
@at_a_place()
def purge(place: Place, what: str, check: bool, yes: bool, reading: str | None) -> None:
    """Forget a memory, or all that holds TEXT, so that no file of the profile has a trace of it."""
    if not check:
        purge_everywhere(place, what, yes, reading)
        return
    from varda_chat.session.purging import trace
    from varda_chat.storage.words import Words

    if not place.directory.is_dir():
        raise VardaError(f"There is no memory in {place.directory}.")
    read = trace(place.directory, Words([what]))
    lines = [f"{_verdict(each):<10} {each.bytes:>13,} bytes  {sanitize(each.name)}" for each in read]
    clean = not any(each.holds or each.problem for each in read)
    place.say({"clean": clean, "files": [asdict(each) for each in read]}, "\n".join([*lines, _summary(read)]))
    if not clean:
        sys.exit(1)


def purge_everywhere(place: Place, what: str, yes: bool, reading: str | None = None) -> None:
    """Show what would go, ask, take it out of every file of the profile, and prove that it is out. ``reading``: see
    ``id_meant``."""
    from varda_chat.memory.store import MemoryStore
    from varda_chat.session import purging
    from varda_chat.storage.words import Words

    place.check_writable()
    if not place.directory.is_dir():
        raise VardaError(f"There is no memory in {place.directory}.")
    # before the memory is open: closing a file drops the locks that SQLite has on it
    read = () if reading == "id" else purging.trace(place.directory, Words([what]))
    with MemoryStore.open_records(place.directory, wait=place.wait) as store:
        for notice in store.notices:
            click.echo(sanitize(notice), err=True)
        begun = store.purging.begun()
        known: list[Statement | Removed] = [*store.statements(), *store.removed()]
        statement_id = id_meant(known, what, reading, {id_ for each in begun for id_ in each.ids})
        by_id = statement_id is not None
        files = [] if by_id else [each.name for each in read if each.holds]
        of_id = [each.text for each in known if by_id and each.id == statement_id]
        said = of_id if by_id else [what]
        ids = set() if statement_id is None else {statement_id}
        found, before = store.purging.would_wipe(ids, said)
        # an id of no memory purges none, whatever its events say; but what was cut off is resumed
        if not (said and (found or before or files)) and not begun:
            hint = " With --as text it is looked for in all files." if by_id and reading is None else ""
            raise VardaError(f"Nothing in memory is {one_line(what)!r}.{hint}")
        if not place.as_json:
            for statement in found:
                click.echo(as_line(statement))
            for each in before:
                click.echo(f"{each.id:>6}   (deleted before)  {one_line(each.text)}")
            if files:
                click.echo(f"It stands in {', '.join(map(sanitize, files))}.")
        within = [] if by_id else within_words([*found, *before], what)
        if within:
            confirm_within_words(what, within, place.as_json)
        elif not confirmed("Forget it without a trace, in the backups and set-aside files too?", yes, place.as_json):
            return
        _, words = purging.purge(store, ids, said)
    read = purging.trace(place.directory, words)
    shown = [*map(as_dict, found), *map(as_dict, before)]
    answer = {"forgotten": shown, "purged": True, "files": [asdict(each) for each in read]}
    place.say(answer, f"Forgotten: {len(shown)}. {_summary(read)}")
    if any(each.holds for each in read):
        sys.exit(1)


def _verdict(read: Read) -> str:
    return "unreadable" if read.problem else "FOUND" if read.holds else "clean"


def _summary(read: tuple[Read, ...]) -> str:
    held = [sanitize(each.name) for each in read if each.holds]
    unread = [sanitize(each.name) for each in read if each.problem]
    searched = numbered(len(read) - len(unread), "file")
    told = f"It still stands in {', '.join(held)}." if held else "No trace of it is left."
    told += f" Every byte of {searched} of the profile was read, {sum(each.bytes for each in read):,} in all."
    return told + (f" Not read: {', '.join(unread)}." if unread else "")


COMMANDS = (purge,)
