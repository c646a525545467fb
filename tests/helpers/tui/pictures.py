"""What the pictures of the screens share: sizes, themes, one who is talked with, and standing still."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, TextArea

from tests.helpers.tui.driver import ask, wait_for_state
from tests.helpers.tui.scripted import NOW, Line, ScriptedSession
from varda_chat.session.session import MemoryEvent, Recalled, Remembered, TokenSources
from varda_chat.tui.state import ChatState

Test = TypeVar("Test", bound=Callable[..., Any])

SIZES = {"ordinary": (80, 24), "wide": (120, 40), "vast": (200, 50), "narrow": (40, 20)}
CELLO = "I have started to learn the cello, on Sundays."
CODE = "\n\n```python\nfor walk in sunday:\n    walk.before(cello)\n```"


def by_night_and_by_day(*sizes: str) -> Callable[[Test], Test]:
    """Take the picture in our themes, at each of ``sizes``."""

    def marked(test: Test) -> Test:
        at_sizes = pytest.mark.parametrize("size", [SIZES[each] for each in sizes], ids=sizes)(test)
        return pytest.mark.parametrize("theme", ["varda-dark", "varda-light"])(at_sizes)

    return marked


def told_session(**options: Any) -> ScriptedSession:
    """A session that already knows its person."""
    dog, sister = (
        Recalled(38, "My dog is called Rimba.", 0.82),
        Recalled(39, "My sister lives in Lisbon.", 0.31),
    )
    return ScriptedSession(
        [
            Line(
                ("The cello, on Sundays: noted. ", "How does Rimba like it?"),
                (dog,),
                (Remembered(41, CELLO),),
            ),
            Line(
                ("Your dog is called **Rimba**, ", "and you walk her before the cello:", CODE),
                (dog, sister, Recalled(41, CELLO, 0.24)),
                (),
                (Remembered(17, "I work at the bakery."),),
                sources=(TokenSources(21, 26, ((38, 0.82),)), TokenSources(40, 44, ((41, 0.24), (39, 0.1)))),
            ),
        ],
        events=[
            MemoryEvent("stored", 40, "I work at the observatory now.", NOW - 120),
            MemoryEvent("stored", 39, "My sister lives in Lisbon.", NOW - 3 * 3600),
            MemoryEvent("stored", 38, "My dog is called Rimba.", NOW - 3 * 86_400),
        ],
        **{"profile": "home", **options},
    )


async def still(pilot: Pilot[None]) -> None:
    """No cursor blinks on the screen."""
    for field in (*pilot.app.screen.query(Input), *pilot.app.screen.query(TextArea)):
        field.cursor_blink = False
    await pilot.pause()


async def begin(pilot: Pilot[None]) -> None:
    """The model is loaded, and all is still."""
    await wait_for_state(pilot, ChatState.READY)
    await still(pilot)


async def talk(pilot: Pilot[None]) -> None:
    """Two turns."""
    await begin(pilot)
    await ask(pilot, CELLO)
    await ask(pilot, "What is my dog called, and when do I walk her?")
