"""The history of what was typed, in a file that may be damaged or not ours."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from varda_chat.tui.controllers.history import InputHistory


@pytest.mark.parametrize("kind", ["pipe", "link", "directory"])
def test_history_is_a_file_of_its_own_or_nothing(tmp_path: Path, kind: str) -> None:
    path, other = tmp_path / "history.jsonl", tmp_path / "other"
    other.write_text("untouched")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(other)
    else:
        path.mkdir()
    history = InputHistory(path)
    history.load()
    with pytest.raises(OSError, match=r"."):
        history.add("a secret")
    assert other.read_text() == "untouched"


def test_a_torn_line_costs_no_entry(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text('{"text": "first"}\n{"text": "sec')
    history = InputHistory(path)
    history.load()
    history.add("third")
    again = InputHistory(path)
    again.load()
    assert again.older("") == "third"
    assert again.older("") == "first"


def test_a_deeply_nested_line_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text("[" * 100_000 + '\n{"text": "first"}\n')
    history = InputHistory(path)
    history.load()
    assert history.older("") == "first"
