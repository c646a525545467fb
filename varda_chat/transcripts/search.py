"""Finding words in all that was said. The caller holds the connection."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from typing import Any

from varda_chat.text import one_line, sanitize
from varda_chat.transcripts.records import FoundTurn

EXCERPT_LENGTH = 120
_TRIGRAM = 3


def search(db: sqlite3.Connection, text: str, limit: int) -> tuple[FoundTurn, ...]:
    """The turns in which all words of ``text`` stand somewhere, the newest first."""
    words = sanitize(text).split()[:20]
    if not words:
        return ()
    long = [word for word in words if len(word) >= _TRIGRAM]
    short = [word for word in words if len(word) < _TRIGRAM]
    where, values = ["1"], []
    if long:
        where.append("t.id IN (SELECT rowid FROM said WHERE said MATCH ?)")
        values.append(" AND ".join('"' + word.replace('"', '""') + '"' for word in long))
    for word in short:  # the index holds nothing shorter than three characters
        where.append("instr(lower(t.prompt || char(10) || t.reply), lower(?)) > 0")
        values.append(word)
    rows = db.execute(
        "SELECT t.session_id, s.name, t.id, t.at, t.prompt, t.reply FROM turns t "  # noqa: S608 - conditions of ours
        f"JOIN sessions s ON s.id = t.session_id WHERE {' AND '.join(where)} ORDER BY t.id DESC LIMIT ?",
        (*values, limit),
    )
    return tuple(_found(row, words) for row in rows)


def _found(row: tuple[Any, ...], words: Sequence[str]) -> FoundTurn:
    session_id, name, turn_id, at, prompt, reply = row
    said = [("user", prompt), ("assistant", reply)]
    role, text = next((each for each in said if words[0].casefold() in each[1].casefold()), said[0])
    return FoundTurn(session_id, one_line(name, 60), turn_id, at, role, excerpt(text, words[0]))  # type: ignore[arg-type]


def excerpt(text: str, word: str, length: int = EXCERPT_LENGTH) -> str:
    """About ``length`` characters of ``text`` around the first ``word``, on one line."""
    found = re.search(re.escape(word), text, re.IGNORECASE)
    start = max(0, found.start() - length // 3) if found else 0
    if start:
        start = text.rfind(" ", 0, start) + 1 or start
    piece = one_line(text[start : start + 2 * length], length)
    return f"…{piece}" if start else piece
