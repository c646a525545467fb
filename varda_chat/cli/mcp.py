"""``varda-chat mcp``: the memory as tools for any MCP client, over stdio. The learned gates decide; no reply is made.

The package ``mcp`` is imported only when the server starts.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from varda_chat import __version__
from varda_chat.cli.options import Place, as_dict, at_a_place
from varda_chat.config.installer import install_command
from varda_chat.errors import VardaError
from varda_chat.memory.records import normal_form

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

    from varda_chat.session.session import ChatSession

INSTRUCTIONS = (
    "A memory of what the user said, kept on this computer. Call recall before answering about the user's life, "
    "remember when the user tells something about it, forget only when the user asks for it."
)
_MOST = 50
"""Statements that one answer lists."""


@click.command()
@at_a_place(model=True)
def mcp(place: Place) -> None:
    """Serve the memory to an MCP client on stdin and stdout: tools remember, recall, forget, why."""
    try:
        import mcp.server.mcpserver  # noqa: F401
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "mcp":
            raise
        raise VardaError(f"The MCP server needs one more package: {install_command('varda-chat[mcp]')}.") from None
    with place.session() as session:
        server_of(session).run("stdio")


def server_of(session: ChatSession) -> MCPServer:
    """A server whose tools act on ``session``'s memory."""
    from mcp.server.mcpserver import MCPServer

    server = MCPServer("varda-chat", version=__version__, instructions=INSTRUCTIONS)
    tools = MemoryTools(session)
    for tool in (tools.remember, tools.recall, tools.forget, tools.why):
        server.tool(structured_output=True)(tool)
    return server


class MemoryTools:
    """The tools. They run one after the other in the server's own thread, as a session needs."""

    def __init__(self, session: ChatSession) -> None:
        self._session = session

    async def remember(self, text: str, always: bool = False) -> dict[str, Any]:
        """Store what is worth remembering of something the user said, as a trained gate decides.

        Args:
            text: what was said, word for word, in the first person ("My dog is called Rimba.").
            always: store every sentence, whatever the gate thinks of it.
        """
        applied = (
            _told(self._session.memory.remember, text) if always else _told(self._session.memory.learn, "user", text)
        )
        return {
            "stored": [as_dict(each) for each in applied.stored],
            "known_already": [as_dict(each) for each in applied.refreshed],
            "dropped_for_room": [as_dict(each) for each in applied.deleted],
        }

    async def recall(self, query: str, limit: int = 10) -> dict[str, Any]:
        """Find what the user once said that bears on a question, best match first; match is from 0 to 1."""
        found = _told(self._session.memory.search, query, max(1, min(limit, _MOST)))
        return {"found": [{"id": each.id, "text": each.text, "match": round(each.weight, 4)} for each in found]}

    async def forget(self, text: str = "", ids: list[int] | None = None) -> dict[str, Any]:
        """Delete memories; the user can undo it. Only those of the given ids, or the one that says exactly text, go.

        Where no memory says exactly text, nothing is deleted, and candidates with their ids come back.
        """
        wanted = set(ids or ())
        candidates: list[dict[str, Any]] = []
        if text.strip():
            exact, near = self._session.memory.candidates(text, _MOST)
            same = {each.id for each in exact if normal_form(each.text) == normal_form(text)}
            wanted |= same
            candidates = [] if same else [as_dict(each) for each in (*exact, *near)[:_MOST]]
        forgotten = _told(self._session.memory.forget, sorted(wanted)) if wanted else ()
        return {"forgotten": [as_dict(each) for each in forgotten], "candidates": candidates}

    async def why(self, id: int) -> dict[str, Any]:
        """Say where a memory comes from: who said it and when, in which session, how often it was recalled, and the
        words by which it is found; or when it was deleted."""
        statement, removed = self._session.memory.look_up(id)
        if statement is not None:
            return {"memory": as_dict(statement), "found_by": list(self._session.memory.tokens(id))}
        if removed is not None:
            return {"deleted": asdict(removed)}
        from mcp.server.mcpserver.exceptions import ToolError

        raise ToolError(f"There is no memory with the id {id}.")


def _told(act: Any, *arguments: Any) -> Any:
    """What ``act`` returns; a VardaError becomes a failure that the client is told of."""
    from mcp.server.mcpserver.exceptions import ToolError

    try:
        return act(*arguments)
    except VardaError as error:
        raise ToolError(str(error)) from error
