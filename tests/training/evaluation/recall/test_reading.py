"""What is read again for the benchmark is what the chat stored."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.evaluation.recall.reading import as_statements, kept_by_chat, read_session
from training.evaluation.recall.tasks import Line, Script
from training.evaluation.recall.telling import open_store, tell
from varda_chat.models.checkpoint import load_checkpoint

pytestmark = pytest.mark.usefixtures("short_replies")


def test_what_is_read_again_is_what_the_chat_stored(tiny_checkpoint: Path, tmp_path: Path) -> None:
    keeping = load_checkpoint(tiny_checkpoint)
    keeping.model.config.delete_threshold = 2.0  # the untrained gates delete as they store
    lines = tuple(
        Line(text) for text in ("My dog is called Rimba. I live in Lisbon!", "What is my dog called?", "Hello")
    )
    # what is told twice is one: the second session says other things
    more = tuple(Line(text) for text in ("My cat is called Rimba!", "What do you live in?", "Hello my dog"))
    person = tell(keeping, Script("recall", "seen", (lines, more), (), ()), tmp_path / "m", lambda: None)
    read: list[str] = []
    for session in person.sessions:
        tokens = read_session(keeping, [(turn.prompt, turn.reply) for _, turn in session])
        kept = kept_by_chat(tokens, keeping.model.config.store_threshold)
        read += [vector.token for statement in as_statements(kept) for vector in statement.vectors]
    with open_store(keeping, person.directory, read_only=True) as store:
        mine = [s for s in store.statements(newest_first=False) if s.role == "user"]
        records = [store.reader.get(number) for number in range(1, store.size + 1)]
    stored = [record.token for record in records if record.statement_id in {s.id for s in mine}]
    assert read == stored
    assert len(stored) > 5
