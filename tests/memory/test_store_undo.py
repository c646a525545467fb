"""MemoryStore: what was deleted comes back, what was told twice is one, and an old memory opens."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
import zlib
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.stores import agrees, opened, told, turn
from tests.helpers.stores import texts as texts_of
from varda_chat.memory import MemoryStore, NewStatement, NewVector, Undone, peek, verify
from varda_chat.memory.records import Imported, normal_form
from varda_chat.memory.schema import MIGRATIONS, SCHEMA_VERSION
from varda_chat.memory.undo import ACTS_KEPT, DAYS_KEPT


def test_undo_takes_back_one_act_after_another(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        first, second = store.apply(turn(told("a"), told("b")), session="s").stored
        store.apply(turn(told("c"), delete=[first.id]), session="s")
        store.pin(second.id)
        store.forget([second.id])
        assert [each.id for each in store.removed()] == [second.id, first.id]
        done = store.undo_last()
        assert [each.id for each in done.restored] == [second.id]
        assert store.statement(second.id).pinned
        done = store.undo_last()  # of a turn that deleted one and stored another: the delete first
        assert ([each.text for each in done.restored], done.removed) == (["a"], ())
        assert [each.text for each in done.left] == ["c"]
        assert texts_of(store) == ["a", "b", "c"]
        done = store.undo_last()
        assert (done.restored, [each.text for each in done.removed], done.left) == ((), ["c"], ())
        assert [event.kind for event in store.reader.recent(2)] == ["deleted", "stored"]
        agrees(store)
    with opened(tmp_path) as store:
        assert store.notices == []
        assert texts_of(store) == ["a", "b"]
        assert [each.text for each in store.undo_last().removed] == ["a", "b"]
        assert store.undo_last() == Undone()
        assert texts_of(store) == []
        assert [each.text for each in store.bring_back([first.id, 99])] == ["a"]
        assert store.search(told("a").vectors[1].vector, 1).distances[0] == 0
        agrees(store)


def test_what_a_full_memory_dropped_comes_back(tmp_path: Path) -> None:
    with opened(tmp_path, memory_size=4) as store:
        store.apply(turn(told("a", strength=0.1), told("b")), session="s")
        assert [each.text for each in store.apply(turn(told("c")), session="s").deleted] == ["a"]
        store.undo_last()
        assert texts_of(store) == ["a", "b", "c"]
        store.undo_last()
        assert texts_of(store) == ["a", "b"]
        agrees(store)


def test_the_window_closes_by_acts_and_by_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as store:
        gone = store.apply(turn(told("a")), session="s").stored[0]
        store.apply(turn(delete=[gone.id]), session="s")
        for number in range(ACTS_KEPT):
            store.apply(turn(told(f"n{number}", 1)), session="s")
        assert [each.id for each in store.removed()] == [gone.id]
        store.forget([2])
        assert [each.id for each in store.removed()] == [2]
        later = time.time()
        monkeypatch.setattr(time, "time", lambda: later)
        for _ in range(int(DAYS_KEPT) + 1):
            assert [each.id for each in store.removed()] == [2]
            later += 24 * 3600
            store.apply(turn(), session="s")
        store.forget([3])
        assert [each.id for each in store.removed()] == [3]


def test_a_clock_moved_back_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    with opened(tmp_path, memory_size=8) as store:
        kept = store.apply(turn(told("kept"), told("gone")), session="s").stored
        store.forget([kept[1].id])
    monkeypatch.setattr(time, "time", lambda: now - 10 * 365 * 24 * 3600)
    with opened(tmp_path, memory_size=8) as store:
        store.apply(turn(told("new"), recalled=[kept[0].id]), session="s")
        assert texts_of(store) == ["kept", "new"]
        assert [event.text for event in store.reader.recent(1)] == ["new"]
        assert [each.text for each in store.undo_last().removed] == ["new"]
        assert [each.text for each in store.undo_last().restored] == ["gone"]
        store.apply(turn(told("more"), told("much more"), told("yet more", strength=0.9)), session="s")
        assert store.size == 8
        agrees(store)


def test_another_model_gets_back_what_it_must_read(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.apply(turn(told("a")), session="s")
        store.forget([1])
    with opened(tmp_path, fingerprint="model-b") as store:
        store.undo_last()
        assert store.size == 0
        assert [each.text for each in store.reader.foreign_statements()] == ["a"]


# The same thing told again


@pytest.mark.parametrize("again", ["the dog  is rex", "The dog is Rex.", "The dog is Rex!", "\uff34he dog is Rex"])
def test_the_same_words_are_one_statement_refreshed(tmp_path: Path, again: str) -> None:
    with opened(tmp_path) as store:
        first = store.apply(turn(told("The dog is Rex.", strength=0.4)), session="s").stored[0]
        applied = store.apply(turn(told(again, 3, seed=9, strength=0.9)), session="s")
        assert applied.stored == ()
        assert [each.id for each in applied.refreshed] == [first.id]
        assert store.statement(first.id).recall_count == 1
        assert (store.reader.get(1).recalled_at or 0) > 0
        assert texts_of(store) == ["The dog is Rex."]
        agrees(store)
    with closing(sqlite3.connect(tmp_path / "memory.db")) as db:
        assert db.execute("SELECT strength FROM statements").fetchone() == (0.9,)


def test_what_only_looks_alike_stays_two(tmp_path: Path) -> None:
    assert normal_form("Is it Rex?") != normal_form("Is it Rex.")
    assert normal_form("...") == "..."
    with opened(tmp_path) as store:
        mine = told("It is Rex.")
        yours = replace(told("It is Rex.", seed=5), role="assistant")
        store.apply(turn(mine, yours, told("Is it Rex?"), told("It is not Rex.")), session="s")
        assert len(texts_of(store)) == 4
        # told again in the turn that deletes it: stays, as new
        applied = store.apply(turn(mine, delete=[1]), session="s")
        assert [each.text for each in applied.stored] == ["It is Rex."]
        agrees(store)


def test_vectors_that_no_search_tells_apart_are_one_statement(tmp_path: Path) -> None:
    def nudged(text: str, by: float) -> NewStatement:
        first = told("My dog is Rex.", 2)
        return NewStatement(
            text,
            "user",
            tuple(
                NewVector((each.vector * (1 + by)).astype(np.float32), each.token_id, each.token, 0.5)
                for each in first.vectors
            ),
        )

    with opened(tmp_path) as store:
        store.apply(turn(nudged("My dog is Rex.", 0)), session="s")
        assert store.apply(turn(nudged("my dog's Rex", 0.001)), session="s").stored == ()
        assert store.apply(turn(nudged("My dog is Max.", 0.05)), session="s").stored != ()
        other = told("My dog is Rex, too", 1, seed=0)
        assert store.apply(turn(other), session="s").stored != ()
        agrees(store)


def test_a_statement_of_another_model_told_again_gets_vectors(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.apply(turn(told("a"), told("b")), session="s")
    with opened(tmp_path, fingerprint="model-b") as store:
        assert store.apply(turn(told("a", 3, seed=1), told("new")), session="s").size == 5
        assert [each.text for each in store.reader.foreign_statements()] == ["b"]
        agrees_with_foreign = store.search(told("a", 3, seed=1).vectors[2].vector, 1)
        assert store.statement_ids(agrees_with_foreign.ids).tolist() == [1]
        assert agrees_with_foreign.distances[0] == 0


def test_one_turn_says_it_twice(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        assert len(store.apply(turn(told("a"), told("A."), told("b")), session="s").stored) == 2
        agrees(store)


def test_what_comes_back_and_was_told_again_since_is_one_statement(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        (first,) = store.apply(turn(told("The dog is Rex.", strength=0.9)), session="s").stored
        store.apply(turn(recalled=[first.id]), session="s")
        store.pin(first.id)
        store.forget([first.id])
        (again,) = store.apply(turn(told("the dog is rex", seed=3)), session="s").stored
        store.apply(turn(recalled=[again.id]), session="s")
        (back,) = store.bring_back([first.id])
        assert (back.id, back.pinned, back.recall_count) == (again.id, True, 2)
        assert store.removed() == ()
        assert {event.id for event in store.reader.recent()} == {again.id}
        assert store.bring_back([first.id]) == ()
        agrees(store)
        for _ in range(2):  # undone and done again
            assert [each.id for each in store.forget([again.id])] == [again.id]
            assert texts_of(store) == []
            assert [each.id for each in store.bring_back([again.id])] == [again.id]
        agrees(store)
    with opened(tmp_path) as store:
        assert store.notices == []
        assert [each.id for each in store.statements()] == [again.id]
        agrees(store)
    with closing(sqlite3.connect(tmp_path / "memory.db")) as db:
        assert db.execute("SELECT strength FROM statements").fetchone() == (0.9,)


def test_what_was_deleted_twice_comes_back_once(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        for number in (1, 2):
            store.apply(turn(told("The dog is Rex.", seed=number)), session="s")
            store.forget([number])
        assert [each.id for each in store.bring_back([2, 1])] == [1]
        assert store.removed() == ()
        agrees(store)


def test_undoing_a_turn_that_deleted_and_told_again_costs_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.apply(turn(told("a")), session="s")
        (again,) = store.apply(turn(told("A."), delete=[1]), session="s").stored
        done = store.undo_last()
        assert ([each.id for each in done.restored], done.removed, done.left) == ([again.id], (), ())
        assert texts_of(store) == ["A."]
        assert [each.id for each in store.undo_last().removed] == [again.id]  # of the turn that told it first
        assert store.undo_last() == Undone()
        agrees(store)


# An old memory


def of_schema_1(directory: Path) -> None:
    """A memory as the first schema had it, with two statements and their vectors and events."""
    directory.mkdir(exist_ok=True)
    with closing(sqlite3.connect(directory / "memory.db")) as db:
        db.execute("PRAGMA journal_mode = WAL")
        for statement in MIGRATIONS[0]:
            db.execute(statement)
        for number, text in ((1, "The dog is Rex."), (2, "Tea at five.")):
            db.execute(
                "INSERT INTO statements VALUES (?, ?, 'user', 's', 5.0, NULL, 3, 1, 'model-a', 0.5, 1)", (number, text)
            )
            (new,) = told(text, 1).vectors
            blob = np.asarray(new.vector, dtype="<f4").tobytes()
            db.execute(
                "INSERT INTO vectors VALUES (?, ?, 100, 't', 0.5, ?, ?)", (number, number, zlib.crc32(blob), blob)
            )
            db.execute("INSERT INTO events VALUES (?, 'stored', ?, ?, 5.0)", (number, number, text))
        db.execute("PRAGMA user_version = 1")
        db.commit()


def test_a_memory_of_the_first_schema_opens(tmp_path: Path) -> None:
    of_schema_1(tmp_path)
    assert peek(tmp_path).statements == 2
    with opened(tmp_path, read_only=True) as reader:
        assert texts_of(reader) == ["The dog is Rex.", "Tea at five."]
    with closing(sqlite3.connect(tmp_path / "memory.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
    with opened(tmp_path) as store:
        assert store.statement(1).recall_count == 3
        assert store.apply(turn(told("the dog is rex")), session="s").stored == ()  # its key was made
        assert store.undo_last() == Undone()  # what happened before cannot be undone
        store.forget([1])
        assert [each.id for each in store.undo_last().restored] == [1]
        agrees(store)
    assert verify(tmp_path) == ()
    with closing(sqlite3.connect(tmp_path / "memory.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)


def test_a_damaged_memory_of_the_first_schema_is_saved_from(tmp_path: Path) -> None:
    of_schema_1(tmp_path)
    with closing(sqlite3.connect(tmp_path / "memory.db")) as db:
        db.execute("DROP TABLE events")
    with opened(tmp_path) as store:
        assert "was set aside" in store.notices[0]
        assert texts_of(store) == ["The dog is Rex.", "Tea at five."]
        agrees(store)


# The index file in a long session


def test_a_long_session_writes_the_index_before_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("varda_chat.memory.index_cache.REWRITE", 40)
    index = tmp_path / "memory.faiss"
    written = 0
    with opened(tmp_path) as store:

        def stamp() -> int:
            return index.stat().st_mtime_ns if index.exists() else 0

        seen = stamp()
        for number in range(100):
            store.apply(turn(told(f"n{number}", 4)), session="s")
            written += stamp() != seen
            seen = stamp()
        agrees(store)
    assert 3 <= written <= 10


TO_THE_FIRST_SEARCH = """
import sys, time
start = time.perf_counter()
import numpy as np
from varda_chat.memory import MemoryStore
imported = time.perf_counter()
with MemoryStore.open(sys.argv[1], embedding_dim=192, fingerprint="m", memory_size=10**6) as store:
    found = store.search(np.ones(192), 5)
    done = time.perf_counter()
    assert store.size == 100_000 and (found.ids >= 0).all()
