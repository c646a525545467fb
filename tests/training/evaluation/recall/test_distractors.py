"""Distractors are nested, and as many as are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.evaluation.conftest import TALK
from training.evaluation.recall.distractors import Distractors
from training.evaluation.recall.telling import open_store
from varda_chat.errors import DataError
from varda_chat.models.checkpoint import Checkpoint

pytestmark = pytest.mark.usefixtures("short_replies")


def test_distractors_are_nested_and_come_in_the_number_asked_for(checkpoint: Checkpoint, tmp_path: Path) -> None:
    talk = [f"{number} {line}" for number in range(5) for line in TALK]
    found = Distractors.of(checkpoint, iter(talk), 30)
    assert len(found) == 30
    few, many = found.statements(0, 10), found.statements(0, 30)
    assert sum(len(s.vectors) for s in few) == 10
    assert {s.text for s in few} <= {s.text for s in many}
    with open_store(checkpoint, tmp_path / "m") as store:
        found.add(store, 0, 10)
        assert store.size == 10
        found.add(store, 10, 30)
        assert store.size == 30
    with pytest.raises(DataError, match="too little"):
        Distractors.of(checkpoint, iter(TALK), 10_000)
