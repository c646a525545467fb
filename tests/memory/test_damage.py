"""Damage is noticed: no bit of the disk changes a text in silence, none keeps the chat from starting."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.helpers.damage import (
    flips_of_a_backup,
    flips_of_memory,
    flips_of_sessions,
    lived_in,
    memory_texts,
    session_texts,
    torn_logs,
)
from varda_chat.memory import maintenance, verify
from varda_chat.memory.store import MemoryStore
from varda_chat.transcripts import Transcripts

FEW_AND_MANY = [10, pytest.param(150, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    return lived_in(tmp_path / "profile")


@pytest.mark.parametrize("tries", FEW_AND_MANY)
def test_a_flipped_bit_of_memory_changes_no_text_unnoticed(profile: Path, tries: int) -> None:
    assert len(list(flips_of_memory(profile, tries))) == tries


@pytest.mark.parametrize("tries", FEW_AND_MANY)
def test_a_flipped_bit_of_the_sessions_changes_no_text_unnoticed(profile: Path, tries: int) -> None:
    assert len(list(flips_of_sessions(profile, tries))) == tries


@pytest.mark.parametrize("tries", FEW_AND_MANY)
def test_a_flipped_bit_of_a_backup_changes_no_text_unnoticed(profile: Path, tries: int) -> None:
    assert len(list(flips_of_a_backup(profile, tries))) == tries


def test_a_flipped_bit_of_a_backup_is_told_of_when_it_is_restored(profile: Path) -> None:
    right, _ = memory_texts(profile, read_only=True)
    backup = maintenance.backup(profile)
    content = backup.read_bytes()
    backup.write_bytes(content.replace(b"fact 7 is here", b"fact 5 is here", 1))
    maintenance.restore(profile, backup)
    now, notices = memory_texts(profile)
    assert now != right
    assert "is not what was stored" in notices[0]
    assert "is not what was stored" in verify(profile)[0]


def test_the_right_text_is_put_back_from_another_copy(profile: Path) -> None:
    right, _ = memory_texts(profile, read_only=True)
    path = profile / "memory.db"
    content = path.read_bytes()
    place = content.rindex(b"fact 7 is here")  # of the statement or of its event
    path.write_bytes(content[:place] + b"Fact" + content[place + 4 :])
    assert memory_texts(profile, read_only=True)[0] != right
    assert "not what was stored" in verify(profile)[0]
    maintenance.repair(profile)
    (statements, _), notices = memory_texts(profile)
    assert statements == right[0]
    assert notices == []


@pytest.mark.parametrize("pages", [1, 5])
def test_all_that_is_left_of_a_cut_database_is_saved(profile: Path, pages: int) -> None:
    right, _ = memory_texts(profile, read_only=True)
    path = profile / "memory.db"
    path.write_bytes(path.read_bytes()[: -4096 * pages])
    with MemoryStore.open_records(profile) as store:
        assert "was set aside" in store.notices[0]
        assert {(each.id, each.text) for each in store.statements()} == {each for each in right[0] if each[0] != 3}


@pytest.mark.parametrize(
    ("name", "word"),
    [("memory.db", b"recall_count INTEGER NOT NULL DEFAULT"), ("memory.db", b"TABLE statements"),
     ("sessions.db", b"updated_at REAL"), ("sessions.db", b"TABLE turns")],
)  # fmt: skip
def test_a_flipped_byte_of_the_schema_is_noticed_and_the_chat_starts(profile: Path, name: str, word: bytes) -> None:
    right, _ = memory_texts(profile, read_only=True)
    path = profile / name
    content = bytearray(path.read_bytes())
    content[content.index(word) + word.index(b" ") + (1 if b"TABLE" in word else -1)] ^= 1
    path.write_bytes(content)
    if name == "memory.db":
        assert "memory.db is damaged" in verify(profile)[0]
        with MemoryStore.open_records(profile) as store:
            assert "was set aside" in store.notices[0]
            assert {(each.id, each.text) for each in store.statements()} == {each for each in right[0] if each[0] != 3}
        assert verify(profile) == ()
    else:
        assert "set aside" in session_texts(profile)[1][0]


def test_broken_utf8_in_a_session_is_told_of_and_read(profile: Path) -> None:
    path = profile / "sessions.db"
    path.write_bytes(path.read_bytes().replace(b"What is here at 2?", b"What is h\xe9re at 2?", 1))
    found, notices = session_texts(profile)
    assert "is not what was saved" in notices[0]
    assert "What is h\ufffdre at 2?" in str(found)


def flipped_in_page(path: Path, table: str, bit: int) -> None:
    """Flip a bit of the last cell in the first page of an index or of a table of ``path``."""
    with closing(sqlite3.connect(path)) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    content = bytearray(path.read_bytes())
    content[page * 4096 - 1] ^= bit
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "index"),
    [("memory.db", "statements_by_key"), ("memory.db", "events_by_statement"), ("sessions.db", "turns_by_session")],
)
def test_an_index_that_does_not_agree_with_its_table_is_rebuilt(profile: Path, name: str, index: str) -> None:
    right, said = memory_texts(profile, read_only=True)[0], session_texts(profile)[0]
    flipped_in_page(profile / name, index, 0x40)
    if name == "memory.db":
        assert f"missing from index {index}" in verify(profile)[0]
        for read_only in (True, False):
            now, notices = memory_texts(profile, read_only=read_only)
            assert now == right
            assert "was rebuilt" in notices[0]
        assert verify(profile) == ()
        assert memory_texts(profile) == (right, [])
    else:
        now, notices = session_texts(profile)
        assert now[1:] == said  # the one that is begun each time comes first
        assert "was rebuilt" in notices[0]
        assert session_texts(profile)[1] == []


def test_a_damaged_index_of_words_is_rebuilt(profile: Path) -> None:
    with closing(sqlite3.connect(profile / "sessions.db")) as db, db:
        db.execute("UPDATE said_data SET block = zeroblob(length(block)) WHERE id > 10")
    assert "the index that finds words was damaged and was rebuilt" in session_texts(profile)[1][0]
    with Transcripts.open(profile) as transcripts:
        assert transcripts.notices == []
        assert len(transcripts.search("fact 2")) == 4


def test_values_of_another_type_are_read_as_what_they_were(profile: Path) -> None:
    right, said = memory_texts(profile, read_only=True)[0], session_texts(profile)[0]
    with closing(sqlite3.connect(profile / "memory.db")) as db, db:
        for table in ("statements", "removed_statements", "events"):
            db.execute(f"UPDATE {table} SET text = CAST(text AS BLOB)")
        db.execute("UPDATE vectors SET vector = CAST(vector AS TEXT) WHERE id = 1")
    with closing(sqlite3.connect(profile / "sessions.db")) as db, db:
        db.execute("UPDATE turns SET reply = CAST(reply AS BLOB), details = CAST(details AS BLOB)")
        db.execute("UPDATE sessions SET name = CAST(name AS BLOB)")
    assert verify(profile) == ()
    for read_only in (True, False):
        assert memory_texts(profile, read_only=read_only) == (right, [])
    now, notices = session_texts(profile)
    assert (now[1:], notices) == (said, [])
    with closing(sqlite3.connect(profile / "memory.db")) as db, db:
        db.execute("UPDATE vectors SET token_id = 'x' WHERE id = 1")
    assert verify(profile) == ("memory.db: a number in token_id cannot be read.",)
    assert "1 number could not be read" in memory_texts(profile)[1][0]
    assert verify(profile) == ()


@pytest.mark.parametrize("name", ["memory.db", "sessions.db"])
def test_a_schema_that_is_no_text_is_damage(profile: Path, name: str) -> None:
    right = memory_texts(profile, read_only=True)[0]
    path = profile / name
    path.write_bytes(
        path.read_bytes()
        .replace(b"CREATE TABLE turns", b"CREATE TABL\xa0 turns")
        .replace(b"CREATE TABLE events", b"CREATE TABL\xa0 events")
    )
    if name == "memory.db":
        assert "memory.db is damaged" in verify(profile)[0]
        with MemoryStore.open_records(profile) as store:
            assert {each.text for each in store.statements()} <= {text for _, text in right[0]}
    else:
        assert "set aside" in session_texts(profile)[1][0]


@pytest.mark.parametrize(("damage", "tries"), [("none", 1), ("cut", 8), ("flip", 8)])
def test_a_torn_log_is_told_of(tmp_path: Path, damage: str, tries: int) -> None:
    assert len(list(torn_logs(tmp_path, damage, tries))) == tries
