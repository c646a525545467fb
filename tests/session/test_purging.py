"""A purge leaves no byte in any file of the profile, also where a kill, a lock or a full disk comes between."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.helpers.purges import CAT, full_of_it, holding, kept, kills_in_purges, told
from varda_chat.cli.main import main
from varda_chat.memory.store import MemoryStore
from varda_chat.session.purging import trace
from varda_chat.storage.words import Words
from varda_chat.transcripts import Transcripts


@pytest.fixture
def profile(own_data_directory: Path) -> Path:
    return full_of_it(own_data_directory / "profiles" / "default")


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(main, ["memory", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


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


def test_a_purge_shows_all_that_it_erases(profile: Path) -> None:
    with MemoryStore.open_records(profile) as store:
        store.importing.add([told(f"{CAT} She likes Tom.", 4), told(f"{CAT} She sleeps.", 5)])
        store.forget([6])
        store.edit(1, "I have a cat.")
        there, removed = {each.id for each in store.statements()}, {each.id for each in store.removed()}
    refused = CliRunner().invoke(main, ["memory", "purge", "1"], input="n\n").output
    result = run("purge", "1", "--yes", "--json")
    assert result.exit_code == 0, result.output
    with MemoryStore.open_records(profile, read_only=True) as store:
        went = there - {each.id for each in store.statements()}
        assert went == {1, 5}  # 5 holds what 1 said before it was edited
        assert removed - {each.id for each in store.removed()} == {6}
    assert [each["id"] for each in json.loads(result.output)["forgotten"]] == [1, 5, 6]
    for text in ("I have a cat.", "She likes Tom.", "(deleted before)  My cat is called Zyxw. She sleeps."):
        assert text in refused
    assert "Zyxw is ill." not in refused
    assert "Nothing in memory is '1'" in run("purge", "1", "--yes").output


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
        disk.setattr("varda_chat.memory.purge.wipe_in_place", full)
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