print(f"{imported - start:.3f} {done - imported:.3f} {store.notices}")
"""


@pytest.mark.slow
def test_a_hundred_thousand_vectors_are_searched_soon_after_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Prints seconds to the first search, with the index file and without it."""
    rng = np.random.default_rng(0)
    with MemoryStore.open(tmp_path, embedding_dim=192, fingerprint="m", memory_size=10**6) as store:
        for start in range(0, 10_000, 500):
            rows = rng.standard_normal((500, 10, 192)).astype(np.float32)
            new = [
                NewStatement(f"fact {start + place}", "user", tuple(NewVector(row, 7, "t", 0.5) for row in each))
                for place, each in enumerate(rows)
            ]
            store.importing.add(Imported(each, "s", 1.0, None, 0, False, "m") for each in new)
    seconds = []
    for with_index in (True, False):
        if not with_index:
            (tmp_path / "memory.faiss").unlink()
        line = [sys.executable, "-c", TO_THE_FIRST_SEARCH, str(tmp_path)]
        done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=120)
        with capsys.disabled():
            print(
                f"\nindex file {'there' if with_index else 'missing'}; imports, then to the first search: {done.stdout}"
            )
        seconds.append(float(done.stdout.split()[1]))
    assert seconds[0] < 2.0


def test_a_clock_years_ahead_for_a_while_ends_no_undo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    with opened(tmp_path) as store:
        gone = store.apply(turn(told("gone"), told("kept")), session="s").stored[0]
        store.forget([gone.id])
    for years in (10, 0, 10, 0):
        monkeypatch.setattr(time, "time", lambda years=years: now + years * 365 * 24 * 3600)
        with opened(tmp_path) as store:
            store.apply(turn(told(f"n{years}", years + 1)), session="s")
            assert [each.id for each in store.removed()] == [gone.id]
    with opened(tmp_path) as store:
        assert [each.text for each in store.bring_back([gone.id])] == ["gone"]
