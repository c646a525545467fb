"""The file of a profile's sessions, as another program opens it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from varda_chat.transcripts import Transcripts


@contextmanager
def another_program(transcripts: Transcripts) -> Iterator[sqlite3.Connection]:
    """A connection of its own to the file of ``transcripts``, whose changes are committed at the end."""
    with closing(sqlite3.connect(transcripts.path)) as db, db:
        yield db


def insert_turns(transcripts: Transcripts, session: int, turns: list[tuple[str, str, float]]) -> None:
    """Write many turns (prompt, reply, time) of ``session`` at once."""
    query = "INSERT INTO turns (session_id, prompt, reply, state, at) VALUES (?, ?, ?, 'done', ?)"
    with another_program(transcripts) as db:
        db.executemany(query, [(session, *turn) for turn in turns])
