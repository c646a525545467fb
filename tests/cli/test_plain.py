"""The chat line by line: messages, commands, what happens to the memory in words, and no control codes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT
from tests.helpers.terminal import Terminal

SECONDS = 120


def plain(checkpoint: Path, text: str, *flags: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "varda_chat", "--plain", "--checkpoint", str(checkpoint), "--temperature", "0"]
    return subprocess.run(
        [*line, "--max-new-tokens", "6", *flags], input=text, capture_output=True, text=True, timeout=SECONDS
    )


def test_commands_and_messages_on_a_pipe(tiny_checkpoint: Path) -> None:
    said = (
        "/help",
        "/memory",
        "/why",
        "/undo",
        "/remember My dog is called Rimba.",
        "/remember I live in Lisbon.",
        "/memory rimba",
        "/set temperature 0.9",
        "/set colour 3",
        "/forget",
        "/forget nobody",
        "/forget rimba",
        "n",
        "/forget rimba",
        "y",
        "/memory rimba",
        "/undo",
        "/memory rimba",
        "/theme nord",
        "/regenrate",
        "",
        "What is my dog called?",  # last: a model of chance weights may delete anything on it
        "/why",
        "/regenerate",
        "/new",
        "/quit",
        "never answered",
    )
    done = plain(tiny_checkpoint, "\n".join(said) + "\n")
    assert done.returncode == 0, done.stderr
    assert "/forget TEXT: choose what goes, then forget it" in done.stdout
    assert "/theme" not in done.stdout
    assert "No memories yet." in done.stdout
    assert "There is nothing to undo." in done.stderr
    assert "Stored: “My dog is called Rimba.”" in done.stderr
    assert "you: My dog is called Rimba." in done.stdout
    assert "temperature is 0.9 in this session." in done.stderr
    assert "There is nothing called 'colour' to set; there is temperature (0 to 10)," in done.stderr
    assert "Nothing was forgotten." in done.stderr
    assert "Forgotten: 1. /undo restores what went." in done.stderr
    assert "No memory holds 'rimba'." in done.stdout
    assert "Back in memory: “My dog is called Rimba.”" in done.stderr
    assert "/theme is for the chat on a whole screen." in done.stderr
    assert "There is no command /regenrate." in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_what_goes_wrong_is_told_and_the_chat_goes_on(tiny_checkpoint: Path) -> None:
    done = plain(tiny_checkpoint, "/remember I bake.\n/set temperature 99\nHello\n", "--incognito")
    assert done.returncode == 0, done.stderr
    assert "Error: Nothing was stored: this session is incognito." in done.stderr
    assert "Error: temperature must be a number, 0 to 10, not '99'. Also to set: top_p" in done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("flags", [("-p", "Hello"), ("--json",)])
def test_it_goes_with_no_other_way_to_answer(flags: tuple[str, ...], tiny_checkpoint: Path) -> None:
    done = plain(tiny_checkpoint, "", *flags)
    assert done.returncode == 2
    assert "--plain does not go with" in done.stderr


def test_it_is_there_in_a_terminal_that_could_draw(tiny_checkpoint: Path) -> None:
    line = [sys.executable, "-m", "varda_chat", "--plain", "--checkpoint", str(tiny_checkpoint)]
    path = os.environ.get("PYTHONPATH") or str(ROOT)
    with Terminal(line, {"TERM": "xterm-256color", "PYTHONPATH": path}, (80, 24)) as terminal:
        terminal.wait_for(b"> ", SECONDS)
        terminal.write(b"/remember I live in Lisbon.\n")
        terminal.wait_for("Stored: “I live in Lisbon.”".encode(), SECONDS)
        terminal.write(b"/quit\n")
        with pytest.raises(EOFError):
            terminal.rest(SECONDS)
        assert b"\x1b" not in terminal.painted
        assert terminal.exit_code() == 0
