"""Reads the evaluations' own items: one JSON object per line, each a dataclass of the caller's."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from varda_chat.errors import DataError

DATA = Path(__file__).parent / "data"

Item = TypeVar("Item")


def read_items(name: str, kind: type[Item], folder: Path = DATA) -> tuple[Item, ...]:
    """The lines of ``folder/name`` as objects of the dataclass ``kind``, whose fields are the objects' keys.

    Lists become tuples. Raises DataError, naming the line, for one that does not fit.
    """
    path = folder / name
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            record = json.loads(line)
            if unknown := set(record) - known:
                raise ValueError(f"unknown key {min(unknown)!r}")
            found.append(kind(**{key: _frozen(value) for key, value in record.items()}))
        except (ValueError, TypeError, AttributeError) as error:
            raise DataError(f"{path}, line {number}: {error}.") from error
    return tuple(found)


def _frozen(value: Any) -> Any:
    return tuple(_frozen(each) for each in value) if isinstance(value, list) else value
