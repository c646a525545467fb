"""Writing: sending, new lines, pasting, and the history behind the Up key."""

from __future__ import annotations

import json
import stat
import sys
import time
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest
from textual import events
from textual.pilot import Pilot

from tests.helpers.tui.driver import WIDE, ask, composer, make_app, say, text_of, toasts, wait_for_state, wait_until
from tests.helpers.tui.scripted import ScriptedSession
from varda_chat.tui.app import VardaApp
from varda_chat.tui.commands import COMMANDS, find, matching, nearest, parse
from varda_chat.tui.controllers import history
from varda_chat.tui.controllers.history import FILE_NAME, InputHistory
from varda_chat.tui.state import ChatState


@pytest.mark.parametrize("key", ["ctrl+j", "shift+enter"])
async def test_enter_sends_and_other_keys_break_the_line(key: str, profile_dir: Path) -> None:
    session = ScriptedSession()
    async with make_app(session, profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await pilot.press("enter", "space", "enter", "a", key, "b", "enter")
        await wait_until(pilot, lambda: session.prompts)
        assert session.prompts == ["a\nb"]
        assert composer(pilot).text == ""


async def test_a_paste_is_cleaned(profile_dir: Path) -> None:
    async with make_app(ScriptedSession(), profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        pilot.app.post_message(events.Paste("one\r\n\x1b[31mtwo\x1b]52;c;x\x07 [/x]" + "\nmore" * 12))
        await wait_until(pilot, lambda: composer(pilot).text)
        assert composer(pilot).text.startswith("one\ntwo [/x]\nmore")
        assert composer(pilot).size.height <= 10


async def test_a_large_paste_is_one_label_until_it_is_sent_or_shown(profile_dir: Path) -> None:
    session = ScriptedSession()
    pasted = "\n".join(f"line {n} [pasted 214 lines]" for n in range(214))
    async with make_app(session, profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await pilot.press(*"see:", "space")
        pilot.app.post_message(events.Paste(pasted))
        pilot.app.post_message(events.Paste(pasted + "!"))
        await wait_until(pilot, lambda: "214 lines, 2" in composer(pilot).text)
        assert composer(pilot).text == "see: [pasted 214 lines][pasted 214 lines, 2]"
        await pilot.press("enter")
        await wait_until(pilot, lambda: session.prompts)
        assert session.prompts == [f"see: {pasted}{pasted}!"]
        assert "more lines" in text_of(pilot)
        pilot.app.post_message(events.Paste(pasted))
        await wait_until(pilot, lambda: composer(pilot).text)
        await pilot.press("ctrl+o")
        assert composer(pilot).text == pasted


async def test_a_label_that_was_deleted_is_no_longer_to_be_shown(profile_dir: Path) -> None:
    async with make_app(ScriptedSession(), profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        pilot.app.post_message(events.Paste("\n".join(f"line {n}" for n in range(214))))
        await wait_until(pilot, lambda: "show what was pasted" in text_of(pilot))
        await pilot.press("ctrl+u")
        await wait_until(pilot, lambda: "show what was pasted" not in text_of(pilot))
        assert "/ commands" in text_of(pilot)


async def test_a_megabyte_on_one_line_is_pasted_and_sent_quickly(profile_dir: Path) -> None:
    session = ScriptedSession()
    async with make_app(session, profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        started = time.perf_counter()
        pilot.app.post_message(events.Paste("x" * 1_000_000))
        await wait_until(pilot, lambda: composer(pilot).text)
        await pilot.press("enter")
        await wait_until(pilot, lambda: session.prompts)
        print(f"a megabyte pasted and sent in {time.perf_counter() - started:.2f} s")
        assert len(session.prompts[0]) == 1_000_000
        await pilot.press("up")
        assert composer(pilot).text == ""  # too long for the history of what was typed


def told(pilot: Pilot[None], line: str) -> bool:
    """Whether the last notice says ``line``."""
    return line in toasts(pilot)[-1]


async def test_the_editor_writes_the_message(
    profile_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "editor.py"
    script.write_text(
        "import sys, pathlib; p = pathlib.Path(sys.argv[1]); p.write_text(p.read_text() + ' and \\x1b[2Jmore\\n')"
    )
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", f"{sys.executable} {script}")
    async with make_app(ScriptedSession(), profile_dir).run_test(size=WIDE, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await pilot.press(*"this", "ctrl+g")
        assert "cannot be opened from here" in toasts(pilot)[-1]  # the test's terminal cannot step aside
        monkeypatch.setattr(pilot.app, "suspend", nullcontext)
        await pilot.press("ctrl+g")
        await wait_until(pilot, lambda: composer(pilot).text == "this and more")
        for broken, line in (("false", "code 1"), ("/no/such/editor", "could not be started"), ("'", "understood")):
            monkeypatch.setenv("EDITOR", broken)
            await pilot.press("ctrl+g")
            await wait_until(pilot, partial(told, pilot, line))
            assert composer(pilot).text == "this and more"


async def test_history_walks_at_the_edges_and_keeps_the_draft(profile_dir: Path) -> None:
    async with make_app(ScriptedSession(), profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await ask(pilot, "first")
        await ask(pilot, "second\nline")
        await pilot.press("d", "up")
        assert composer(pilot).text == "second\nline"
        await pilot.press("up")
        assert composer(pilot).text == "second\nline"
        await pilot.press("up")
        assert composer(pilot).text == "first"
        await pilot.press("up")
        assert composer(pilot).text == "first"
        await pilot.press("down", "down")
        assert composer(pilot).text == "d"


async def test_history_comes_back_and_is_private(profile_dir: Path) -> None:
    async with make_app(ScriptedSession(), profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await ask(pilot, "remember this")
    file = profile_dir / FILE_NAME
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(profile_dir.stat().st_mode) == 0o700
    async with make_app(ScriptedSession(), profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await pilot.press("up")
        assert composer(pilot).text == "remember this"


async def test_incognito_writes_no_history(profile_dir: Path) -> None:
    session = ScriptedSession(incognito=True)
    async with make_app(session, profile_dir, incognito=True).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await ask(pilot, "secret")
        await pilot.press("up")
        assert composer(pilot).text == "secret"
    assert not profile_dir.exists()


async def test_history_that_cannot_be_written_is_told_and_the_message_sent(tmp_path: Path) -> None:
    (tmp_path / "profiles").write_text("")  # where a directory should be
    session = ScriptedSession()
    app = make_app(session, tmp_path / "profiles" / "default")
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await say(pilot, "Hello")
        await wait_until(pilot, lambda: session.prompts)
        assert "history could not be saved" in toasts(pilot)[0]


def test_history_file_is_bounded_and_bad_lines_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MAX_ENTRIES", 3)
    file = tmp_path / FILE_NAME
    lines = [json.dumps({"text": f"entry {n}"}) for n in range(7)]
    file.write_text("\n".join([*lines, "{broken", '["list"]', '{"text": 5}', '{"text": "\\u001b[31mlast"}']))
    past = InputHistory(file)
    past.load()
    assert past.older("") == "last"
    assert past.older("") is None
    assert len(file.read_text().splitlines()) == 1


def test_a_repeat_is_kept_once(tmp_path: Path) -> None:
    past = InputHistory(tmp_path / FILE_NAME)
    for text in ("a", "a", "b"):
        past.add(text)
    assert [past.older(""), past.older(""), past.older("")] == ["b", "a", None]
    assert len((tmp_path / FILE_NAME).read_text().splitlines()) == 2


def test_what_is_a_command() -> None:
    assert parse("/help") == ("help", "")
    assert parse("/Quit ") == ("quit", "")
    assert parse("/dance") == ("dance", "")
    assert parse("/usr/bin is a folder") is None
    assert parse("/remember  My dog\nis Rimba. ") == ("remember", "My dog\nis Rimba.")
    assert parse("no /help") is None
    assert find("HELP") is COMMANDS[0]
    assert [command.name for command in matching("/he")] == ["help", "theme"]
    assert matching("/") == COMMANDS
    assert matching("/help me") == matching("text") == matching("/zzz") == ()
    assert nearest("regenrate") == "regenerate"
    assert nearest("qqqq") is None


def test_every_command_is_named_once_and_explained(profile_dir: Path) -> None:
    chat = make_app(ScriptedSession(), profile_dir).chat
    assert len({command.name for command in COMMANDS}) == len(COMMANDS)
    for command in COMMANDS:
        assert command.help
        owner, _, action = command.handler.partition(".")
        if owner == "app":
            assert hasattr(VardaApp, f"action_{action}")
        else:
            assert callable(chat.commands.act_of(command))
