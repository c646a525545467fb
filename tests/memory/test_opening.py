"""Opening a memory: links, another model, read-only, from any thread, closed again, private to its owner."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.stores import DIM, agrees, opened, some, texts, told, turn
from varda_chat.errors import StorageError, VardaError
from varda_chat.memory import NewStatement, NewVector, backup, reset


@pytest.mark.parametrize("name", ["memory.db", "memory.db-wal", "memory.lock", "backups"])
def test_a_link_in_place_of_a_file_is_refused(tmp_path: Path, name: str) -> None:
    directory, outside = tmp_path / "memory", tmp_path / "outside"
    directory.mkdir()
    outside.write_bytes(b"of someone else")
    (directory / name).symlink_to(outside)
    for use in (
        lambda: opened(directory),
        lambda: opened(directory, read_only=True),
        lambda: reset(directory, purge=True),
    ):
        with pytest.raises(StorageError, match="is a link"):
            use()
    assert outside.read_bytes() == b"of someone else"


@pytest.mark.parametrize("name", ["memory.faiss", "memory.faiss.new", "backups/memory-1.db"])
def test_a_link_that_need_not_be_followed_is_not(tmp_path: Path, name: str) -> None:
    directory, outside = tmp_path / "memory", tmp_path / "outside"
    with opened(directory) as store:
        store.apply(turn(told("a"), told("b")), session="s")
        backup(directory)
    shutil.copy(directory / "memory.faiss", outside)
    before = outside.read_bytes()
    (directory / name).unlink(missing_ok=True)
    (directory / name).symlink_to(outside)
    with opened(directory) as store:
        store.forget([1], purge=True)
        agrees(store)
    assert outside.read_bytes() == before
    assert not (directory / "memory.faiss").is_symlink()


def test_another_model_reads_the_texts_again(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        stored = store.apply(turn(told("a", 3), told("b")), session="s").stored
        assert store.reader.foreign_statements() == ()
    with opened(tmp_path, fingerprint="model-b", embedding_dim=4) as store:
        assert store.size == 0
        assert store.reader.foreign_statements() == stored
        vector = NewVector(np.ones(4, dtype=np.float32), 5, "five", 0.7)
        store.indexing.replace_vectors(stored[0].id, [vector])
        with pytest.raises(VardaError):
            store.indexing.replace_vectors(stored[1].id, [vector, NewVector(np.ones(DIM), 5, "five", 0.7)])
        assert store.reader.foreign_statements() == stored[1:]
        assert store.search(np.ones(4), 2).ids.tolist() == [6, -1]
        assert store.reader.get(6).fingerprint == "model-b"
        assert store.statement(stored[0].id).vector_count == 1
    with opened(tmp_path) as store:  # back again: "b" still has its old vectors
        assert store.size == 2
        assert [each.text for each in store.reader.foreign_statements()] == ["a"]
        store.apply(turn(NewStatement("only text", "user", ())), session="s")
        assert [each.text for each in store.reader.foreign_statements()] == ["a", "only text"]


def test_read_only_is_a_copy_that_writes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path / "none", read_only=True) as nothing:
        assert nothing.size == 0
    assert not (tmp_path / "none").exists()
    with opened(tmp_path) as writer:
        stored = writer.apply(turn(told("a")), session="s").stored
        with opened(tmp_path, read_only=True) as copy:
            writer.apply(turn(told("b")), session="s")
            assert copy.read_only
            assert texts(copy) == ["a"]
            assert [each.text for each in copy.reader.recent()] == ["a"]
            agrees(copy)
            for change in (
                lambda: copy.apply(turn(told("c")), session="s"),
                lambda: copy.forget([1]),
                lambda: copy.pin(1),
                lambda: copy.forget_randomly(1.0),
                copy.indexing.flush,
            ):
                with pytest.raises(StorageError, match="read-only"):
                    change()
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with opened(tmp_path, read_only=True, fingerprint="model-b") as copy:
        copy.indexing.replace_vectors(stored[0].id, told("a").vectors)
        assert copy.size == 2
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_records_open_without_faiss_or_model(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.apply(turn(told("a"), told("b"), told("c")), session="s")
    code = f"""
import sys
from varda_chat.memory import MemoryStore
with MemoryStore.open_records({str(tmp_path)!r}) as store:
    assert [each.text for each in store.statements()] == ["c", "b", "a"]
    store.pin(1)
    store.forget([2])
    assert store.size == 4
    try:
        store.search([[0.0]], 1)
    except Exception as error:
        assert "without a model" in str(error)
    else:
        raise AssertionError
assert "faiss" not in sys.modules and "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    with opened(tmp_path) as store:
        assert texts(store) == ["a", "c"]
        assert store.statement(1).pinned
        agrees(store)


def test_any_thread_may_call(tmp_path: Path) -> None:
    errors: list[BaseException] = []
    with opened(tmp_path) as store:

        def work(name: int) -> None:
            try:
                for number in range(5):
                    store.apply(turn(told(f"{name}-{number}", seed=name * 10 + number)), session="s")
                    store.search(some(2), 3)
                    assert store.reader.recent(3)
            except BaseException as error:  # noqa: BLE001 - shown by the assert below
                errors.append(error)

        threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert len(texts(store)) == 20
        agrees(store)


def test_a_closed_store_says_so_and_closes_again(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.close()
    store.close()
    for use in (store.statements, store.reader.recent, lambda: store.search(some(1), 1), store.indexing.flush):
        with pytest.raises(VardaError, match="closed"):
            use()
    with pytest.raises(VardaError):
        opened(tmp_path, memory_size=0)
    with opened(tmp_path) as store:
        for unknown in (store.reader.get, store.statement, store.pin):
            with pytest.raises(VardaError, match="There is no"):
                unknown(77)
        with pytest.raises(VardaError, match="There is no"):
            store.indexing.replace_vectors(77, ())


def test_everything_is_private(tmp_path: Path) -> None:
    directory = tmp_path / "profiles" / "me"
    with opened(directory) as store:
        store.apply(turn(told("a")), session="s")
        store.indexing.flush()
        backup(directory)
        for path in [directory.parent, directory, *directory.rglob("*")]:
            assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
    directory.chmod(0o755)
    (directory / "memory.db").chmod(0o644)
    opened(directory).close()
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / "memory.db").stat().st_mode & 0o777 == 0o600
