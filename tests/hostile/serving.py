"""Strangers and nonsense at ``varda-chat serve``: nobody gets in without the token, no page outgrows its own chat, and
no chat outlives its page."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.helpers.paths import ROOT
from tests.hostile.attacks import Attack, SkippedError, Tries

if TYPE_CHECKING:
    import aiohttp
    from aiohttp.test_utils import TestServer

TOKEN = "the-token-of-these-tries"  # noqa: S105
COOKIE = f"varda-chat-8000={TOKEN}"
SECONDS = 60
SILENCE = 2.0
"""Seconds after which no more of an answer is expected."""
MOST_BYTES = 2**31
"""Of RAM, for a chat with its model: the reproduction took 13 GB."""
STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1], "w").write(str(os.getpid()))
os.write(1, b"__GANGLION__\\n")
time.sleep(600)
"""


@asynccontextmanager
async def _serving(command: str, max_chats: int = 1) -> AsyncIterator[TestServer]:
    """Our server at a free port, in this process."""
    from aiohttp.test_utils import TestServer

    from varda_chat.web.server import ChatServer

    server = TestServer(await ChatServer(command, "127.0.0.1", 8000, TOKEN, max_chats)._make_app())
    await server.start_server()
    try:
        yield server
    finally:
        await server.close()


def _needed() -> None:
    try:
        import aiohttp
        import textual_serve  # noqa: F401
    except ModuleNotFoundError:
        raise SkippedError("varda-chat[web] is not installed") from None
    del aiohttp


def _async_tries(make: Callable[[int], Any], tries: int) -> Tries:
    """Run the coroutine of each try in a loop of its own."""
    for number in range(tries):
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            asyncio.run(make(number))
        yield


PATHS = (
    b"/", b"/ws", b"/?token=", b"/?token=other", b"/ws?token=%ff%fe", b"/download/x", b"/static/", b"/static/js",
    b"/static/../server.py", b"/static/%2e%2e/server.py", b"/static/..%2f..%2fserver.py", b"//", b"/%00", b"/\xff\xfe",
    b"/?fontsize=" + b"9" * 5000, b"/?fontsize=%D9%A1", b"/ws?width=" + b"9" * 5000, b"/?token=" + b"x" * 4000,
    b"http://elsewhere/", b"*", b"/static/js/textual.js",
)  # fmt: skip
HEADERS = (
    b"", b"Cookie: varda-chat-8000=other", b"Cookie: varda-chat-8000=\xff\xfe\xed\xa0\x80", b"Cookie: " + b"x=y;" * 999,
    b"Cookie: varda-chat-8001=" + TOKEN.encode(), b"Authorization: Bearer " + TOKEN.encode(),
    b"Origin: http://elsewhere", b'Host: x"><script>', b"Host:", b"Origin: \xff", b"Content-Length: -1",
    b"Content-Length: 99999999999999999999", b"Transfer-Encoding: chunked",
    b"Upgrade: websocket\r\nConnection: Upgrade",
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x",
    b"Origin: http://[", b"X: " + b"y" * 9000, b"\x00\x01", b"Host: a\r\nHost: b",
)  # fmt: skip
METHODS = (b"GET", b"POST", b"HEAD", b"PUT", b"OPTIONS", b"CONNECT", b"\xff\xfe", b"")


def _requests(work: Path, tries: int) -> Tries:
    """Requests of strangers and malformed ones of friends, byte by byte; the server answers the next one as before."""
    _needed()
    rng = random.Random(8)

    async def one(number: int) -> None:
        stranger = number % 3 > 0
        request = b"%s %s HTTP/1.1\r\n" % (rng.choice(METHODS[: 1 + number % len(METHODS)]), rng.choice(PATHS))
        headers = [rng.choice(HEADERS), b"Connection: close"] + ([] if stranger else [f"Cookie: {COOKIE}".encode()])
        if not any(b"Host" in each for each in headers):
            headers.append(b"Host: 127.0.0.1")
        async with _serving(shlex.join([sys.executable, "-c", ""])) as server:
            answer = await _said(server, request + b"\r\n".join(headers) + b"\r\n\r\n")
            assert not stranger or TOKEN.encode() not in answer, (request, headers)
            status = int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 400
            assert status < 500, (request[:200], headers, answer[:300])
            static = b"/static/js/textual.js" in request
            assert not stranger or static or status >= 400, (request[:200], headers, answer[:300])
            assert b"textual.js</a>" not in answer, "a directory is listed"
            again = await _said(
                server, b"GET / HTTP/1.1\r\nConnection: close\r\nHost: a\r\nCookie: " + COOKIE.encode() + b"\r\n\r\n"
            )
            assert b" 200 " in again.splitlines()[0], again[:200]

    return _async_tries(one, tries)


async def _said(server: TestServer, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request)
    said = b""
    try:
        async with asyncio.timeout(SILENCE):
            while more := await reader.read(2**16):
                said += more
    except (TimeoutError, ConnectionError):  # it waits for the rest of the request, or has had enough
        pass
    finally:
        writer.close()
    return said


NONSENSE: tuple[str | bytes, ...] = (
    "nonsense", "{}", "[]", "null", "7", '["resize"]', '["resize",{}]', '["resize",{"width":null,"height":[]}]',
    '["stdin",7]', '["stdin",null]', '["stdin","\\ud800"]', '["resize",{"width":1000000000,"height":1000000000}]',
    '["resize",{"width":1e400,"height":-1e400}]', '["resize",{"width":NaN,"height":"9"}]', "[" * 100_000,
    '["stdin","' + "x" * 3_000_000 + '"]', '["stdin","' + "x" * 5_000_000 + '"]', b"\x00\xff", b"x" * 100_000,
    '["ping",' + "9" * 5000 + "]", '["blur",1]', '["focus"]', '["none"]', "[[]]", '[{"a":1}]', "\x00", "\u202e",
)  # fmt: skip


