"""One thing is one thing, wherever a count is told."""

from __future__ import annotations

import pytest

from varda_chat.text import counted, numbered, times, were


@pytest.mark.parametrize(
    ("count", "told", "in_a_column", "recalled"),
    [
        (0, "0 memories were", "    0 memories", "never"),
        (1, "1 memory was", "    1 memory  ", "once"),
        (2, "2 memories were", "    2 memories", "2 times"),
        (1284, "1,284 memories were", "1,284 memories", "1,284 times"),
    ],
)
def test_counts(count: int, told: str, in_a_column: str, recalled: str) -> None:
    assert f"{numbered(count, 'memory')} {were(count)}" == told
    assert counted(count, "memory", 5) == in_a_column
    assert times(count) == recalled


def test_other_nouns() -> None:
    assert numbered(2, "statement") == "2 statements"
    assert counted(1, "vector", 3) == "  1 vector "
