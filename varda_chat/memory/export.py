"""A memory as a file: JSON Lines, or Markdown and CSV (``export_text``); and what is read back, which may come from
anyone: bounded, checked and sanitised, and taken into an open memory.

JSON Lines, line 1: ``{"varda_chat_memory": 1}``, the version of this format. Each line after it: a statement with text,
role, session, created_at, recalled_at, recall_count, pinned, fingerprint, its id in that memory and that of the one it
follows in its message (``follows``, or null), and vectors, each with token_id, token, strength and vector (base64 of
little-endian float32).
"""

from __future__ import annotations

import base64
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal, get_args

import numpy as np

from varda_chat.errors import VardaError
from varda_chat.memory import export_text, queries, undo
from varda_chat.memory.core import OpenMemory
from varda_chat.memory.records import Imported, NewStatement, NewVector, checked
from varda_chat.memory.schema import bump_generation
from varda_chat.storage.files import check_target, replace_file
from varda_chat.storage.sqlite import transaction
from varda_chat.text import one_line, sanitize, to_json

Format = Literal["jsonl", "md", "csv"]
FORMATS: tuple[Format, ...] = get_args(Format)
VERSION = 1
MAX_LINE = 4 * 1024 * 1024
MAX_SKIPPED = 16 * MAX_LINE
MAX_LINES = 2_000_000
MAX_TEXT = 20_000
MAX_VECTORS = 1000
MAX_DIM = 4096
"""Bounds on what is read: bytes a line, bytes of a line that is skipped, lines a file, characters a text, vectors a
statement, floats a vector."""

BATCH = 500
"""Statements of an import that are one transaction."""

_DIGITS = 300  # of a whole number; more than any that is right, and few enough to be a float
_DEPTH = 4  # objects and lists within one another
_LATEST = 253_402_300_799.0  # the last second of the year 9999
_TOO_LONG = b"\xff\n"  # neither JSON nor UTF-8


def format_of(path: Path) -> Format:
    """The format that a file's suffix names; JSON Lines for any other."""
    return {".md": "md", ".markdown": "md", ".csv": "csv"}.get(path.suffix.lower(), "jsonl")  # type: ignore[return-value]


def lines_of(statements: Iterable[Imported], *, vectors: bool, kind: Format = "jsonl") -> Iterator[bytes]:
    """The lines of an export, the first included. Only JSON Lines hold vectors."""
    if kind == "md":
        yield from export_text.markdown_lines(map(_values, statements))
        return
    if kind == "csv":
        yield from export_text.csv_lines(map(_values, statements))
        return
    yield _line({"varda_chat_memory": VERSION})
    for statement in statements:
        yield _line(
            {
                "id": statement.id,
                "follows": statement.follows,
                **_values(statement),
                "fingerprint": statement.fingerprint if vectors else "",
                "vectors": [
                    {
                        "token_id": each.token_id,
                        "token": each.token,
                        "strength": each.strength,
                        "vector": base64.b64encode(np.asarray(each.vector, dtype="<f4").tobytes()).decode(),
                    }
                    for each in (statement.new.vectors if vectors else ())
                ],
            }
        )


def write_export(path: Path, statements: Iterable[Imported], *, vectors: bool, kind: Format = "jsonl") -> int:
    """Write an export as ``path``, 0600, all or nothing; returns the number of statements. Raises VardaError where
    ``path`` is a memory's own or no regular file, OSError."""
    check_target(path)
    count = 0

    def counted() -> Iterator[Imported]:
        nonlocal count
        for statement in statements:
            count += 1
            yield statement

    replace_file(path, lines_of(counted(), vectors=vectors, kind=kind))
    return count


def read_export(file: IO[bytes], now: float) -> Iterator[tuple[int, Imported | str]]:
    """For each statement, with the number of its line: the statement, or in one sentence what is wrong with it.

    Raises VardaError where the file, by its first line, is not an export that this version reads.
    """
    first = _read_line(file)
    try:
        head = _parsed(first)
    except ValueError:
        head = None
    version = head.get("varda_chat_memory") if isinstance(head, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):
        yield from _read_document(first, file, now)
        return
    if version > VERSION:
        raise VardaError(f"The file was exported by a newer varda-chat (format {version}; this one reads {VERSION}).")
    for number in range(2, MAX_LINES + 2):
        line = _read_line(file)
        if not line:
            return
        if line.strip():
            try:
                yield number, _imported(_parsed(line), now)
            except (ValueError, VardaError) as error:
                yield number, one_line(str(error))
    if file.read(1):
        raise VardaError(f"The file has more than {MAX_LINES} lines; the rest was not read.")


