"""The app around the chat: keys, commands, clipboard, themes, opening and closing."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from textual import events
from textual.command import CommandPalette

from tests.helpers.tui.driver import (
    WIDE,
    ask,
    chat_of,
    composer,
    make_app,
    notices,
    say,
    status,
    text_of,
    toasts,
    wait_for_state,
    wait_until,
)
from tests.helpers.tui.scripted import Line, ScriptedSession
from varda_chat.config.defaults import LOADING_MINI
from varda_chat.errors import StorageError, VardaError
from varda_chat.session.session import ChatSession
from varda_chat.tui.clipboard import copy_natively, native_command
from varda_chat.tui.screens.chat import ChatScreen
from varda_chat.tui.screens.help import HelpScreen
from varda_chat.tui.state import ChatState
from varda_chat.tui.widgets.composer import Composer


async def test_first_run_explains_itself(profile_dir: Path) -> None:
    app = make_app(ScriptedSession(), profile_dir, first_run=True)
    async with app.run_test(size=(160, 36)) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        screen = text_of(pilot)
        for words in (
            "still know tomorrow",
            "no network",
            "--reset-memory",
            "8.2M",
            "may be wrong",
            "F1",
            "Try it: tell me",
        ):
            assert words in screen
        assert str(profile_dir) in re.sub(r"[\s│]|MEMORY.*", "", screen)  # it may take two lines


@pytest.mark.parametrize("size", [(40, 20), (40, 15), (80, 24), (120, 40)])
async def test_what_a_newcomer_may_try_is_in_sight(size: tuple[int, int], home_profile: Path) -> None:
    app = make_app(ScriptedSession(), home_profile, first_run=True)
    async with app.run_test(size=size) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        screen = re.sub(r"[\s│]+|▇|MEMORY.*", " ", text_of(pilot))
        assert "still know tomorrow" in screen
        assert "Try it: tell me My favourite tea is Assam. Then type /new and ask me." in screen


async def test_notices_and_marks_of_the_session_are_shown(profile_dir: Path) -> None:
    session = ScriptedSession(notices=["The index was rebuilt."], incognito=True, read_only=True)
    async with make_app(session, profile_dir, incognito=True).run_test(size=WIDE) as pilot:
        await wait_until(pilot, lambda: notices(pilot))
        assert notices(pilot) == ["The index was rebuilt."]
        assert "incognito" in status(pilot)
        assert "read-only" in status(pilot)
        assert "profile default" in status(pilot)


@pytest.mark.parametrize("falls_back", [False, True], ids=["VARDA_CHAT_MODEL", "no base"])
async def test_the_model_that_is_loading_is_named(
    falls_back: bool, profile_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads, session = threading.Event(), ScriptedSession()
    if not falls_back:
        monkeypatch.setenv("VARDA_CHAT_MODEL", "mini")

    def open_session(on_progress: Callable[[str, float], None]) -> ChatSession:
        on_progress(LOADING_MINI if falls_back else "loading the model", 0.5)
        loads.wait(60)
        return session.opener()(on_progress)

    async with make_app(open_session, profile_dir).run_test(size=WIDE) as pilot:
        try:
            await wait_until(pilot, lambda: "50%" in status(pilot))
            assert "model mini" in status(pilot)
        finally:
            loads.set()
        await wait_for_state(pilot, ChatState.READY)


@pytest.mark.parametrize("way", ["f1", "/help"])
async def test_help_opens_and_closes(way: str, profile_dir: Path) -> None:
    async with make_app(ScriptedSession(), profile_dir).run_test(size=(120, 60)) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        if way.startswith("/"):
            await say(pilot, way)
        else:
            await pilot.press(way)
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, HelpScreen))
        assert "save the memory and quit" in text_of(pilot)
        await pilot.press("escape")
        await wait_until(pilot, lambda: pilot.app.screen is chat_of(pilot).chat)
        assert pilot.app.focused is composer(pilot)


async def test_the_last_answer_is_copied(profile_dir: Path) -> None:
    app = make_app(ScriptedSession([Line(("It is **Rimba**.",))]), profile_dir)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await say(pilot, "/copy")
        assert "no answer" in toasts(pilot)[-1]
        await ask(pilot, "Hello")
        await pilot.press("ctrl+y")
        assert pilot.app.clipboard == "It is **Rimba**."


async def test_a_selection_is_copied_by_control_c(profile_dir: Path) -> None:
    async with make_app(ScriptedSession(), profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        composer(pilot).put("take this")
        await pilot.press("f7", "ctrl+c")
        assert pilot.app.clipboard == "take this"


async def test_commands(profile_dir: Path) -> None:
    session = ScriptedSession()
    async with make_app(session, profile_dir).run_test(size=WIDE, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await say(pilot, "/retry")
        assert "nothing to try again" in toasts(pilot)[-1]
        await say(pilot, "/dance")
        assert "no command /dance" in toasts(pilot)[-1]
        assert composer(pilot).text == "/dance"
        await ask(pilot, "/usr/bin is a folder")
        assert session.prompts == ["/usr/bin is a folder"]
        composer(pilot).clear()
        await pilot.press(*"/pan", "tab")
        assert composer(pilot).text == "/panel"
        await pilot.press("enter")
        assert chat_of(pilot).chat.has_class("-panel-closed")


async def test_the_command_palette_knows_our_commands(profile_dir: Path) -> None:
    async with make_app(ScriptedSession(), profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await pilot.press("ctrl+p")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, CommandPalette))
        await wait_until(pilot, lambda: "Memory panel" in text_of(pilot))
        await pilot.press("escape")


@pytest.mark.parametrize("way", ["ctrl+q", "/quit"])
async def test_quitting_stops_the_answer_and_closes_the_session(way: str, profile_dir: Path) -> None:
    session = ScriptedSession([Line(("So far", "…"), hold=threading.Event())])
    async with make_app(session, profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await say(pilot, "Tell me a story")
        await wait_until(pilot, lambda: "So far" in text_of(pilot))
        if way.startswith("/"):
            await say(pilot, way)
        else:
            await pilot.press("f1", way)
        await wait_until(pilot, lambda: pilot.app.return_code is not None)
    assert session.closed == 1


async def test_quitting_while_loading_closes_what_was_opened(profile_dir: Path) -> None:
    gate, session = threading.Event(), ScriptedSession()

    def open_slowly(on_progress: Callable[[str, float], None]) -> ChatSession:
        assert gate.wait(10)
        return cast("ChatSession", session)

    async with make_app(open_slowly, profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.LOADING)
        await pilot.press("ctrl+q")
        await wait_until(pilot, lambda: "saving memory" in status(pilot))
        gate.set()
        await wait_until(pilot, lambda: pilot.app.return_code is not None)
    assert session.closed == 1


async def test_a_failed_saving_is_told_after_the_screen_is_gone(
    profile_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = ScriptedSession(close_error=StorageError("The disk [/x] is full."))
    async with make_app(session, profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await pilot.press("ctrl+q")
        await wait_until(pilot, lambda: pilot.app.return_code is not None)
    assert pilot.app.return_code == 1
    assert "The disk [/x] is full." in capsys.readouterr().err


async def test_the_session_is_closed_however_the_app_ends(profile_dir: Path) -> None:
    session = ScriptedSession()
    async with make_app(session, profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
    assert session.closed == 1


@pytest.mark.parametrize("theme", ["varda-light", "textual-dark", "nord", "ansi-dark"])
async def test_themes(theme: str, profile_dir: Path) -> None:
    async with make_app(ScriptedSession(), profile_dir, theme=theme).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await ask(pilot, "Hello")
        assert pilot.app.theme == theme


def test_an_unknown_theme_is_refused(profile_dir: Path) -> None:
    with pytest.raises(VardaError, match="no theme 'mauve'"):
        make_app(ScriptedSession(), profile_dir, theme="mauve")


async def test_no_color(profile_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with make_app(ScriptedSession(), profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await ask(pilot, "Hello")
        assert pilot.app.no_color
        strips = [
            strip.apply_filter(line_filter, pilot.app.screen.background_colors[1])
            for strip in pilot.app.screen._compositor.render_strips()
            for line_filter in pilot.app._filters
        ]
        colours = {
            segment.style.color.triplet
            for strip in strips
            for segment in strip
            if segment.style is not None and segment.style.color is not None
        }
        assert all(c is None or c.red == c.green == c.blue for c in colours)


FIRST_PAINT = """
import asyncio, sys, threading
from pathlib import Path
from varda_chat.session.request import Request
from varda_chat.tui.app import VardaApp

