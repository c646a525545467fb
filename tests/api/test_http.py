"""The endpoint by plain HTTP: what no proper client sends."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.helpers.endpoint import TOKEN, Served


def send(url: str, body: bytes | None = None, token: str = TOKEN, method: str | None = None) -> tuple[int, Any]:
    request = urllib.request.Request(url, body, {"Authorization": f"Bearer {token}"}, method=method)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"\xff\xfe", 400),
        (b"[" * 100_000, 400),
        (b'{"model": 1}', 404),
        (b'{"model": "varda-chat"}', 400),
        (b'{"model": "varda-chat", "messages": ["Hi"]}', 400),
        (b'{"model": "varda-chat", "messages": [{"role": "user"}], "temperature": NaN}', 400),
        (b" " * (4 * 2**20 + 1), 413),
    ],
)
def test_what_is_no_request_is_refused_in_openais_shape(body: bytes, status: int, endpoint: Served) -> None:
    got, answer = send(f"{endpoint.url}/chat/completions", body)
    assert got == status
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    assert endpoint.session.memory.size == 0


@pytest.mark.parametrize(("path", "method", "status"), [("/none", None, 404), ("/chat/completions", "GET", 405)])
def test_other_addresses_too(path: str, method: str | None, status: int, endpoint: Served) -> None:
    got, answer = send(endpoint.url + path, method=method)
    assert got == status
    assert answer["error"]["message"]
    assert send(endpoint.url + path, None, "another", method)[0] == 401


def test_half_a_character_is_data(endpoint: Served) -> None:
    message = {"role": "user", "content": "A\ud800B"}
    body = json.dumps({"model": "varda-chat", "messages": [message, message], "max_tokens": 2}).encode()
    got, answer = send(f"{endpoint.url}/chat/completions", body)
    assert got == 200
    assert "\ud800" not in json.dumps(answer["varda"], ensure_ascii=False)
