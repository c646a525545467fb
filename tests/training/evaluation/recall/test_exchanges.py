"""Exchanges that are shown beside the figures."""

from __future__ import annotations

import pytest

from tests.training.evaluation.conftest import TALK
from training.evaluation.recall.exchanges import as_markdown, sample_exchanges
from varda_chat.models.checkpoint import Checkpoint

pytestmark = pytest.mark.usefixtures("short_replies")


def test_exchanges_are_chosen_by_the_seed_and_counted(checkpoint: Checkpoint) -> None:
    first = sample_exchanges(checkpoint, 13, 7, TALK)
    assert len(first) == 13
    assert first == sample_exchanges(checkpoint, 13, 7, TALK)
    assert {e.session for e in first if e.conversation == 1} == {1, 2}
    assert sum(e.right is not None for e in first) == 3
    text = as_markdown(first)
    assert "Conversation 1, session 2" in text
    assert text.count("\n| ") == 13 + 2 * 3
