"""``memory forget``, ``undo``, ``pin`` and the choice of an index type."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.helpers.memory_commands import SAID, answers, run
from tests.helpers.stores import agrees, opened, told, turn
from varda_chat.cli.main import main
from varda_chat.memory import peek
from varda_chat.memory.records import Imported


@pytest.mark.parametrize("flag", ["--incognito", "--read-only"])
def test_what_writes_is_refused_behind_the_flag_that_writes_nothing(directory: Path, tmp_path: Path, flag: str) -> None:
    notes, exported = tmp_path / "notes.txt", tmp_path / "out.jsonl"
    notes.write_text("I bake.")
    answers("export", exported)
    answers("backup")
    before = {file: file.read_bytes() for file in directory.rglob("*") if file.is_file()}
    writing = ["forget 1 --yes", "forget 1 --purge --yes", "purge 1 --yes", "undo", "pin 1", "unpin 1", "edit 1 Tea",
               "index ivf", f"import {exported}", "restore --yes", "verify --repair", f"learn {notes}"]  # fmt: skip
    for command in writing:
        result = CliRunner().invoke(main, [flag, "memory", *command.split()])
        assert result.exit_code == 2, (command, result.output)
        assert f"does not go with memory {command.split()[0]}, which writes." in result.stderr
    for command in ("list", "show 1", "export -", "purge Rex --check", "verify"):
        result = CliRunner().invoke(main, [flag, "memory", *command.split()])
        assert result.exit_code in (0, 1), (command, result.output)
    assert {file: file.read_bytes() for file in directory.rglob("*") if file.is_file()} == before


def test_forget_asks_and_is_undone(directory: Path) -> None:
    assert "Nothing was changed." in run("forget", "dog", stdin="n\n").stdout
    assert peek(directory).statements == 3
    asked = run("forget", "DOG", stdin="y\n")
    assert "The dog is Rex." in asked.stdout
    assert [each["id"] for each in answers("list")] == [3, 2]
    (shown,) = answers("show", 1)
    assert shown["removed"]
    assert "memory undo 1" in run("show", 1).stdout
    assert [each["id"] for each in answers("list", "--removed")] == [1]
    assert [each["text"] for each in answers("undo")[0]["restored"]] == ["The dog is Rex."]
    assert answers("list", "--removed") == []
    assert [each["id"] for each in answers("undo")[0]["removed"]] == [3]  # the store of the last turn
    assert answers("undo", 3)[0]["restored"][0]["text"] == SAID
    with opened(directory) as store:
        assert store.search(told(SAID).vectors[0].vector, 1).distances[0] == 0


def test_store_and_delete_of_one_turn_are_undone_one_by_one(directory: Path) -> None:
    with opened(directory) as store:
        store.apply(turn(told("The dog is Max."), delete=[1]), session="s")
    first = run("undo").stdout
    assert "+ The dog is Rex." in first
    assert "Stored along with it: 'The dog is Max.'; varda-chat memory undo once more deletes that." in first
    assert {each["text"] for each in answers("list")} == {"The dog is Rex.", "The dog is Max.", "Tea at five.", SAID}
    (second,) = answers("undo")
    assert (second["restored"], [each["text"] for each in second["removed"]]) == ([], ["The dog is Max."])
    assert second["left"] == []
    assert {each["text"] for each in answers("list")} == {"The dog is Rex.", "Tea at five.", SAID}


def test_recall_is_measured_where_the_types_differ(directory: Path) -> None:
    with opened(directory) as store:
        store.importing.add(
            Imported(told(f"n{number}", 100, number), "s", 1.0, None, 0, False, "model-a") for number in range(26)
        )
    found = {each["index_type"]: each for each in answers("stats")[0]["search"]}
    assert {each["vectors"] for each in found.values()} == {2606}
    assert found["flat"]["recall"] == 1.0
    assert all(0.3 < each["recall"] <= 1.0 for each in found.values())
    assert min(each["recall"] for each in found.values()) < 1.0


@pytest.mark.parametrize("kind", ["ivf", "compressed", "graph"])
def test_the_index_type_is_chosen_and_kept(directory: Path, kind: str) -> None:
    assert answers("index", kind)[0] == {"index_type": kind}
    assert answers("stats")[0]["index_type"] == kind
    with opened(directory) as store:
        assert "another index type" in store.notices[0]
        store.apply(turn(told("new"), delete=[1]), session="s")
        agrees(store)
    with opened(directory) as store:
        assert store.notices == []
        assert store.core.index().memory.index_type == kind
        agrees(store)
        store.indexing.set_type("flat")
        agrees(store)


def test_pin_and_unpin(directory: Path) -> None:
    assert answers("pin", 2)[0]["pinned"]
    assert answers("stats")[0]["pinned"] == 1
    assert not answers("unpin", 2)[0]["pinned"]
