"""What is read of a request for a chat completion.

The last message, the user's, is the turn. The earlier ones of user and assistant are the exchanges that it follows;
system, developer and tool messages are not read. ``stream``, ``temperature``, ``top_p``, ``max_tokens`` and ``seed``
are heeded, other parameters are ignored, and a request that a reply without them would betray is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from varda_chat.api.errors import ApiError
from varda_chat.config.defaults import MAX_NEW_TOKENS, GenerationSettings
from varda_chat.errors import VardaError
from varda_chat.session.context import RESUMED_TURNS
from varda_chat.session.lengths import MAX_MESSAGE, check_length
from varda_chat.session.turn import Exchange
from varda_chat.text import sanitize

MODEL = "varda-chat"
"""What the model is called in requests."""
MAX_BODY = 4 * 2**20
"""Bytes of a request that are read."""
_MOST = 2**63


@dataclass(frozen=True)
class Asked:
    """A request. ``past``: the last exchanges before ``prompt``; ``stream``: in pieces; ``usage``: these end with the
    counts of tokens."""

    prompt: str
    past: tuple[Exchange, ...]
    generation: GenerationSettings
    stream: bool = False
    usage: bool = False


def read_request(body: bytes, defaults: GenerationSettings) -> Asked:
    """The request that ``body`` is; what it does not say is of ``defaults``. Raises ApiError."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise ApiError("The request is not JSON.") from None
    if not isinstance(value, dict):
        raise ApiError("The request must be a JSON object.")
    model = value.get("model")
    if model != MODEL:
        raise unknown_model(model)
    _refuse_what_is_not_done(value)
    prompt, past = _conversation(value.get("messages"))
    options = value.get("stream_options")
    return Asked(
        prompt,
        past,
        _generation(value, defaults),
        stream=value.get("stream") is True,
        usage=isinstance(options, dict) and options.get("include_usage") is True,
    )


def unknown_model(name: object) -> ApiError:
    """The refusal of a model of that name."""
    said = sanitize(name[:100]) if isinstance(name, str) else "that is not named"
    return ApiError(
        f"There is no model {said}; the one here is {MODEL}.", status=404, code="model_not_found", param="model"
    )


def _refuse_what_is_not_done(value: Mapping[str, Any]) -> None:
    if value.get("n") not in (None, 1):
        raise ApiError("One reply is made at a time: n must be 1.", param="n")
    if value.get("logprobs"):
        raise ApiError("Probabilities are not told.", param="logprobs")
    wanted = value.get("response_format")
    if wanted is not None and not (isinstance(wanted, dict) and wanted.get("type") == "text"):
        raise ApiError("Replies are text, in no format that could be asked for.", param="response_format")
    choice = value.get("tool_choice")
    if choice is not None and choice not in ("none", "auto"):
        raise ApiError("The model calls no tools.", param="tool_choice")


def _generation(value: Mapping[str, Any], defaults: GenerationSettings) -> GenerationSettings:
    changed: dict[str, Any] = {}
    for name in ("temperature", "top_p"):
        if value.get(name) is not None:
            changed[name] = float(_number(value, name, int | float))
    for name in ("max_tokens", "max_completion_tokens"):
        if value.get(name) is not None:
            changed["max_new_tokens"] = min(_number(value, name, int), MAX_NEW_TOKENS)
    if value.get("seed") is not None:
        changed["seed"] = _number(value, "seed", int)
    try:
        return replace(defaults, **changed)
    except VardaError as error:
        raise ApiError(str(error)) from error


def _number(value: Mapping[str, Any], name: str, kind: Any) -> Any:
    found = value[name]
    if not isinstance(found, kind) or isinstance(found, bool):
        raise ApiError(f"{name} must be a {'whole ' if kind is int else ''}number.", param=name)
    if abs(found) >= _MOST:
        raise ApiError(f"{name} is too large a number.", param=name)
    return found


def _conversation(messages: Any) -> tuple[str, tuple[Exchange, ...]]:
    """The last message, and the exchanges before it, the last of them alone and none that is too long to be read."""
    if not isinstance(messages, list) or not messages:
        raise ApiError("messages must be a list with the user's message at its end.", param="messages")
    for number, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise ApiError(f"messages[{number}] must be an object with a role.", param="messages")
    *earlier, last = messages
    if last["role"] != "user":
        raise ApiError(f"The last message must be the user's, not of {sanitize(last['role'][:40])}.", param="messages")
    prompt = sanitize(_text(last.get("content"), f"messages[{len(earlier)}]", whole=True)).strip()
    if not prompt:
        raise ApiError("There is nothing to answer: the message is empty.", param="messages")
    try:
        check_length(prompt)
    except VardaError as error:
        raise ApiError(str(error), code="string_above_max_length", param="messages") from error
    return prompt, _exchanges(earlier)


def _exchanges(messages: list[dict[str, Any]]) -> tuple[Exchange, ...]:
    """Each user's message that a reply follows, with it, from the end on."""
    found: list[Exchange] = []
    reply = ""
    for number, message in reversed(list(enumerate(messages))):
        if len(found) == RESUMED_TURNS:
            break
        if message["role"] not in ("user", "assistant"):
            continue
        text = _text(message.get("content"), f"messages[{number}]", whole=False)
        if len(text) > MAX_MESSAGE:
            break
        text = sanitize(text).strip()
        if message["role"] == "assistant":
            reply = f"{text}\n{reply}".strip()
        elif reply and text:
            found.append(Exchange(text, reply))
            reply = ""
    return tuple(reversed(found))


def _text(content: Any, where: str, *, whole: bool) -> str:
    """The text of a message; parts that are no text are refused, or left out where it need not be ``whole``."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise ApiError(f"{where}.content must be text or a list of parts.", param="messages")
    texts: list[str] = []
    for part in content:
        if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif whole:
            raise ApiError(f"{where}.content holds a part that is not text; only text is read.", param="messages")
    return "\n".join(texts)
