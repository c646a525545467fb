"""Commands that move a memory or a part of it: export, import, backup, restore."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from varda_chat.cli.options import Place, at_a_place, confirmed
from varda_chat.errors import VardaError
from varda_chat.text import numbered, one_line, sanitize, were

if TYPE_CHECKING:
    from varda_chat.memory.export import Format
    from varda_chat.memory.records import Imported

_BAD_LINES = 1000
_ERRORS_SHOWN = 20
"""Lines that could not be read: named in JSON, and told of one by one."""


@click.command("export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option(
    "--format",
    "kind",
    type=click.Choice(["jsonl", "md", "csv"]),
    help="JSON Lines with vectors, Markdown or CSV; import reads all three.  [default: by FILE's suffix, else jsonl]",
)
@click.option("--no-vectors", is_flag=True, help="Only what was said; the model reads it again after an import.")
@at_a_place()
def export_memory(place: Place, file: Path, kind: Format | None, no_vectors: bool) -> None:
    """Write the memory to FILE (- for stdout)."""
    from varda_chat.memory.export import format_of, lines_of, write_export
    from varda_chat.storage.regular import open_output

    kind = kind or format_of(file)
    with place.store(read_only=True) as store:
        lines = lines_of(store.reader.exported(), vectors=not no_vectors, kind=kind)
        if str(file) == "-":
            for line in lines:
                sys.stdout.write(line.decode())
            return
        stream = open_output(file)
        if stream is not None:
            with stream:
                stream.writelines(lines)
            return
        count = write_export(file, store.reader.exported(), vectors=not no_vectors, kind=kind)
    told = f"{numbered(count, 'memory')} {were(count)} written to {sanitize(str(file))}."
    place.say({"exported": count, "file": str(file), "format": kind}, told)


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True, allow_dash=True))
@at_a_place(model=True)
def import_memory(place: Place, file: Path) -> None:
    """Import the memories of FILE, an export in any format (- for stdin); the model reads what has no vectors."""
    from varda_chat.memory.export import read_export
    from varda_chat.memory.store import MemoryStore
    from varda_chat.storage.regular import open_input

    place.check_writable()
    started = time.perf_counter()
    bad: list[tuple[int, str]] = []
    bad_count = 0

    def good() -> Iterator[Imported]:
        nonlocal bad_count
        for number, found in found_in_file:
            if isinstance(found, str):
                bad_count += 1
                if len(bad) < _BAD_LINES:
                    bad.append((number, found))
            else:
                yield found

    with open_input(file) as handle:
        found_in_file = read_export(handle, time.time())
        statements = good()
        first = next(statements, None)  # before a memory is made for nothing: the first line must be right
        length = os.fstat(handle.fileno()).st_size if handle.seekable() else 0
        with (
            MemoryStore.open_records(place.directory, begin_with=place.begin_with(), wait=place.wait) as store,
            click.progressbar(
                length=length, label=one_line(file.name, 40), file=sys.stderr, hidden=place.quiet or not length
            ) as bar,
        ):
            added, known = store.importing.add(
                () if first is None else chain([first], statements),
                (lambda *_: bar.update(handle.tell() - bar.pos)) if length else None,
            )
            bar.update(length - bar.pos)
            waiting = store.reader.fingerprints().get("", 0)
            size, capacity = store.size, place.memory_size or store.capacity
    if waiting:
        with place.session() as session:  # opening reads what has no vectors yet; cut off, the next start does
            size, capacity = session.memory.size, session.memory.capacity
    not_kept = max(0, size - capacity)
    for number, reason in bad[:_ERRORS_SHOWN]:
        click.echo(f"line {number}: {reason}", err=True)
    if not_kept:
        click.echo(
            f"The memory keeps {numbered(capacity, 'vector')}: {not_kept:,}, of the memories least worth keeping, "
            "will go with the next turn.",
            err=True,
        )
    answer = {
        "imported": added,
        "known": known,
        "bad": bad_count,
        "bad_lines": [number for number, _ in bad],
        "not_kept": not_kept,
        "seconds": round(time.perf_counter() - started, 1),
    }
    line = (
        f"{numbered(added, 'memory')} {were(added)} imported, {known:,} {were(known)} there already, "
        f"{numbered(bad_count, 'line')} could not be read."
    )
    place.say(answer, line)
    if bad_count and not added and not known:
        sys.exit(1)


@click.command()
@at_a_place()
def backup(place: Place) -> None:
    """Copy the memory to its folder of backups."""
    from varda_chat.memory import maintenance

    target = maintenance.backup(place.directory)
    place.say({"backup": str(target)}, str(target))


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option("--yes", is_flag=True, help="Do not ask.")
@at_a_place()
def restore(place: Place, file: Path | None, yes: bool) -> None:
    """Put a backup (the newest, or FILE) in place of the memory, which is backed up first."""
    from varda_chat.memory import maintenance
    from varda_chat.storage.files import DATABASE

    place.check_writable()
    source = file or next(iter(maintenance.backups(place.directory)), None)
    if source is None:
        raise VardaError(f"There are no backups in {place.directory}.")
    if not place.as_json:
        click.echo(f"Restoring {sanitize(str(source))} into {sanitize(str(place.directory))}.")
    if not confirmed("Replace the memory?", yes, place.as_json):
        return
    if (place.directory / DATABASE).exists():
        place.store().close()  # finishes a purge that was cut off, which the backup made now must not undo
    kept = maintenance.restore(place.directory, source)
    for problem in maintenance.verify(place.directory):
        click.echo(sanitize(problem), err=True)
    count = maintenance.peek(place.directory).statements
    note = f" The memory before is in {kept}." if kept else ""
    answer = {"restored": str(source), "statements": count, "backup": str(kept) if kept else None}
    place.say(answer, f"{numbered(count, 'memory')} {'is' if count == 1 else 'are'} in memory.{note}")


COMMANDS = (export_memory, import_memory, backup, restore)
