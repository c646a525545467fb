"""How a screen asks the session: in a thread, and what goes wrong is told in one line and ends nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from varda_chat.tui.controllers.session_host import SessionHost, sentence_for

if TYPE_CHECKING:
    from textual.screen import Screen

    from varda_chat.session.session import ChatSession

T = TypeVar("T")


async def ask(
    screen: Screen[Any], host: SessionHost, act: Callable[[ChatSession], T], doing: str, *, wait: bool = True
) -> T | None:
    """What ``act`` makes of the session, once it is free (or at once, for what only looks at the memory: not ``wait``);
    None where it failed, which ``screen`` then tells. ``doing``: as in "went wrong while doing it"."""
    try:
        return await asyncio.to_thread(host.call if wait else host.look, act)
    except Exception as error:  # noqa: BLE001 - whatever it is, the person gets a line and a live app
        screen.notify(sentence_for(error, doing), severity="warning", markup=False)
        return None
