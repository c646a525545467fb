"""Taking words out of all that was said, for good. The caller holds the connection and the transaction."""

from __future__ import annotations

import json
import re
import sqlite3
from typing import Any

from varda_chat.storage.row_checksums import text_crc
from varda_chat.storage.words import FORGOTTEN_TEXT, Words
from varda_chat.text import folded
from varda_chat.transcripts.records import name_after
from varda_chat.transcripts.schema import SEAL_TURN

_LEAST_BEGUN = 8
"""Characters of a purged text that a name must end with to be taken for it."""


def purge(db: sqlite3.Connection, words: Words) -> int:
    """Put "(forgotten)" where a turn or a name holds ``words``; returns how many turns did.

    Of an answer that was recalled from one of them, their words go too, one by one.
    """
    changed = 0
    for turn_id, prompt, reply, details in db.execute("SELECT id, prompt, reply, details FROM turns").fetchall():
        less = _turn_without(prompt, reply, details, words)
        if less != (prompt, reply, details):
            db.execute("UPDATE turns SET prompt = ?, reply = ?, details = ? WHERE id = ?", (*less, turn_id))
            db.execute(SEAL_TURN, (turn_id,))
            changed += 1
    for session_id, name, named in db.execute("SELECT id, name, named FROM sessions").fetchall():
        first = db.execute(
            "SELECT prompt FROM turns WHERE session_id = ? ORDER BY id LIMIT 1", (session_id,)
        ).fetchone()
        new = words.taken_out(name) if named or first is None else name_after(first[0])
        if first is None and not named and _begins_in(name, words):
            new = name_after(FORGOTTEN_TEXT)
        if new != name:
            db.execute("UPDATE sessions SET name = ?, crc = ? WHERE id = ?", (new, text_crc(new), session_id))
    return changed


def _begins_in(name: str, words: Words) -> bool:
    """Whether one of ``words`` begins in ``name``, which was cut off before its end: the name of a branch whose first
    turn is in another session."""
    if not name.endswith("…"):
        return False
    said, *texts = (folded(text) for text in (name.removesuffix("…"), *words.texts))
    return any(text.startswith(said[at:]) for text in texts for at in range(max(1, len(said) - _LEAST_BEGUN + 1)))


def _turn_without(prompt: str, reply: str, details: str, words: Words) -> tuple[str, str, str]:
    """Prompt, reply and details (JSON) of a turn without ``words``; details that cannot be read become empty."""
    try:
        known = json.loads(details)
    except (ValueError, RecursionError):
        known = {}
    cleaned = _cleaned(known, words)
    reply = words.taken_out(reply)
    for text in _read(known):
        if words.stand_in(text):
            reply = _without_each_word(reply, text)
    return words.taken_out(prompt), reply, details if cleaned == known and known else json.dumps(cleaned)


def _read(details: Any) -> list[str]:
    """The words of the statements that the reply was recalled from, or that stood before it."""
    kept = [details.get(name) for name in ("recalled", "read")] if isinstance(details, dict) else []
    entries = [each for listed in kept if isinstance(listed, list) for each in listed if isinstance(each, dict)]
    return [each["text"] for each in entries if isinstance(each.get("text"), str)]


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
