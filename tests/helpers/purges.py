"""A profile whose files all hold one word, and purges of it that are killed."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.helpers.stores import some
from varda_chat.memory import maintenance
from varda_chat.memory.records import Imported, NewStatement, NewVector
from varda_chat.memory.store import MemoryStore
from varda_chat.session.purging import finish, purge
from varda_chat.transcripts import Transcripts

CAT = "My cat is called Zyxw."


def told(text: str, seed: int = 0) -> Imported:
    vectors = tuple(NewVector(row, 1, "t", 0.5) for row in some(2, seed))
    return Imported(NewStatement(text, "user", vectors), "1", 1.0, None, 0, False, "model-a")


def full_of_it(directory: Path) -> Path:
    """A profile with the word in every kind of file that there is, and other things beside it."""
    with MemoryStore.open_records(directory) as store:
        store.importing.add([told(CAT), told("I live in Lisbon.", 1), told("Zyxw is ill.", 2), told("I like tea.", 3)])
        store.forget([3])
    maintenance.backup(directory)
    with Transcripts.open(directory) as transcripts:
        session = transcripts.begin(CAT)
        stored = {"stored": [{"id": 1, "text": CAT}]}
        transcripts.answer(transcripts.ask(session, CAT), "I will remember that.", "done", stored)
        recalled = {"recalled": [{"id": 1, "text": CAT}]}
        asked = transcripts.ask(session, "What is my cat called?")
        transcripts.answer(asked, "Your cat is called Zyxw.", "done", recalled)
        other = transcripts.begin("Is zyxw a good name?")
        transcripts.answer(transcripts.ask(other, "Is zyxw a good name?"), "ZYXW is a fine name.")
        transcripts.rename(other, "about zyxw")
        third = transcripts.begin("Tea?")
        transcripts.answer(transcripts.ask(third, "Tea?"), "At five.")
    typed = [CAT, "Is zyxw a good name?", "Tea?"]
    (directory / "history.jsonl").write_text("".join(json.dumps({"text": each}) + "\n" for each in typed))
    for name in ("history.jsonl.new", "sessions.db.damaged-20260101T000000Z", "memory.db.damaged-20260101T000000Z"):
        (directory / name).write_text(CAT)
    (directory / "backups" / "memory-20260101T000000Z.db.part").write_text(CAT)
    return directory


def holding(directory: Path, word: str = "zyxw") -> list[str]:
    return [
        str(path.relative_to(directory))
        for path in directory.rglob("*")
        if path.is_file() and word.encode() in path.read_bytes().lower()
    ]


PURGE_UNTIL_KILLED = """
import sys
from varda_chat.memory.store import MemoryStore
from varda_chat.session.purging import purge
with MemoryStore.open_records(sys.argv[1]) as store:
    print("begins", flush=True)
    purge(store, (), ["zyxw"])
print("done", flush=True)
"""


def kills_in_purges(profile: Path, work: Path, kills: int) -> Iterator[None]:
    """Kill purges of copies of ``profile``; yields after each where the next start, and the same command once more,
    left the word nowhere and lost nothing else."""
    rng = random.Random(kills)
    longest, half_way = 0.15, 0
    for number in range(kills):
        copy = work / str(number)
        shutil.copytree(profile, copy)
        with subprocess.Popen(
            [sys.executable, "-c", PURGE_UNTIL_KILLED, str(copy)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "begins\n"
            begun = time.perf_counter()
            time.sleep(rng.uniform(0.0, longest))
            process.send_signal(signal.SIGKILL)
            said = process.stdout.read()
            if said:
                longest = min(longest, time.perf_counter() - begun)
        with MemoryStore.open_records(copy) as store:
            half_way += bool(store.purging.begun())
            assert finish(store) == []
            assert store.purging.begun() == ()
            purge(store, (), ["zyxw"])
        assert holding(copy) == [], number
        assert kept(copy)
        shutil.rmtree(copy)
        yield
    assert kills < 50 or half_way > kills // 10


def kept(directory: Path) -> bool:
    """Whether all that was not to be purged is still there."""
    with (
        MemoryStore.open_records(directory, read_only=True) as store,
        Transcripts.open(directory, read_only=True) as said,
    ):
        texts = {each.text for each in store.statements()}
        return texts == {"I live in Lisbon.", "I like tea."} and said.turns(3)[0].reply == "At five."
