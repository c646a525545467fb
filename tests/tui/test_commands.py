"""Slash commands: the menu that completes them, what a mistyped one gets, copying, themes, the palette."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.command import CommandPalette
from textual.events import Key
from textual.widgets.markdown import MarkdownFence

from tests.helpers.tui.driver import (
    WIDE,
    answers,
    ask,
    chat_of,
    command,
    composer,
    make_app,
    say,
    text_of,
    toasts,
    wait_for_state,
    wait_until,
)
from tests.helpers.tui.scripted import Line, ScriptedSession
from varda_chat.tui.state import ChatState
from varda_chat.tui.widgets.command_menu import CommandMenu

CODE = "Look:\n\n```python\nprint('[/x]')\n```\n\nand\n\n```\nlast = 1\n```"


def offered(menu: CommandMenu) -> list[str]:
    """The names in the menu; none while it is closed."""
    return [str(option.prompt).split()[0] for option in menu.options] if menu.display else []


async def test_the_menu_completes_and_runs_what_is_typed(profile_dir: Path) -> None:
    async with make_app(ScriptedSession(), profile_dir).run_test(size=WIDE, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        menu = chat_of(pilot).chat.query_one(CommandMenu)
        await pilot.press("/")
        assert offered(menu)[0] == "/help"
        assert "keys, commands" in text_of(pilot)
        await pilot.press("down", "down", "up")
        assert menu.chosen is not None
        assert menu.chosen.name == "new"
        await pilot.press("escape")
        assert offered(menu) == []
        assert composer(pilot).text == "/"
        await pilot.press(*"rem")
        assert offered(menu) == ["/remember"]
        await pilot.press("enter")  # it needs words
        assert composer(pilot).text == "/remember "
        assert "/remember TEXT store this" in text_of(pilot)
        await pilot.press("enter")
        assert composer(pilot).text == "/remember "
        composer(pilot).clear()
        await pilot.press(*"/pane", "enter")
        assert chat_of(pilot).chat.has_class("-panel-closed")
        assert composer(pilot).text == ""
        await pilot.press("/")
        await pilot.pause()
        place = menu.content_region
        await pilot.click(offset=(place.x + 3, place.y + 3))  # /resume [ID]
        await wait_until(pilot, lambda: composer(pilot).text == "/resume ")


async def test_keys_may_come_faster_than_the_menu(profile_dir: Path) -> None:
    async with make_app(ScriptedSession(), profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        for key, character in (*((each, each) for each in "panel"), ("enter", None)):
            if key == "p":
                pilot.app.post_message(Key("slash", "/"))
            pilot.app.post_message(Key(key, character))
        await wait_until(pilot, lambda: chat_of(pilot).chat.has_class("-panel-closed"))
        assert composer(pilot).text == ""


async def test_a_mistyped_command_gets_the_nearest_name(profile_dir: Path) -> None:
    session = ScriptedSession()
    async with make_app(session, profile_dir).run_test(size=WIDE, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await say(pilot, "/regenrate")
        assert toasts(pilot)[-1] == "There is no command /regenrate. Did you mean /regenerate?"
        assert composer(pilot).text == "/regenrate"
        assert session.prompts == []


async def test_answers_and_code_are_copied_by_command_key_and_mouse(profile_dir: Path) -> None:
    app = make_app(ScriptedSession([Line((CODE,))]), profile_dir)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await command(pilot, "/copy code")
        assert "no code" in toasts(pilot)[-1]
        answer = await ask(pilot, "Show me")
        await command(pilot, "/copy code")
        await wait_until(pilot, lambda: pilot.app.clipboard == "last = 1")
        await pilot.press("ctrl+y")
        assert pilot.app.clipboard == CODE
        await pilot.click(answer.query(MarkdownFence).first())
        await wait_until(pilot, lambda: pilot.app.clipboard == "print('[/x]')")
        await pilot.click(answer.query_one(".gutter"))
        await wait_until(pilot, lambda: pilot.app.clipboard == CODE)
        pilot.app.copy_to_clipboard("")
        await pilot.press("shift+tab")
        assert answers(pilot)[-1].has_focus
        assert "what it was recalled from" in text_of(pilot)
        await pilot.press("c")
        await wait_until(pilot, lambda: pilot.app.clipboard == CODE)
        await pilot.press("x")
        await wait_until(pilot, lambda: composer(pilot).text == "x")
        assert composer(pilot).has_focus


async def test_themes_by_name(profile_dir: Path) -> None:
    async with make_app(ScriptedSession(), profile_dir).run_test(size=WIDE, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await command(pilot, "/theme nord")
        assert pilot.app.theme == "nord"
        await command(pilot, "/theme mauve")
        assert "no theme 'mauve'" in toasts(pilot)[-1]
        await command(pilot, "/theme")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, CommandPalette))


@pytest.mark.parametrize(("choice", "result"), [("another answer", "Hello."), ("remember", "/remember ")])
async def test_the_palette_runs_commands(choice: str, result: str, profile_dir: Path) -> None:
    session = ScriptedSession()
    async with make_app(session, profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await ask(pilot, "Hi")
        await pilot.press("ctrl+p")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, CommandPalette))
        await pilot.press(*choice)
        await wait_until(pilot, lambda: choice in text_of(pilot).lower())
        await pilot.pause(0.3)
        await pilot.press("enter")
        await wait_until(pilot, lambda: not isinstance(pilot.app.screen, CommandPalette))
        if result.startswith("/"):
            await wait_until(pilot, lambda: composer(pilot).text == result)
        else:
            await wait_until(pilot, lambda: len(session.prompts) == 2 and chat_of(pilot).chat.is_idle)
            assert [answer.text for answer in answers(pilot)] == [result]
