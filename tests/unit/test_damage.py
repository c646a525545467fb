"""Damage is noticed: no bit of the disk changes a text in silence, none keeps the chat from starting."""

from __future__ import annotations

import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.unit.processes import PRELUDE
from tests.unit.test_purging import told
from varda_chat.errors import VardaError
from varda_chat.memory import maintenance, verify
from varda_chat.memory.store import MemoryStore
from varda_chat.transcripts import Transcripts

FEW_AND_MANY = [10, pytest.param(150, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    return lived_in(tmp_path / "profile")


def lived_in(folder: Path) -> Path:
    """A memory and sessions, with words to flip bits in."""
    with MemoryStore.open_records(folder) as store:
        store.take_in(told(f"fact {number} is here", number) for number in range(55))
        store.forget([3])
    with Transcripts.open(folder) as transcripts:
        for number in range(4):
            session = transcripts.begin(f"Question {number}")
            for turn in range(5):
                details = {"recalled": [{"id": 1, "text": "fact 1 is here"}]}
                asked = transcripts.ask(session, f"What is here at {turn}?")
                transcripts.answer(asked, f"fact {turn} is here.", "done", details)
    return folder


def memory_texts(folder: Path, **settings: Any) -> tuple[Any, list[str]]:
    with MemoryStore.open_records(folder, **settings) as store:
        held = [(each.id, each.text) for found in (store.statements(), store.removed()) for each in found]
        return (held, [(each.id, each.text) for each in store.reader.recent(1000)]), store.notices


def session_texts(folder: Path) -> tuple[Any, list[str]]:
    with Transcripts.open(folder) as transcripts:
        found = [(each.name, transcripts.turns(each.id)) for each in transcripts.sessions()]
        transcripts.search("here")
        transcripts.ask(transcripts.begin("more"), "More?")
        return found, transcripts.notices


def flips(content: bytes, count: int, word: bytes) -> list[bytes]:
    """``content`` with one bit flipped: anywhere, and in a place where ``word`` stands."""
    rng = random.Random(count)
    places = [found.start() + rng.randrange(len(word)) for found in re.finditer(word, content)]
    changed = []
    for number in range(count):
        copy = bytearray(content)
        copy[rng.choice(places) if number % 2 else rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        changed.append(bytes(copy))
    return changed


def flips_of_memory(profile: Path, tries: int) -> Iterator[None]:
    """Flip a bit of memory.db; yields after each that was noticed and repaired, or changed no text."""
    (profile / "sessions.db").unlink()
    right, notices = memory_texts(profile, read_only=True)
    assert (notices, verify(profile)) == ([], ())
    changes = 0
    for content in flips((profile / "memory.db").read_bytes(), tries, b"fact"):
        for path in profile.glob("memory.*"):
            path.unlink()
        (profile / "memory.db").write_bytes(content)
        problems = verify(profile)
        now, notices = memory_texts(profile)
        changes += now != right
        assert now == right or (problems and notices)
        if problems:
            maintenance.repair(profile)
            assert not [line for line in verify(profile) if "vectors of" not in line]  # those wait to be read again
        yield
    assert changes >= tries // 4


@pytest.mark.parametrize("tries", FEW_AND_MANY)
def test_a_flipped_bit_of_memory_changes_no_text_unnoticed(profile: Path, tries: int) -> None:
    assert len(list(flips_of_memory(profile, tries))) == tries


def flips_of_sessions(profile: Path, tries: int) -> Iterator[None]:
    """Flip a bit of sessions.db; yields after each that was noticed, or changed no text."""
    content = (profile / "sessions.db").read_bytes()
    with Transcripts.open(profile, read_only=True) as transcripts:
        right = [(each.name, transcripts.turns(each.id)) for each in transcripts.sessions()]
    changes = 0
    for changed in flips(content, tries, b"here"):
        for path in profile.glob("sessions.db*"):
            path.unlink()
        (profile / "sessions.db").write_bytes(changed)
        now, notices = session_texts(profile)
        changes += now != right
        assert now == right or notices
        yield
    assert changes >= tries // 4


@pytest.mark.parametrize("tries", FEW_AND_MANY)
def test_a_flipped_bit_of_the_sessions_changes_no_text_unnoticed(profile: Path, tries: int) -> None:
    assert len(list(flips_of_sessions(profile, tries))) == tries


def flips_of_a_backup(profile: Path, tries: int) -> Iterator[None]:
    """Flip a bit of a backup and restore it; yields after each that was refused, noticed, or changed no text."""
    right, _ = memory_texts(profile, read_only=True)
    backup = maintenance.backup(profile)
    content = backup.read_bytes()
    changes = 0
    for changed in flips(content, tries, b"fact"):
        backup.write_bytes(changed)
        before, _ = memory_texts(profile, read_only=True)
        refused = ""
        try:
            maintenance.restore(profile, backup)
        except VardaError as error:
            refused = str(error)
        now, notices = memory_texts(profile)
        if refused:
            assert "cannot be restored" in refused
            assert now == before
        else:
            changes += now != right
            assert now == right or (notices and verify(profile))
            maintenance.repair(profile)
        for path in (profile / "backups").iterdir():
            path.unlink()
        yield
    assert changes >= tries // 4


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
        assert {each.text for each in MemoryStore.open_records(profile).statements()} <= {text for _, text in right[0]}
    else:
        assert "set aside" in session_texts(profile)[1][0]


TURNS_UNTIL_KILLED = """
store = opened(folder)
for number in range(12):
    store.apply(TurnChanges((told(number),)), session="s")
print("stored", flush=True)
sys.stdin.read()
"""


def torn_logs(work: Path, damage: str, tries: int) -> Iterator[None]:
    """Damage the log that a real kill left; yields after each where all turns are there and nothing is said, or some
    are not and that is said."""
    folder, log = work / "killed", work / "copy" / "memory.db-wal"
    line = [sys.executable, "-c", PRELUDE + TURNS_UNTIL_KILLED, str(folder)]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "stored\n"
        process.send_signal(signal.SIGKILL)
    rng = random.Random(1)
    for _ in range(tries):
        shutil.rmtree(log.parent, ignore_errors=True)
        shutil.copytree(folder, log.parent)
        content = bytearray(log.read_bytes())
        if damage == "cut":
            del content[rng.randrange(len(content) // 2, len(content)) :]
        elif damage == "flip":
            content[rng.randrange(len(content) // 2, len(content))] ^= 1 << rng.randrange(8)
        log.write_bytes(content)
        seen = work / "seen"
        shutil.rmtree(seen, ignore_errors=True)
        shutil.copytree(log.parent, seen)
        problems = verify(seen)
        with MemoryStore.open_records(log.parent) as store:
            lost = 12 - len(store.statements())
            assert bool(lost) == (damage != "none")
            assert bool(problems) == bool(store.notices) == bool(lost)
            assert not lost or "of the last changes cannot be read" in store.notices[0]
        assert verify(log.parent) == ()
        yield


@pytest.mark.parametrize(("damage", "tries"), [("none", 1), ("cut", 8), ("flip", 8)])
def test_a_torn_log_is_told_of(tmp_path: Path, damage: str, tries: int) -> None:
    assert len(list(torn_logs(tmp_path, damage, tries))) == tries
