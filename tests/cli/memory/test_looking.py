"""``memory list``, ``show``, ``stats``, ``verify`` and ``path``, and the one line for bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.helpers.memory_commands import SAID, answers, run
from tests.helpers.stores import opened, told
from varda_chat.cli.main import main
from varda_chat.memory import peek


def test_list_and_show(directory: Path) -> None:
    assert [each["id"] for each in answers("list")] == [3, 2, 1]
    assert [each["text"] for each in answers("list", "--limit", 1)] == [SAID]
    assert "Tea at five." in run("list").stdout
    (shown,) = answers("show", 1)
    assert (shown["text"], shown["tokens"], shown["removed"]) == ("The dog is Rex.", ["t0", "t1"], False)
    assert "recalled    never" in run("show", 1).stdout


def test_profile_and_json_may_stand_before_memory(directory: Path, tmp_path: Path) -> None:
    before = CliRunner().invoke(main, ["--json", "--profile", "default", "memory", "list"])
    assert len([json.loads(line) for line in before.stdout.splitlines()]) == 3
    assert answers("list", "--profile", "other") == []
    assert answers("list", "--data-dir", tmp_path / "none") == []
    assert not (tmp_path / "none").exists()


def test_an_index_that_only_has_to_catch_up_is_no_problem(directory: Path) -> None:
    run("forget", "1", "--yes")
    run("undo")
    assert answers("verify")[0] == {"problems": [], "repairs": [], "ok": True}
    run("export", directory.parent / "all.jsonl")
    run("import", directory.parent / "all.jsonl", "--profile", "other")
    assert answers("verify", "--profile", "other")[0] == {"problems": [], "repairs": [], "ok": True}
    (directory / "memory.faiss").write_bytes(b"VARDAIX1 of an earlier version")
    assert "earlier varda-chat" in answers("verify", "--repair")[0]["problems"][0]
    assert answers("verify")[0]["ok"]


def test_verify_repairs(directory: Path) -> None:
    assert answers("verify")[0]["ok"]
    broken = told("Tea at five.").vectors[0].vector.tobytes()
    database = directory / "memory.db"
    database.write_bytes(database.read_bytes().replace(broken, bytes(len(broken))))
    (directory / "memory.faiss").unlink()
    assert run("verify").exit_code == 1
    done = run("verify", "--repair", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["ok"]
    assert run("verify").exit_code == 0
    with opened(directory) as store:
        assert [each.text for each in store.reader.foreign_statements()] == ["Tea at five."]


def test_stats_path_and_profiles(directory: Path) -> None:
    (found,) = answers("stats")
    assert (found["statements"], found["vectors"], found["models"]) == (3, 6, {"model-a": 3})
    assert [(each["index_type"], each["recall"]) for each in found["search"]] == [
        ("flat", 1.0), ("ivf", 1.0), ("compressed", 1.0), ("graph", 1.0)
    ]  # fmt: skip
    assert "recall@5" in run("stats").stdout
    assert answers("stats", "--profile", "none")[0]["search"] == []
    assert run("path").stdout.strip() == str(directory)
    assert answers("profiles")[0]["statements"] == 3


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["show", "99"], 1),
        (["pin", "99"], 1),
        (["forget", "no such words", "--yes"], 1),
        (["forget", "1", "--json"], 2),
        (["show", "x"], 2),
        (["nonesuch"], 2),
        (["import", "/no/such/file"], 2),
        (["search", " "], 1),
        (["index", "tree"], 1),
        (["list", "--profile", "../up"], 1),
        (["learn", sys.executable], 1),
    ],
)
def test_bad_input_gets_one_clear_line(directory: Path, arguments: list[str], code: int) -> None:
    result = run(*arguments)
    assert result.exit_code == code
    assert "Traceback" not in result.output
    assert result.stdout == ""
    assert result.stderr.strip()
    assert peek(directory).statements == 3


def test_a_path_that_is_no_utf8_is_printed_so_that_a_script_can_use_it(tmp_path: Path) -> None:
    home = os.fsencode(tmp_path) + b"/caf\xe9"
    line: list[str | bytes] = [sys.executable, "-m", "varda_chat", "--data-dir", home, "memory", "path"]
    directory = home + b"/profiles/default"
    assert subprocess.run(line, capture_output=True, check=True).stdout == directory + b"\n"
    shown = subprocess.run([*line, "--json"], capture_output=True, check=True).stdout
    assert os.fsencode(json.loads(shown)["path"]) == directory
