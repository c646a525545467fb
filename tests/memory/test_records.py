"""What goes into a memory can be compared: Python 3.13 compares the fields of a dataclass one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from varda_chat.memory import NewStatement, NewVector

VECTOR = NewVector(np.arange(4, dtype=np.float32), 7, "dog", 0.5)


def test_vectors_are_equal_by_what_they_hold() -> None:
    assert replace(VECTOR, vector=VECTOR.vector.copy()) == VECTOR
    assert NewStatement("My dog", "user", (replace(VECTOR, vector=VECTOR.vector.copy()),)) == NewStatement(
        "My dog", "user", (VECTOR,)
    )


def test_another_vector_or_token_is_not_equal() -> None:
    assert replace(VECTOR, vector=VECTOR.vector + 1) != VECTOR
    assert replace(VECTOR, token_id=9) != VECTOR
    assert VECTOR != "dog"
