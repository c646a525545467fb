"""MemoryStore: what apply returned is there after any reopening, and only that; with upkeep beside it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from varda_chat.errors import StorageError, VardaError
from varda_chat.memory import (
    MemoryStore,
    NewStatement,
    NewVector,
    Statement,
    StoredVector,
    TurnChanges,
    backup,
    peek,
    reset,
    verify,
)
from varda_chat.memory.queries import EVENTS_KEPT
from varda_chat.storage.words import FORGOTTEN_TEXT

DIM = 8
Vectors = npt.NDArray[np.float32]


def some(count: int, seed: int = 0) -> Vectors:
    return np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)


def told(text: str, count: int = 2, seed: int | None = None, strength: float = 0.5) -> NewStatement:
    vectors = some(count, zlib.crc32(text.encode(errors="replace")) if seed is None else seed)
    return NewStatement(
        text,
        "user",
        tuple(NewVector(row, 100 + place, f"t{place}", strength) for place, row in enumerate(vectors)),
    )


def turn(*stores: NewStatement, delete: Iterable[Any] = (), recalled: Iterable[Any] = ()) -> TurnChanges:
    return TurnChanges(stores, frozenset(delete), frozenset(recalled))


def opened(folder: Path, **changed: Any) -> MemoryStore:
    return MemoryStore.open(folder, **{"embedding_dim": DIM, "fingerprint": "model-a", **changed})


def texts(store: MemoryStore) -> list[str]:
    return [each.text for each in store.statements(newest_first=False)]


def agrees(store: MemoryStore) -> None:
    """The index holds the vectors of the database and no others, each under its statement and token."""
    found = 0
    for statement in store.statements():
        found += statement.vector_count
    assert store.size == found
    if not found:
        assert (store.search(some(1), 3).ids == -1).all()
        return
    results = store.search(some(1), found + 1)
    ids = results.ids[0, :found]
    assert (ids >= 0).all()
    assert results.ids[0, found] == -1
    for id_, statement_id, token_id in zip(ids, store.statement_ids(ids), store.reader.token_ids(ids), strict=True):
        record = store.reader.get(id_)
        assert (record.statement_id, record.token_id) == (statement_id, token_id)


def test_a_turn_is_there_after_reopening(tmp_path: Path) -> None:
    with opened(tmp_path / "a" / "b") as store:
        applied = store.apply(turn(told("The dog is Rex."), told("Tea at five.", 1)), session="monday")
        before = store.search(some(4), 3)
        assert applied.size == store.size == 3
    with opened(tmp_path / "a" / "b") as store:
        assert store.notices == []
        after = store.search(some(4), 3)
        np.testing.assert_array_equal(before.ids, after.ids)
        np.testing.assert_array_equal(before.distances, after.distances)
        assert store.statements() == applied.stored[::-1]
        assert store.statements(limit=1) == applied.stored[1:]
        assert store.statement(applied.stored[0].id) == applied.stored[0]
        assert [(event.kind, event.text) for event in store.reader.recent()] == [
            ("stored", "Tea at five."),
            ("stored", "The dog is Rex."),
        ]
        record = store.reader.get(1)
        assert record == StoredVector(
            id=1,
            statement_id=applied.stored[0].id,
            text="The dog is Rex.",
            token="t0",  # noqa: S106
            token_id=100,
            role="user",
            session="monday",
            created_at=record.created_at,
            recalled_at=None,
            recall_count=0,
            pinned=False,
            fingerprint="model-a",
            strength=0.5,
        )
        assert abs(record.created_at - time.time()) < 60
        agrees(store)


def test_columns_keep_the_shape_of_ids_and_minus_one(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        assert store.reader.token_ids(np.array([[1, -1]])).tolist() == [[-1, -1]]
        store.apply(turn(told("a", 2), told("b", 2)), session="s")
        ids = np.array([[1, 2, -1], [3, 4, 99]])
        assert store.reader.token_ids(ids).tolist() == [[100, 101, -1], [100, 101, -1]]
        assert store.statement_ids(ids).tolist() == [[1, 1, -1], [2, 2, -1]]
        assert store.statement_ids(np.zeros((2, 0), dtype=np.int64)).shape == (2, 0)


def test_ids_are_never_used_twice(tmp_path: Path) -> None:
    seen: set[int] = set()
    for round_ in range(3):
        with opened(tmp_path) as store:
            applied = store.apply(turn(told(f"round {round_}")), session="s")
            ids = {*store.search(some(1), 2).ids.ravel().tolist()}
            assert not seen & ids
            seen |= ids
            store.forget([applied.stored[0].id])
            assert store.size == 0


def test_one_turn_stores_deletes_and_recalls_together(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        first, second, third = store.apply(turn(told("a"), told("b"), told("c")), session="s").stored
        store.pin(third.id)
        # ids come from arrays of the model's search, so as numpy numbers
        gone = np.array([first.id, third.id, 999])
        applied = store.apply(turn(told("d"), delete=gone, recalled=np.array([second.id])), session="s")
        assert [each.text for each in applied.deleted] == ["a"]
        assert texts(store) == ["b", "c", "d"]
        assert store.statement(second.id).recall_count == 1
        assert (store.reader.get(3).recalled_at or 0) > 0
        assert [(each.kind, each.text) for each in store.reader.recent(2)] == [("stored", "d"), ("deleted", "a")]
        assert store.apply(turn(), session="s").size == 6
        agrees(store)


@pytest.mark.parametrize(
    "bad",
    [
        told("x", 1, 0, float("nan")),
        NewStatement("x", "user", (NewVector(np.full(DIM, np.nan, dtype=np.float32), 1, "t", 0.5),)),
        NewStatement("x", "user", (NewVector(np.zeros(DIM + 1, dtype=np.float32), 1, "t", 0.5),)),
        NewStatement("x", "user", (NewVector(some(2), 1, "t", 0.5),)),
        NewStatement("half \ud800", "user", ()),
    ],
)
def test_a_bad_turn_changes_nothing(tmp_path: Path, bad: NewStatement) -> None:
    with opened(tmp_path) as store:
        kept = store.apply(turn(told("kept")), session="s").stored[0]
        with pytest.raises(VardaError):
            store.apply(turn(told("good"), bad, delete=[kept.id]), session="s")
        assert texts(store) == ["kept"]
        agrees(store)


def test_a_full_memory_drops_the_least_worth_and_never_the_pinned(tmp_path: Path) -> None:
    with opened(tmp_path, memory_size=6) as store:
        assert store.capacity == 6
        weak, strong, pinned = store.apply(
            turn(told("weak", strength=0.2), told("strong", strength=0.9), told("pinned", strength=0.01)),
            session="s",
        ).stored
        store.pin(pinned.id)
        applied = store.apply(turn(told("new", 1)), session="s")
        assert [each.id for each in applied.deleted] == [weak.id]
        assert applied.size == 5
        applied = store.apply(turn(told("more", 4), recalled=[strong.id]), session="s")
        assert texts(store) == ["pinned", "more"]
        assert applied.size == 6
        assert store.reader.recent(10)[0].text == "more"
        agrees(store)
        for each in store.statements():
            store.pin(each.id)
        new = (told("small", 1),)
        assert store.apply(turn(*new), session="s").refused == new
        store.pin(pinned.id, False)
        applied = store.apply(turn(told("big", 3, strength=0.9), told("fits", 2, strength=0.1)), session="s")
        assert [each.text for each in applied.refused] == ["big"]
        assert texts(store) == ["more", "fits"]
        agrees(store)


def test_a_smaller_capacity_is_met_at_the_next_store(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.apply(turn(*(told(f"{number}") for number in range(5))), session="s")
    with opened(tmp_path, memory_size=4) as store:
        assert store.size == 10
        assert store.apply(turn(told("new")), session="s").size == 4
        assert "new" in texts(store)


def test_forgetting_leaves_no_trace_in_any_file(tmp_path: Path) -> None:
    private = "the safe opens with 4711"
    with opened(tmp_path) as store:
        applied = store.apply(turn(told(private), told("other")), session="s")
        vector = told(private).vectors[0].vector.tobytes()
        store.flush_index()
        store.pin(applied.stored[0].id)
        assert store.forget([applied.stored[0].id, 999], purge=True)[0].text == private
        assert store.reader.recent(1)[0].text == FORGOTTEN_TEXT
        assert private not in str(store.reader.recent())
        for file in tmp_path.iterdir():
            content = file.read_bytes() if file.is_file() else b""
            assert private.encode() not in content
            assert vector not in content
        agrees(store)
    with opened(tmp_path) as store:
        assert store.notices == []


def test_random_forgetting_spares_the_pinned(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        stored = store.apply(turn(*(told(f"{number}") for number in range(8))), session="s").stored
        store.pin(stored[0].id)
        assert store.forget_randomly(0.0) == ()
        assert len(store.forget_randomly(3 / 7, seed=1)) == 3
        store.forget_randomly(1.0)
        assert texts(store) == ["0"]
        with pytest.raises(VardaError):
            store.forget_randomly(2.0)
        agrees(store)


def test_a_session_forgets_its_share_at_its_end(tmp_path: Path) -> None:
    with opened(tmp_path, forgetfulness_factor=0.5) as store:
        stored = store.apply(turn(*(told(f"{number}") for number in range(9))), session="s").stored
        store.pin(stored[0].id)
        assert len(texts(store)) == 9
    with opened(tmp_path, read_only=True, forgetfulness_factor=1.0) as store:
        assert len(texts(store)) == 5
    with opened(tmp_path) as store:
        assert "0" in texts(store)
        assert store.notices == []
        agrees(store)
        assert len(store.undo_last().restored) == 4
    with pytest.raises(VardaError, match="share from 0 to 1"):
        opened(tmp_path, forgetfulness_factor=1.5)


@pytest.mark.parametrize("name", ["memory.db", "memory.db-wal", "memory.lock", "backups"])
def test_a_link_in_place_of_a_file_is_refused(tmp_path: Path, name: str) -> None:
    folder, outside = tmp_path / "memory", tmp_path / "outside"
    folder.mkdir()
    outside.write_bytes(b"of someone else")
    (folder / name).symlink_to(outside)
    for use in (lambda: opened(folder), lambda: opened(folder, read_only=True), lambda: reset(folder, purge=True)):
        with pytest.raises(StorageError, match="is a link"):
            use()
    assert outside.read_bytes() == b"of someone else"


@pytest.mark.parametrize("name", ["memory.faiss", "memory.faiss.new", "backups/memory-1.db"])
def test_a_link_that_need_not_be_followed_is_not(tmp_path: Path, name: str) -> None:
    folder, outside = tmp_path / "memory", tmp_path / "outside"
    with opened(folder) as store:
        store.apply(turn(told("a"), told("b")), session="s")
        backup(folder)
    shutil.copy(folder / "memory.faiss", outside)
    before = outside.read_bytes()
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(outside)
    with opened(folder) as store:
        store.forget([1], purge=True)
        agrees(store)
    assert outside.read_bytes() == before
    assert not (folder / "memory.faiss").is_symlink()


def test_another_model_reads_the_texts_again(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        stored = store.apply(turn(told("a", 3), told("b")), session="s").stored
        assert store.reader.foreign_statements() == ()
    with opened(tmp_path, fingerprint="model-b", embedding_dim=4) as store:
        assert store.size == 0
        assert store.reader.foreign_statements() == stored
        vector = NewVector(np.ones(4, dtype=np.float32), 5, "five", 0.7)
        store.replace_vectors(stored[0].id, [vector])
        with pytest.raises(VardaError):
            store.replace_vectors(stored[1].id, [vector, NewVector(np.ones(DIM), 5, "five", 0.7)])
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
    assert opened(tmp_path / "none", read_only=True).size == 0
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
                copy.flush_index,
            ):
                with pytest.raises(StorageError, match="read-only"):
                    change()
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with opened(tmp_path, read_only=True, fingerprint="model-b") as copy:
        copy.replace_vectors(stored[0].id, told("a").vectors)
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
    for use in (store.statements, store.reader.recent, lambda: store.search(some(1), 1), store.flush_index):
        with pytest.raises(VardaError, match="closed"):
            use()
    with pytest.raises(VardaError):
        opened(tmp_path, memory_size=0)
    with opened(tmp_path) as store:
        for unknown in (store.reader.get, store.statement, store.pin):
            with pytest.raises(VardaError, match="There is no"):
                unknown(77)
        with pytest.raises(VardaError, match="There is no"):
            store.replace_vectors(77, ())


def test_everything_is_private(tmp_path: Path) -> None:
    folder = tmp_path / "profiles" / "me"
    with opened(folder) as store:
        store.apply(turn(told("a")), session="s")
        store.flush_index()
        backup(folder)
        for path in [folder.parent, folder, *folder.rglob("*")]:
            assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
    folder.chmod(0o755)
    (folder / "memory.db").chmod(0o644)
    opened(folder).close()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "memory.db").stat().st_mode & 0o777 == 0o600


def test_old_events_go(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        for round_ in range(3):
            store.apply(turn(*(told(f"x{round_} {number}", 0) for number in range(EVENTS_KEPT // 2))), session="s")
        assert len(store.reader.recent(10 * EVENTS_KEPT)) == EVENTS_KEPT
        assert peek(tmp_path).events == EVENTS_KEPT


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
