"""Commands that the model runs for: search, learn."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from varda_chat.errors import VardaError
from varda_chat.memory_commands.common import Place, at_a_place
from varda_chat.sanitize import one_line, sanitize
from varda_chat.wording import numbered, were


@click.command()
@click.argument("text")
@click.option("--limit", type=click.IntRange(min=1), default=10, help="At most so many.")
@at_a_place(model=True)
def search(place: Place, text: str, limit: int) -> None:
    """Show what the model finds in memory for TEXT, with the share of its reading that each gets."""
    if not sanitize(text).strip():
        raise VardaError("There is nothing to search for: the text is empty.")
    with place.session(incognito=True) as session:
        results = session.search(text, limit)
    for found in results:
        answer = {"id": found.id, "text": sanitize(found.text), "match": round(found.weight, 4)}
        place.say(answer, f"{found.weight:>6.1%}  {found.id:>6}  {one_line(found.text)}")
    if not results:
        place.say_none("No similar memories.")


@click.command()
@click.argument("files", type=click.Path(path_type=Path, dir_okay=False, exists=True), nargs=-1, required=True)
@at_a_place(model=True)
def learn(place: Place, files: Sequence[Path]) -> None:
    """Read text, Markdown or dialogue (.txt, .md, .jsonl) into memory. Cut off, it goes on where it was."""
    from varda_chat.learning import read_file

    readings = [read_file(file) for file in files]  # all of them can be read, before the model loads
    stored = refreshed = read = 0
    with place.session() as session:
        for file, reading in zip(files, readings, strict=True):
            start = session.passages_learned(reading.digest)
            left = reading.passages[start:]
            with click.progressbar(
                left, label=one_line(file.name, 40), file=sys.stderr, show_pos=True, hidden=place.quiet
            ) as bar:
                for number, (role, text) in enumerate(bar, start + 1):
                    applied = session.learn(role, text)
                    session.set_passages_learned(reading.digest, number)
                    stored, refreshed, read = stored + len(applied.stored), refreshed + len(applied.refreshed), read + 1
        answer = {"passages": read, "stored": stored, "refreshed": refreshed, "memory_size": session.memory_size}
    of_them = f"{numbered(stored, 'statement')} stored, {refreshed:,} known already"
    place.say(answer, f"{numbered(read, 'passage')} {were(read)} read: {of_them}.")


COMMANDS = (search, learn)
