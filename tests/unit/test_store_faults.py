"""MemoryStore when things go wrong: real kills, a real full disk, real damage, a real second process."""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from tests.unit.processes import child, damaged_at, filled
from tests.unit.test_store import DIM, agrees, opened, some, texts, told, turn
from varda_chat.errors import MemoryLockedError, StorageError, VardaError
from varda_chat.memory import AssociativeMemory, backup, peek, reset, verify
from varda_chat.memory.maintenance import restore
from varda_chat.memory.schema import SCHEMA_VERSION

# The index file


def test_a_missing_index_is_rebuilt_in_silence(tmp_path: Path) -> None:
    """It is only a cache: after an import without the model, or a kill before it was written, nothing is wrong."""
    filled(tmp_path)
    (tmp_path / "memory.faiss").unlink()
    assert verify(tmp_path) == ()
    with opened(tmp_path) as store:
        assert store.notices == []
        agrees(store)
    with opened(tmp_path) as store:
        assert store.notices == []


@pytest.mark.parametrize("place", [0, 10, 60, 400, -1])
def test_a_flipped_bit_in_the_index_is_seen(tmp_path: Path, place: int) -> None:
    filled(tmp_path)
    index = tmp_path / "memory.faiss"
    content = bytearray(index.read_bytes())
    content[place] ^= 1
    index.write_bytes(content)
    with opened(tmp_path) as store:
        assert "rebuilt" in store.notices[0]
        assert store.search(told("", seed=3).vectors[0].vector, 1).distances[0] == 0
        agrees(store)


@pytest.mark.parametrize("length", [0, 5, 50, 300])
def test_a_cut_index_is_seen(tmp_path: Path, length: int) -> None:
    filled(tmp_path)
    index = tmp_path / "memory.faiss"
    index.write_bytes(index.read_bytes()[:length])
    with opened(tmp_path) as store:
        assert "rebuilt" in store.notices[0]
        agrees(store)


def test_an_index_of_an_earlier_state_catches_up(tmp_path: Path) -> None:
    filled(tmp_path)
    old = (tmp_path / "memory.faiss").read_bytes()
    with opened(tmp_path) as store:
        store.forget([1])
        store.apply(turn(told("new")), session="s")
    (tmp_path / "memory.faiss").write_bytes(old)
    with opened(tmp_path) as store:
        assert store.notices == []
        assert store.search(told("", seed=0).vectors[0].vector, 1).distances[0] > 0
        assert store.search(told("new").vectors[0].vector, 1).distances[0] == 0
        agrees(store)
    with opened(tmp_path) as store:
        assert store.notices == []
        agrees(store)


def test_an_index_of_a_state_too_long_ago_is_rebuilt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("varda_chat.memory.schema.GENERATIONS_KEPT", 2)
    filled(tmp_path)
    old = (tmp_path / "memory.faiss").read_bytes()
    with opened(tmp_path) as store:
        for number in range(3):
            store.apply(turn(told(f"new {number}")), session="s")
    (tmp_path / "memory.faiss").write_bytes(old)
    with opened(tmp_path) as store:
        assert "another history" in store.notices[0]
        agrees(store)


def test_an_index_with_the_right_label_but_other_vectors_is_not_taken(tmp_path: Path) -> None:
    filled(tmp_path)
    with closing(sqlite3.connect(tmp_path / "memory.db")) as db:
        generation, stamp = db.execute("SELECT generation, stamp FROM meta").fetchone()
    other = AssociativeMemory(10, DIM)
    other.add(some(2))
    other.write(tmp_path / "memory.faiss", {"model": "model-a", "generation": generation, "history": stamp})
    with opened(tmp_path) as store:
        assert "does not hold the vectors" in store.notices[0]
        agrees(store)


# The database


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
            store.replace_vectors(statement.id, told("", seed=number).vectors)
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
        store.replace_vectors(3, told("", seed=2).vectors)
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


# Other processes


def test_a_second_process_is_told_and_may_read(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.apply(turn(told("a")), session="s")
        result = child(
            """
for use in (lambda: opened(folder), lambda: reset(folder)):
    try:
        use()
    except MemoryLockedError as error:
        print(error)
with opened(folder, read_only=True) as store:
    print([each.text for each in store.statements()], peek(folder).vectors, store.size)
""",
            tmp_path,
        )
        assert result.stdout.count("Another varda-chat is using this memory") == 2, result.stderr
        assert "['a'] 2 2" in result.stdout
        with pytest.raises(MemoryLockedError, match="--incognito"):
            opened(tmp_path)
    opened(tmp_path).close()


def flipped(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def cut(path: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content))])


HARMED_FILES = ("memory.db", "memory.db-wal", "memory.faiss", "memory.lock", "memory.db-shm")
Harm = Callable[[Path, random.Random], None]


