"""MemoryStore on a disk that is full or may not be written to: nothing is lost, and it is told."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.helpers.store_processes import child, filled
from tests.helpers.stores import opened
from varda_chat.errors import StorageError

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
        refused(lambda: store.importing.add(coming))
        refused(store.undo_last)
        refused(lambda: store.forget([4]))
        refused(lambda: store.indexing.replace_vectors(1, told(9, 200).vectors))
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
with opened(directory) as store:
    wal = directory / "memory.db-wal"
    check(store, lambda: limit(wal.stat().st_size + 5000), lambda: limit(resource.RLIM_INFINITY))
    limit(1000)
    refused(store.indexing.flush)
assert "The memory itself is safe" in store.notices[-1]
limit(resource.RLIM_INFINITY)
assert not (directory / "memory.faiss.new").exists()
with opened(directory) as store:
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
filler = directory / "filler"
def fill():
    with open(filler, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
with opened(directory / "memory") as store:
    check(store, fill, filler.unlink)
    fill()
    refused(lambda: backup(directory / "memory"))
    assert not list((directory / "memory" / "backups").iterdir())
    refused(store.indexing.flush)
""",
        tmp_path,
        wrap=(*private, "sh", "-c", f'{mount} && exec "$@"', "sh"),
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("refused: The turn was not stored") == 2
    assert result.stdout.count("the disk is full") >= 3


def test_a_directory_that_cannot_be_written_is_told_and_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
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
        pytest.skip("this machine does not let a test mount a directory read-only")
    result = child(
        """
refused(lambda: opened(directory))
refused(lambda: reset(directory))
with opened(directory, read_only=True) as store:
    print(store.size, peek(directory).statements, store.notices)
""",
        tmp_path / "memory",
        wrap=(*private, "sh", "-c", f'{mount} && exec "$@"', "sh"),
    )
    assert "10 5 []" in result.stdout, result.stderr
