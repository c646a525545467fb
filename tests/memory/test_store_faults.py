"""MemoryStore when its files are damaged, and beside a second process."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.harms import HARMED_FILES, Harm, cut, flipped, harms
from tests.helpers.store_processes import child, damaged_at, filled
from tests.helpers.stores import agrees, opened, texts, told, turn
from varda_chat.errors import MemoryLockedError, VardaError
from varda_chat.memory import backup, peek, reset, verify
from varda_chat.memory.maintenance import restore
from varda_chat.memory.schema import SCHEMA_VERSION


def test_a_damaged_database_is_set_aside_and_saved_from(tmp_path: Path) -> None:
    before = filled(tmp_path, 400)
    database = tmp_path / "memory.db"
    damaged_at(database, 0.5, 0.55)
    content = database.read_bytes()
    with opened(tmp_path, read_only=True) as reader:
        assert 100 < len(texts(reader)) <= 400
        assert "could be read" in reader.notices[0]
        assert database.read_bytes() == content
    with opened(tmp_path) as store:
        (aside,) = tmp_path.glob("memory.db.damaged-*Z")
        assert aside.read_bytes() == content
        assert aside.name in store.notices[0]
        saved = texts(store)
        assert f"{len(saved)} memories" in store.notices[0]
        assert 100 < len(saved) <= 400
        assert set(saved) <= set(before)
        for statement in store.reader.foreign_statements():  # their vectors were not all there
            number = int(statement.text.split()[1])
            store.indexing.replace_vectors(statement.id, told("", seed=number).vectors)
        assert store.reader.foreign_statements() == ()
        agrees(store)
        assert store.apply(turn(told("new")), session="s").stored[0].id > 400
    assert verify(tmp_path) == ()
    with opened(tmp_path) as store:
        assert store.notices == []
        assert texts(store) == [*saved, "new"]


@pytest.mark.parametrize("kind", ["not a database", "header", "cut", "empty", "no tables"])
def test_a_hopeless_database_is_kept_and_a_new_one_begun(tmp_path: Path, kind: str) -> None:
    filled(tmp_path)
    database = tmp_path / "memory.db"
    if kind == "not a database":
        database.write_bytes(b"Dear diary, " * 1000)
    elif kind == "header":
        damaged_at(database, 0.0, 0.01)
    elif kind == "cut":
        database.write_bytes(database.read_bytes()[:5000])
    elif kind == "empty":
        database.write_bytes(b"")
    else:
        with closing(sqlite3.connect(database)) as db:
            db.executescript("DROP TABLE events; DROP TABLE meta;")
    content = database.read_bytes()
    with opened(tmp_path) as store:
        (aside,) = tmp_path.glob("memory.db.damaged-*Z")
        assert aside.read_bytes() == content
        assert "damaged" in store.notices[0]
        if kind == "no tables":
            assert len(texts(store)) == 5
        store.apply(turn(told("new")), session="s")
        agrees(store)


def test_damage_is_seen_by_peek_and_backup_and_reset(tmp_path: Path) -> None:
    filled(tmp_path)
    database = tmp_path / "memory.db"
    database.write_bytes(b"Dear diary, " * 1000)
    assert peek(tmp_path).damaged
    assert "damaged" in verify(tmp_path)[0]
    with pytest.raises(VardaError, match="damaged"):
        backup(tmp_path)
    kept = reset(tmp_path)
    assert kept is not None
    assert kept.read_bytes().startswith(b"Dear diary")
    with opened(tmp_path) as store:
        assert store.size == 0


def test_a_broken_vector_is_read_again_and_a_broken_text_hides_nothing(tmp_path: Path) -> None:
    filled(tmp_path)
    database = tmp_path / "memory.db"
    vector = told("", seed=2).vectors[1].vector.tobytes()
    content = database.read_bytes().replace(vector, b"\xff" * len(vector))
    database.write_bytes(content.replace(b"fact 4", b"fact \xff"))
    (tmp_path / "memory.faiss").unlink()
    with opened(tmp_path) as store:
        assert [each.text for each in store.reader.foreign_statements()] == ["fact 2"]
        assert any("read again" in notice for notice in store.notices)
        assert store.size == 8
        assert texts(store)[4] == "fact \ufffd"
        store.indexing.replace_vectors(3, told("", seed=2).vectors)
        agrees(store)


def test_a_newer_schema_is_refused_and_nothing_touched(tmp_path: Path) -> None:
    filled(tmp_path)
    with closing(sqlite3.connect(tmp_path / "memory.db")) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    for read_only in (False, True):
        with pytest.raises(VardaError, match="newer varda-chat"):
            opened(tmp_path, read_only=read_only)
    after = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert after == before


def test_a_log_without_its_database_does_not_enter_the_next(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / "memory.db").rename(tmp_path / "elsewhere.db")
    (tmp_path / "memory.db-wal").write_bytes(b"frames of a lost database")
    with opened(tmp_path) as store:
        assert texts(store) == []
    (aside,) = tmp_path.glob("memory.db.damaged-*-wal")
    assert aside.read_bytes() == b"frames of a lost database"


def test_a_second_process_is_told_and_may_read(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.apply(turn(told("a")), session="s")
        result = child(
            """
