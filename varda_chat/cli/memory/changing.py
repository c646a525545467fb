"""Commands that change what is in a memory, or how it is searched: forget, undo, pin, unpin, edit, index."""

from __future__ import annotations

import click

from varda_chat.cli.memory.matching import confirm_within_words, id_meant, matches, reading_option
from varda_chat.cli.memory.purging import purge_everywhere
from varda_chat.cli.options import Place, as_dict, as_line, at_a_place, confirmed
from varda_chat.cli.parameters import ID, TEXT
from varda_chat.errors import VardaError
from varda_chat.text import one_line, sanitize

_SHOWN = 20
"""Statements that an undo lists."""


@click.command()
@click.argument("what", metavar="ID|TEXT", type=TEXT)
@click.option("--purge", is_flag=True, help="Leave no trace in any file of the profile; not to be undone.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@reading_option
@at_a_place()
def forget(place: Place, what: str, purge: bool, yes: bool, reading: str | None) -> None:
    """Forget one memory, or all that hold the words TEXT."""
    if purge:
        purge_everywhere(place, what, yes, reading)
        return
    within_words = False
    with place.store() as store:
        removed = {each.id for each in store.removed()}
        statement_id = id_meant(store.statements(), what, reading, removed)
        if statement_id is not None:
            ids = {statement_id}
        else:
            ids, within_words = matches(store.statements(), what)
        found = [each for each in store.statements(newest_first=False) if each.id in ids]
        if not found:
            raise VardaError(f"Nothing in memory is {one_line(what)!r}.")
        if not place.as_json:
            for statement in found:
                click.echo(as_line(statement))
        if within_words:
            confirm_within_words(what, sorted(ids), place.as_json)
        elif not confirmed("Forget it?", yes, place.as_json):
            return
        store.forget([each.id for each in found])
    answer = {"forgotten": [as_dict(each) for each in found], "purged": False}
    place.say(answer, f"Forgotten: {len(found)}. varda-chat memory undo brings back what went.")


@click.command()
@click.argument("statement_id", metavar="[ID]", type=ID, required=False)
@at_a_place()
def undo(place: Place, statement_id: int | None) -> None:
    """Take back the last deletes or stores, or bring back the deleted memory ID.

    Of a turn that deleted and stored, the first undo brings back what it deleted, the next deletes what it stored.
    """
    with place.store() as store:
        if statement_id is None:
            done = store.undo_last()
            restored, removed, left = done.restored, done.removed, done.left
        else:
            restored, removed, left = store.bring_back([statement_id]), (), ()
    if not restored and not removed:
        raise VardaError(
            "There is nothing to undo." if statement_id is None else f"No deleted memory has the id {statement_id}."
        )
    lines = [f"+ {one_line(each.text)}" for each in restored] + [f"- {one_line(each.text)}" for each in removed]
    if len(lines) > _SHOWN:
        lines[_SHOWN:] = [f"... and {len(lines) - _SHOWN:,} more; back: {len(restored):,}, deleted: {len(removed):,}"]
    if left:
        stored = ", ".join(repr(one_line(each.text, 60)) for each in left[:3]) + (", ..." if len(left) > 3 else "")
        lines.append(f"Stored along with it: {stored}; varda-chat memory undo once more deletes that.")
    answer = {
        "restored": [as_dict(each) for each in restored],
        "removed": [as_dict(each) for each in removed],
        "left": [as_dict(each) for each in left],
    }
    place.say(answer, "\n".join(lines))


@click.command()
@click.argument("statement_id", metavar="ID", type=ID)
@at_a_place()
def pin(place: Place, statement_id: int) -> None:
    """Keep a memory whatever happens."""
    _set_pin(place, statement_id, True)


@click.command()
@click.argument("statement_id", metavar="ID", type=ID)
@at_a_place()
def unpin(place: Place, statement_id: int) -> None:
    """Let a memory be deleted again."""
    _set_pin(place, statement_id, False)


def _set_pin(place: Place, statement_id: int, pinned: bool) -> None:
    with place.store() as store:
        store.pin(statement_id, pinned)
        statement = store.statement(statement_id)
    place.say(as_dict(statement), as_line(statement))


@click.command()
@click.argument("statement_id", metavar="ID", type=ID)
@click.argument("text", type=TEXT)
@at_a_place(model=True)
def edit(place: Place, statement_id: int, text: str) -> None:
    """Give a memory other words, which the model then reads."""
    if not sanitize(text).strip():
        raise VardaError("The new text is empty.")
    with place.store() as store:  # before the model loads for nothing
        store.statement(statement_id)
    with place.session() as session:
        statement = session.memory.edit(statement_id, text)
    place.say(as_dict(statement), as_line(statement))


@click.command("index")
@click.argument("index_type", metavar="TYPE")
@at_a_place()
def set_index(place: Place, index_type: str) -> None:
    """Search with another index: flat (exact), ivf, compressed or graph; stats compares them."""
    with place.store() as store:
        store.indexing.set_type(index_type)
    place.say({"index_type": index_type}, f"The memory is searched by {index_type} from the next start on.")


COMMANDS = (forget, undo, pin, unpin, edit, set_index)