class Importing:
    """Imports what another memory exported, and notes how much of a file has been learned. Both may be cut off and
    continued. Raises as the methods of MemoryStore do."""

    def __init__(self, core: OpenMemory) -> None:
        self._core = core

    def add(self, imported: Iterable[Imported], report: Callable[[int, int], None] | None = None) -> tuple[int, int]:
        """Add statements of another memory; returns how many were new and how many are here already.

        One act, which ``MemoryStore.undo_last`` takes back whole, in transactions of BATCH: where it is cut off, what
        was added stays, and adding the rest continues. Vectors are kept; statements without any wait among
        ``reader.foreign_statements``. May pass ``capacity``: the next ``apply`` makes room.

        report: is told both numbers after each transaction.
        """
        added = known = 0
        act: int | None = None
        ids: dict[int, int] = {}
        coming = iter(imported)
        while batch := list(islice(coming, BATCH)):
            with self._core.changing("The import stopped"):
                with transaction(self._core.db):
                    act = undo.next_act(self._core.db) if act is None else act
                    new = queries.take_in(self._core.db, batch, time.time(), act, ids)
                    if new:
                        bump_generation(self._core.db)
                self._core.follow(new, ())
                self._core.write_now_and_then()
            added, known = added + len(new), known + len(batch) - len(new)
            if report is not None:
                report(added, known)
        return added, known

    def passages_learned(self, digest: str) -> int:
        """How many passages of the file whose content has that digest are in memory."""
        with self._core.reading():
            return queries.passages_learned(self._core.db, digest)

    def set_passages_learned(self, digest: str, passages: int) -> None:
        """Note how far a file has been read into memory."""
        with self._core.changing("It was not noted how far the file was read"), transaction(self._core.db):
            queries.set_passages_learned(self._core.db, digest, passages)


def _read_document(first: bytes, file: IO[bytes], now: float) -> Iterator[tuple[int, Imported | str]]:
    """What ``read_export`` gives, of a file in Markdown or CSV whose first line is ``first``."""
    unreadable: list[tuple[int, str]] = []

    def lines() -> export_text.Lines:
        for number in range(2, MAX_LINES + 2):
            line = _read_line(file)
            if not line:
                return
            try:
                yield number, line.decode().rstrip("\r\n")
            except UnicodeDecodeError:
                long = f"it is longer than {MAX_LINE} bytes"
                unreadable.append((number, long if line == _TOO_LONG else "it is not UTF-8"))

    head = first.decode("utf-8-sig", "replace").rstrip("\r\n")
    if export_text.is_markdown(head):
        found = export_text.read_markdown(lines())
    elif export_text.is_csv(head):
        found = export_text.read_csv(head, lines())
    else:
        raise VardaError(
            "The file is not an export of varda-chat's memory: its first line does not say so. "
            "varda-chat memory learn reads exports of other programs, and text."
        )
    for number, values in found:
        try:
            yield number, values if isinstance(values, str) else _imported({"role": "user"} | values, now)
        except (ValueError, VardaError) as error:
            yield number, one_line(str(error))
        yield from unreadable
        unreadable.clear()
    yield from unreadable
    if file.read(1):
        raise VardaError(f"The file has more than {MAX_LINES} lines; the rest was not read.")


def _values(statement: Imported) -> dict[str, Any]:
    """What is known of a statement, but for its vectors."""
    return {
        "text": statement.new.text,
        "role": statement.new.role,
        "session": statement.session,
        "created_at": statement.created_at,
        "recalled_at": statement.recalled_at,
        "recall_count": statement.recall_count,
        "pinned": statement.pinned,
    }


def _line(value: dict[str, Any]) -> bytes:
    return to_json(value).encode() + b"\n"


