"""Files of a memory with a flipped bit or a cut, and what must then be true of it."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.helpers.store_processes import child, filled
from tests.helpers.stores import opened, some, texts, told, turn
from varda_chat.errors import VardaError
from varda_chat.memory.schema import SCHEMA_VERSION


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
        "store = opened(directory)\n"
        "for number in range(40, 45): store.apply(TurnChanges((told(number),)), session='s')\n"
        "store.indexing.flush()\n"
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
        if newer:  # the bit is in the schema's version: reported, and nothing is changed
            with pytest.raises(VardaError, match="newer varda-chat"):
                opened(copy)
            yield
            continue
        with opened(copy) as store:
            for statement in store.reader.foreign_statements():  # its vector was hit
                store.indexing.replace_vectors(statement.id, told(statement.text).vectors)
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
