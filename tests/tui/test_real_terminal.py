"""The real program in a real terminal: keys, mouse, sizes, the clipboard's sequence and NO_COLOR, as bytes."""

from __future__ import annotations

import base64
import re
import sys
from pathlib import Path

import pytest

from tests.helpers.terminal import Terminal

SECONDS = 60
COLOUR = re.compile(rb"[34]8;2;(\d+);(\d+);(\d+)(?=[;m])")  # whole: what was read may end within one


def coloured(painted: bytes) -> bool:
    """Whether any colour but a grey is painted."""
    return any(len(set(each)) > 1 for each in COLOUR.findall(painted))


@pytest.mark.parametrize("no_color", [False, True], ids=["colours", "no colours"])
def test_a_conversation_in_a_terminal(no_color: bool, tiny_checkpoint: Path, own_data_directory: Path) -> None:
    flags = ("--checkpoint", str(tiny_checkpoint), "--temperature", "0", "--max-new-tokens", "6")
    environment = {"TERM": "xterm-256color", "COLORTERM": "truecolor"} | ({"NO_COLOR": "1"} if no_color else {})
    with Terminal([sys.executable, "-m", "varda_chat", *flags], environment, (100, 30)) as terminal:
        terminal.wait_for(b"ready", SECONDS)
        assert coloured(terminal.painted) is not no_color
        terminal.write(b"I live in Lisbon.\r")
        terminal.wait_for(b"tokens/s", SECONDS)
        terminal.write(b"/copy\r")
        terminal.wait_for(b"\x1b]52;c;", SECONDS)
        copied = terminal.painted.partition(b"\x1b]52;c;")[2].partition(b"\x07")[0]
        assert base64.b64decode(copied).decode()
        terminal.write(b"\x1bOQ")  # F2
        terminal.resize((40, 20))
        terminal.wait_for(b" in memory", SECONDS)
        terminal.write(b"\x1b[<64;10;5M\x1b[<0;10;18M\x1b[<0;10;18m")  # the wheel, then a click on the composer
        terminal.write(b"/help\r")
        terminal.wait_for(b"KEYS", SECONDS)
        terminal.write(b"\x1b")
        terminal.wait_for(b"Varda", SECONDS)
        terminal.write(b"\x11")  # Ctrl+Q
        with pytest.raises(EOFError, match=r"the program ended"):
            terminal.rest(SECONDS)
        assert terminal.shows(b"\x1b[?1049l"), "the terminal is as it was"
    assert (own_data_directory / "profiles" / "default" / "memory.db").exists()