def _read_line(file: IO[bytes]) -> bytes:
    """The next line; one that is too long comes back cut, so that it cannot be parsed, and is skipped whole."""
    line = file.readline(MAX_LINE + 1)
    if len(line) <= MAX_LINE:
        return line
    skipped = 0
    while line and not line.endswith(b"\n"):
        skipped += len(line)
        if skipped > MAX_SKIPPED:
            raise VardaError(f"The file has a line of more than {MAX_SKIPPED // 2**20} MiB; the rest was not read.")
        line = file.readline(MAX_LINE)
    return _TOO_LONG


def _parsed(line: bytes) -> Any:
    """The JSON value of a line; raises ValueError."""
    if line == _TOO_LONG:
        raise ValueError(f"the line is longer than {MAX_LINE} bytes")

    def refuse(word: str) -> Any:
        raise ValueError(f"{word} is not a number")

    try:
        value = json.loads(line, parse_constant=refuse, parse_int=_int)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except json.JSONDecodeError:
        raise ValueError("it is not JSON") from None
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    _check_depth(value)
    return value


def _int(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError("it holds a number with too many digits")
    return int(digits)


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ())
        ]
    if any(isinstance(each, dict | list) for each in level):
        raise ValueError("it is nested too deeply")


def _imported(value: Any, now: float) -> Imported:
    if not isinstance(value, dict):
        raise ValueError("it is not an object")
    given = _text(value, "text")
    text = sanitize(given).strip()
    if len(given) > MAX_TEXT or not text:
        raise ValueError(f"the text is {'empty' if not text else f'longer than {MAX_TEXT} characters'}")
    role = _text(value, "role")
    if role not in ("user", "assistant"):
        raise ValueError("the role is neither user nor assistant")
    found = value.get("vectors", [])
    if not isinstance(found, list) or len(found) > MAX_VECTORS:
        raise ValueError(f"vectors is not a list of at most {MAX_VECTORS}")
    vectors = tuple(_vector(each) for each in found)
    fingerprint = one_line(_text(value, "fingerprint", ""), 200)
    if not vectors or not fingerprint:
        vectors, fingerprint = (), ""
    dim = len(vectors[0].vector) if vectors else 1
    recalled = value.get("recalled_at")
    return Imported(
        checked(NewStatement(text, role, vectors), dim),
        session=one_line(_text(value, "session", ""), 64),
        created_at=min(_number(value, "created_at", now, _LATEST), now),
        recalled_at=None if recalled is None else min(_number(value, "recalled_at", now, _LATEST), now),
        recall_count=int(_number(value, "recall_count", 0, 1_000_000)),
        pinned=value.get("pinned") is True,
        fingerprint=fingerprint,
        id=_id(value, "id"),
        follows=_id(value, "follows"),
    )


def _id(value: dict[str, Any], name: str) -> int | None:
    """The id of a statement in the memory that was exported."""
    return None if value.get(name) is None else int(_number(value, name, None, 2**53))


def _vector(value: Any) -> NewVector:
    if not isinstance(value, dict):
        raise ValueError("a vector is not an object")
    try:
        data = base64.b64decode(_text(value, "vector"), validate=True)
    except ValueError:
        raise ValueError("a vector is not base64") from None
    if not data or len(data) % 4 or len(data) > 4 * MAX_DIM:
        raise ValueError("a vector is not of whole floats, or has too many")
    return NewVector(
        np.frombuffer(data, dtype="<f4"),
        token_id=int(_number(value, "token_id", None, 2**31 - 1)),
        token=sanitize(_text(value, "token", ""))[:64],
        strength=_number(value, "strength", None, 1.0),
    )


def _text(value: dict[str, Any], name: str, default: str | None = None) -> str:
    found = value.get(name, default)
    if not isinstance(found, str):
        raise ValueError(f"{name} is not a text")
    return found


def _number(value: dict[str, Any], name: str, default: float | None, most: float) -> float:
    found = value.get(name, default)
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise ValueError(f"{name} is not a number")
    if not 0 <= found <= most or not math.isfinite(found):
        raise ValueError(f"{name} is not between 0 and {most:g}")
    return float(found)