def _messages(work: Path, tries: int) -> Tries:
    """Pages that send what no page sends, to a chat that neither reads nor ends."""
    _needed()
    import aiohttp

    from varda_chat.web import chat_process

    script, note = work / "stubborn.py", work / "note"
    script.write_text(STUBBORN)
    before = chat_process.SAVING_SECONDS, chat_process.ENDING_SECONDS, chat_process.STUCK_SECONDS
    chat_process.SAVING_SECONDS, chat_process.ENDING_SECONDS, chat_process.STUCK_SECONDS = 0.1, 0.1, 1.0

    async def one(number: int) -> None:
        note.unlink(missing_ok=True)
        async with (
            _serving(shlex.join([sys.executable, str(script), str(note)])) as server,
            aiohttp.ClientSession(headers={"Cookie": COOKIE}) as client,
        ):
            async with client.ws_connect(f"http://127.0.0.1:{server.port}/ws?width={'9' * (number % 30)}") as page:
                await _until(lambda: note.exists() and bool(note.read_text()))
                pid = int(note.read_text())
                async with client.ws_connect(f"http://127.0.0.1:{server.port}/ws") as second:
                    assert b"1 chat is open already" in (await second.receive(SECONDS)).data
                await _send(page, NONSENSE[number % len(NONSENSE)])
            await _until(lambda: not _runs(pid))
            async with client.get(f"http://127.0.0.1:{server.port}/") as answer:
                assert answer.status == 200

    try:
        yield from _async_tries(one, tries)
    finally:
        chat_process.SAVING_SECONDS, chat_process.ENDING_SECONDS, chat_process.STUCK_SECONDS = before


async def _send(page: aiohttp.ClientWebSocketResponse, message: str | bytes) -> None:
    try:
        await (page.send_bytes(message) if isinstance(message, bytes) else page.send_str(message))
        await page.receive(0.2)
    except (TimeoutError, ConnectionError):  # nothing was answered, or the server has closed
        pass


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not true():
            await asyncio.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _chats(work: Path, tries: int) -> Tries:
    """The real program served by the real server: huge sizes, keys that are none, then the page or the server goes."""
    _needed()
    environment = os.environ | {"VARDA_CHAT_TOKEN": TOKEN, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    for number in range(tries):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        line = [sys.executable, "-m", "varda_chat", "serve", "--port", str(port), "--max-chats", "1"]
        with subprocess.Popen(line, stdout=subprocess.PIPE, env=environment, cwd=work) as server:
            assert server.stdout is not None
            try:
                assert b"The chat is at" in server.stdout.readline()
                arguments = Path(f"/proc/{server.pid}/cmdline")
                assert not arguments.exists() or TOKEN.encode() not in arguments.read_bytes()
                _wait_for(port)
                asyncio.run(_chat(port, server.pid, page_first=number % 2 == 0, server=server))
            finally:
                server.terminate()
                server.wait(SECONDS)
        yield


def _wait_for(port: int) -> None:
    """It says where it is shortly before it listens there."""
    until = time.monotonic() + SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), SECONDS).close()
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise TimeoutError("nobody listens there") from None
            time.sleep(0.05)
        else:
            return


async def _chat(port: int, parent: int, *, page_first: bool, server: subprocess.Popen[bytes]) -> None:
    import aiohttp

    async with aiohttp.ClientSession(headers={"Cookie": f"varda-chat-{port}={TOKEN}"}) as client:  # noqa: SIM117
        async with client.ws_connect(f"http://127.0.0.1:{port}/ws?width=1000000000&height=1000000000") as page:
            await _painted(page, b"ready")
            (child,) = _children(parent)
            for keys in ("\x1b[M\xff\x98*", "\x00", "\x1b[200~" + "x" * 100_000 + "\x1b[201~", "\x1b" * 50):
                await page.send_str(json.dumps(["stdin", keys]))
            await page.send_str('["resize",{"width":1000000000,"height":1000000000}]')
            await _painted(page, b"\x1b[")
            assert _memory_of(child) < MOST_BYTES
            if not page_first:
                server.send_signal(signal.SIGTERM)
                await asyncio.to_thread(server.wait, SECONDS)
                assert server.returncode == 0
    await _until(lambda: not _runs(child))


async def _painted(page: aiohttp.ClientWebSocketResponse, wanted: bytes) -> None:
    seen, until = b"", time.monotonic() + SECONDS
    while wanted not in seen:
        message = await page.receive(max(0.1, until - time.monotonic()))
        data = message.data if isinstance(message.data, bytes) else str(message.data).encode()
        assert message.type.name in ("BINARY", "TEXT", "PING", "PONG"), f"the page was closed: {seen[-300:]!r}"
        seen = seen[-100_000:] + data


def _children(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    return [int(child) for child, parent in re.findall(r"(\d+)\s+(\d+)", found) if int(parent) == pid]


def _memory_of(pid: int) -> int:
    """Bytes of RAM."""
    found = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True).stdout
    return int(found) * 1024


ATTACKS = (
    Attack("serve: a request of a stranger or out of shape", _requests, 150, "leaked"),
    Attack("serve: a message that no page sends", _messages, 54),
    Attack("serve: a page with huge sizes, then gone", _chats, 4),
)
