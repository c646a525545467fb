"""Pictures of the screens, wide to narrow, by night and by day. Renew with ``--snapshot-update``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests.tui.driver import ask, chat_of, command, composer, make_app, text_of, wait_for_state, wait_until
from tests.tui.memories import DIM, lived_in
from tests.tui.scripted import NOW, Line, ScriptedSession
from varda_chat.memory import MemoryStore
from varda_chat.session import MemoryEvent, Recalled, Remembered, TokenSources
from varda_chat.settings import Settings, SettingsFile
from varda_chat.tui.state import ChatState

CELLO = "I have started to learn the cello, on Sundays."
CODE = "\n\n```python\nfor walk in sunday:\n    walk.before(cello)\n```"


def told_session() -> ScriptedSession:
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
        profile="home",
    )


async def talk(pilot: Pilot[None]) -> None:
    """Two turns, then stillness."""
    await wait_for_state(pilot, ChatState.READY)
    composer(pilot).cursor_blink = False
    await ask(pilot, CELLO)
    await ask(pilot, "What is my dog called, and when do I walk her?")


@pytest.mark.parametrize("theme", ["varda-dark", "varda-light"])
@pytest.mark.parametrize("size", [(120, 36), (80, 24), (40, 20)], ids=["wide", "ordinary", "narrow"])
def test_main_screen(size: tuple[int, int], theme: str, profile_dir: Path, snap_compare: Callable[..., bool]) -> None:
    app = make_app(told_session(), profile_dir, theme=theme)
    assert snap_compare(app, terminal_size=size, run_before=talk)


async def browse(pilot: Pilot[None]) -> None:
    """The memory browser, with two marked."""
    await wait_for_state(pilot, ChatState.READY)
    await pilot.press("f6")
    await wait_until(pilot, lambda: "20 in memory" in text_of(pilot))
    await pilot.press("down", "space", "space", "down", "down")
    await wait_until(pilot, lambda: "2 marked" in text_of(pilot))


@pytest.fixture
def remembering(profile_dir: Path) -> Iterator[ScriptedSession]:
    """A session over a memory that has been lived in."""
    lived_in(profile_dir, "a model")
    with MemoryStore.open(profile_dir, embedding_dim=DIM, fingerprint="a model") as store:
        yield ScriptedSession(store=store)


@pytest.mark.parametrize("theme", ["varda-dark", "varda-light"])
@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50), (40, 20)], ids=["ordinary", "wide", "vast", "narrow"])
def test_memory_browser(
    size: tuple[int, int],
    theme: str,
    remembering: ScriptedSession,
    profile_dir: Path,
    snap_compare: Callable[..., bool],
) -> None:
    app = make_app(remembering, profile_dir, theme=theme)
    assert snap_compare(app, terminal_size=size, run_before=browse)


async def look_at_the_map(pilot: Pilot[None]) -> None:
    """The map, one step from where it begins."""
    await wait_for_state(pilot, ChatState.READY)
    composer(pilot).cursor_blink = False
    await command(pilot, "/map")
    await wait_until(pilot, lambda: "axes show" in text_of(pilot))
    await pilot.press("right")


@pytest.mark.parametrize("theme", ["varda-dark", "varda-light"])
@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50), (40, 20)], ids=["ordinary", "wide", "vast", "narrow"])
def test_memory_map(
    size: tuple[int, int],
    theme: str,
    remembering: ScriptedSession,
    profile_dir: Path,
    snap_compare: Callable[..., bool],
) -> None:
    app = make_app(remembering, profile_dir, theme=theme)
    assert snap_compare(app, terminal_size=size, run_before=look_at_the_map)


@pytest.mark.parametrize("theme", ["varda-dark", "varda-light"])
@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50), (40, 20)], ids=["ordinary", "wide", "vast", "narrow"])
@pytest.mark.parametrize("place", ["settings", "keys", "help"])
def test_finding_ones_way(place: str, size: tuple[int, int], theme: str, snap_compare: Callable[..., bool]) -> None:
    async def go_there(pilot: Pilot[None]) -> None:
        await wait_for_state(pilot, ChatState.READY)
        composer(pilot).cursor_blink = False
        await command(pilot, f"/{place}")
        await wait_until(pilot, lambda: pilot.app.screen is not chat_of(pilot).chat)
        for field in pilot.app.screen.query(Input):
            field.cursor_blink = False
        await pilot.pause()

    settings = SettingsFile(Path("/home/you/config.toml"), Settings(keys={"sources": "f7"}))
    app = make_app(told_session(), Path("/home/you/varda-chat/profiles/default"), theme=theme, settings=settings)
    assert snap_compare(app, terminal_size=size, run_before=go_there)


@pytest.mark.parametrize("theme", ["varda-dark", "varda-light"])
@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)], ids=["ordinary", "wide", "vast"])
def test_sources(size: tuple[int, int], theme: str, profile_dir: Path, snap_compare: Callable[..., bool]) -> None:
    async def go_there(pilot: Pilot[None]) -> None:
        await talk(pilot)
        await pilot.press("f9")
        await wait_until(pilot, lambda: pilot.app.screen is not chat_of(pilot).chat)
        await pilot.press("right")

    app = make_app(told_session(), profile_dir, theme=theme)
    assert snap_compare(app, terminal_size=size, run_before=go_there)
