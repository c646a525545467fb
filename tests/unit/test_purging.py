"""A purge leaves no byte in any file of the profile, also where a kill, a lock or a full disk comes between."""

from __future__ import annotations

import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.unit.test_store import some
from varda_chat.cli.main import main
from varda_chat.memory import maintenance
from varda_chat.memory.records import Imported, NewStatement, NewVector
from varda_chat.memory.store import MemoryStore
from varda_chat.session.purging import finish, purge, trace
from varda_chat.storage.words import Words
from varda_chat.transcripts import Transcripts

CAT = "My cat is called Zyxw."


def told(text: str, seed: int = 0) -> Imported:
    vectors = tuple(NewVector(row, 1, "t", 0.5) for row in some(2, seed))
    return Imported(NewStatement(text, "user", vectors), "1", 1.0, None, 0, False, "model-a")


@pytest.fixture
def profile(own_data_folder: Path) -> Path:
    return full_of_it(own_data_folder / "profiles" / "default")


def full_of_it(folder: Path) -> Path:
    """A profile with the word in every kind of file that there is, and other things beside it."""
    with MemoryStore.open_records(folder) as store:
        store.take_in([told(CAT), told("I live in Lisbon.", 1), told("Zyxw is ill.", 2), told("I like tea.", 3)])
        store.forget([3])
    maintenance.backup(folder)
    with Transcripts.open(folder) as transcripts:
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
    (folder / "history.jsonl").write_text("".join(json.dumps({"text": each}) + "\n" for each in typed))
    for name in ("history.jsonl.new", "sessions.db.damaged-20260101T000000Z", "memory.db.damaged-20260101T000000Z"):
        (folder / name).write_text(CAT)
    (folder / "backups" / "memory-20260101T000000Z.db.part").write_text(CAT)
    return folder


def holding(folder: Path, word: str = "zyxw") -> list[str]:
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and word.encode() in path.read_bytes().lower()
    ]


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(main, ["memory", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def kept(folder: Path) -> bool:
    """Whether all that was not to be purged is still there."""
    with MemoryStore.open_records(folder, read_only=True) as store, Transcripts.open(folder, read_only=True) as said:
        texts = {each.text for each in store.statements()}
        return texts == {"I live in Lisbon.", "I like tea."} and said.turns(3)[0].reply == "At five."


def test_a_purge_reaches_every_file_and_is_proved(profile: Path) -> None:
    assert len(holding(profile)) == 8
    assert run("purge", "zyxw", "--check").exit_code == 1
    result = run("forget", "zyxw", "--purge", "--yes")
    assert result.exit_code == 0, result.output
    assert "No trace of it is left." in result.output
    assert holding(profile) == []
    assert kept(profile)
    assert "Tea?" in (profile / "history.jsonl").read_text()
    with Transcripts.open(profile) as transcripts:
        assert [each.name for each in transcripts.sessions()] == ["Tea?", "about (forgotten)", "(forgotten)"]
        assert transcripts.turns(1)[1].reply == "Your (forgotten)."
    checked = run("purge", "zyxw", "--check", "--json")
    answer = json.loads(checked.output)
    assert checked.exit_code == 0
    assert answer["clean"]
    there = {str(path.relative_to(profile)) for path in profile.rglob("*") if path.is_file()}
    assert {each["name"] for each in answer["files"]} == there


def test_a_purge_finds_what_memory_no_longer_holds(profile: Path) -> None:
    with MemoryStore.open_records(profile) as store:
        store.forget([1, 3], purge=True)
    assert any("sessions.db" in each for each in holding(profile))
    assert run("forget", "zyxw", "--purge", "--yes").exit_code == 0
    assert holding(profile) == []
    assert "Nothing in memory is 'zyxw'" in run("forget", "zyxw", "--purge", "--yes").output


def test_a_purge_by_id_takes_the_answers_that_were_recalled_from_it(profile: Path) -> None:
    assert run("forget", "1", "--purge", "--yes").exit_code == 0
    assert holding(profile, CAT.lower()) == []
    with Transcripts.open(profile) as transcripts:
        assert [each.reply for each in transcripts.turns(1)] == ["I will remember that.", "Your (forgotten)."]


def test_a_purge_takes_what_was_said_before_an_edit(profile: Path) -> None:
    with MemoryStore.open_records(profile) as store:
        store.edit(1, "My cat has no name.")
    assert run("forget", "1", "--purge", "--yes").exit_code == 0
    assert holding(profile, CAT.lower()) == []


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


@pytest.mark.parametrize("kills", [6, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_a_kill_at_any_moment_of_a_purge_leaves_no_byte(profile: Path, tmp_path: Path, kills: int) -> None:
    assert len(list(kills_in_purges(profile, tmp_path / "copies", kills))) == kills


def test_the_next_start_finishes_a_purge(profile: Path) -> None:
    with MemoryStore.open_records(profile) as store:
        store.purging.begin((), ["zyxw"])
    assert run("pin", "2").exit_code == 0  # any command that writes
    assert holding(profile) == []
    assert kept(profile)


@pytest.mark.parametrize("hindrance", ["read-only", "in use"])
def test_a_backup_that_cannot_be_changed_where_it_is_is_cleaned_too(
    profile: Path, hindrance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("varda_chat.memory.purge.BUSY_SECONDS", 0.1)
    (backup,) = (profile / "backups").glob("*.db")
    with closing(sqlite3.connect(backup, isolation_level=None)) as other:
        if hindrance == "read-only":
            backup.chmod(0o400)
        else:
            other.execute("BEGIN")
            assert other.execute("SELECT count(*) FROM statements").fetchone() == (3,)
        assert run("forget", "zyxw", "--purge", "--yes").exit_code == 0
    assert holding(profile) == []
    assert backup.stat().st_mode & 0o777 == (0o400 if hindrance == "read-only" else 0o600)


def test_what_cannot_be_cleaned_is_named_and_tried_again(profile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    (backup,) = (profile / "backups").glob("*.db")
    with monkeypatch.context() as disk:
        disk.setattr("varda_chat.memory.purge._wipe_in_place", full)
        result = run("forget", "zyxw", "--purge", "--yes")
    assert result.exit_code == 1
    assert f"backups/{backup.name} could not be cleaned: the disk is full" in result.output
    assert f"backups/{backup.name}" in holding(profile)
    assert run("forget", "zyxw", "--purge", "--yes").exit_code == 0
    assert holding(profile) == []


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ("zyxw", "ZyXW"), ("café", "CAFE\u0301"), ("my cat", "My\n cat"), ("straße", "STRASSE"), ("a.b", "A.B"),
        ("Ǆ", "ǆ"), ('say "hi"', 'Say "Hi"'),
    ],
)  # fmt: skip
def test_words_are_found_however_they_are_written(wanted: str, text: str) -> None:
    words = Words([wanted])
    assert words.stand_in(f"x {text} y")
    assert words.stand_in_bytes(f"x {text} y".encode())
    assert words.stand_in_bytes(json.dumps(f"x {text} y").encode())
    assert not words.stand_in(words.taken_out(f"x {text} y"))
    assert not words.stand_in("nothing of it")
    assert not Words([" "]).stand_in("anything")


def test_a_word_of_our_own_is_looked_for_row_by_row(profile: Path) -> None:
    assert not any(each.holds for each in trace(profile, Words(["created_at"])))
    assert any(each.holds for each in trace(profile, Words(["lisbon"])))
