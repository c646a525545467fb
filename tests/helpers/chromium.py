"""A headless Chromium, driven over its DevTools protocol, and what the terminal in its page shows."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--remote-debugging-port=0", "--window-size=1200,560", "--disable-3d-apis",
)  # fmt: skip
_TRIES, _TRY_SECONDS = 1500, 0.1
_CODE = re.compile(r"\x1b\[([?<>=]?[\d;]*)([A-Za-z])|\x1b[^\[]|(\r\n|\n|\r)|([^\x1b\r\n])")


class TerminalText:
    """The words on a terminal, from what is written to it. Colours do not count."""

    def __init__(self) -> None:
        self._rows: dict[int, dict[int, str]] = {}
        self._row = self._column = 1

    def write(self, text: str) -> None:
        """Take what the app writes."""
        for match in _CODE.finditer(text):
            numbers, kind, line_end, sign = match.groups()
            if kind == "H":
                row, _, column = numbers.partition(";")
                self._row, self._column = int(row or 1), int(column or 1)
            elif kind == "J":
                self._rows.clear()
            elif line_end:
                self._row, self._column = self._row + line_end.count("\n"), 1
            elif sign:
                self._rows.setdefault(self._row, {})[self._column] = sign
                self._column += 1

    def __str__(self) -> str:
        return "\n".join(
            "".join(signs.get(column, " ") for column in range(1, max(signs, default=0) + 1)).rstrip()
            for _, signs in sorted(self._rows.items())
        )


class Page:
    """The one page of the browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.terminal = TerminalText()
        self.asked: list[str] = []
        """Every address that the page asked for."""
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._listener = asyncio.create_task(self._listen())

    async def call(self, method: str, **parameters: Any) -> Any:
        """Ask the browser for something."""
        number = next(self._numbers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_str(json.dumps({"id": number, "method": method, "params": parameters}))
        return await asyncio.wait_for(self._answers[number], 30)

    async def go_to(self, address: str) -> None:
        """Load a page."""
        await self.call("Page.navigate", url=address)

    async def value(self, script: str) -> Any:
        """What a script in the page gives."""
        return (await self.call("Runtime.evaluate", expression=script))["result"].get("value")

    async def type(self, text: str) -> None:
        """Click into the terminal, type ``text`` and press Enter."""
        click = {"x": 200, "y": 200, "button": "left", "clickCount": 1}
        await self.call("Input.dispatchMouseEvent", type="mousePressed", **click)
        await self.call("Input.dispatchMouseEvent", type="mouseReleased", **click)
        for sign in text:
            await self.call("Input.dispatchKeyEvent", type="keyDown", text=sign, key=sign)
            await self.call("Input.dispatchKeyEvent", type="keyUp", key=sign)
        enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
        await self.call("Input.dispatchKeyEvent", type="keyDown", text="\r", **enter)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **enter)

    async def wait_for(self, pattern: str) -> None:
        """Wait until the terminal shows ``pattern``."""
        await self.wait_until(lambda: re.search(pattern, str(self.terminal)))

    async def wait_for_words(self, words: str) -> None:
        """Wait until the page itself says ``words``."""
        for _ in range(_TRIES):
            if words in str(await self.value("document.body && document.body.innerText")):
                return
            await asyncio.sleep(_TRY_SECONDS)
        raise AssertionError(f"the page never said {words!r}")

    async def wait_until(self, predicate: Callable[[], object]) -> None:
        """Wait for ``predicate``; fails after minutes (loading torch takes a while on a busy machine)."""
        for _ in range(_TRIES):
            if predicate():
                return
            await asyncio.sleep(_TRY_SECONDS)
        raise AssertionError(f"it never came true; in the terminal:\n{self.terminal}")

    async def close(self) -> None:
        """Listen no longer."""
        self._listener.cancel()
        await asyncio.gather(self._listener, return_exceptions=True)

    async def _listen(self) -> None:
        async for message in self._socket:
            event = json.loads(message.data)
            if "id" in event:
                self._answers.pop(event["id"]).set_result(event.get("result"))
            elif event["method"] == "Network.requestWillBeSent":
                self.asked.append(event["params"]["request"]["url"])
            elif event["method"] == "Network.webSocketFrameReceived":
                frame = event["params"]["response"]
                if frame["opcode"] == 2:
                    self.terminal.write(base64.b64decode(frame["payloadData"]).decode("utf-8", "replace"))


@asynccontextmanager
async def open_page(directory: Path) -> AsyncIterator[Page]:
    """A page of a browser whose profile is in ``directory``."""
    assert CHROMIUM is not None
    command = [CHROMIUM, *_FLAGS, f"--user-data-dir={directory}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port = await _port(directory / "DevToolsActivePort", process)
        async with aiohttp.ClientSession() as http:
            async with http.get(f"http://127.0.0.1:{port}/json/list") as answer:
                targets = await answer.json()
            address = next(each["webSocketDebuggerUrl"] for each in targets if each["type"] == "page")
            async with http.ws_connect(address, max_msg_size=0) as socket:
                page = Page(socket)
                for domain in ("Page", "Network", "Runtime"):
                    await page.call(f"{domain}.enable")
                await page.call("Emulation.setFocusEmulationEnabled", enabled=True)
                yield page
                await page.close()
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 30)


async def _port(file: Path, process: subprocess.Popen[bytes]) -> int:
    for _ in range(_TRIES):
        if file.exists() and "\n" in (text := file.read_text()):
            return int(text.splitlines()[0])
        assert process.poll() is None, "Chromium has ended"
        await asyncio.sleep(_TRY_SECONDS)
    raise AssertionError("Chromium does not listen")
