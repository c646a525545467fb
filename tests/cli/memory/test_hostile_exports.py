"""Exports and backups: never written over files of our own, and checked when they are read."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.helpers.hostile import DAMAGE, SECONDS, refuses_to_restore, run
from tests.helpers.stores import opened, told
from varda_chat.memory import maintenance


def test_an_export_deletes_nothing_beside_it(small_profile: Path, tmp_path: Path) -> None:
    target, beside = tmp_path / "notes.jsonl", tmp_path / "notes.jsonl.new"
    beside.write_text("mine")
    assert run("memory", "export", target).exit_code == 0
    assert beside.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["notes.jsonl", "notes.jsonl.new"]


@pytest.mark.parametrize("name", ["memory.db", "memory.faiss", "sessions.db", "history.jsonl", "MEMORY.DB"])
def test_an_export_never_takes_the_place_of_an_own_file(small_profile: Path, name: str) -> None:
    before = (small_profile / "memory.db").read_bytes()
    result = run("memory", "export", small_profile / name)
    assert result.exit_code == 1
    assert "belongs to a memory" in result.stderr
    assert (small_profile / "memory.db").read_bytes() == before


def test_an_export_never_takes_the_place_of_a_backup_or_a_device(small_profile: Path, tmp_path: Path) -> None:
    backup = maintenance.backup(small_profile)
    before = backup.read_bytes()
    assert run("memory", "export", backup).exit_code == 1
    assert backup.read_bytes() == before
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in run("memory", "export", tmp_path / "pipe").stderr


def test_an_export_does_not_follow_a_link(small_profile: Path, tmp_path: Path) -> None:
    (tmp_path / "target").write_text("untouched")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    assert run("memory", "export", tmp_path / "link").exit_code == 0
    assert (tmp_path / "target").read_text() == "untouched"


def test_export_and_import_by_pipes(small_profile: Path, tmp_path: Path) -> None:
    varda = f"{sys.executable} -m varda_chat memory"
    for number, line in enumerate(
        (
            "{v} export - | {v} import - --profile p{n}",
            "{v} export {t}/x{n} && cat {t}/x{n} | {v} import /dev/stdin --profile p{n}",
            "{v} import <({v} export -) --profile p{n}",
            "{v} export >(cat > {t}/x{n}); while [ ! -s {t}/x{n} ]; do sleep 0.1; done; sleep 0.5; "
            "{v} import {t}/x{n} --profile p{n}",
        )
    ):
        code = line.format(v=varda, t=tmp_path, n=number)
        done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, timeout=SECONDS, check=False)
        assert done.returncode == 0, done.stderr
        assert "3 memories were imported, 0 were there already" in done.stdout, done
        assert done.stderr == ""


def test_ids_outside_the_vocabulary_are_read_again(small_profile: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    run("memory", "export", path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[1]["vectors"][0]["token_id"] = 2**31 - 1
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert run("memory", "import", path, "--profile", "other").exit_code == 0
    other = small_profile.with_name("other")
    for _ in range(2):  # read from memory.db, then from the index
        with opened(other, vocabulary=1000) as store:
            assert [each.text for each in store.reader.foreign_statements()] == ["The dog is Rex."]
            found = store.search(told("The dog is Rex.").vectors[0].vector, 5)
            assert found.token_ids.max() < 1000
    with opened(other, vocabulary=1000) as store:
        store.indexing.replace_vectors(1, told("The dog is Rex.").vectors)
        assert store.reader.foreign_statements() == ()


@pytest.mark.parametrize("what", DAMAGE)
def test_a_restore_is_checked_as_an_import_is(small_profile: Path, what: str) -> None:
    refuses_to_restore(small_profile, what)


def test_a_restore_sanitizes_texts(small_profile: Path) -> None:
    backup = maintenance.backup(small_profile)
    with closing(sqlite3.connect(backup)) as db, db:
        db.execute("UPDATE statements SET text = 'The ' || char(27) || '[31mdog' || char(8238) WHERE id = 1")
    assert run("memory", "restore", backup, "--yes").exit_code == 0
    with opened(small_profile) as store:
        assert store.statement(1).text == "The dog"


def test_one_bad_profile_hides_no_other(small_profile: Path) -> None:
    bad, worse = small_profile.with_name("bad"), small_profile.with_name("worse")
    bad.mkdir()
    os.mkfifo(bad / "memory.db")
    (worse / "memory.db").mkdir(parents=True)
    result = run("memory", "profiles", "--json")
    found = {each["profile"]: each for each in map(json.loads, result.stdout.splitlines())}
    assert result.exit_code == 0
    assert found["default"]["statements"] == 3
    assert "problem" not in found["default"]
    assert "not a regular file" in found["bad"]["problem"]
    assert "not a regular file" in found["worse"]["problem"]
    assert "not a regular file" in run("memory", "profiles").stdout
