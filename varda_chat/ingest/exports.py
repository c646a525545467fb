"""Dialogues and memories in JSON, recognised by their keys: exports of ChatGPT, Claude, mem0, Letta and varda-chat,
OpenAI and ShareGPT training files, corpora.

Only what a person and their assistant really said is taken: of a conversation with branches the one that was kept; no
system prompts, tool calls, tool results or thoughts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from varda_chat.ingest.passages import Found, moment

_USER = ("user", "human")
_ASSISTANT = ("assistant", "bot", "gpt", "chatgpt", "model", "ai", "varda")
_SILENT = ("system", "developer", "tool", "function", "function_call", "observation", "tool_call", "tool_response",
           "environment", "approval", "summary")  # fmt: skip
_ROLES = dict.fromkeys(_USER, "user") | dict.fromkeys(_ASSISTANT, "assistant") | dict.fromkeys(_SILENT, "")
_TIMES = ("created_at", "create_time", "createdAt", "timestamp", "date", "at")
_TEXT_PARTS = ("text", "input_text", "output_text", "audio_transcription")


def read_value(value: Any, found: Found) -> bool:
    """Take what was said from a JSON value of any known shape; False where it has none.

    What is wrong within a known shape is noted in ``found``.
    """
    if isinstance(value, list):
        return _read_list(value, found)
    if not isinstance(value, dict):
        return False
    for is_shape, read in _SHAPES:
        if is_shape(value):
            _guarded(read, value, found)
            return True
    return False


def _read_list(entries: list[Any], found: Found) -> bool:
    """Read each entry, conversations in the order in which they began."""
    outer, known = found.where, False
    for number, entry in sorted(enumerate(entries, 1), key=lambda each: _began(each[1], found.now)):
        found.where = f"{outer}, entry {number}" if outer else f"entry {number}"
        if read_value(entry, found):
            known = True
        else:
            found.fail("it is none of the known shapes")
    found.where = outer
    return known


def _began(entry: Any, now: float) -> float:
    """When a conversation of an account's export began; 0 for anything else, which keeps its place."""
    if not isinstance(entry, dict) or not ("mapping" in entry or "chat_messages" in entry):
        return 0.0
    return moment(entry.get("create_time", entry.get("created_at")), now) or 0.0


# Conversations


def _read_chatgpt(conversation: dict[str, Any], found: Found) -> None:
    mapping = conversation["mapping"]
    parents = {key: node.get("parent") for key, node in mapping.items() if isinstance(node, dict)}
    leaf = conversation.get("current_node")
    if leaf not in parents:
        leaf = _last_leaf(mapping, parents)
    for key in _path(parents, leaf):
        message = mapping[key].get("message")
        if message is not None:
            _guarded(_read_chatgpt_message, message, found, f"message {key}")


def _read_chatgpt_message(message: Any, found: Found) -> None:
    content, metadata = message["content"], message.get("metadata") or {}
    shown = (
        content.get("content_type") in ("text", "multimodal_text")
        and message.get("recipient", "all") == "all"
        and not metadata.get("is_visually_hidden_from_conversation")
    )
    _say(message["author"]["role"], content.get("parts") if shown else None, message.get("create_time"), found)


def _read_claude(conversation: dict[str, Any], found: Found) -> None:
    messages = conversation["chat_messages"]
    if all(isinstance(each, dict) and each.get("uuid") and each.get("parent_message_uuid") for each in messages):
        by_id = {each["uuid"]: each for each in messages}
        leaf = conversation.get("current_leaf_message_uuid")
        if leaf not in by_id and messages:
            leaf = messages[-1]["uuid"]
        parents = {key: each["parent_message_uuid"] for key, each in by_id.items()}
        messages = [by_id[key] for key in _path(parents, leaf)]
    for number, message in enumerate(messages, 1):
        _guarded(_read_claude_message, message, found, f"message {number}")


def _read_claude_message(message: Any, found: Found) -> None:
    said = _text(message.get("content")) or message.get("text")
    _say(message["sender"], said, message.get("created_at"), found)


def _read_messages(conversation: dict[str, Any], found: Found) -> None:
    for number, message in enumerate(conversation["messages"], 1):
        _guarded(_read_turn, message, found, f"message {number}")


def _read_turns(conversation: dict[str, Any], found: Found) -> None:
    for number, turn in enumerate(conversation["turns"], 1):
        _guarded(_read_turn, turn, found, f"turn {number}")


def _read_sharegpt(conversation: dict[str, Any], found: Found) -> None:
    entries = conversation["conversations"]
    if any(isinstance(each, dict) and {"mapping", "chat_messages", "messages"} & each.keys() for each in entries):
        _read_list(entries, found)
        return
    for number, turn in enumerate(entries, 1):
        _guarded(_read_turn, turn, found, f"turn {number}")


def _read_turn(turn: Any, found: Found) -> None:
    """One message: who under role, speaker, sender or from; what under content, text or value. Or both sides of one
    turn: prompt and reply, as varda-chat writes them."""
    if "prompt" in turn and "reply" in turn:
        at = turn.get("at")
        _say("user", turn["prompt"], at, found)
        if turn.get("state", "done") in ("done", "stopped"):
            _say("assistant", turn["reply"], at, found)
        return
    who = next((turn[name] for name in ("role", "speaker", "sender", "from") if name in turn), "user")
    what = next(turn[name] for name in ("content", "text", "value") if name in turn)
    _say(who, what, next((turn[name] for name in _TIMES if name in turn), None), found)


