"""The memory over MCP, by the package's own client: in process, and over stdio with the real command."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from varda_chat.errors import VardaError
from varda_chat.session.session import ChatSession

mcp = pytest.importorskip("mcp", reason="needs the extra mcp")


def content(result: Any) -> dict[str, Any]:
    assert not result.is_error, result.content
    value: dict[str, Any] = result.structured_content
    return value.get("result", value)


async def use(client: Any) -> None:
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(tools) == {"remember", "recall", "forget", "why"}
    assert all(tool.description for tool in tools.values())
    told = content(await client.call_tool("remember", {"text": "My dog is called Rimba.", "always": True}))
    (dog,) = told["stored"]
    again = content(await client.call_tool("remember", {"text": "My dog is called Rimba.", "always": True}))
    assert [each["id"] for each in again["known_already"]] == [dog["id"]]
    found = content(await client.call_tool("recall", {"query": "What is my dog called?"}))["found"]
    assert found[0]["text"] == "My dog is called Rimba."
    known = content(await client.call_tool("why", {"id": dog["id"]}))
    assert known["memory"]["text"] == "My dog is called Rimba."
    assert known["found_by"]
    kept = content(await client.call_tool("forget", {"text": "dog"}))
    assert (kept["forgotten"], [each["id"] for each in kept["candidates"]]) == ([], [dog["id"]])
    gone = content(await client.call_tool("forget", {"text": "my dog is called rimba"}))
    assert [each["id"] for each in gone["forgotten"]] == [dog["id"]]
    assert content(await client.call_tool("recall", {"query": "What is my dog called?"}))["found"] == []
    assert content(await client.call_tool("why", {"id": dog["id"]}))["deleted"]["text"] == "My dog is called Rimba."
    failed = await client.call_tool("why", {"id": 99})
    assert failed.is_error
    assert "no memory with the id 99" in failed.content[0].text


async def test_the_tools_remember_recall_forget_and_explain(tiny_checkpoint: Path, tmp_path: Path) -> None:
    from varda_chat.cli.mcp import server_of

    with ChatSession.open(tmp_path / "memory", tiny_checkpoint) as session:
        async with mcp.Client(server_of(session)) as client:
            await use(client)
    with ChatSession.open(tmp_path / "memory", tiny_checkpoint, incognito=True) as session:
        async with mcp.Client(server_of(session)) as client:
            refused = await client.call_tool("remember", {"text": "I row.", "always": True})
            assert refused.is_error
            assert "incognito" in refused.content[0].text


async def test_the_command_serves_on_stdio(tiny_checkpoint: Path, tmp_path: Path) -> None:
    command = ["-m", "varda_chat", "mcp", "--checkpoint", str(tiny_checkpoint), "--data-dir", str(tmp_path / "data")]
    server = mcp.StdioServerParameters(command=sys.executable, args=command, env=dict(os.environ))
    async with mcp.Client(server) as client:
        await use(client)


async def test_incognito_before_the_command_stores_nothing(tiny_checkpoint: Path, tmp_path: Path) -> None:
    place = ["--checkpoint", str(tiny_checkpoint), "--data-dir", str(tmp_path / "data")]
    command = ["-m", "varda_chat", "--incognito", *place, "mcp"]
    server = mcp.StdioServerParameters(command=sys.executable, args=command, env=dict(os.environ))
    async with mcp.Client(server) as client:
        for always in (True, False):
            refused = await client.call_tool("remember", {"text": "My dog is called Rimba.", "always": always})
            assert refused.is_error
            assert "Nothing was stored: this session is incognito." in refused.content[0].text
    assert not (tmp_path / "data" / "profiles").exists()


def test_without_the_package_the_command_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from varda_chat.cli.main import main

    for name in [name for name in sys.modules if name.partition(".")[0] == "mcp"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mcp", None)
    result = CliRunner().invoke(main, ["mcp"])
    assert isinstance(result.exception, SystemExit | VardaError)
    assert result.exit_code == 1
    assert "varda-chat[mcp]" in result.stderr
