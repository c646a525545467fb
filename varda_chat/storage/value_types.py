"""Values that are not of their column's type, as after a flipped bit: a text that became bytes, a number that became
text."""

from __future__ import annotations

import sqlite3

from varda_chat.text import numbered

_IS_WRONG = {
    "TEXT": "({0} < '' OR {0} >= x'')",
    "BLOB": "{0} < x''",
    "INTEGER": "{0} >= ''",
    "REAL": "{0} >= ''",
}
"""By a column's type. In SQLite's order every number is less than every text, and every text less than all bytes; which
is far quicker to compare than ``typeof``. Checks of NOT NULL are SQLite's."""
_NUMBERS = ("INTEGER", "REAL")


def put_types_right(db: sqlite3.Connection, name: str) -> list[str]:
    """Read each text of ``db`` that has become bytes as text again, each vector that has become text as bytes, each
    number that has become either as a number; returns what to tell the person. ``name``: of the file.

    Of texts and vectors, their checksums say whether they are what was stored. Raises sqlite3.Error.
    """
    numbers = 0
    for table, columns in _wrong_columns(db):
        for column, kind in columns:
            query = f"UPDATE {table} SET {column} = CAST({column} AS {kind}) WHERE {_IS_WRONG[kind].format(column)}"  # noqa: S608
            changed = db.execute(query).rowcount
            numbers += changed if kind in _NUMBERS else 0
    return [f"{name}: {numbered(numbers, 'number')} could not be read; 0 stands there now."] if numbers else []


def wrong_numbers(db: sqlite3.Connection, name: str) -> list[str]:
    """A line where ``put_types_right`` would have something to tell. Raises sqlite3.Error."""
    wrong = [column for _, columns in _wrong_columns(db) for column, kind in columns if kind in _NUMBERS]
    return [f"{name}: a number in {', '.join(wrong)} cannot be read."] if wrong else []


def _wrong_columns(db: sqlite3.Connection) -> list[tuple[str, list[tuple[str, str]]]]:
    """Name and type of the columns that hold a value of another type, by table."""
    tables = db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE 'CREATE TABLE %'").fetchall()
    found = []
    for (table,) in tables:
        columns = db.execute("SELECT name, type FROM pragma_table_info(?)", (table,)).fetchall()
        known = [(column, kind) for column, kind in columns if kind in _IS_WRONG]
        if not known:
            continue
        tests = ", ".join(f"max({_IS_WRONG[kind].format(column)})" for column, kind in known)
        wrong = db.execute(f"SELECT {tests} FROM {table}").fetchone()  # noqa: S608 - our names
        if any(wrong):
            found.append((table, [each for each, is_wrong in zip(known, wrong, strict=True) if is_wrong]))
    return found
