"""The chat line by line: messages, commands, what happens to the memory in words, and no control codes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT
from tests.helpers.terminal import Terminal
from varda_chat.config.paths import profile_dir
from varda_chat.memory import MemoryStore
from varda_chat.session.request import Request
from varda_chat.tui.commands import COMMANDS

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
    assert "Forgotten: 1. /undo restores what went, /proof shows the proof." in done.stderr
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


def test_pins_proof_and_incognito(tiny_checkpoint: Path) -> None:
    said = (
        "/proof",
        "/pin",
        "/remember I bake.",
        "/remember I bake bread.",
        "/remember I swim.",
        "/pin bake",
        "1",  # of the two that were listed
        "/pin",
        "/pin bake bread",
        "n",
        "/forget bake",
        "2, 99",
        "/proof",
        "/incognito",
        "/remember Nobody shall know.",
        "/incognito",
        "/remember Everybody may know.",
        "/copy",
    )
    done = plain(tiny_checkpoint, "\n".join(said) + "\n")
    assert done.returncode == 0, done.stderr
    assert "Nothing was forgotten in this session yet." in done.stderr
    assert "Nothing is pinned. /pin TEXT pins what holds TEXT." in done.stdout
    assert "Pin these 2? Type y for all, numbers for some, or anything else to change nothing." in done.stderr
    assert "Pinned: 1." in done.stderr
    assert "1: I bake.\n" in done.stdout
    assert "Nothing was changed." in done.stderr
    assert "Forgotten: 1." in done.stderr
    assert "Forgotten: “I bake bread.”" in done.stdout
    assert "logits were compared" in done.stdout
    assert "Incognito from here on" in done.stderr
    assert "Error: Nothing was stored: this session is incognito." in done.stderr
    assert "No longer incognito" in done.stderr
    assert "Stored: “Everybody may know.”" in done.stderr
    assert "Error: There is no answer to copy yet." in done.stderr


def test_all_that_holds_a_text_is_pinned_and_unpinned(tiny_checkpoint: Path) -> None:
    said = "/remember I bake.\n/remember I bake bread.\n/pin bake\ny\n/pin bake\ny\n/pin\n"
    done = plain(tiny_checkpoint, said)
    assert "Pinned: 2." in done.stderr
    assert "Unpin these 2?" in done.stderr
    assert "Unpinned: 2." in done.stderr
    assert "Nothing is pinned." in done.stdout


def test_saved_sessions_are_listed_resumed_renamed_and_exported(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = plain(tiny_checkpoint, "/sessions\n/rename Tea\n/export\nI drink tea.\n/rename Tea\n/export tea.md\n")
    assert "No sessions yet." in first.stdout
    assert "Error: There is no session to rename yet: say something first." in first.stderr
    assert "Error: There is nothing to export yet: say something first." in first.stderr
    assert "This session is called 'Tea'." in first.stderr
    assert "I drink tea." in (tmp_path / "tea.md").read_text()
    said = ("Hello", "/resume", "/resume tea", "/resume 99", "/resume 1", "/edit", "I drink mate.", "/export", "/retry")
    second = plain(tiny_checkpoint, "\n".join(said) + "\n")
    assert second.returncode == 0, second.stderr
    assert "1 turn   Tea" in second.stdout.replace("turns", "turn ")
    assert "/resume ID resumes one." in second.stdout
    assert "Error: There is no session 99" in second.stderr
    assert "Resumed: Tea" in second.stderr
    assert "you: I drink tea.\n" in second.stdout
    assert "Your last message: “I drink tea.”" in second.stderr
    assert "There is nothing to try again." in second.stderr
    assert "I drink mate." in (tmp_path / "varda-1-Tea.md").read_text()
    assert "I drink tea." not in (tmp_path / "varda-1-Tea.md").read_text()


def test_another_answer_after_a_turn_that_was_cut_off_is_to_the_last_that_was_answered(tiny_checkpoint: Path) -> None:
    plain(tiny_checkpoint, "I drink tea.\n")
    with Request().transcripts() as transcripts:
        transcripts.ask(1, "And now?")
    done = plain(tiny_checkpoint, "/resume 1\n/regenerate\n/edit\nI drink mate.\n")
    assert done.returncode == 0, done.stderr
    assert "you: And now?\nVarda: (no answer)\n" in done.stdout
    assert "Your last message: “I drink tea.”" in done.stderr
    with Request().transcripts() as transcripts:
        assert [(turn.prompt, turn.state) for turn in transcripts.turns(1)] == [
            ("And now?", "open"),
            ("I drink mate.", "done"),
        ]


def test_other_profiles_and_models(tiny_checkpoint: Path, tmp_path: Path) -> None:
    said = (
        "/remember I bake.",
        "/profile work",
        "/memory",
        "/remember I swim.",
        f"/model {tmp_path / 'nothing'}",
        "/memory",
        "/incognito",
        "/profile default",
        "/remember Nobody shall know.",
        "/memory",
        "/profile",
        "/model mini",
        "/remember Nor this.",
    )
    done = plain(tiny_checkpoint, "\n".join(said) + "\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("No memories yet.\n1: you: I swim.\n1: you: I bake.\n"), done.stdout
    assert "default: 1 memory (this one)\nwork: 1 memory\n" in done.stdout
    assert "Error: " in done.stderr
    assert "From here on another model answers: mini." in done.stderr
    assert done.stderr.count("Error: Nothing was stored: this session is incognito.") == 2


def test_a_size_that_was_asked_for_one_memory_shrinks_no_other(tiny_checkpoint: Path, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    own = {}
    for setting in ("", "memory_size = 300\n"):
        file.write_text(setting)
        done = plain(tiny_checkpoint, "/profile work\n/memory\n", "--memory-size", "2", "--config", str(file))
        assert done.returncode == 0, done.stderr
        for name in ("default", "work"):
            with MemoryStore.open_records(profile_dir(name), read_only=True) as store:
                own[name, setting] = store.capacity
    assert own["default", ""] == own["default", "memory_size = 300\n"] == 2
    assert own["work", ""] > 300
    assert own["work", "memory_size = 300\n"] == 300, "what the settings say counts for every memory"


def test_incognito_by_the_flag_is_ended(tiny_checkpoint: Path) -> None:
    said = "/remember Nobody shall know.\n/incognito\n/remember I bake.\nHello\n/sessions\n"
    done = plain(tiny_checkpoint, said, "--incognito")
    assert done.returncode == 0, done.stderr
    assert "Error: Nothing was stored: this session is incognito." in done.stderr
    assert "Stored: “I bake.”" in done.stderr
    assert "Hello (this one)" in done.stdout


def test_the_commands_are_those_of_the_screen_but_for_what_is_drawn(tiny_checkpoint: Path) -> None:
    done = plain(tiny_checkpoint, "/help\n")
    missing = {each.name for each in COMMANDS if f"{each.usage}: {each.help}\n" not in done.stdout}
    assert missing == {"editor", "map", "panel", "theme", "keys", "settings"}


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
