"""Processes that change a memory until they are killed, and what must then be true of it."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.helpers.store_processes import PRELUDE
from tests.helpers.stores import agrees, opened, texts
from varda_chat.memory import verify

STORE_UNTIL_KILLED = """
number, flush = int(sys.argv[2]), sys.argv[3] == "flush"
with opened(directory, memory_size=60) as store:
    while True:
        oldest = store.statements(1, newest_first=False)
        delete = frozenset(each.id for each in oldest) if number % 3 == 0 else frozenset()
        applied = store.apply(TurnChanges((told(number),), delete), session="s")
        if flush:
            store.indexing.flush()
        gone = ",".join(each.text.split()[1] for each in applied.deleted)
        print(f"{number} {gone}", flush=True)
        number += 1
"""


def kills_while_storing(directory: Path, kills: int) -> Iterator[None]:
    """Kill a process that stores and deletes; yields after each kill that lost nothing."""
    rng = random.Random(kills)
    there: set[str] = set()
    number = 0
    for run in range(kills):
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                PRELUDE + STORE_UNTIL_KILLED,
                str(directory),
                str(number),
                "flush" if run % 2 else "no",
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        time.sleep(rng.uniform(0.0, 0.15))
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.read().splitlines()
        process.stdout.close()
        process.wait()
        assert process.returncode == -signal.SIGKILL
        lines = [line for line in map(str.strip, lines) if line]
        assert lines
        for line in lines:
            stored, _, gone = line.partition(" ")
            there.add(stored)
            there -= set(gone.split(",")) if gone else set()
        number += len(lines)
        assert not [problem for problem in verify(directory) if "memory.db" in problem]
        with opened(directory, memory_size=60) as store:
            agrees(store)
            assert all(each.vector_count == 3 for each in store.statements())
            now = {each.text.split()[1] for each in store.statements()}
            if now != there:  # the turn that the kill left unacknowledged is there wholly or not at all
                assert now - there == {str(number)}
                assert len(there - now) <= 1
                number += 1
            there = now
        yield


CHANGE_UNTIL_KILLED = """
import json, random
from varda_chat.memory import index_cache, maintenance, store as module
from varda_chat.memory.records import Imported
index_cache.REWRITE = 12  # so that the background writer is at work nearly always
module.BATCH = 2  # an import of five is three transactions

number, rng, acts = int(sys.argv[2]), random.Random(sys.argv[2]), []

def say(**what):
    print(json.dumps(what), flush=True)

def numbers(statements):
    return [int(each.text.split("-")[1]) for each in statements]

def named(number):
    new = told(number)
    return NewStatement(f"fact-{number}-end", new.role, new.vectors)

store = opened(directory)
while True:
    there = {int(each.text.split("-")[1]): each.id for each in store.statements()}
    some = rng.sample(sorted(there), min(len(there), rng.randint(1, 3)))
    ids = [there[each] for each in some]
    what = rng.choice(["add", "add", "add", "import", "delete", "forget", "undo", "purge", "restore"])
    added, gone = [], []
    if what in ("add", "import"):
        added = list(range(number, number + (3 if what == "add" else 5)))
        number += len(added)
    elif what == "undo":
        if not acts:
            continue
        gone, added = acts.pop()
        gone = [each for each in gone if each in there]
    elif what == "restore":
        if not there:
            continue
        store.close()
        kept = maintenance.backup(directory)
        store = opened(directory)
        acts, gone = [], some
        say(kind="forget", added=[], gone=gone, next=number)
        store.forget(ids)
        say(done=True)
        added, gone = gone, []
    else:
        gone = some
    say(kind=what, added=added, gone=gone, next=number)
    if what == "add":
        store.apply(TurnChanges(tuple(map(named, added))), session="s")
    elif what == "import":
        store.importing.add(Imported(named(each), "s", 1.0, None, 0, False, "model-a") for each in added)
    elif what == "delete":
        store.apply(TurnChanges((), frozenset(ids)), session="s")
    elif what in ("forget", "purge"):
        store.forget(ids, purge=what == "purge")
    elif what == "undo":
        done = store.undo_last()
        assert sorted(numbers(done.restored)) == sorted(added) and sorted(numbers(done.removed)) == sorted(gone)
    else:
        store.close()
        maintenance.restore(directory, kept)
        kept.unlink()
        store = opened(directory)
    say(done=True)
    if what == "purge":
        acts = []  # what was purged is in no act any more
    elif what not in ("undo", "restore"):
        acts.append((added, gone))
"""


def after_a_kill(line: dict[str, Any], before: set[int], now: set[int]) -> bool:
    """Whether ``now`` is what the operation that was under way may have left: nothing done, or all of it; of an import,
    its first transactions."""
    added, gone = line["added"], set(line["gone"])
    parts = [added[:step] for step in range(len(added))] if line["kind"] == "import" else []
    return now in (before, *(before | set(part) for part in parts), (before | set(added)) - gone)


def kills_during_changes(directory: Path, kills: int) -> Iterator[None]:
    """Kill a process that stores, deletes, imports, undoes, purges and restores, with the index written beside it all
    the time; yields after each kill that left the change done or not."""
    rng = random.Random(kills)
    there: set[int] = set()
    number, seen = 0, set()
    for _ in range(kills):
        line = [sys.executable, "-c", PRELUDE + CHANGE_UNTIL_KILLED, str(directory), str(number)]
        with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None and process.stderr is not None
            lines = [process.stdout.readline()]
            time.sleep(rng.uniform(0.0, 0.4))
            process.send_signal(signal.SIGKILL)
            lines += process.stdout.read().splitlines()
            assert process.wait() == -signal.SIGKILL, process.stderr.read()
        pending: dict[str, Any] | None = None
        for said in map(json.loads, filter(str.strip, lines)):
            if "done" in said:
                assert pending is not None
                there = (there | set(pending["added"])) - set(pending["gone"])
                seen.add(pending["kind"])
                pending = None
            else:
                pending, number = said, said["next"]
        assert not [problem for problem in verify(directory) if "memory.db" in problem]
        with opened(directory) as store:
            agrees(store)
            now = {int(each.split("-")[1]) for each in texts(store)}
        assert now == there if pending is None else after_a_kill(pending, there, now), (pending, there, now)
        there = now
        yield
    assert kills < 50 or seen == {"add", "import", "delete", "forget", "undo", "purge", "restore"}
