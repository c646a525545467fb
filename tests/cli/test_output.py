"""What the command prints: nothing that a terminal obeys, and one sentence where there is nothing or nobody to ask."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.helpers.hostile import HOSTILE, OBEYED
from varda_chat.cli.main import main, theme_names
from varda_chat.text import to_json


def test_json_keeps_hidden_characters_but_prints_none() -> None:
    for value in (HOSTILE, {"text": [HOSTILE, "é 漢 👩‍👩‍👧"]}, "\ud800", "\u2028\u2029\x85\U000e0041"):
        for printed in (to_json(value), to_json(value, 2)):
            assert not OBEYED.search(printed.replace("\n", ""))
            assert json.loads(printed) == value
    assert to_json("é 漢") == '"é 漢"'


@pytest.mark.parametrize(
    "arguments",
    [
        [HOSTILE],
        ["memory", HOSTILE],
        ["memory", "list", HOSTILE],
        [f"--{HOSTILE}"],
        ["--temperature", HOSTILE],
        ["--config", HOSTILE],
        ["--profile", HOSTILE, "-p", "Hi"],
        ["--theme", HOSTILE, "serve"],
        ["memory", "import", HOSTILE],
        ["memory", "--json", "list"],
        ["memory", "path", "--json"],
        ["memory", "backup"],
        ["memory", "restore", "--yes"],
        ["sessions", "show", "1"],
        ["--reset-memory", "--yes"],
    ],
    ids=repr,
)
def test_no_command_prints_what_a_terminal_obeys(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VARDA_CHAT_HOME", str(tmp_path / HOSTILE))
    (tmp_path / HOSTILE / "profiles" / f"x{HOSTILE}").mkdir(parents=True)
    result = CliRunner().invoke(main, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert not OBEYED.search(result.output)


def test_a_wrong_profile_is_told_once() -> None:
    result = CliRunner().invoke(main, ["--profile", "../x", "-p", "hi"])
    assert result.exit_code == 1
    assert result.output.count("is not a profile name") == 1


def test_an_empty_list_says_so_and_empty_json_is_empty() -> None:
    for arguments, says in (
        (["memory", "list"], "No memories yet.\n"),
        (["memory", "list", "--removed"], "No deleted memories can be restored.\n"),
        (["sessions", "list"], "No sessions yet.\n"),
    ):
        assert CliRunner().invoke(main, arguments).output == says
        assert CliRunner().invoke(main, [*arguments, "--json"]).output == ""


def test_where_nobody_can_be_asked_yes_is_needed(own_data_directory: Path) -> None:
    directory = own_data_directory / "profiles" / "default"
    directory.mkdir(parents=True)
    (directory / "history.jsonl").write_text('{"text": "Hi"}\n')
    result = CliRunner().invoke(main, ["--reset-memory"], input="")
    assert result.exit_code == 2
    assert "--yes must say that it is meant" in result.output
    assert (directory / "history.jsonl").exists()
    assert CliRunner().invoke(main, ["--reset-memory"], input="y\n").exit_code == 0
    assert not (directory / "history.jsonl").exists()


def test_themes_are_completed() -> None:
    context = main.make_context("varda-chat", ["memory"], resilient_parsing=True)
    assert theme_names(context, main.params[0], "varda") == ["varda-dark", "varda-light"]


def test_a_script_gets_the_path_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VARDA_CHAT_HOME", str(tmp_path / HOSTILE))
    result = CliRunner().invoke(main, ["memory", "path"])
    assert result.stdout_bytes == os.fsencode(tmp_path / HOSTILE / "profiles" / "default") + b"\n"
