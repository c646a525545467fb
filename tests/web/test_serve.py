"""``varda-chat serve``: who is let in, what is passed on, and the chat in a real browser."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from http.cookies import SimpleCookie
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from click.testing import CliRunner

from tests.helpers.chromium import CHROMIUM, open_page
from varda_chat.cli.main import main
from varda_chat.web.server import ChatServer
from varda_chat.web.sizes import bounded

TOKEN = "a-token"  # noqa: S105 - of the test alone
Client = TestClient[web.Request, web.Application]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    server = ChatServer("true", "127.0.0.1", 8000, TOKEN)
    async with TestClient(TestServer(await server._make_app()), cookie_jar=aiohttp.DummyCookieJar()) as client:
        yield client


@pytest.mark.parametrize("path", ["/", "/?token=", "/?token=other", "/ws", "/ws?token=other", "/download/x", "/none"])
async def test_who_has_no_token_is_refused(path: str, client: Client) -> None:
    for headers in ({}, {"Cookie": "varda-chat-8000=other"}, {"Cookie": f"varda-chat-8001={TOKEN}"}):
        answer = await client.get(path, headers=headers)
        assert answer.status == 403
        assert TOKEN not in await answer.text()


@pytest.mark.parametrize("cookie", ["\udcff\udcfe", "\udced\udca0\udc80", "é"])
async def test_a_cookie_that_is_no_text_is_refused(cookie: str, client: Client) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    sent = cookie.encode(errors="surrogateescape")
    writer.write(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\nCookie: varda-chat-8000=%s\r\n\r\n" % sent)
    assert (await reader.read()).startswith(b"HTTP/1.1 403")
    writer.close()


async def test_a_font_of_5000_digits_is_the_usual_one(client: Client) -> None:
    known = {"Cookie": f"varda-chat-8000={TOKEN}"}
    assert 'data-font-size="16"' in await (await client.get(f"/?fontsize={'9' * 5000}", headers=known)).text()


async def test_the_token_becomes_a_cookie(client: Client) -> None:
    answer = await client.get(f"/?token={TOKEN}&fontsize=20", allow_redirects=False)
    assert answer.status == 303
    assert answer.headers["Location"] == "/?fontsize=20"
    cookie = SimpleCookie(answer.headers["Set-Cookie"])["varda-chat-8000"]
    assert cookie.value == TOKEN
    assert cookie["httponly"]
    assert cookie["samesite"] == "Strict"
    known = {"Cookie": f"varda-chat-8000={TOKEN}"}
    page = await (await client.get("/?fontsize=20", headers=known)).text()
    assert 'data-font-size="20"' in page
    assert "https://" not in page
    assert TOKEN not in page
    assert 'data-font-size="16"' in await (await client.get("/?fontsize=9999999", headers=known)).text()


async def test_pages_of_other_sites_are_refused_and_static_files_are_free(client: Client) -> None:
    known = {"Cookie": f"varda-chat-8000={TOKEN}"}
    for origin in ("http://elsewhere", "http://[", "null"):
        assert (await client.get("/ws", headers={**known, "Origin": origin})).status == 403
    assert (await client.get("/static/js/textual.js")).status == 200
    assert (await client.get("/", headers={**known, "Host": 'x"><script>'})).status in (200, 400)


@pytest.mark.parametrize(
    ("arguments", "says", "code"),
    [
        ("serve --prompt Hi", "--prompt does not go with serve", 2),
        ("--json serve", "--json does not go with serve", 2),
        ("serve --reset-memory", "--reset-memory does not go with serve", 2),
        ("serve --nonsense", "No such option", 2),
        ("serve --profile work hello", "unexpected extra argument", 2),
        ("--profile ../x serve", "not a profile name", 1),
        ("serve --theme mauve", "no theme 'mauve'", 1),
        ("serve --port 0", "0 is not in the range", 2),
        ("serve --token mine", "visible to every user of this machine", 2),
        ("serve --token-file /dev/null", "must hold one line", 1),
    ],
)
def test_what_the_chat_would_not_begin_with_is_refused_first(arguments: str, says: str, code: int) -> None:
    result = CliRunner().invoke(main, shlex.split(arguments))
    assert result.exit_code == code
    assert says in result.stderr


def served(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[ChatServer, str]:
    """The server that a command line would start, and what was said."""
    servers: list[ChatServer] = []
    monkeypatch.setattr(ChatServer, "serve", lambda server: servers.append(server))
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return servers[0], result.output


def test_flags_of_the_chat_are_passed_on_from_before_and_after(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "my config.toml"
    file.write_text("")
    before = ["--config", str(file), "--profile", "work", "--incognito"]
    server, said = served(monkeypatch, *before, "serve", "--port", "9000", "--temperature", "0", "--continue")
    passed = shlex.split(server.command)
    assert passed[1:4] == ["-P", "-m", "varda_chat"]
    assert passed[4:] == [*before[:4], "--read-only", "--temperature", "0", "--continue"]
    assert server.port == 9000
    assert said == ""


def test_it_listens_here_alone_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    first, said = served(monkeypatch, "serve")
    second, _ = served(monkeypatch, "serve", "--host", "localhost")
    assert first.host == "127.0.0.1"
    assert said == ""
    tokens = [re.search(r"token=([\w-]{20,})$", each.address) for each in (first, second)]
    assert tokens[0] and tokens[1] and tokens[0][1] != tokens[1][1]
    monkeypatch.setenv("VARDA_CHAT_TOKEN", "mine")
    third, said = served(monkeypatch, "serve", "--host", "0.0.0.0")  # noqa: S104 - what it warns of
    assert third.address == "http://0.0.0.0:8000/?token=mine"
    assert len(said.splitlines()) == 1
    assert said.startswith("Warning: 0.0.0.0 can be reached from elsewhere")


def test_the_token_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from-a-file\n")
    file.chmod(0o600)
    server, said = served(monkeypatch, "serve", "--token-file", str(file))
    assert server.address.endswith("?token=from-a-file")
    assert said == ""
    file.chmod(0o644)
    assert "Warning: other users can read" in served(monkeypatch, "serve", "--token-file", str(file))[1]


PAGE = {"Cookie": f"varda-chat-8000={TOKEN}"}
STUBBORN = """
import os, signal, struct, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1], "w").write(f"{os.getpid()} {os.environ['COLUMNS']} {os.environ.get('VARDA_CHAT_TOKEN')}")
os.write(1, b"__GANGLION__\\n")
time.sleep(600)
"""


@pytest.fixture
async def stubborn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Client, Path]]:
    """A server whose chats neither read nor end, of which there may be one; and where a chat writes down its id."""
    monkeypatch.setattr("varda_chat.web.chat_process.SAVING_SECONDS", 0.5)
    monkeypatch.setattr("varda_chat.web.chat_process.ENDING_SECONDS", 0.5)
    monkeypatch.setenv("VARDA_CHAT_TOKEN", TOKEN)
    script, note = tmp_path / "stubborn.py", tmp_path / "note"
    script.write_text(STUBBORN)
    server = ChatServer(shlex.join([sys.executable, str(script), str(note)]), "127.0.0.1", 8000, TOKEN, max_chats=1)
    async with TestClient(TestServer(await server._make_app()), cookie_jar=aiohttp.DummyCookieJar()) as client:
        yield client, note


async def until(true: Callable[[], bool]) -> None:
    for _ in range(6000):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came true")


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_chat_ends_with_its_page_and_there_are_no_more_than_allowed(stubborn: tuple[Client, Path]) -> None:
    client, note = stubborn
    async with client.ws_connect("/ws?width=99999999&height=5", headers=PAGE) as page:
        await until(lambda: note.exists() and len(note.read_text().split()) == 3)
        pid, columns, known = note.read_text().split()
        assert columns == "500"
        assert known == "None", "no chat needs the token"
        await page.send_str('["resize",{"width":1000000000,"height":1e400}]')
        async with client.ws_connect("/ws", headers=PAGE) as second:
            assert b"1 chat is open already" in (await second.receive()).data
            assert (await second.receive()).type is aiohttp.WSMsgType.CLOSE
        assert runs(int(pid))
    await until(lambda: not runs(int(pid)))


@pytest.mark.parametrize(
    "said", ["nonsense", "{}", "[]", '["resize"]', '["resize",{"width":null,"height":[]}]', '["stdin",7]']
)
async def test_a_page_that_talks_nonsense_ends_no_more_than_its_own_chat(
    said: str, stubborn: tuple[Client, Path]
) -> None:
    client, note = stubborn
    async with client.ws_connect("/ws", headers=PAGE) as page:
        await until(lambda: note.exists() and len(note.read_text().split()) == 3)
        await page.send_str(said)
    await until(lambda: not runs(int(note.read_text().split()[0])))
    assert (await client.get("/", headers=PAGE)).status == 200


def test_sizes_are_bounded() -> None:
    assert bounded(80, 24) == (80, 24)
    assert bounded(10**9, 10**9) == (500, 200)
    assert bounded(float("inf"), float("nan")) == (500, 1)
    assert bounded(-5, None) == (1, 1)


@pytest.mark.parametrize("path", ["/static/", "/static/js", "/static/js/", "/static/none"])
async def test_no_directory_is_listed(path: str, client: Client) -> None:
    answer = await client.get(path)
    assert answer.status in (403, 404)
    assert "textual.js" not in await answer.text()


def test_without_the_extra_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "textual_serve.server", None)
    monkeypatch.delitem(sys.modules, "varda_chat.web.server")
    result = CliRunner().invoke(main, ["serve"])
    assert result.exit_code == 1
    assert result.stderr == "Error: The chat in a browser needs one more package: pip install 'varda-chat[web]'.\n"


@contextmanager
def serving(*flags: str) -> Iterator[str]:
    """A real server in a process of its own; gives its address, with the token."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "varda_chat", "serve", "--port", str(port), *flags]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found is not None
            yield found[0]
        finally:
            process.terminate()
    assert process.returncode == 0