for use in (lambda: opened(directory), lambda: reset(directory)):
    try:
        use()
    except MemoryLockedError as error:
        print(error)
with opened(directory, read_only=True) as store:
    print([each.text for each in store.statements()], peek(directory).vectors, store.size)
""",
            tmp_path,
        )
        assert result.stdout.count("Another varda-chat is using this memory") == 2, result.stderr
        assert "['a'] 2 2" in result.stdout
        with pytest.raises(MemoryLockedError, match="--incognito"):
            opened(tmp_path)
    opened(tmp_path).close()


@pytest.mark.parametrize("harm", [flipped, cut])
@pytest.mark.parametrize("name", HARMED_FILES)
def test_a_flipped_bit_or_a_cut_anywhere_stops_no_start(tmp_path: Path, name: str, harm: Harm) -> None:
    tries = 4 if harm is cut else 12
    assert len(list(harms(tmp_path, name, harm, tries))) == tries


def test_a_harmed_backup_is_restored_whole_or_not_at_all(tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    filled(memory, 30)
    kept = backup(memory)
    with opened(memory) as store:
        store.apply(turn(told("since")), session="s")
        now = texts(store)
    rng = random.Random(7)
    refused: list[str] = []
    for number in range(12):
        harmed = tmp_path / f"{number}.db"
        shutil.copy(kept, harmed)
        (cut if number % 4 == 0 else flipped)(harmed, rng)
        try:
            restore(memory, harmed)
        except VardaError as error:
            refused.append(str(error))
            with opened(memory) as store:
                assert texts(store) == now
            continue
        with opened(memory) as store:
            for statement in store.reader.foreign_statements():  # its vector was hit
                store.indexing.replace_vectors(statement.id, told(statement.text).vectors)
            assert len(texts(store)) == 30
            agrees(store)
            assert len(set(texts(store)) - {f"fact {place}" for place in range(30)}) <= 1
            now = texts(store)
    assert len(refused) >= 3  # the cut ones, at least
    assert all("cannot be restored" in each for each in refused)


def test_what_was_set_aside_with_a_damaged_vector_comes_back_to_be_read_again(tmp_path: Path) -> None:
    filled(tmp_path)
    with opened(tmp_path) as store:
        store.forget([2])
    database = tmp_path / "memory.db"
    vector = told("", seed=1).vectors[1].vector.tobytes()
    content = database.read_bytes()
    assert content.count(vector) == 1
    database.write_bytes(content.replace(vector, bytes(len(vector))))
    with opened(tmp_path) as store:
        assert [each.text for each in store.undo_last().restored] == ["fact 1"]
        assert [each.text for each in store.reader.foreign_statements()] == ["fact 1"]
        assert store.size == 8
        store.indexing.replace_vectors(2, told("", seed=1).vectors)
        agrees(store)


def test_a_failure_while_reading_again_keeps_the_old_vectors(tmp_path: Path) -> None:
    filled(tmp_path)
    with opened(tmp_path, fingerprint="model-b") as store:
        with pytest.raises(VardaError):
            store.indexing.replace_vectors(1, [*told("", seed=9).vectors, *told("", 1, 9, float("inf")).vectors])
        assert len(store.reader.foreign_statements()) == 5
    with opened(tmp_path) as store:
        assert np.isclose(store.search(told("", seed=0).vectors[0].vector, 1).distances[0], 0)
        assert store.size == 10