def harms(work: Path, name: str, harm: Harm, tries: int) -> Iterator[None]:
    """Harm a file of a memory that a killed process left, at another place in each of many copies; yields after each
    that the memory starts with."""
    memory = work / "memory"
    filled(memory, 40)
    left = child(
        "store = opened(folder)\n"
        "for number in range(40, 45): store.apply(TurnChanges((told(number),)), session='s')\n"
        "store.flush_index()\n"
        "store.apply(TurnChanges((told(45),)), session='s')\n"
        "os._exit(9)",
        memory,
    )
    assert left.returncode == 9, left.stderr
    assert (memory / "memory.db-wal").stat().st_size
    known = {f"fact {number}" for number in range(46)}
    rng = random.Random(name)
    for number in range(tries):
        copy = work / str(number)
        shutil.copytree(memory, copy)
        if not (copy / name).stat().st_size:
            (copy / name).write_bytes(b"\0")
        harm(copy / name, rng)
        with closing(sqlite3.connect(f"file:{copy / 'memory.db'}?mode=ro&immutable=1", uri=True)) as db:
            try:
                newer = name == "memory.db" and db.execute("PRAGMA user_version").fetchone()[0] > SCHEMA_VERSION
            except sqlite3.DatabaseError:
                newer = False
        if newer:  # the bit lies in the schema's version: told, and nothing touched
            with pytest.raises(VardaError, match="newer varda-chat"):
                opened(copy)
            yield
            continue
        with opened(copy) as store:
            for statement in store.reader.foreign_statements():  # its vector was hit
                store.replace_vectors(statement.id, told(statement.text).vectors)
            assert all(store.reader.get(id_).token for id_ in store.search(some(1), 200).ids[0] if id_ >= 0)
            if harm is cut and name == "memory.db-wal":  # as if the last turns had not been: a log may end anywhere
                assert set(texts(store)) == {f"fact {place}" for place in range(len(texts(store)))}
                assert len(texts(store)) >= 40
            else:  # without a word about damage, one bit may have changed one text
                assert len(known - set(texts(store))) <= 1 or store.notices
            store.apply(turn(told("new")), session="s")
        with opened(copy, read_only=True) as reader:
            assert "new" in texts(reader)
            if name in ("memory.faiss", "memory.lock", "memory.db-shm"):
                assert set(texts(reader)) == known | {"new"}
        yield


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
                store.replace_vectors(statement.id, told(statement.text).vectors)
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
        store.replace_vectors(2, told("", seed=1).vectors)
        agrees(store)


# The disk

SAME_BEFORE_AND_AFTER = """
from varda_chat.memory.records import Imported

def state(store):
    ids = store.search(np.zeros(8), 50).ids.tolist()
    return store.statements(), store.reader.recent(100), store.size, ids

def check(store, fill, empty):
    for number in range(4):
        store.apply(TurnChanges((told(number, 150 if number == 3 else 3),)), session="s")
    before = state(store)
    fill()
    change = TurnChanges((told(4, 200), told(5)), frozenset([1]), frozenset([2]))
    coming = [Imported(told(number, 50), "s", 1.0, None, 0, False, "model-a") for number in range(10, 20)]
    for _ in range(2):
        refused(lambda: store.apply(change, session="s"))
        refused(lambda: store.take_in(coming))
        refused(store.undo_last)
        refused(lambda: store.forget([4]))
        refused(lambda: store.replace_vectors(1, told(9, 200).vectors))
        assert state(store) == before
    empty()
    assert state(store) == before
    assert store.apply(change, session="s").size == 3 + 3 + 150 + 203
"""


def test_a_file_that_may_not_grow_loses_nothing(tmp_path: Path) -> None:
    result = child(
        SAME_BEFORE_AND_AFTER
        + """
import resource
def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
with opened(folder) as store:
    wal = folder / "memory.db-wal"
    check(store, lambda: limit(wal.stat().st_size + 5000), lambda: limit(resource.RLIM_INFINITY))
    limit(1000)
    refused(store.flush_index)
assert "The memory itself is safe" in store.notices[-1]
limit(resource.RLIM_INFINITY)
assert not (folder / "memory.faiss.new").exists()
with opened(folder) as store:
    assert store.size == 359
""",
        tmp_path,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("refused: The turn was not stored") == 2
    assert "the disk is full" in result.stdout


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    private = ("unshare", "--map-root-user", "--mount")
    mount = f"mount -t tmpfs -o size=1m none {tmp_path}"
    try:
        allowed = subprocess.run([*private, "sh", "-c", mount], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("no unshare here")
    if allowed.returncode:
        pytest.skip("this machine does not let a test mount a small disk")
    result = child(
        SAME_BEFORE_AND_AFTER
        + """
filler = folder / "filler"
def fill():
    with open(filler, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
with opened(folder / "memory") as store:
    check(store, fill, filler.unlink)
    fill()
    refused(lambda: backup(folder / "memory"))
    assert not list((folder / "memory" / "backups").iterdir())
    refused(store.flush_index)
""",
        tmp_path,
        wrap=(*private, "sh", "-c", f'{mount} && exec "$@"', "sh"),
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("refused: The turn was not stored") == 2
    assert result.stdout.count("the disk is full") >= 3


def test_a_folder_that_cannot_be_written_is_told_and_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StorageError, match="cannot be opened"):
        opened(tmp_path / "file" / "memory")
    filled(tmp_path / "memory")
    private = ("unshare", "--map-root-user", "--mount")
    mount = f"mount --bind {tmp_path} {tmp_path} && mount -o remount,bind,ro {tmp_path}"
    try:
        allowed = subprocess.run([*private, "sh", "-c", mount], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("no unshare here")
    if allowed.returncode:
        pytest.skip("this machine does not let a test mount a folder read-only")
    result = child(
        """
refused(lambda: opened(folder))
refused(lambda: reset(folder))
with opened(folder, read_only=True) as store:
    print(store.size, peek(folder).statements, store.notices)
""",
        tmp_path / "memory",
        wrap=(*private, "sh", "-c", f'{mount} && exec "$@"', "sh"),
    )
    assert "10 5 []" in result.stdout, result.stderr


def test_a_failure_while_reading_again_keeps_the_old_vectors(tmp_path: Path) -> None:
    filled(tmp_path)
    with opened(tmp_path, fingerprint="model-b") as store:
        with pytest.raises(VardaError):
            store.replace_vectors(1, [*told("", seed=9).vectors, *told("", 1, 9, float("inf")).vectors])
        assert len(store.reader.foreign_statements()) == 5
    with opened(tmp_path) as store:
        assert np.isclose(store.search(told("", seed=0).vectors[0].vector, 1).distances[0], 0)
        assert store.size == 10