def test_a_port_in_use_gets_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = CliRunner().invoke(main, ["serve", "--port", str(taken.getsockname()[1])])
    assert result.exit_code == 1
    assert re.fullmatch(r"Error: Port \d+ of 127.0.0.1 cannot be used: .*\n", result.stderr)


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium")
async def test_the_chat_in_a_browser(tmp_path: Path, own_data_directory: Path) -> None:
    with serving("--temperature", "0") as address:
        async with open_page(tmp_path / "browser") as page:
            bare = address.partition("?")[0]
            await page.go_to(bare)
            await page.wait_for_words("needs its token")
            await page.go_to(address)
            await page.wait_for("● ready")
            assert "0 memories" in str(page.terminal)
            assert await page.value("location.href") == bare
            await page.type("My dog is called Rimba.")
            await page.wait_for(r"recalled \d|\+ stored \d")
            await page.wait_for(r"[1-9]\d* memor(y|ies)")
            await page.wait_for(r"(?s)RECENTLY STORED.*\+ My dog is called Rimba\.")
            assert re.search(r"✦ \w+", str(page.terminal))
            assert {each.partition("/")[2].partition("/")[2].partition("/")[0] for each in page.asked} <= {
                bare.split("/")[2],
                "",
            }, "the page asks nobody else"
            async with open_page(tmp_path / "another") as second:
                await second.go_to(address)
                await second.wait_for("Another varda-chat is using this memory")
                await second.wait_for("✕ not loaded")
            await page.type("I live in Lisbon.")
            await page.wait_for(r"(?s)RECENTLY STORED.*\+ I live in Lisbon\.")
    assert (own_data_directory / "profiles" / "default" / "memory.db").exists()
