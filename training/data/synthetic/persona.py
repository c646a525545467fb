"""What Varda says of herself: questions with their answers, and greetings. Hers is the one persona the model plays."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from training.tables import check_keys, read_table, texts

Identity = tuple[tuple[str, ...], tuple[str, ...]]
"""Ways to ask something, and replies that fit each of them."""


def load_identity(path: Path) -> tuple[Identity, ...]:
    """Raises DataError naming the line of a bad entry."""
    return read_table(path, _identity)


def _identity(record: dict[str, Any]) -> Identity:
    check_keys(record, ("ask", "reply"))
    asks, replies = texts(record, "ask"), texts(record, "reply")
    if not asks or not replies:
        raise ValueError("a question and a reply are wanted")
    return asks, replies


IDENTITY: Final = load_identity(Path(__file__).parent / "persona.jsonl")
