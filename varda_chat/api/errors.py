"""Errors as OpenAI's clients expect them: a status, and a JSON object with message, type, param and code."""

from __future__ import annotations

from typing import Any

from varda_chat.errors import VardaError


class ApiError(VardaError):
    """A request that is refused. ``status``: of HTTP; ``kind``: OpenAI's type of error; ``param``: the wrong field."""

    def __init__(
        self, message: str, *, status: int = 400, kind: str = "", code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind or ("invalid_request_error" if status < 500 else "server_error")
        self.code = code
        self.param = param

    @property
    def body(self) -> dict[str, Any]:
        """The error as the answer to a request."""
        return {"error": {"message": str(self), "type": self.kind, "param": self.param, "code": self.code}}
