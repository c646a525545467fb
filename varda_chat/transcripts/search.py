"""Finding words in all that was said, and taking words out of it. The caller holds the connection."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Sequence
from typing import Any

from varda_chat.storage.words import FORGOTTEN_TEXT, Words
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


def turn_without(prompt: str, reply: str, details: str, words: Words) -> tuple[str, str, str]:
    """Prompt, reply and details (JSON) of a turn without ``words``; details that cannot be read become empty."""
    try:
        known = json.loads(details)
    except (ValueError, RecursionError):
        known = {}
    cleaned = _cleaned(known, words)
    reply = words.taken_out(reply)
    for text in _recalled(known):
        if words.stand_in(text):
            reply = _without_each_word(reply, text)
    return words.taken_out(prompt), reply, details if cleaned == known and known else json.dumps(cleaned)


def _recalled(details: Any) -> list[str]:
    entries = details.get("recalled") if isinstance(details, dict) else None
    found = [each.get("text") for each in entries or () if isinstance(each, dict)] if isinstance(entries, list) else []
    return [text for text in found if isinstance(text, str)]


def _without_each_word(reply: str, text: str) -> str:
    """``reply`` without any word of ``text``: the answer says it in other words than the statement does."""
    said = sorted(set(re.findall(r"\w+", text)), key=len, reverse=True)
    if not said:
        return reply
    one = rf"(?:\b(?:{'|'.join(map(re.escape, said))})\b|{re.escape(FORGOTTEN_TEXT)})"
    return re.sub(rf"{one}(?:\s+{one})*", FORGOTTEN_TEXT, reply, flags=re.IGNORECASE)


def _cleaned(value: Any, words: Words) -> Any:
    if isinstance(value, str):
        return words.taken_out(value)
    if isinstance(value, list):
        return [_cleaned(each, words) for each in value]
    if isinstance(value, dict):
        return {key: _cleaned(each, words) for key, each in value.items()}
    return value
