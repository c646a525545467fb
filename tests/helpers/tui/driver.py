"""Driving the app as a person does, and reading what they would see."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Static

from tests.helpers.tui.scripted import NOW, ScriptedSession
from varda_chat.config.defaults import GenerationSettings
from varda_chat.session.request import Request
from varda_chat.session.session import ChatSession
from varda_chat.transcripts import Transcripts
from varda_chat.tui.app import VardaApp
from varda_chat.tui.state import ChatState
from varda_chat.tui.widgets.composer import Composer
from varda_chat.tui.widgets.message import Notice, VardaMessage
from varda_chat.tui.widgets.status_bar import StatusBar

WIDE = (120, 36)
NARROW = (60, 20)
_TRIES = 6000
_TRY_SECONDS = 0.01

OpenSession = Callable[[Callable[[str, float], None]], ChatSession]


def make_app(session: ScriptedSession | OpenSession, profile_dir: Path, **options: Any) -> VardaApp:
    """The app over a scripted session (or over what opens one), with the clock standing at NOW."""
    opener = session.opener() if isinstance(session, ScriptedSession) else session
    request = Request(profile_dir.name, profile_dir.parent.parent, incognito=options.pop("incognito", False))
    return VardaApp(request, opener, **{"clock": lambda: NOW, **options})


def real_opener(profile_dir: Path, checkpoint: Path, transcripts: Transcripts | None = None) -> OpenSession:
    """What opens a real session on a tiny model, which deletes nothing by itself."""

    def open_session(on_progress: Callable[[str, float], None]) -> ChatSession:
        settings = GenerationSettings(temperature=0.0, max_new_tokens=8)
        session = ChatSession.open(
            profile_dir, checkpoint, generation=settings, transcripts=transcripts, on_progress=on_progress
        )
        session.checkpoint.model.config.delete_threshold = 1.0
        return session

    return open_session


async def command(pilot: Pilot[None], text: str) -> None:
    """Type a command and let it begin."""
    composer(pilot).focus()
    composer(pilot).put(text)
    await pilot.pause()
    await pilot.press("enter")


def screen_is(pilot: Pilot[None], kind: type[Screen[Any]]) -> bool:
    """Whether a screen of that kind is on top."""
    return isinstance(pilot.app.screen, kind)


def chat_of(pilot: Pilot[None]) -> VardaApp:
    """The app, by its own type."""
    return cast("VardaApp", pilot.app)


async def wait_until(pilot: Pilot[None], predicate: Callable[[], object]) -> None:
    """Wait for ``predicate``; fails after a minute (loading torch takes a while on a busy machine)."""
    for _ in range(_TRIES):
        if predicate():
            await pilot.pause()
            return
        await pilot.pause(_TRY_SECONDS)
    raise AssertionError(f"it never came true; on the screen: {text_of(pilot)!r}")


async def wait_for_state(pilot: Pilot[None], state: ChatState) -> None:
    """Wait until the chat is in ``state``."""
    await wait_until(pilot, lambda: chat_of(pilot).chat.state is state)


async def say(pilot: Pilot[None], text: str) -> None:
    """Write ``text`` into the composer and press Enter."""
    composer(pilot).put(text)
    await pilot.press("enter")


async def ask(pilot: Pilot[None], text: str) -> VardaMessage:
    """Say ``text`` and wait until its answer is whole."""
    before = answers(pilot)[-1:]  # not their number: the oldest leave the window
    await say(pilot, text)

    def answered() -> bool:
        now = answers(pilot)[-1:]
        return now != before and now[0].turn is not None and chat_of(pilot).chat.is_idle

    await wait_until(pilot, answered)
    await wait_until(pilot, lambda: chat_of(pilot).chat.state.can_answer)
    return answers(pilot)[-1]


def composer(pilot: Pilot[None]) -> Composer:
    """Where the person writes."""
    return chat_of(pilot).chat.query_one(Composer)


def answers(pilot: Pilot[None]) -> list[VardaMessage]:
    """Varda's messages, oldest first."""
    return list(chat_of(pilot).chat.query(VardaMessage))


def status(pilot: Pilot[None]) -> str:
    """The status bar's words."""
    return chat_of(pilot).chat.query_one(StatusBar).render().plain


def notices(pilot: Pilot[None]) -> list[str]:
    """The program's own lines in the conversation."""
    return [plain(notice) for notice in chat_of(pilot).chat.query(Notice)]


def toasts(pilot: Pilot[None]) -> list[str]:
    """The notices at the screen's edge."""
    return [notification.message for notification in pilot.app._notifications]


def plain(widget: Static) -> str:
    """A widget's words without their colours."""
    return str(widget.visual)


def text_of(pilot: Pilot[None]) -> str:
    """The whole screen as text, a line a row."""
    lines = pilot.app.screen._compositor.render_strips()
    return "\n".join(strip.text.rstrip() for strip in lines)
