"""The process of one open page: the chat, which ends with its page, whatever it is doing."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from asyncio.subprocess import PIPE, Process
from contextlib import suppress

from textual_serve.app_service import AppService

from varda_chat.web.sizes import bounded

PAGE_DRIVER = "varda_chat.web.page_driver:PageDriver"
SAVING_SECONDS = 20.0
"""How long a chat has to save and end after its page is closed, ..."""
ENDING_SECONDS = 5.0
"""... and then after SIGTERM."""
STUCK_SECONDS = 30.0
"""A chat that reads nothing for so long is ended."""


class ChatProcess(AppService):
    """Runs the command without a shell, in a process group of its own. Sizes from the page are bounded."""

    closed = False
    """Whether the page is."""

    def _build_environment(self, width: int = 80, height: int = 24) -> dict[str, str]:
        environment = super()._build_environment(*bounded(width, height))
        environment.pop("VARDA_CHAT_TOKEN", None)
        return environment | {"TEXTUAL_DRIVER": PAGE_DRIVER}

    async def _open_app_process(self, width: int = 80, height: int = 24) -> Process:
        self._process = process = await asyncio.create_subprocess_exec(
            *shlex.split(self.command),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=self._build_environment(width, height),
            start_new_session=True,
        )
        assert process.stdin is not None
        self._stdin = process.stdin
        return process

    async def set_terminal_size(self, width: int, height: int) -> None:
        """Tell the chat how large the page is."""
        await super().set_terminal_size(*bounded(width, height))

    async def send_bytes(self, data: bytes) -> bool:
        """Send what is typed. Raises TimeoutError where the chat does not read it."""
        async with asyncio.timeout(STUCK_SECONDS):
            return await super().send_bytes(data)

    async def on_data(self, payload: bytes) -> None:
        """Pass on what the chat draws. Without a page it is dropped: a full pipe would keep the chat from ending."""
        if not self.closed:
            try:
                await super().on_data(payload)
            except (ConnectionError, RuntimeError):
                self.closed = True

    async def on_meta(self, data: bytes) -> None:
        """Do what the chat asks of the page, while there is one."""
        if not self.closed:
            await super().on_meta(data)

    async def stop(self) -> None:
        """Let the chat save and end; one that does not is killed."""
        self.closed = True
        process, self._process = self._process, None
        if process is None:
            return
        ended = asyncio.ensure_future(self._end(process))
        try:
            await asyncio.shield(ended)
        except asyncio.CancelledError:  # the server is ending: the chat still saves first
            await ended
            raise

    async def _end(self, process: Process) -> None:
        asked = asyncio.ensure_future(super().stop())  # tells it to quit, and reads until it has ended
        try:
            for patience, harder in ((SAVING_SECONDS, signal.SIGTERM), (ENDING_SECONDS, signal.SIGKILL)):
                with suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), patience)
                    return
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, harder)
            await process.wait()
        finally:
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
