"""``memory purge``: no byte is left in the directory."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from tests.helpers.memory_commands import SAID, answers, run
from tests.helpers.stores import opened, told, turn
from varda_chat.cli.main import main
from varda_chat.memory import peek


def holding(directory: Path, secret: bytes) -> list[str]:
    return [str(path) for path in directory.rglob("*") if path.is_file() and secret in path.read_bytes()]


def test_purge_leaves_no_trace_in_the_directory(directory: Path) -> None:
    vector = told(SAID).vectors[0].vector.tobytes()
    answers("backup")
    run("forget", 3, "--yes")  # deleted, but still to be brought back
    answers("backup")
    (directory / "memory.db.damaged-20260101T000000Z").write_text(SAID)
    (directory / "history.jsonl").write_text(json.dumps({"text": f"Well, {SAID}!"}) + '\n{"text": "Tea at five."}\n')
    assert len(holding(directory, SAID.encode())) >= 4
    done = answers("forget", SAID, "--purge", "--yes")[0]
    assert done["purged"]
    assert holding(directory, SAID.encode()) == []
    assert holding(directory, vector) == []
    assert "Tea" in (directory / "history.jsonl").read_text()
    assert [each["id"] for each in answers("list")] == [2, 1]
    assert run("undo", 3).exit_code == 1
    for path in [directory, *directory.rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
    answers("restore", "--yes")
    assert [each["id"] for each in answers("list")] == [2, 1]


def test_purge_of_a_whole_memory_leaves_no_trace(directory: Path) -> None:
    answers("backup")
    run("forget", 3, "--yes")
    (directory / "memory.db.damaged-20260101T000000Z").write_text(SAID)
    result = CliRunner().invoke(main, ["--reset-memory", "--purge", "--yes"])
    assert result.exit_code == 0, result.output
    for trace in (SAID.encode(), b"Tea at five", told("Tea at five.").vectors[0].vector.tobytes()):
        assert holding(directory, trace) == []
    assert peek(directory).statements == 0


def test_a_whole_memory_takes_what_kills_have_left_with_it(directory: Path) -> None:
    (directory / ".proof-abc").mkdir()
    (directory / ".proof-abc" / "memory.db").write_text(SAID)
    (directory / "history.jsonl.new").write_text(SAID)
    run("forget", 1, "--purge", "--yes")
    assert CliRunner().invoke(main, ["--reset-memory", "--purge", "--yes"]).exit_code == 0
    (directory / "history.jsonl.new").write_text(SAID)
    result = CliRunner().invoke(main, ["--reset-memory", "--purge", "--yes"])
    assert "empty already" not in result.stdout
    assert holding(directory, SAID.encode()) == []
    assert not (directory / ".proof-abc").exists()


def test_digits_that_no_memory_has_as_its_id_are_text(directory: Path) -> None:
    assert answers("purge", "4711", "--yes")[0]["purged"]
    assert holding(directory, b"4711") == []
    assert [each["id"] for each in answers("list")] == [2, 1]


def test_an_id_that_was_forgotten_is_no_text(directory: Path) -> None:
    with opened(directory) as store:
        store.apply(turn(told("There are 12 of us.")), session="s")
    run("forget", 1, "--yes")
    again = run("forget", 1, "--yes")
    assert (again.exit_code, "Nothing in memory is '1'" in again.stderr) == (1, True)
    nowhere = run("purge", 77, "--yes")
    assert "With --as text it is looked for in all files." in nowhere.stderr
    assert run("purge", "0000", "--yes").exit_code == 1
    assert run("forget", "Tea", "--as", "id", "--yes").exit_code == 2
    assert [each["id"] for each in answers("list")] == [4, 3, 2]


def test_digits_that_may_be_an_id_or_text_are_not_guessed(directory: Path) -> None:
    with opened(directory) as store:
        store.apply(turn(told("My PIN is 2.")), session="s")
    for command in ("purge", "forget"):
        refused = run(command, 2, "--yes")
        assert refused.exit_code == 1
        assert "2 is the id of a memory, and the text of 4 contains it. Add --as id or --as text." in refused.stderr
    assert [each["text"] for each in answers("forget", 2, "--as", "text", "--yes")[0]["forgotten"]] == ["My PIN is 2."]
    answers("undo")
    assert [each["text"] for each in answers("purge", 2, "--as", "id", "--yes")[0]["forgotten"]] == ["Tea at five."]
