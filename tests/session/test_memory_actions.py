"""What a person asks of the memory beside the talk: many pins at once, other words, a part as a file, means."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from varda_chat.errors import VardaError
from varda_chat.memory.export import read_export
from varda_chat.memory.records import Imported
from varda_chat.session.session import ChatSession


@pytest.fixture
def session(tmp_path: Path, tiny_checkpoint: Path) -> Iterator[ChatSession]:
    with ChatSession.open(tmp_path / "profile", tiny_checkpoint) as session:
        for text in ("My dog is called Rimba.", "I live in Lisbon.", "I work as a nurse."):
            session.memory.remember(text)
        yield session


def test_a_statement_gets_other_words_and_vectors_of_them(session: ChatSession) -> None:
    newest = session.memory.statements()[0]
    _, before = session.memory.means([newest.id])
    edited = session.memory.edit(newest.id, " I work as a \x1b[31mbaker. ")
    assert (edited.id, edited.text) == (newest.id, "I work as a baker.")
    assert edited.vector_count > 0
    _, after = session.memory.means([newest.id])
    assert not np.allclose(before, after)
    for id_, text in ((newest.id, " \n"), (99, "x")):
        with pytest.raises(VardaError):
            session.memory.edit(id_, text)
    session.set_incognito(True)
    with pytest.raises(VardaError, match="incognito"):
        session.memory.edit(newest.id, "I work.")
    with pytest.raises(VardaError, match="incognito"):
        session.memory.pin_all([newest.id])
    assert session.memory.statement(newest.id).text == "I work as a baker."


def test_many_are_pinned_at_once(session: ChatSession) -> None:
    assert session.memory.pin_all([1, 3, 99]) == 2
    assert [each.id for each in session.memory.statements() if each.pinned] == [3, 1]
    assert session.memory.pin_all([1, 2, 3], False) == 3
    assert not any(each.pinned for each in session.memory.statements())


def test_no_memory_that_holds_the_words_or_is_pinned_is_left_out(session: ChatSession) -> None:
    session.memory.pin(1)
    for number in range(20):
        session.memory.remember(f"I have {number} plants.")
    exact, near = session.memory.candidates("PLANTS")
    assert [each.text for each in exact] == [f"I have {number} plants." for number in reversed(range(20))]
    assert near == ()
    first, *others = session.memory.candidates("")[0]
    assert (first.id, [each.text for each in others]) == (1, [each.text for each in exact[:12]])


def test_a_part_is_exported_as_an_import_reads_it(session: ChatSession, tmp_path: Path) -> None:
    file = tmp_path / "part.jsonl"
    assert session.memory.export(file, [3, 1, 99]) == 2
    assert file.read_bytes() == b"".join(session.memory.exported_lines([1, 3]))
    read = [each for _, each in read_export(BytesIO(file.read_bytes()), 1e12)]
    assert all(isinstance(each, Imported) and each.new.vectors for each in read)
    assert [each.new.text for each in read if isinstance(each, Imported)] == [
        "My dog is called Rimba.",
        "I work as a nurse.",
    ]


def test_means_are_of_the_statements_vectors(session: ChatSession) -> None:
    ids, means = session.memory.means([3, 1, 99])
    assert ids.tolist() == [1, 3]
    for id_, mean in zip(ids, means, strict=True):
        of_it = np.flatnonzero(session.memory.store.statement_ids(np.arange(1, session.memory.size + 1)) == id_) + 1
        vectors, _ = session.memory.store.vectors_of(of_it)
        np.testing.assert_allclose(mean, vectors.mean(axis=0), rtol=1e-5, atol=1e-6)
    session.memory.forget([1, 2, 3])
    none, empty = session.memory.means([1])
    assert none.shape == (0,)
    assert empty.shape == (0, session.checkpoint.model.config.memory_dim)
    assert session.memory.search("dog") == ()