# Memories of other programs


def _read_letta(file: dict[str, Any], found: Found) -> None:
    blocks = file.get("blocks") or file.get("core_memory") or []
    for number, block in enumerate(blocks, 1):
        _guarded(_read_letta_block, block, found, f"block {number}")
    for agent in file.get("agents") or [file]:
        for number, message in enumerate(agent.get("messages") or [], 1):
            _guarded(_read_letta_message, message, found, f"message {number}")


def _read_letta_block(block: Any, found: Found) -> None:
    if block["label"] == "persona":  # about the agent, not the person
        found.skip()
        return
    for line in block["value"].splitlines():
        found.say("user", line, memory=True)


def _read_letta_message(message: Any, found: Found) -> None:
    """A user's message may be wrapped in JSON with its time, beside events that nobody said; what an agent says may be
    the argument of a call of send_message, with its thoughts as the content."""
    role, said, at = message["role"], _text(message.get("content", message.get("text"))), message.get("created_at")
    if role == "user" and said.lstrip().startswith("{"):
        event = _json_object(said)
        if "type" in event:
            said = event.get("message", "") if event["type"] == "user_message" else ""
    calls = [call["function"] for call in message.get("tool_calls") or [] if isinstance(call.get("function"), dict)]
    if calls:
        sent = [_json_object(call.get("arguments")) for call in calls if call.get("name") == "send_message"]
        said = "\n".join(each["message"] for each in sent if isinstance(each.get("message"), str))
    _say(role, said, at, found)


def _read_mem0(file: dict[str, Any], found: Found) -> None:
    for number, entry in enumerate(file.get("results") or file.get("memories") or [], 1):
        _guarded(_read_mem0_entry, entry, found, f"entry {number}")


def _read_mem0_entry(entry: Any, found: Found) -> None:
    if not isinstance(entry["memory"], str):
        raise TypeError
    found.say("user", entry["memory"], entry.get("updated_at") or entry.get("created_at"), memory=True)


def _is_list(name: str) -> Callable[[dict[str, Any]], bool]:
    return lambda value: isinstance(value.get(name), list)


_SHAPES: tuple[tuple[Callable[[dict[str, Any]], bool], Callable[[dict[str, Any], Found], None]], ...] = (
    (lambda value: isinstance(value.get("mapping"), dict), _read_chatgpt),
    (_is_list("chat_messages"), _read_claude),
    (_is_list("agents"), _read_letta),
    (_is_list("core_memory"), _read_letta),
    (_is_list("results"), _read_mem0),
    (_is_list("memories"), _read_mem0),
    (_is_list("conversations"), _read_sharegpt),
    (_is_list("messages"), _read_messages),
    (_is_list("turns"), _read_turns),
    (lambda value: "memory" in value, _read_mem0_entry),
    (lambda value: bool({"content", "text"} & value.keys()), _read_turn),
    (lambda value: {"from", "value"} <= value.keys() or {"prompt", "reply"} <= value.keys(), _read_turn),
)
"""How each shape is recognised, and what reads it; the first that fits."""


# Parts of them


def _guarded(read: Callable[[Any, Found], None], value: Any, found: Found, where: str = "") -> None:
    """Read ``value``; where it is not as it should be, it alone is lost."""
    try:
        read(value, found)
    except _UnknownRoleError as error:
        found.fail(str(error), where)
    except (KeyError, TypeError, AttributeError, StopIteration):
        found.fail("it is not a message of a dialogue", where)


class _UnknownRoleError(ValueError):
    pass


def _say(who: Any, what: Any, at: Any, found: Found) -> None:
    role = _ROLES.get(who.lower())
    if role is None:
        raise _UnknownRoleError(f"nobody knows who {who!r} is: user, assistant, system and tool are known")
    said = _text(what)
    if not role or not said.strip():
        found.skip()
    else:
        found.say(role, said, at)


def _text(content: Any) -> str:
    """The text of a message, which may come in parts: texts, or objects of which some hold text."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise TypeError
    texts = [
        part if isinstance(part, str) else part["text"]
        for part in content
        if isinstance(part, str)
        or (part.get("type", part.get("content_type", "text")) in _TEXT_PARTS and isinstance(part.get("text"), str))
    ]
    return "\n".join(texts)


def _path(parents: Mapping[Any, Any], leaf: Any) -> list[Any]:
    """From the root to ``leaf``; a circle is cut."""
    path: dict[Any, None] = {}
    while leaf in parents and leaf not in path:
        path[leaf] = None
        leaf = parents[leaf]
    return list(reversed(path))


def _last_leaf(mapping: Mapping[Any, Any], parents: Mapping[Any, Any]) -> Any:
    """The newest message that none follows, for a conversation that does not say which was the last."""
    followed = set(parents.values())

    def written(key: Any) -> float:
        at = (mapping[key].get("message") or {}).get("create_time")
        return float(at) if isinstance(at, int | float) else 0.0

    return max((key for key in parents if key not in followed), key=written, default=None)


def _json_object(text: Any) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
