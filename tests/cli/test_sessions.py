"""``varda-chat sessions`` and the flags that resume a session, by click's runner on a real file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from varda_chat.cli.main import main
from varda_chat.transcripts import Transcripts
from varda_chat.transcripts.store import FILE_NAME


def run(*arguments: str, stdin: str | None = None, checkpoint: Path | None = None) -> Result:
    extra = ["--checkpoint", str(checkpoint), "--temperature", "0", "--max-new-tokens", "8"] if checkpoint else []
    return CliRunner().invoke(main, [*arguments, *extra], input=stdin)


@pytest.fixture
def directory(own_data_directory: Path) -> Path:
    return own_data_directory / "profiles" / "default"


@pytest.fixture
def two_sessions(directory: Path) -> Path:
    with Transcripts.open(directory) as transcripts:
        for prompts in (("My dog is called Rimba.", "Is she well?"), ("I live in Lisbon.",)):
            session = transcripts.begin(prompts[0])
            for prompt in prompts:
                transcripts.answer(transcripts.ask(session, prompt), "I see.\nVery good.")
    return directory


def test_list_search_show(two_sessions: Path) -> None:
    listed = [json.loads(line) for line in run("sessions", "list", "--json").stdout.splitlines()]
    assert [(each["id"], each["turns"]) for each in listed] == [(2, 1), (1, 2)]
    assert "My dog is called Rimba." in run("sessions", "list").stdout
    assert json.loads(run("sessions", "search", "rimba", "--json").stdout)["session_id"] == 1
    assert "you: My dog" in run("sessions", "search", "rimba").stdout
    assert "Varda  I see.\n       Very good." in run("sessions", "show", "1").stdout
    assert [turn["prompt"] for turn in json.loads(run("sessions", "show", "2", "--json").stdout)["turns"]] == [
        "I live in Lisbon."
    ]


def test_incognito_changes_no_session(two_sessions: Path) -> None:
    for command in (["rename", "1", "Dogs"], ["delete", "1", "--yes"]):
        refused = run("--incognito", "sessions", *command)
        assert refused.exit_code == 2
        assert f"does not go with sessions {command[0]}, which writes." in refused.stderr
    assert "My dog is called Rimba." in run("--incognito", "sessions", "list").stdout


def test_rename_export_delete(two_sessions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert json.loads(run("sessions", "rename", "1", "Dogs", "--json").stdout)["name"] == "Dogs"
    assert "# Dogs" in run("sessions", "export", "1", "-").stdout
    assert json.loads(run("sessions", "export", "1", "-", "--json").stdout)["name"] == "Dogs"
    assert "varda-1-Dogs.md" in run("sessions", "export", "1").stdout
    assert "Rimba" in (tmp_path / "varda-1-Dogs.md").read_text("utf-8")
    assert run("sessions", "delete", "1", stdin="n\n").stdout.endswith("Nothing was changed.\n")
    assert run("sessions", "delete", "1", "--json").exit_code == 2
    assert run("sessions", "delete", "1", "--yes").exit_code == 0
    assert run("sessions", "show", "1").exit_code == 1


def test_where_there_are_none_nothing_is_made(directory: Path) -> None:
    assert run("sessions", "list").stdout == "No sessions yet.\n"
    for arguments in (("show", "1"), ("delete", "1", "--yes"), ("rename", "1", "x"), ("export", "1", "-")):
        failed = run("sessions", *arguments)
        assert (failed.exit_code, failed.stderr) == (1, "Error: There is no session 1.\n")
    assert not directory.exists()


def test_prompts_are_saved_and_gone_on_with(tiny_checkpoint: Path, directory: Path) -> None:
    def tokens(*arguments: str) -> int:
        done = run("-p", "Hello!", "--json", *arguments, checkpoint=tiny_checkpoint)
        return int(json.loads(done.stdout)["prompt_tokens"])

    first = tokens("--continue")  # there is none yet
    assert tokens() == first
    assert tokens("--continue") > first
    assert tokens("--resume", "1") > first
    with Transcripts.open(directory, read_only=True) as transcripts:
        assert {info.id: info.turns for info in transcripts.sessions()} == {1: 2, 2: 2}
    assert tokens("--incognito", "--continue") > first
    with Transcripts.open(directory, read_only=True) as transcripts:
        assert sum(info.turns for info in transcripts.sessions()) == 4
    refused = run("-p", "x", "--resume", "77", checkpoint=tiny_checkpoint)
    assert (refused.exit_code, refused.stderr) == (1, "Error: There is no session 77.\n")
    assert run("-p", "x", "--resume", "1", "--continue").exit_code == 2


def test_a_prompt_is_answered_where_sessions_cannot_be_kept(tiny_checkpoint: Path, directory: Path) -> None:
    (directory / FILE_NAME).mkdir(parents=True)
    done = run("-p", "Hello!", "--json", checkpoint=tiny_checkpoint)
    assert done.exit_code == 0
    assert "not saved" in done.stderr


def test_reset_keeps_sessions_and_purge_removes_them(two_sessions: Path, tiny_checkpoint: Path) -> None:
    run("-p", "I live in Lisbon.", checkpoint=tiny_checkpoint)
    assert "sessions are kept" in run("--reset-memory", "--yes").stdout
    assert (two_sessions / FILE_NAME).exists()
    assert "sessions are deleted" in run("--reset-memory", "--purge", "--yes").stdout
    assert list(two_sessions.glob("sessions.db*")) == []
    assert "empty already" in run("--reset-memory", "--purge", "--yes").stdout


def test_what_is_purged_from_memory_leaves_the_sessions(tiny_checkpoint: Path, directory: Path) -> None:
    run("-p", "I live in Quetzaltenango.", checkpoint=tiny_checkpoint)
    assert run("memory", "forget", "Quetzaltenango", "--purge", "--yes").exit_code == 0
    assert b"uetzal" not in (directory / FILE_NAME).read_bytes()
