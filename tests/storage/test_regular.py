"""Pipes, devices and links in the place of files are named or replaced; nothing is read without end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.helpers.hostile import one_line, program
from tests.helpers.stores import opened, texts, told
from varda_chat.errors import VardaError
from varda_chat.memory.export import read_export
from varda_chat.storage.regular import NotRegularError, read_regular


@pytest.mark.parametrize("name", ["memory.db", "sessions.db", "memory.lock"])
def test_a_pipe_in_the_place_of_an_own_file_is_named(small_profile: Path, name: str) -> None:
    (small_profile / name).unlink(missing_ok=True)
    os.mkfifo(small_profile / name)
    command = ("sessions", "list") if name == "sessions.db" else ("memory", "pin", 1)
    result = program(*command)
    assert result.returncode == 1
    assert "is not a regular file" in one_line(result)


def test_a_pipe_in_the_place_of_the_index_is_replaced(small_profile: Path) -> None:
    (small_profile / "memory.faiss").unlink()
    os.mkfifo(small_profile / "memory.faiss")
    with opened(small_profile) as store:
        assert len(texts(store)) == 3
        assert store.search(told("Tea at five.").vectors[0].vector, 1).distances[0] == 0
    assert (small_profile / "memory.faiss").is_file()


@pytest.mark.parametrize("device", [False, True])
def test_a_pipe_or_a_device_is_no_file_to_read(small_profile: Path, tmp_path: Path, device: bool) -> None:
    path = tmp_path / "notes.txt"
    if device:
        path.symlink_to("/dev/zero")
    else:
        os.mkfifo(path)
    for command in (("memory", "import", path), ("memory", "learn", path), ("--config", path, "-p", "Hi")):
        result = program(*command)
        assert result.returncode in (1, 2)
        assert "is not a regular file" in one_line(result)
    with pytest.raises(NotRegularError):
        read_regular(path, 100)


def test_an_endless_stream_is_not_read_to_its_end() -> None:
    with open("/dev/zero", "rb") as endless, pytest.raises(VardaError, match="MiB"):  # noqa: PTH123
        list(read_export(endless, 1.0))


def test_reading_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 101)
    with pytest.raises(VardaError, match="larger than 100 bytes"):
        read_regular(tmp_path / "large", 100)
