"""Hostile input from outside: numbers that nothing can hold, text that is not UTF-8, lines without end, a kill."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.hostile import HUGE, one_line, program, run
from varda_chat.errors import VardaError
from varda_chat.ingest.learning import read_file
from varda_chat.ingest.passages import Passage
from varda_chat.memory import maintenance


@pytest.mark.parametrize("number", [HUGE, "9" * 5000, "-1", "0"])
@pytest.mark.parametrize(
    "command",
    [
        ("memory", "show"),
        ("memory", "pin"),
        ("memory", "undo"),
        ("memory", "list", "--limit"),
        ("memory", "search", "x", "--limit"),
        ("sessions", "show"),
        ("sessions", "search", "x", "--limit"),
        ("-p", "x", "--resume"),
        ("-p", "x", "--memory-size"),
        ("-p", "x", "--max-new-tokens"),
    ],
)
def test_numbers_that_nothing_can_hold_are_refused(small_profile: Path, command: tuple[str, ...], number: str) -> None:
    result = run(*command, *(["--"] if command[-1] in ("show", "pin", "undo") else []), number)
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    assert len(result.stderr.strip().splitlines()[-1]) < 300


@pytest.mark.parametrize("number", [HUGE, "9" * 5000])
def test_forgetting_a_number_that_no_id_can_be(small_profile: Path, number: str) -> None:
    """It is text that no memory holds."""
    result = run("memory", "forget", number, "--yes")
    assert (result.exit_code, "Nothing in memory is" in result.stderr) == (1, True)
    assert len(result.stderr.strip().splitlines()) == 1
    assert run("memory", "forget", number, "--as", "id", "--yes").exit_code == 2


@pytest.mark.parametrize("text", ["x = " + "[" * 20_000, "memory_size = " + "9" * 5000, f"memory_size = {HUGE}"])
def test_a_settings_file_that_goes_too_far_gets_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    result = run("--config", tmp_path / "config.toml", "-p", "Hi")
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert "config.toml" in result.stderr


def test_latin_1_is_read_as_such_and_said_so(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes("My name is Ana.\n\nI live near the caf\xe9.".encode("latin-1"))
    reading = read_file(path)
    assert reading.passages[1] == Passage("user", "I live near the caf\xe9.")
    (notice,) = reading.notices
    assert "line 3" in notice
    path.write_bytes("My aunt Zo\xeb.\n".encode() + "Near the caf\xe9.".encode("latin-1"))
    assert read_file(path).passages == (Passage("user", "My aunt Zo\xeb. Near the caf\xe9."),)
    path.write_bytes(b"fine\n\nnot \x81 fine")
    with pytest.raises(VardaError, match="line 3"):
        read_file(path)
    path.write_text("caf\xe9", encoding="utf-8")
    assert read_file(path).notices == ()


def test_latin_1_on_a_pipe_and_as_an_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    from varda_chat.cli.chat import lines_of
    from varda_chat.cli.parameters import TEXT

    stream = io.TextIOWrapper(io.BytesIO(b"My name is Ana.\nI like the caf\xe9.\n"), encoding="utf-8")
    assert list(lines_of(stream)) == ["My name is Ana.\n", "I like the caf\xe9.\n"]
    assert TEXT.convert(b"caf\xe9".decode("utf-8", "surrogateescape"), None, None) == "caf\xe9"


@pytest.mark.parametrize("size", [99_000, 994_000])
def test_a_line_that_is_too_long_is_refused_in_one_sentence(own_data_directory: Path, size: int) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    result = program(stdin=b"word " * (size // 5) + b"\n")
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 5, "seconds of a processor"
    assert result.returncode == 1
    said = one_line(result)
    assert "20,000 characters" in said or "20,000 are read" in said
    assert "memory learn" in said


def test_forgetting_takes_whole_words(small_profile: Path) -> None:
    refused = run("memory", "forget", "ana", "--yes", "--json")
    assert refused.exit_code == 1
    assert "by id: 2" in refused.stderr
    assert run("memory", "forget", "ana", "--yes", stdin="n\n").exit_code == 1
    assert run("memory", "forget", "ana", "--yes", stdin="").exit_code == 1
    assert maintenance.peek(small_profile).statements == 3
    assert run("memory", "forget", "ana", "--yes", stdin="y\n").exit_code == 0
    assert maintenance.peek(small_profile).statements == 2
    assert run("memory", "forget", "rex", "--yes").exit_code == 0
    assert maintenance.peek(small_profile).statements == 1


TOLD_UNTIL_KILLED = """
import sys
from pathlib import Path
from varda_chat import ChatSession
session = ChatSession.open(Path(sys.argv[1]), sys.argv[2])
session.memory.remember("The dog is Rex.")
print("stored", flush=True)
sys.stdin.read()
"""


def test_after_a_kill_the_next_start_says_nothing(tiny_checkpoint: Path, own_data_directory: Path) -> None:
    place = own_data_directory / "profiles" / "default"
    with subprocess.Popen(
        [sys.executable, "-c", TOLD_UNTIL_KILLED, str(place), str(tiny_checkpoint)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as chat:  # fmt: skip
        assert chat.stdout is not None
        assert chat.stdout.readline() == "stored\n"
        chat.kill()
    assert "The dog is Rex." in run("memory", "list").stdout
    verified = run("memory", "verify")
    assert verified.exit_code == 0, verified.output
    started = program("--checkpoint", tiny_checkpoint, "--max-new-tokens", 4, "-p", "Hi")
    assert (started.returncode, started.stderr) == (0, b"")
