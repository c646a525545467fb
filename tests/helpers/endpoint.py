"""The endpoint over a session, in a server that really listens."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn

from varda_chat.api.server import application
from varda_chat.session.session import ChatSession

TOKEN = "a-token"  # noqa: S105 - of the test alone


@dataclass(frozen=True)
class Served:
    session: ChatSession
    url: str


@contextmanager
def served(session: ChatSession, most_waiting: int = 8) -> Iterator[Served]:
    """A server over ``session``, which it closes."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        app = application(session, TOKEN, most_waiting=most_waiting)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on"))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])))
        thread.start()
        try:
            until(lambda: server.started)
            yield Served(session, f"http://127.0.0.1:{listening.getsockname()[1]}/v1")
        finally:
            server.should_exit = True
            thread.join()


def until(met: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