hold = threading.Event()
def never(on_progress):
    hold.wait(20)
    raise RuntimeError("no session in this test")

async def main():
    app = VardaApp(Request("default", Path(sys.argv[1])), never)
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.press(*"Hello", "enter", "f1", "escape", "ctrl+p", "escape")
        await pilot.pause()
        heavy = {"torch", "transformers", "faiss", "numpy", "varda_chat.session.session"}
        print("heavy:", sorted(heavy & set(sys.modules)))
        hold.set()
asyncio.run(main())
"""


def test_the_first_paint_imports_nothing_heavy(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FIRST_PAINT, str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "heavy: []", done.stderr


def test_the_native_clipboard_is_the_one_that_is_there() -> None:
    def everything(name: str) -> str:
        return f"/bin/{name}"

    assert native_command({}, everything, "darwin") == ["/bin/pbcopy"]
    assert native_command({"WAYLAND_DISPLAY": "w", "DISPLAY": ":0"}, everything, "linux") == ["/bin/wl-copy"]
    assert native_command({"DISPLAY": ":0"}, everything, "linux") == ["/bin/xclip", "-selection", "clipboard"]
    only_xsel = {"xsel": "/bin/xsel"}.get
    assert native_command({"DISPLAY": ":0"}, only_xsel, "linux") == ["/bin/xsel", "--clipboard", "--input"]
    assert native_command({"WSL_DISTRO_NAME": "d"}, everything, "linux") == ["/bin/clip.exe"]
    assert native_command({}, everything, "linux") is None


def test_copying_natively(tmp_path: Path) -> None:
    target = tmp_path / "clipboard"
    assert copy_natively("Größe ✦", [sys.executable, "-c", _TAKE.format(target=str(target))])
    assert target.read_text("utf-8") == "Größe ✦"
    assert not copy_natively("text", [str(tmp_path / "missing")])


_TAKE = "import sys, pathlib; pathlib.Path({target!r}).write_bytes(sys.stdin.buffer.read())"


async def test_a_long_notice_covers_nothing_that_one_writes(profile_dir: Path) -> None:
    async with make_app(ScriptedSession(), profile_dir).run_test(size=(40, 20), notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        field = chat_of(pilot).chat.query_one(Composer)
        for text in ("Short.", "Forgotten: “My dog is called Rimba.” F8 brings it back, Alt+P shows the proof."):
            pilot.app.notify(text, timeout=1.0)
            await wait_until(pilot, lambda text=text: text[-6:] in text_of(pilot))  # type: ignore[misc]
            toast = chat_of(pilot).chat.query("Toast").last()
            assert field.region.bottom <= toast.region.y
        await wait_until(pilot, lambda: field.region.bottom == 19)


async def test_keys_that_come_before_the_first_screen_is_made_do_no_harm(
    profile_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = ChatScreen._compose
    early = ("f1", "f2", "f3", "f6", "f9", "ctrl+n", "alt+p", "alt+left", "ctrl+p", "ctrl+q", "escape")

    async def make_late(chat: ChatScreen) -> None:
        for key in early:
            await chat.app.on_event(events.Key(key, None))
        await make(chat)

    monkeypatch.setattr(ChatScreen, "_compose", make_late)
    session = ScriptedSession()
    async with make_app(session, profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await ask(pilot, "Hello")
        assert session.prompts == ["Hello"]
