"""The web application: ``/v1/models`` and ``/v1/chat/completions``, in OpenAI's shapes, for who bears the token."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import click
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from varda_chat.api.asking import MAX_BODY, MODEL, Asked, read_request, unknown_model
from varda_chat.api.conversation import Conversation
from varda_chat.api.errors import ApiError
from varda_chat.api.turns import Answer, Turns
from varda_chat.errors import StorageError, VardaError
from varda_chat.session.session import ChatSession
from varda_chat.session.turn import Turn
from varda_chat.text import one_line, to_json

_DISCONNECTED = 499
"""The status for a client that has hung up, which nobody reads."""


def application(
    session: ChatSession, token: str, *, most_waiting: int, on_ready: Callable[[], None] | None = None
) -> ASGIApp:
    """The application over ``session``, which it closes when it ends. ``on_ready``: called when it has begun."""
    endpoint = _Endpoint(session, Turns(Conversation(session), most_waiting))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        if on_ready is not None:
            on_ready()
        try:
            yield
        finally:
            await endpoint.turns.close()

    routes = [
        Route("/v1/models", endpoint.models),
        Route("/v1/models/{name}", endpoint.model),
        Route("/v1/chat/completions", endpoint.completions, methods=["POST"]),
    ]
    handlers: dict[Any, Any] = {HTTPException: _http_error, VardaError: _told}
    return _LetIn(Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan), token)


class _LetIn:
    """Lets in who bears the token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not secrets.compare_digest(given, self._expected):
                refusal = ApiError(
                    "The API key must be the token that varda-chat api was given or has printed.",
                    status=401,
                    code="invalid_api_key",
                )
                await _refused(refusal, {"WWW-Authenticate": "Bearer"})(scope, receive, send)
                return
        await self._app(scope, receive, send)


class _Endpoint:
    def __init__(self, session: ChatSession, turns: Turns) -> None:
        self._session = session
        self.turns = turns
        self._begun = int(time.time())

    async def models(self, _: Request) -> Response:
        return _json({"object": "list", "data": [self._model()]})

    async def model(self, request: Request) -> Response:
        if request.path_params["name"] != MODEL:
            raise unknown_model(request.path_params["name"])
        return _json(self._model())

    async def completions(self, request: Request) -> Response:
        asked = read_request(await _body(request), self.turns.conversation.defaults)
        answer = self.turns.begin(asked)
        if asked.stream:
            return StreamingResponse(
                _events(answer), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
            )
        reading = asyncio.ensure_future(_whole(answer))
        leaving = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait((reading, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                return Response(status_code=_DISCONNECTED)
            return _json(_completion(asked, reading.result()))
        except Exception as error:  # noqa: BLE001 - whatever fails in a turn, the client is told in OpenAI's shape
            return _refused(_as_api_error(error))
        finally:
            answer.stop()
            for task in (reading, leaving):
                task.cancel()

    def _model(self) -> dict[str, Any]:
        about = {"checkpoint": self._session.model_name, "profile": self._session.profile}
        return {"id": MODEL, "object": "model", "created": self._begun, "owned_by": "varda-chat", "varda": about}


async def _body(request: Request) -> bytes:
    """The request's body. Raises ApiError, status 413, where it is too long."""
    body = b""
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_BODY:
                raise ApiError(f"The request is longer than {MAX_BODY:,} bytes.", status=413)
    except ClientDisconnect:
        raise ApiError("The request was broken off.") from None
    return body


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _whole(answer: Answer) -> Turn:
    async for _ in answer:
        pass
    assert answer.turn is not None
    return answer.turn


async def _events(answer: Answer) -> AsyncIterator[str]:
    """The reply as server-sent events. Where the client goes, the reply is stopped."""
    head = _head("chat.completion.chunk")
    try:
        yield _event(head | {"choices": [_delta({"role": "assistant", "content": ""})]})
        async for piece in answer:
            yield _event(head | {"choices": [_delta({"content": piece})]})
        turn = answer.turn
        assert turn is not None
        end = _delta({}, _reason(answer.asked, turn))
        yield _event(head | {"choices": [end], "varda": _memory(turn)})
        if answer.asked.usage:
            yield _event(head | {"choices": [], "usage": _usage(turn)})
        yield "data: [DONE]\n\n"
    except Exception as error:  # noqa: BLE001 - the answer has begun: its client is told there
        yield _event(_as_api_error(error).body)
    finally:
        answer.stop()


def _completion(asked: Asked, turn: Turn) -> dict[str, Any]:
    message = {"role": "assistant", "content": turn.reply, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": _reason(asked, turn), "logprobs": None}
    return _head("chat.completion") | {"choices": [choice], "usage": _usage(turn), "varda": _memory(turn)}


def _head(kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{secrets.token_hex(12)}", "object": kind, "created": int(time.time()), "model": MODEL}


def _delta(delta: dict[str, str], reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}


def _reason(asked: Asked, turn: Turn) -> str:
    return "length" if turn.reply_tokens >= asked.generation.max_new_tokens else "stop"


def _usage(turn: Turn) -> dict[str, int]:
    read, written = turn.prompt_tokens, turn.reply_tokens
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _memory(turn: Turn) -> dict[str, Any]:
    """The extension field: what the memory did for the turn."""
    told = turn.to_json()
    return {name: told[name] for name in ("stored", "deleted", "recalled", "memory_size")} | {"status": turn.status}


def _event(value: dict[str, Any]) -> str:
    return f"data: {to_json(value)}\n\n"


def _json(value: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(to_json(value), status, headers, "application/json")


def _refused(error: ApiError, headers: dict[str, str] | None = None) -> Response:
    return _json(error.body, error.status, headers)


def _as_api_error(error: Exception) -> ApiError:
    if isinstance(error, ApiError):
        return error
    if isinstance(error, VardaError):
        return ApiError(str(error), status=500 if isinstance(error, StorageError) else 400)
    with suppress(OSError):
        click.echo(f"A turn failed: {one_line(f'{type(error).__name__}: {error}')}", err=True)
    return ApiError("The turn failed; the server's terminal says why.", status=500)


async def _told(_: Request, error: VardaError) -> Response:
    refusal = _as_api_error(error)
    return _refused(refusal, {"Retry-After": "1"} if refusal.status == 429 else None)


async def _http_error(_: Request, error: HTTPException) -> Response:
    return _refused(ApiError(error.detail, status=error.status_code), dict(error.headers or {}))
