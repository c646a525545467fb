"""The real program in a real terminal that misbehaves: signals, hang-ups, bad bytes, redirects and dumb terminals."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT
from tests.helpers.terminal import Terminal

SECONDS = 120
XTERM = {"TERM": "xterm-256color"}


def program(checkpoint: Path, *flags: str, redirect: str = "") -> list[str]:
    """The chat's command line, by a shell where something is redirected."""
    given = ("--checkpoint", str(checkpoint), "--temperature", "0", "--max-new-tokens", "6")
    argv = [sys.executable, "-m", "varda_chat", *given, *flags]
    return ["/bin/sh", "-c", f"exec {shlex.join(argv)} {redirect}"] if redirect else argv


def typed_before(home: Path) -> list[str]:
    """What the Up key finds."""
    path = home / "profiles" / "default" / "history.jsonl"
    return [json.loads(line)["text"] for line in path.read_text().splitlines()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT], ids=lambda each: each.name)
def test_a_signal_saves_and_restores_the_terminal(
    number: signal.Signals, tiny_checkpoint: Path, own_data_directory: Path
) -> None:
    with Terminal(program(tiny_checkpoint), XTERM, (100, 30)) as terminal:
        terminal.wait_for(b"ready", SECONDS)
        terminal.write(b"half a mess")
        terminal.wait_for(b"s", SECONDS)
        terminal.rest(1)
        os.kill(terminal.pid, number)
        with pytest.raises(EOFError):
            terminal.rest(SECONDS)
        for restored in (b"\x1b[?1049l", b"\x1b[?25h", b"\x1b[?1003l", b"\x1b[?2004l"):
            assert terminal.shows(restored)
        assert terminal.exit_code() == 128 + number
    assert typed_before(own_data_directory) == ["half a mess"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT], ids=lambda each: each.name)
def test_a_signal_before_anything_is_drawn_gives_the_terminal_back(
    number: signal.Signals, tiny_checkpoint: Path
) -> None:
    with Terminal(program(tiny_checkpoint), XTERM, (100, 30)) as terminal:
        terminal.wait_for(b"\x1b[?1049h", SECONDS)
        os.kill(terminal.pid, number)
        with pytest.raises(EOFError):
            terminal.rest(SECONDS)
        assert b"Traceback" not in terminal.painted
        for restored in (b"\x1b[?1049l", b"\x1b[?25h", b"\x1b[?1003l", b"\x1b[?2004l"):
            assert terminal.shows(restored)
        assert terminal.exit_code() == 128 + number


def test_a_terminal_that_is_gone_ends_the_chat(tiny_checkpoint: Path) -> None:
    with Terminal(program(tiny_checkpoint), XTERM, (100, 30)) as terminal:
        terminal.wait_for(b"ready", SECONDS)
        terminal.hang_up()
        assert terminal.exit_code() == 128 + signal.SIGHUP


def test_bytes_that_are_not_text_are_replaced(tiny_checkpoint: Path, own_data_directory: Path) -> None:
    with Terminal(program(tiny_checkpoint), XTERM, (100, 30)) as terminal:
        terminal.wait_for(b"ready", SECONDS)
        terminal.write(b"\x1b[M" + bytes([67, 152, 42]))  # a mouse report of old
        terminal.write(b"caf\xe9\r")
        terminal.wait_for(b"tokens/s", SECONDS)
        terminal.write(b"\x11")
        with pytest.raises(EOFError):
            terminal.rest(SECONDS)
        assert terminal.exit_code() == 0
    assert typed_before(own_data_directory) == ["caf\ufffd"]


CRASHES = """
from varda_chat.cli.main import main
from varda_chat.tui.app import VardaApp
def crash(self): raise RuntimeError("nobody expected this")
VardaApp.action_help = crash
main()
"""


def test_a_crash_exits_with_1_and_keeps_the_draft(tiny_checkpoint: Path, own_data_directory: Path) -> None:
    with Terminal([sys.executable, "-c", CRASHES, *program(tiny_checkpoint)[3:]], XTERM, (100, 30)) as terminal:
        terminal.wait_for(b"ready", SECONDS)
        terminal.write(b"half a mess")
        terminal.rest(1)
        terminal.write(b"\x1bOP")  # F1
        with pytest.raises(EOFError):
            terminal.rest(SECONDS)
        assert terminal.shows(b"varda-chat ended unexpectedly. What you were writing is kept")
        assert terminal.exit_code() == 1
    assert typed_before(own_data_directory) == ["half a mess"]


def test_it_draws_on_stdout_where_stderr_is_redirected(tiny_checkpoint: Path) -> None:
    with Terminal(program(tiny_checkpoint, redirect="2>/dev/null"), XTERM, (100, 30)) as terminal:
        terminal.wait_for(b"ready", SECONDS)
        terminal.write(b"\x11")
        with pytest.raises(EOFError):
            terminal.rest(SECONDS)
        assert terminal.exit_code() == 0


@pytest.mark.parametrize(
    ("term", "redirect"), [("dumb", ""), ("xterm", ">replies 2>/dev/null")], ids=["dumb terminal", "redirected"]
)
def test_where_nothing_can_be_drawn_each_line_is_a_turn(
    term: str, redirect: str, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = os.environ.get("PYTHONPATH") or str(ROOT)
    with Terminal(
        program(tiny_checkpoint, redirect=redirect), {"TERM": term, "PYTHONPATH": path}, (80, 24)
    ) as terminal:
        if not redirect:
            terminal.wait_for(b"> ", SECONDS)
        terminal.write(b"Hello\n/quit\n")
        with pytest.raises(EOFError):
            terminal.rest(SECONDS)
        assert b"\x1b" not in terminal.painted
        assert terminal.exit_code() == 0
    if redirect:
        assert (tmp_path / "replies").read_text()
