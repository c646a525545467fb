"""Upkeep beside the memory: peek, backup, reset, verify, without the heavy libraries."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.helpers.stores import agrees, opened, texts, told, turn
from varda_chat.errors import VardaError
from varda_chat.memory import Statement, backup, maintenance, peek, reset, verify
from varda_chat.memory.maintenance import repair, restore
from varda_chat.memory.schema import MemorySettings
from varda_chat.storage.locks import take_lock
from varda_chat.storage.sqlite import connect_reader


def test_peek_counts_and_creates_nothing(tmp_path: Path) -> None:
    nothing = peek(tmp_path / "none")
    assert (nothing.statements, nothing.vectors, nothing.bytes) == (0, 0, 0)
    assert not (tmp_path / "none").exists()
    with opened(tmp_path) as store:
        store.apply(turn(told("a"), told("b")), session="s")
        assert asdict(peek(tmp_path)) | {"bytes": 0} == {
            "path": tmp_path / "memory.db",
            "statements": 2,
            "vectors": 4,
            "events": 2,
            "bytes": 0,
            "damaged": False,
            "problem": "",
        }
    before = sorted(file.name for file in tmp_path.iterdir())
    assert peek(tmp_path).bytes > 0
    assert sorted(file.name for file in tmp_path.iterdir()) == before


def test_a_backup_made_while_open_is_a_memory_of_its_own(tmp_path: Path) -> None:
    with opened(tmp_path / "one") as store:
        store.apply(turn(told("a")), session="s")
        copies = [backup(tmp_path / "one"), backup(tmp_path / "one")]
        store.apply(turn(told("b")), session="s")
    assert len(set(copies)) == 2
    (tmp_path / "two").mkdir()
    shutil.copy(copies[1], tmp_path / "two" / "memory.db")
    shutil.copy(tmp_path / "one" / "memory.faiss", tmp_path / "two")  # of a later state: must not be taken
    with opened(tmp_path / "two") as store:
        assert texts(store) == ["a"]
        assert "rebuilt" in store.notices[0]
        agrees(store)
    with pytest.raises(VardaError, match="no memory"):
        backup(tmp_path / "none")


def test_two_histories_of_one_length_do_not_share_an_index(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.apply(turn(told("start")), session="s")
    copy = backup(tmp_path)
    with opened(tmp_path) as store:
        store.apply(turn(told("left")), session="s")
    index = (tmp_path / "memory.faiss").read_bytes()
    shutil.copy(copy, tmp_path / "memory.db")
    with opened(tmp_path) as store:
        store.apply(turn(told("right")), session="s")  # same generation and ids as "left"
    (tmp_path / "memory.faiss").write_bytes(index)
    with opened(tmp_path) as store:
        assert "another history" in store.notices[0]
        assert store.search(told("right").vectors[0].vector, 1).distances[0] == 0


def test_reset_backs_up_and_clears(tmp_path: Path) -> None:
    assert reset(tmp_path / "none") is None
    assert not (tmp_path / "none").exists()
    with opened(tmp_path) as store:
        store.apply(turn(told("a")), session="s")
    kept = reset(tmp_path)
    assert kept is not None
    assert kept.stat().st_mode & 0o777 == 0o600
    assert peek(tmp_path).statements == 0
    assert [file.name for file in tmp_path.glob("memory.*") if file.name != "memory.lock"] == []
    with opened(tmp_path) as store:
        assert (store.size, store.notices) == (0, [])
    shutil.copy(kept, tmp_path / "memory.db")
    with opened(tmp_path) as store:
        assert texts(store) == ["a"]


def test_verify_names_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(VardaError, match="no memory"):
        verify(tmp_path)
    with opened(tmp_path) as store:
        store.apply(turn(told("a")), session="s")
    assert verify(tmp_path) == ()
    database, index = tmp_path / "memory.db", tmp_path / "memory.faiss"
    vector = told("a").vectors[0].vector.tobytes()
    database.write_bytes(database.read_bytes().replace(vector, bytes(len(vector))))
    assert verify(tmp_path) == ("memory.db: the checksums of 1 vector do not match.",)
    index.write_bytes(index.read_bytes()[:-1])
    assert "The next start rebuilds it." in verify(tmp_path)[1]
    index.unlink()
    assert len(verify(tmp_path)) == 1  # an index that is not there is no finding


def test_upkeep_stays_light() -> None:
    code = (
        "import sys, varda_chat.memory.maintenance; "
        "print(*{'faiss', 'numpy', 'torch', 'transformers', 'textual'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


def test_public_names_load_on_use() -> None:
    import varda_chat.memory

    other_names = {"MultiTokenBatchAssociativeMemory": "BatchAssociativeMemory"}
    for name in varda_chat.memory.__all__:
        assert getattr(varda_chat.memory, name).__name__ == other_names.get(name, name)
    assert varda_chat.memory.Statement is Statement
    with pytest.raises(AttributeError):
        _ = varda_chat.memory.nonesuch


def test_a_repair_forgets_nothing(tmp_path: Path) -> None:
    with opened(tmp_path, begin_with=MemorySettings(forgetfulness=1.0), forgetfulness_factor=0.0) as store:
        store.apply(turn(*(told(f"fact {number}") for number in range(10))), session="s")
    assert repair(tmp_path) == []
    assert peek(tmp_path).statements == 10


def test_a_memory_that_was_forgotten_is_backed_up_before_another_is_restored(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.apply(turn(told("a")), session="s")
    copy = backup(tmp_path)
    with opened(tmp_path) as store:
        store.apply(turn(told("b"), delete=[1]), session="s")
        store.forget([2])
    kept = restore(tmp_path, copy)
    assert kept is not None
    restore(tmp_path, kept)
    with opened(tmp_path) as store:
        assert {each.text for each in store.removed()} == {"a", "b"}


@pytest.mark.parametrize("writing", [False, True])
def test_a_backup_does_not_take_a_memory_in_use_for_one_that_stays_as_it_is(
    writing: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as store:
        store.apply(turn(told("a")), session="s")
    asked: list[bool] = []

    def note(path: Path, *, in_use: bool = False) -> sqlite3.Connection:
        asked.append(in_use)
        return connect_reader(path, in_use=in_use)

    monkeypatch.setattr(maintenance, "connect_reader", note)
    lock = take_lock(tmp_path) if writing else None
    backup(tmp_path)
    if lock is not None:
        lock.release()
    assert asked == [writing]
    take_lock(tmp_path).release()  # it is free again
