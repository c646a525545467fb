"""Flipped bits in the databases and torn logs, and what must then be noticed."""

from __future__ import annotations

import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.helpers.purges import told
from tests.helpers.store_processes import PRELUDE
from varda_chat.errors import VardaError
from varda_chat.memory import maintenance, verify
from varda_chat.memory.store import MemoryStore
from varda_chat.transcripts import Transcripts


def lived_in(directory: Path) -> Path:
    """A memory and sessions, with words to flip bits in."""
    with MemoryStore.open_records(directory) as store:
        store.importing.add(told(f"fact {number} is here", number) for number in range(55))
        store.forget([3])
    with Transcripts.open(directory) as transcripts:
        for number in range(4):
            session = transcripts.begin(f"Question {number}")
            for turn in range(5):
                details = {"recalled": [{"id": 1, "text": "fact 1 is here"}]}
                asked = transcripts.ask(session, f"What is here at {turn}?")
                transcripts.answer(asked, f"fact {turn} is here.", "done", details)
    return directory


def memory_texts(directory: Path, **settings: Any) -> tuple[Any, list[str]]:
    with MemoryStore.open_records(directory, **settings) as store:
        held = [(each.id, each.text) for found in (store.statements(), store.removed()) for each in found]
        return (held, [(each.id, each.text) for each in store.reader.recent(1000)]), store.notices


def session_texts(directory: Path) -> tuple[Any, list[str]]:
    with Transcripts.open(directory) as transcripts:
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


TURNS_UNTIL_KILLED = """
store = opened(directory)
for number in range(12):
    store.apply(TurnChanges((told(number),)), session="s")
print("stored", flush=True)
sys.stdin.read()
"""


def torn_logs(work: Path, damage: str, tries: int) -> Iterator[None]:
    """Damage the log that a real kill left; yields after each where all turns are there and nothing is said, or some
    are not and that is said."""
    directory, log = work / "killed", work / "copy" / "memory.db-wal"
    line = [sys.executable, "-c", PRELUDE + TURNS_UNTIL_KILLED, str(directory)]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "stored\n"
        process.send_signal(signal.SIGKILL)
    rng = random.Random(1)
    for _ in range(tries):
        shutil.rmtree(log.parent, ignore_errors=True)
        shutil.copytree(directory, log.parent)
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
