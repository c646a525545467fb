"""Reads our own tables: UTF-8 files of one JSON object per line. A bad line raises DataError with file and line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from varda_chat.errors import DataError

Row = TypeVar("Row")


def read_table(path: Path, build: Callable[[dict[str, Any]], Row]) -> tuple[Row, ...]:
    """``build`` of each line's object, in order.

    Raises DataError for a file that cannot be read, and for a line that is not a JSON object or that ``build`` rejects
    with ValueError, KeyError or TypeError.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            if not isinstance(record, dict):
                raise ValueError("not a JSON object")
            rows.append(build(record))
        except KeyError as error:
            raise DataError(f"{path}, line {number}: the key {error} is missing.") from error
        except (ValueError, TypeError) as error:
            raise DataError(f"{path}, line {number}: {error}.") from error
    return tuple(rows)


def read_items(path: Path, kind: type[Row]) -> tuple[Row, ...]:
    """The lines as objects of the dataclass ``kind``, whose fields are the objects' keys. Lists become tuples."""
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]

    def build(record: dict[str, Any]) -> Row:
        check_keys(record, known)
        return kind(**{key: frozen(value) for key, value in record.items()})

    return read_table(path, build)


def check_keys(record: dict[str, Any], known: Iterable[str]) -> None:
    """Raise ValueError for a key that is not one of ``known``."""
    if unknown := set(record) - set(known):
        raise ValueError(f"unknown key {min(unknown)!r}")


def texts(record: dict[str, Any], key: str) -> tuple[str, ...]:
    """The list of strings at ``key``, empty where there is none. Raises ValueError for anything else."""
    value = record.get(key, [])
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ValueError(f"{key!r} is not a list of texts")
    return tuple(value)


def frozen(value: Any) -> Any:
    """The JSON value with tuples in place of lists."""
    return tuple(frozen(each) for each in value) if isinstance(value, list) else value
