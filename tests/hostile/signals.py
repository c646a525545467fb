"""SIGTERM, SIGHUP and SIGQUIT at any moment: the terminal is as it was, nothing acknowledged is lost, no traceback."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from tests.helpers.hostile import run, three_statements
from tests.helpers.paths import ROOT
from tests.helpers.purges import told
from tests.helpers.terminal import Terminal, hear_signals
from tests.hostile.attacks import Attack, Tries
from varda_chat.memory import MemoryStore, verify
from varda_chat.transcripts import Transcripts
from varda_chat.tui.controllers.history import InputHistory

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
SECONDS = 60
ENVIRONMENT = {"TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}
CHAT = [sys.executable, "-m", "varda_chat", "--temperature", "0", "--max-new-tokens", "12"]
ENTERED = b"\x1b[?1049h"
RESTORED = (b"\x1b[?1049l", b"\x1b[?25h", b"\x1b[?1003l", b"\x1b[?2004l")
MOMENTS = ("starting", "drawn", "writing", "answered", "answering", "leaving")


def said(directory: Path) -> set[str]:
    with Transcripts.open(directory, read_only=True) as transcripts:
        return {turn.prompt for session in transcripts.sessions() for turn in transcripts.turns(session.id)}


def _app(work: Path, tries: int) -> Tries:
    """The chat in a pseudo-terminal, at each of the moments with each of the signals."""
    rng, directory = random.Random(6), work / "home" / "profiles" / "default"
    acknowledged: set[str] = set()
    for number in range(tries):
        moment, sent = MOMENTS[number % len(MOMENTS)], SIGNALS[(number + number // len(MOMENTS)) % len(SIGNALS)]
        with Terminal(CHAT, ENVIRONMENT, (100, 30)) as terminal:
            _bring_to(terminal, moment, f"I have {number + 2} cats.", rng)
            if moment == "answered":
                acknowledged.add(f"I have {number + 2} cats.")
            os.kill(terminal.pid, sent)
            try:
                terminal.rest(SECONDS)
            except EOFError:
                pass
            else:
                raise TimeoutError(f"it goes on after {sent.name} while {moment}: {terminal.last_words()}")
            code, painted = terminal.exit_code(), terminal.painted
        assert b"Traceback" not in painted, painted[-2000:]
        if moment != "starting" or ENTERED in painted:
            missing = [each for each in RESTORED if each not in painted]
            assert missing == [], f"{sent.name} while {moment}: the terminal still lacks {missing}, exit code {code}"
        early = -sent if moment in ("starting", "leaving") else 128 + sent
        assert code in (128 + sent, early, *([0] if moment == "leaving" else [])), f"{sent.name} {moment}: {code}"
        if moment == "writing":
            history = InputHistory(directory / "history.jsonl")
            history.load()
            assert history.older("") == f"half a message {number + 2}", "the draft is gone"
        if (directory / "memory.db").exists():
            assert verify(directory) == ()
        assert not acknowledged or acknowledged <= said(directory)
        yield


def _bring_to(terminal: Terminal, moment: str, message: str, rng: random.Random) -> None:
    """Go on to the moment; what was painted since then is kept."""
    if moment == "starting":
        terminal.rest(rng.uniform(0.0, 2.0))
        return
    if moment == "drawn":
        terminal.wait_for(ENTERED, SECONDS)
        terminal.rest(rng.uniform(-0.5, 0.5))  # in half of the tries at once, before anything is mounted
        return
    terminal.wait_for(b"ready", SECONDS)
    if moment == "writing":
        terminal.write(f"half a message {message.split()[2]}".encode())
        terminal.rest(1.5)
    elif moment == "leaving":
        terminal.write(b"\x11")
        with suppress(EOFError):  # a quick machine has left by then
            terminal.rest(rng.uniform(0.0, 0.3))
    else:
        terminal.write(message.encode() + b"\r")
        if moment == "answered":
            terminal.wait_for(b"tokens/s", SECONDS)
            terminal.rest(0.5)
        else:
            terminal.rest(rng.uniform(0.0, 0.8))


COMMANDS = (
    ("memory", "import", "more.jsonl"), ("memory", "export", "out.jsonl"), ("memory", "backup"),
    ("memory", "forget", "3", "--yes"), ("memory", "verify"), ("memory", "index", "graph"), ("-p", "I have a dog."),
)  # fmt: skip


def _commands(work: Path, tries: int) -> Tries:
    """Commands in processes of their own, the signal at any moment of what they take."""
    rng, directory = random.Random(7), work / "home" / "profiles" / "default"
    with MemoryStore.open_records(directory.with_name("other")) as store:
        store.importing.add(told(f"fact {number}", number) for number in range(2000))
    assert run("memory", "export", work / "more.jsonl", "--profile", "other").exit_code == 0
    takes = dict.fromkeys(COMMANDS, 3.0)
    three_statements(directory)
    for number in range(tries):
        command, sent = COMMANDS[number % len(COMMANDS)], SIGNALS[number // len(COMMANDS) % len(SIGNALS)]
        before = _texts(directory)
        begun = time.monotonic()
        with subprocess.Popen(
            [sys.executable, "-m", "varda_chat", *command],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ | ENVIRONMENT,
            preexec_fn=hear_signals,
        ) as process:  # fmt: skip
            try:
                process.wait(rng.uniform(0.0, takes[command]))
                takes[command] = (takes[command] + time.monotonic() - begun) / 2
            except subprocess.TimeoutExpired:
                process.send_signal(sent)
            _, errors = process.communicate(timeout=SECONDS)
        assert b"Traceback" not in errors, errors.decode()
        assert process.returncode in (0, -sent, 128 + sent), (command, process.returncode, errors)
        assert verify(directory) == ()
        now = _texts(directory)
        gone, added = set(before) - set(now), [text for text in now if text not in before]
        assert gone <= ({"Tea at five."} if command[1] == "forget" else set())
        assert added == ([f"fact {each}" for each in range(len(added))] if command[1] == "import" else added)
        if command[1] == "import" and process.returncode == 0:
            assert len(added) == 2000
        if command[1] == "export" and (work / "out.jsonl").exists():
            assert run("memory", "import", work / "out.jsonl", "--profile", f"p{number}").exit_code == 0
            assert _texts(directory.with_name(f"p{number}")) == before
            (work / "out.jsonl").unlink()
        if len(now) > 3 or len(now) < 3:
            assert run("--reset-memory", "--yes", "--purge").exit_code == 0
            three_statements(directory)
        yield


def _texts(directory: Path) -> list[str]:
    with MemoryStore.open_records(directory) as store:
        return [each.text for each in store.statements(newest_first=False)]


ATTACKS = (
    Attack("TERM, HUP or QUIT to the chat in a terminal", _app, 36),
    Attack("TERM, HUP or QUIT to a command at work", _commands, 70),
)
