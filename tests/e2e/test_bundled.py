"""The promise, kept by the bundled model: told in one process, known in the next, gone after a reset."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.tui.driver import ask, make_app, text_of, wait_for_state
from varda_chat import ChatSession
from varda_chat.config import paths
from varda_chat.config.defaults import GenerationSettings
from varda_chat.memory.maintenance import peek
from varda_chat.tui.state import ChatState

TOLD, ASKED = "My dog is called Rimba.", "What is my dog called?"
GREEDY = GenerationSettings(temperature=0.0)


def turn(prompt: str, *flags: str) -> dict[str, Any]:
    """One turn in a process of its own."""
    line = [sys.executable, "-m", "varda_chat", "-p", prompt, "--json", "--temperature", "0", *flags]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_told_in_one_process_known_in_the_next_and_gone_after_a_reset() -> None:
    told = turn(TOLD)
    assert [s["text"] for s in told["stored"]] == [TOLD]
    asked = turn(ASKED)
    assert "Rimba" in asked["reply"]
    assert asked["recalled"][0]["text"] == TOLD
    reset = [sys.executable, "-m", "varda_chat", "--reset-memory", "--yes"]
    assert subprocess.run(reset, capture_output=True, timeout=60, check=False).returncode == 0
    after = turn(ASKED)
    assert "Rimba" not in after["reply"]
    assert after["recalled"] == []


def test_what_was_printed_survives_kill_9() -> None:
    """The first process is killed as soon as its JSON line is out; it never closes its memory."""
    process = subprocess.Popen(
        [sys.executable, "-m", "varda_chat", "--json", "--temperature", "0"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(TOLD + "\n")
    process.stdin.flush()
    told = json.loads(process.stdout.readline())
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdin.close()
    process.stdout.close()
    assert told["stored"]
    assert "Rimba" in turn(ASKED)["reply"]


def test_incognito_reads_but_does_not_write() -> None:
    turn(TOLD)
    held = peek(paths.profile_dir("default")).vectors
    asked = turn(ASKED, "--incognito")
    assert "Rimba" in asked["reply"]
    turn("My cat is called Gugedrund.", "--incognito")
    assert peek(paths.profile_dir("default")).vectors == held


def test_correction_and_small_talk_with_the_python_api(tmp_path: Path) -> None:
    with ChatSession.open(tmp_path / "life", generation=GREEDY) as session:
        session.reply(TOLD)
        session.reply("Actually, my dog is called Mira now.")
        assert session.reply("Hello!").reply.startswith(("Hello", "Hi", "Hey"))
        answer = session.reply("How are you?").reply
        assert len(answer.split()) >= 3
        assert answer[-1] in ".!?"
    with ChatSession.open(tmp_path / "life", generation=GREEDY) as session:
        assert "Mira" in session.reply(ASKED).reply


@pytest.mark.timeout(240)
async def test_in_the_app_a_fact_crosses_from_one_run_to_the_next(tmp_path: Path) -> None:
    directory = tmp_path / "profile"

    def open_session(on_progress: Any) -> ChatSession:
        return ChatSession.open(directory, generation=GREEDY, on_progress=on_progress)

    async with make_app(open_session, directory, first_run=True).run_test(size=(120, 36)) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await ask(pilot, TOLD)
        screen = text_of(pilot)
        assert "+ " + TOLD in screen, screen
        assert f"+ “{TOLD}”" in screen
    async with make_app(open_session, directory).run_test(size=(120, 36)) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        answer = await ask(pilot, ASKED)
        assert "Rimba" in answer.text
        screen = text_of(pilot)
        assert "RECALLED" in screen.upper()
        assert TOLD in screen
