"""A memory as a document: Markdown to read, CSV for a spreadsheet. Both say all that JSON Lines do but the vectors.

Markdown: an item of a list for each statement, with a comment of JSON behind it for what is known of it; an item that
was added by hand needs none. CSV: a header with the names of the columns, of which only text is needed.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

Values = dict[str, Any]
Lines = Iterator[tuple[int, str]]
"""Numbered lines without their ends."""

COLUMNS = ("text", "role", "session", "created_at", "recalled_at", "recall_count", "pinned")

_HEAD = "# Memories"
_INTRODUCTION = "An export of varda-chat. Add items, or change them; `varda-chat memory import` reads this file."
_MARKS = re.compile(r"([\\`*_{}\[\]<>#|~&!])")
_LINE_MARKS = re.compile(r"^(\d*)([-+=.)])", re.MULTILINE)
_ESCAPED = re.compile(r"\\([\\`*_{}\[\]<>#|~&!\-+=.)])")
_COMMENT = re.compile(r"  <!-- (\{.*\}) -->\Z")

_FORMULA = re.compile(r"'*[=+\-@\t]")
"""What a spreadsheet would take for a formula; an apostrophe before it makes it a text."""


def markdown_lines(statements: Iterable[Values]) -> Iterator[bytes]:
    """The lines of a Markdown export."""
    yield f"{_HEAD}\n\n{_INTRODUCTION}\n\n".encode()
    for statement in statements:
        known = {name: statement[name] for name in COLUMNS if name != "text"}
        comment = json.dumps(known, ensure_ascii=False).replace(">", "\\u003e")
        text = _LINE_MARKS.sub(r"\1\\\2", _MARKS.sub(r"\\\1", statement["text"])).replace("\n", "\n  ")
        yield f"- {text}\n  <!-- {comment} -->\n".encode(errors="replace")


def csv_lines(statements: Iterable[Values]) -> Iterator[bytes]:
    """The lines of a CSV export."""
    yield _row(COLUMNS)
    for statement in statements:
        shown = statement | {name: _as_text(statement[name]) for name in ("text", "session")}
        yield _row([shown[name] for name in COLUMNS])


def is_markdown(line: str) -> bool:
    """Whether a file that begins with ``line`` is such a list."""
    return line.startswith(_HEAD)


def is_csv(line: str) -> bool:
    """Whether a file that begins with ``line`` is such a table."""
    return "text" in _names(line)


def read_markdown(lines: Lines) -> Iterator[tuple[int, Values | str]]:
    """The statements of the lines after the first: for each the number of its line and its values, or what is wrong."""
    begun, item = 0, list[str]()
    for number, line in lines:
        comment = _COMMENT.match(line) if item else None
        if comment:
            yield begun, _with_known("\n".join(item), comment[1])
            item = []
        elif line.startswith("- "):
            if item:
                yield begun, {"text": _unescaped("\n".join(item))}
            begun, item = number, [line[2:]]
        elif item:
            item.append(line.removeprefix("  "))
    if item:
        yield begun, {"text": _unescaped("\n".join(item))}


def read_csv(head: str, lines: Lines) -> Iterator[tuple[int, Values | str]]:
    """The statements of the rows after the header ``head``, as ``read_markdown`` gives them."""
    names, at = _names(head), 1

    def counted() -> Iterator[str]:
        nonlocal at
        for number, line in lines:
            at = number
            yield line + "\n"

    rows = csv.reader(counted())
    while True:
        begun = at + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield begun, f"it is not a row of CSV: {error}"
            continue
        if row:
            yield begun, _typed(dict(zip(names, row, strict=False)))


def _row(cells: Iterable[Any]) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(["" if cell is None else cell for cell in cells])
    return line.getvalue().encode(errors="replace")


def _as_text(cell: str) -> str:
    return "'" + cell if _FORMULA.match(cell) else cell


def _names(line: str) -> list[str]:
    try:
        return [name.strip().lower() for name in next(csv.reader([line]), [])]
    except csv.Error:
        return []


def _typed(cells: dict[str, str]) -> Values | str:
    """A row's values; empty cells are left out."""
    values: Values = {}
    for name, cell in cells.items():
        if name in ("text", "session", "role"):
            values[name] = cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
        elif name in COLUMNS and cell.strip():
            try:
                pinned = name == "pinned"
                values[name] = cell.strip().lower() in ("true", "1", "yes") if pinned else float(cell)
            except ValueError:
                return f"{name} is not a number"
    return {name: value for name, value in values.items() if value != "" or name == "text"}


def _with_known(item: str, comment: str) -> Values | str:
    try:
        known = json.loads(comment)
    except (ValueError, RecursionError):
        return "its comment is not JSON"
    return {**known, "text": _unescaped(item)}


def _unescaped(item: str) -> str:
    return _ESCAPED.sub(r"\1", item)
