"""Makes the pictures of the guide from the real app and the bundled model: told in one session, asked for in the next.

Run it as ``.venv/bin/python docs/images/make.py``. With the font Fira Code installed,
``rsvg-convert -w 1400 chat.svg -o chat.png`` then gives the picture of the README.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

from textual.pilot import Pilot
from textual.worker import Worker

from varda_chat.config.defaults import GenerationSettings
from varda_chat.config.settings import SettingsFile
from varda_chat.session.request import Request
from varda_chat.tui.app import VardaApp
from varda_chat.tui.state import ChatState
from varda_chat.tui.widgets.composer import Composer

YESTERDAY = (
    "Hi!",
    "My dog is called Rimba.",
    "I live in Lisbon.",
    "My sister works as a nurse.",
    "my favourite food is lasagna",
)
TODAY = (
    "Good morning!",
    "What is my dog called?",
    "I'm learning to play the cello.",
    "I moved: I live in Porto now.",
    "Where do I live?",
)
GREEDY = GenerationSettings(temperature=0.0)


SIZE = (112, 34)
SHOWN: dict[str, tuple[str, ...]] = {
    "chat": (),
    "changes": ("shift+tab", "up"),
    "help": ("f1",),
    "settings": ("f10",),
    "sessions": ("f3",),
    "sources": ("f9",),
    "why": (*"/why", "enter"),
    "memory": ("f6",),
    "models": (*"/model", "enter"),
    "proof": (*"/forget", "space", *"Porto", "wait:300", "enter", "wait:3000", "y", "wait:2000", "alt+p"),
}
"""The pictures, and the keys that lead to each from the chat."""


async def main(directory: Path) -> None:
    """Play both sessions and export the screens of the second."""
    with tempfile.TemporaryDirectory() as scratch:
        request = Request(data_dir=Path(scratch), generation=GREEDY)
        with request.transcripts() as transcripts:
            with request.open(transcripts=transcripts) as session:
                for line in YESTERDAY:
                    session.reply(line)

            def clock() -> float:
                return time.time() + 90

            settings = SettingsFile(Path.home() / ".config" / "varda-chat" / "config.toml")
            app = VardaApp(request, settings=settings, transcripts=transcripts, clock=clock)
            async with app.run_test(size=SIZE) as pilot:
                await _talk(pilot, app)
                for name, keys in SHOWN.items():
                    await pilot.press(*keys)
                    await pilot.pause(1.0)
                    while any(each.state.name == "RUNNING" for each in app.workers if _computes(each)):
                        await pilot.pause(0.05)
                    # SVG renderers other than browsers fold spaces unless told not to
                    picture = app.export_screenshot(title="varda-chat")
                    picture = picture.replace("<text ", '<text xml:space="preserve" ')
                    (directory / f"{name}.svg").write_text(picture, encoding="utf-8")
                    app.chat.query_one(Composer).focus()
                    while app.screen is not app.chat:
                        await pilot.press("escape")
                        await pilot.pause(0.2)


def _computes(worker: Worker[Any]) -> bool:
    """Whether it works out what a card shows: answers without memories, or the proof of forgetting."""
    return worker.group == "what if" or worker.name == "_prove"


async def _talk(pilot: Pilot[None], app: VardaApp) -> None:
    composer = app.chat.query_one(Composer)
    composer.cursor_blink = False
    while app.chat.state is not ChatState.READY:
        await pilot.pause(0.05)
    for line in TODAY:
        composer.put(line)
        await pilot.press("enter")
        await pilot.pause(0.1)
        while app.chat.state is not ChatState.READY:
            await pilot.pause(0.05)
    await pilot.pause(0.3)


if __name__ == "__main__":
    asyncio.run(main(Path(__file__).parent))
