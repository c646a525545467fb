"""Makes docs/images/chat.svg from the real app and the bundled model: told in one session, asked for in the next.

Run it as ``.venv/bin/python docs/images/make.py``. With the font Fira Code installed,
``rsvg-convert -w 1400 chat.svg -o chat.png`` then gives the picture of the README.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from varda_chat.config import GenerationSettings
from varda_chat.request import Request
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
TODAY = ("Good morning!", "What is my dog called?", "I'm learning to play the cello.", "Where do I live?")
GREEDY = GenerationSettings(temperature=0.0)


async def main(target: Path) -> None:
    """Play both sessions and export the screen of the second."""
    with tempfile.TemporaryDirectory() as scratch:
        request = Request(data_dir=Path(scratch), generation=GREEDY)
        with request.open() as session:
            for line in YESTERDAY:
                session.reply(line)

        def clock() -> float:
            return time.time() + 90

        app = VardaApp(request, clock=clock)
        async with app.run_test(size=(112, 34)) as pilot:
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
            # SVG renderers other than browsers fold spaces unless told not to
            picture = app.export_screenshot(title="varda-chat").replace("<text ", '<text xml:space="preserve" ')
        target.write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main(Path(__file__).with_name("chat.svg")))
