"""``memory search``, ``edit``, ``learn``, ``import``: where the model must run, and how what was cut off resumes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.memory_commands import SAID, answers, run
from tests.helpers.paths import EXPORTS
from tests.helpers.stores import opened, told
from varda_chat.cli.memory import memory
from varda_chat.memory import peek


def test_the_model_is_loaded_only_where_it_must_run(directory: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    commands = [["list"], ["show", "1"], ["pin", "1"], ["unpin", "1"], ["stats"], ["verify"], ["path"], ["profiles"],
                ["backup"], ["export", str(file)], ["import", str(file), "--profile", "b"], ["forget", "1", "--yes"],
                ["undo"], ["restore", "--yes"], ["index", "ivf"], ["forget", "3", "--purge", "--yes"],
                ["purge", "2", "--yes"]]  # fmt: skip
    used = {command[0] for command in commands} | {"search", "edit", "learn"}
    assert set(memory.commands) == used
    probe = (
        "import sys; from click.testing import CliRunner; from varda_chat.cli.main import main\n"
        f"for a in {commands!r}:\n"
        "    r = CliRunner().invoke(main, ['memory', *a]); assert r.exit_code == 0, (a, r.output, r.exception)\n"
        "print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, check=False, env=dict(os.environ)
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_the_model_searches_edits_learns_and_reads_imports(tiny_checkpoint: Path, tmp_path: Path) -> None:
    model = ("--checkpoint", tiny_checkpoint)
    text = tmp_path / "notes.md"
    text.write_text("# Notes\n\nMy dog is called **Rimba**.\n\nI live in [Lisbon](http://example.org).\n")
    talk = tmp_path / "talk.jsonl"
    talk.write_text('{"messages": [{"role": "user", "content": "I work as a nurse."}]}\n')
    (first,) = answers("learn", text, talk, *model)
    assert first["passages"] == 4
    assert first["stored"] >= 2
    (again,) = answers("learn", text, talk, *model)
    assert (again["passages"], again["stored"]) == (0, 0)
    listed = answers("list")
    assert not any("*" in each["text"] or "http" in each["text"] for each in listed)
    found = answers("search", "What is my dog called?", *model)
    assert found
    assert {each["id"] for each in found} <= {each["id"] for each in listed}
    assert [each["match"] for each in found] == sorted((each["match"] for each in found), reverse=True)
    (edited,) = answers("edit", listed[0]["id"], "My cat is called Tom.", *model)
    assert edited["text"] == "My cat is called Tom."
    assert edited["vector_count"] > 0
    file = tmp_path / "out.jsonl"
    answers("export", file, "--no-vectors")
    answers("import", file, "--profile", "new", *model)
    moved = answers("list", "--profile", "new")
    assert [each["text"] for each in moved] == [each["text"] for each in answers("list")]
    assert all(each["vector_count"] > 0 for each in moved)


@pytest.mark.parametrize("kind", ["md", "csv"])
def test_a_memory_that_was_written_to_be_read_is_read_again(
    directory: Path, tiny_checkpoint: Path, tmp_path: Path, kind: str
) -> None:
    run("pin", 2)
    file = tmp_path / f"memory.{kind}"
    assert answers("export", file)[0]["format"] == kind
    assert run("export", "-", "--format", kind).stdout.encode() == file.read_bytes()
    done = answers("import", file, "--profile", "new", "--checkpoint", tiny_checkpoint)[0]
    assert (done["imported"], done["bad"]) == (3, 0)
    kept = ("text", "role", "session", "created_at", "recall_count", "pinned")
    before, after = ([{name: each[name] for name in kept} for each in answers("list", *more)]
                     for more in ((), ("--profile", "new")))  # fmt: skip
    assert after == before
    assert all(each["vector_count"] for each in answers("list", "--profile", "new"))
    if kind == "csv":
        assert answers("import", file, "--profile", "new")[0]["known"] == 3


@pytest.mark.parametrize("how", [["--format", "md"], ["--format", "csv"], ["--no-vectors"]])
def test_what_is_read_again_after_an_import_is_measured_against_the_capacity(
    directory: Path, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: list[str]
) -> None:
    file = tmp_path / "memory"
    answers("export", file, *how)
    monkeypatch.setenv("VARDA_CHAT_MEMORY_SIZE", "2")
    to = ("--profile", "new", "--checkpoint", tiny_checkpoint)
    done = run("import", file, *to)
    vectors = sum(each["vector_count"] for each in answers("list", "--profile", "new"))
    assert vectors >= 3
    assert f"The memory keeps 2 vectors: {vectors - 2}, of the memories least worth keeping," in done.stderr
    assert answers("import", file, *to)[0]["not_kept"] == vectors - 2


def test_exports_of_others_are_learned_with_their_times_and_only_once(tiny_checkpoint: Path) -> None:
    model = ("--checkpoint", tiny_checkpoint)
    files = sorted(EXPORTS.iterdir())
    (dry,) = answers("learn", "--dry-run", *files, *model)
    assert dry["stored"] == dry["memory_size"] == 0
    assert dry["skipped"] == 6
    assert answers("list") == []
    (done,) = answers("learn", *files, *model)
    assert done["passages"] == dry["passages"] == 17
    assert done["unread"] == []
    listed = answers("list")
    assert len(listed) == done["stored"]
    assert {each["text"] for each in listed} <= {each["text"] for each in dry["would_store"]}
    dated = {each["text"]: each["created_at"] for each in listed}
    assert dated["Works as a locksmith"] == 1770130800
    assert dated["Has a sister called Ofelia"] == 1770303600
    assert any("Ines" in text for text in dated)
    (again,) = answers("learn", *files, *model)
    assert (again["passages"], again["stored"], again["refreshed"]) == (0, 0, 0)
    assert answers("list") == listed


def test_lines_that_cannot_be_learned_are_named_at_the_end(tiny_checkpoint: Path, tmp_path: Path) -> None:
    talk = tmp_path / "talk.jsonl"
    talk.write_text('{"role": "user", "content": "I work as a nurse."}\n{"half\n' * 30)
    result = run("learn", talk, "--checkpoint", tiny_checkpoint)
    assert result.exit_code == 0
    assert "30 passages were read" in result.stdout
    assert f"{talk}, line 2: it is not JSON" in result.stderr
    assert "... and 10 more that could not be read." in result.stderr


def written(file: Path, sentences: Iterable[str]) -> Path:
    """An export of which every sentence is stored."""
    file.write_text(json.dumps({"results": [{"id": each, "memory": each} for each in sentences]}))
    return file


def test_what_learning_deletes_is_told_and_undone_as_one(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, count = ("--checkpoint", tiny_checkpoint), 120
    first = written(tmp_path / "first.json", ["I bake.", "I row.", "I sing."])
    many = written(tmp_path / "many.json", [f"My number is {number}." for number in range(count)])
    before = answers("learn", first, *model)[0]
    assert (before["stored"], before["deleted"], before["refused"]) == (3, 0, 0)
    run("forget", 2, "--yes")
    kept = [each["id"] for each in answers("list")]
    monkeypatch.setenv("VARDA_CHAT_MEMORY_SIZE", str(before["memory_size"]))
    done = run("learn", many, *model)
    deleted = len(answers("list", "--removed")) - 1
    assert f"{count} passages were read: {count} memories stored, 0 known already, {deleted} deleted to make room." in (
        done.stdout
    )
    assert "varda-chat memory undo brings them back" in done.stderr
    assert "had no room" not in done.stderr
    assert len(answers("list")) == len(kept) + count - deleted
    (back,) = answers("undo")
    assert (len(back["restored"]), len(back["left"])) == (deleted, count)
    assert len(answers("undo")[0]["removed"]) == count
    assert [each["id"] for each in answers("list")] == kept
    assert [each["id"] for each in answers("undo")[0]["restored"]] == [2], "what was forgotten before can be undone too"


def test_what_has_no_room_beside_pinned_memories_is_told_and_read_again(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ("--checkpoint", tiny_checkpoint)
    pinned = answers("learn", written(tmp_path / "first.json", ["I bake."]), *model)[0]
    run("pin", 1)
    monkeypatch.setenv("VARDA_CHAT_MEMORY_SIZE", str(pinned["memory_size"]))
    more = written(tmp_path / "more.json", ["I row.", "I sing."])
    (full,) = answers("learn", more, *model)
    assert (full["passages"], full["stored"], full["refused"]) == (2, 0, 2)
    done = run("learn", more, *model)
    assert "0 memories stored, 0 known already, 2 without room beside pinned ones." in done.stdout
    assert "the same command stores what had no room" in done.stderr
    monkeypatch.setenv("VARDA_CHAT_MEMORY_SIZE", "1000")
    (roomy,) = answers("learn", more, *model)
    assert (roomy["passages"], roomy["stored"], roomy["refused"]) == (2, 2, 0)
    assert answers("learn", more, *model)[0]["passages"] == 0


def test_learning_goes_on_where_it_was_cut_off(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from varda_chat.session.memory_actions import SessionMemory

    text = tmp_path / "notes.txt"
    text.write_text("\n\n".join(f"My number is {number}." for number in range(6)))
    learn = SessionMemory.learn
    calls: list[Any] = []

    def cut_off(session: SessionMemory, role: str, said: str, **more: Any) -> Any:
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(said)
        return learn(session, role, said, **more)

    monkeypatch.setattr(SessionMemory, "learn", cut_off)
    assert run("learn", text, "--checkpoint", tiny_checkpoint).exit_code == 130
    monkeypatch.undo()
    monkeypatch.setenv("VARDA_CHAT_HOME", str(tmp_path / "varda-home"))
    (rest,) = answers("learn", text, "--checkpoint", tiny_checkpoint)
    assert rest["passages"] == 3


def test_learning_that_was_killed_goes_on_and_stores_what_a_whole_run_stores(
    tiny_checkpoint: Path, tmp_path: Path, own_data_directory: Path
) -> None:
    notes, count = tmp_path / "notes.txt", 200
    notes.write_text("\n\n".join(f"My number is {number}." for number in range(count)))
    learning = ["learn", str(notes), "--checkpoint", str(tiny_checkpoint)]
    process = subprocess.Popen([sys.executable, "-m", "varda_chat", "memory", *learning], stderr=subprocess.DEVNULL)
    until = time.monotonic() + 150
    while process.poll() is None and peek(own_data_directory / "profiles" / "default").statements < 5:
        assert time.monotonic() < until
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    (rest,) = answers(*learning)
    assert 0 < rest["passages"] < count
    assert answers(*learning)[0]["passages"] == 0
    (whole,) = answers(*learning, "--profile", "whole")
    assert whole["passages"] == count
    kept = [
        {each["text"] for each in answers("list", "--limit", 1000, "--profile", name)} for name in ("default", "whole")
    ]
    assert kept[0] == kept[1]


def test_reading_through_another_model_goes_on_where_it_was_cut_off(directory: Path, tiny_checkpoint: Path) -> None:
    from varda_chat.session.session import ChatSession

    readings: list[str] = []

    def cut_off(what: str, share: float) -> None:
        if "another model" in what:
            readings.append(what)
            if len(readings) == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ChatSession.open(directory, tiny_checkpoint, on_progress=cut_off)
    with opened(directory, read_only=True) as store:  # the old model still finds what was not read yet
        assert [each.text for each in store.reader.foreign_statements()] == ["The dog is Rex.", "Tea at five."]
        assert store.search(told(SAID).vectors[0].vector, 1).distances[0] == 0
    readings.clear()
    with ChatSession.open(directory, tiny_checkpoint, on_progress=cut_off) as session:
        assert session.memory.size >= 3
    assert readings == ["reading 1 memory of another model"]
    assert len(answers("stats")[0]["models"]) == 1
