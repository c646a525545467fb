"""Commands that only look: list, show, stats, verify, path, profiles."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict

import click

from varda_chat.cli.options import Place, as_dict, as_line, at_a_place, when
from varda_chat.cli.parameters import ID, LIMIT
from varda_chat.errors import VardaError
from varda_chat.text import counted, numbered, one_line, sanitize, times


@click.command("list")
@click.option("--limit", type=LIMIT, help="At most so many, the newest.")
@click.option("--removed", is_flag=True, help="What was deleted and can still be brought back.")
@at_a_place()
def list_statements(place: Place, limit: int | None, removed: bool) -> None:
    """List the memories, the newest first."""
    with place.store(read_only=True) as store:
        if removed:
            deleted = store.removed()[:limit]
            for each in deleted:
                line = f"{each.id:>6}   {when(each.removed_at)}  {each.role:<9}  {one_line(each.text)}"
                place.say(as_dict(each), line)
            if not deleted:
                place.say_none("No deleted memories can be restored.")
            return
        statements = store.statements(limit)
        for statement in statements:
            place.say(as_dict(statement), as_line(statement))
        if not statements:
            place.say_none("No memories yet.")


@click.command()
@click.argument("statement_id", metavar="ID", type=ID)
@at_a_place()
def show(place: Place, statement_id: int) -> None:
    """Show one memory, or one that was deleted and can be brought back."""
    with place.store(read_only=True) as store:
        deleted = next((each for each in store.removed() if each.id == statement_id), None)
        if deleted is not None:
            note = f"deleted {when(deleted.removed_at)}; varda-chat memory undo {deleted.id} brings it back"
            place.say(as_dict(deleted) | {"removed": True}, f"{sanitize(deleted.text)}\n  {note}")
            return
        statement = store.statement(statement_id)
        tokens = [sanitize(each) for each in store.reader.tokens(statement_id)]
        lines = [
            sanitize(statement.text),
            f"  said by     {statement.role}, {when(statement.created_at)}, session {one_line(statement.session)}",
            f"  recalled    {times(statement.recall_count)}",
            f"  pinned      {'yes' if statement.pinned else 'no'}",
            f"  vectors     {statement.vector_count} at {' '.join(repr(each) for each in tokens)}",
        ]
        place.say(as_dict(statement) | {"removed": False, "tokens": tokens}, "\n".join(lines))


@click.command()
@at_a_place()
def stats(place: Place) -> None:
    """Count what is in the memory."""
    from varda_chat.memory.maintenance import backups, peek

    found = peek(place.directory)
    if found.damaged:
        raise VardaError(f"{found.path} is damaged; varda-chat memory verify --repair saves what can be read.")
    with place.store(read_only=True) as store:
        statements = store.statements()
        answer = asdict(found) | {
            "path": str(found.path.parent),
            "pinned": sum(each.pinned for each in statements),
            "recalls": sum(each.recall_count for each in statements),
            "removed": len(store.removed()),
            "models": store.reader.fingerprints(),
            "backups": len(backups(place.directory)),
            "index_type": store.reader.index_type(),
        }
        compared = store.reader.compare_index_types()
    of, to_be_read = answer["models"].items(), "to be read"
    by_model = ", ".join(f"{name or to_be_read} ({numbered(count, 'memory')})" for name, count in of)
    lines = [
        f"folder      {sanitize(answer['path'])}",
        f"memories    {found.statements:,}; {answer['pinned']} pinned; {answer['removed']} deleted can be brought back",
        f"vectors     {found.vectors:,}",
        f"recalled    {times(answer['recalls'])}",
        f"on disk     {found.bytes / 1e6:,.1f} MB, and {numbered(answer['backups'], 'backup')}",
        f"models      {by_model or 'none'}",
        f"index       {answer['index_type']}",
    ]
    if compared:
        of_all = "" if compared[0].vectors == found.vectors else f", of {compared[0].vectors:,} vectors drawn at random"
        lines.append(f"recall@5 against exact search{of_all}:")
        for each in compared:
            mark = "*" if each.index_type == answer["index_type"] else " "
            lines.append(f"  {mark} {each.index_type:<10} {each.recall:.3f}  {each.milliseconds:.2f} ms a query")
    place.say(answer | {"search": [asdict(each) for each in compared]}, "\n".join(lines))


@click.command()
@click.option("--repair", is_flag=True, help="Mend what can be mended.")
@at_a_place()
def verify(place: Place, repair: bool) -> None:
    """Read every byte of memory and sessions and say what is wrong; exits 1 if something is."""
    from varda_chat.memory import maintenance
    from varda_chat.transcripts.maintenance import repair_sessions, verify_sessions

    if repair:
        place.check_writable()
    of_memory, of_sessions = maintenance.verify(place.directory), verify_sessions(place.directory)
    problems = (*of_memory, *of_sessions)
    done: list[str] = []
    if repair and problems:
        done = maintenance.repair(place.directory) if of_memory else []
        done += repair_sessions(place.directory) if of_sessions else []
        left = (*maintenance.verify(place.directory), *verify_sessions(place.directory))
    else:
        left = problems
    answer = {"problems": [sanitize(each) for each in problems], "repairs": done, "ok": not left}
    lines = [*problems, *done, "Nothing is wrong." if not problems else "Repaired." if not left else ""]
    place.say(answer, "\n".join(sanitize(line) for line in lines if line))
    if left:
        sys.exit(1)


@click.command()
@at_a_place()
def path(place: Place) -> None:
    """Print the folder of the memory."""
    if place.as_json or sys.stdout.isatty():
        place.say({"path": str(place.directory)}, sanitize(str(place.directory)))
    else:  # the bytes themselves, whatever they are: a script goes there
        sys.stdout.buffer.write(os.fsencode(place.directory) + b"\n")


@click.command()
@at_a_place()
def profiles(place: Place) -> None:
    """List the memories there are."""
    from varda_chat.session.profiles import known

    for name, found in known(place.data_dir).items():
        directory = str(found.path.parent)
        answer = {"profile": name, "path": directory, "statements": found.statements, "vectors": found.vectors}
        held = f"{counted(found.statements, 'memory', 7)} {counted(found.vectors, 'vector', 8)}"
        if found.problem:
            answer["problem"], held = sanitize(found.problem), one_line(found.problem)
        place.say(answer, f"{one_line(name):<20} {held}".rstrip())


COMMANDS = (list_statements, show, stats, verify, path, profiles)
