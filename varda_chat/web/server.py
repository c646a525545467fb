"""A textual-serve server that answers only who knows the token: by the address once, by a cookie from then on."""

from __future__ import annotations

import asyncio
import html
import secrets
from collections.abc import Awaitable, Callable
from importlib.resources import files
from string import Template
from urllib.parse import urlsplit

import click
from aiohttp import WSCloseCode, web
from textual_serve.server import Server, to_int

from varda_chat.text import numbered, one_line
from varda_chat.web.chat_process import ChatProcess

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

FONT_SIZES = range(8, 41)
_DEFAULT_FONT_SIZE = 16
_DEFAULT_SIZE = (("width", 80), ("height", 24))
_TOO_MANY = "\r\n  {} open already, and this server allows no more. Close one, then load this page again.\r\n"


class ChatServer(Server):
    """Serves ``command``, a process of its own for each page that is open."""

    def __init__(self, command: str, host: str, port: int, token: str, max_chats: int = 4) -> None:
        super().__init__(command, host=host, port=port, title="varda-chat")
        self._max_chats = max_chats
        self._token = token
        self._cookie = f"varda-chat-{port}"  # browsers share cookies among the ports of a host
        self._chats: set[asyncio.Task[object]] = set()
        self._page = Template(files(__package__).joinpath("page.html").read_text("utf-8"))

    @property
    def address(self) -> str:
        """Where the chat is, with the token."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/?token={self._token}"

    def initialize_logging(self) -> None:
        """None: requests name the token."""

    async def on_startup(self, app: web.Application) -> None:
        """Say where the chat is."""
        click.echo(f"The chat is at {self.address}\nCtrl+C ends it.")

    async def on_shutdown(self, app: web.Application) -> None:
        """Let every open chat end as by its own key, its memory saved."""
        for chat in self._chats:
            chat.cancel()
        await asyncio.gather(*self._chats, return_exceptions=True)

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Run a chat for the page that asks, until either ends. One chat too many is refused, in the page."""
        websocket = web.WebSocketResponse(heartbeat=15)
        await websocket.prepare(request)
        if len(self._chats) >= self._max_chats:
            counted = f"{numbered(self._max_chats, 'chat')} {'is' if self._max_chats == 1 else 'are'}"
            await websocket.send_bytes(_TOO_MANY.format(counted).encode())
            await websocket.close(code=WSCloseCode.TRY_AGAIN_LATER)
            return websocket
        task = asyncio.current_task()
        assert task is not None
        self._chats.add(task)
        chat = ChatProcess(
            self.command,
            write_bytes=websocket.send_bytes,
            write_str=websocket.send_str,
            close=_closing(websocket),
            download_manager=self.download_manager,
        )
        try:
            await chat.start(*(to_int(request.query.get(name, ""), size) for name, size in _DEFAULT_SIZE))
            await self._process_messages(websocket, chat)
        except asyncio.CancelledError:
            await websocket.close()
        except Exception as error:  # noqa: BLE001 - a page that talks nonsense ends its own chat and no other
            click.echo(f"A chat was ended: {one_line(f'{type(error).__name__}: {error}')}", err=True)
            await websocket.close(code=WSCloseCode.PROTOCOL_ERROR)
        finally:
            try:
                await chat.stop()
            finally:
                self._chats.discard(task)
        return websocket

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.middlewares.append(self._let_in)
        return app

    @web.middleware
    async def _let_in(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """403 for who does not know the token, and for pages of other sites; only the static files are free."""
        if request.path.startswith("/static/"):
            answer = await handler(request)
            return answer if isinstance(answer, web.FileResponse) else web.Response(status=404)  # no directory listing
        if not self._knows_token(request) or not _from_here(request):
            return web.Response(status=403, text="This address needs its token, as varda-chat serve printed it.\n")
        if request.path == "/" and "token" in request.query:
            # out of the address bar and the history
            there = request.rel_url.without_query_params("token")
            response = web.Response(status=303, headers={"Location": str(there), "Cache-Control": "no-store"})
            response.set_cookie(self._cookie, self._token, httponly=True, samesite="Strict")
            return response
        return await handler(request)

    def _knows_token(self, request: web.Request) -> bool:
        given = (request.query.get("token", ""), request.cookies.get(self._cookie, ""))
        # bytes that are no text are surrogates here, which no token has
        return any(secrets.compare_digest(each.encode(errors="surrogatepass"), self._token.encode()) for each in given)

    async def handle_index(self, request: web.Request) -> web.Response:
        """The page, which asks nobody but this server for anything."""
        size = request.query.get("fontsize", "")
        font_size = int(size) if size in map(str, FONT_SIZES) else _DEFAULT_FONT_SIZE
        scheme = "wss" if request.scheme == "https" else "ws"
        websocket = html.escape(f"{scheme}://{request.host}/ws", quote=True)
        return web.Response(
            text=self._page.substitute(websocket=websocket, font_size=font_size),
            content_type="text/html",
            headers={"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY"},
        )


def _closing(websocket: web.WebSocketResponse) -> Callable[[], Awaitable[None]]:
    async def close() -> None:
        await websocket.close()

    return close


def _from_here(request: web.Request) -> bool:
    """Whether no page of another site asks."""
    origin = request.headers.get("Origin")
    try:
        return origin is None or urlsplit(origin).netloc == request.host
    except ValueError:  # it is no address
        return False
