"""One thing is one thing, wherever a count is told."""

from __future__ import annotations

import pytest

from varda_chat.wording import counted, numbered, times, were


@pytest.mark.parametrize(
    ("count", "told", "in_a_column", "recalled"),
    [
        (0, "0 statements were", "    0 statements", "never"),
        (1, "1 statement was", "    1 statement ", "once"),
        (2, "2 statements were", "    2 statements", "2 times"),
        (1284, "1,284 statements were", "1,284 statements", "1,284 times"),
    ],
)
def test_counts(count: int, told: str, in_a_column: str, recalled: str) -> None:
    assert f"{numbered(count, 'statement')} {were(count)}" == told
    assert counted(count, "statement", 5) == in_a_column
    assert times(count) == recalled
