"""A person's own text as documents: .txt and .md by parts of about ten thousand characters, .jsonl and .json by
dialogue or text. Chat exports are known by their shape, not by their program."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from training.data.sources.documents import BadLines, Document, Split
from training.data.sources.records import lines, records, whole
from varda_chat.errors import DataError
from varda_chat.ingest.learning import without_markup
from varda_chat.text import sanitize

TEXT, MARKDOWN, JSON_LINES, JSON = (".txt", ".text"), (".md", ".markdown"), (".jsonl", ".ndjson"), (".json",)
KINDS = (*TEXT, *MARKDOWN, *JSON_LINES, *JSON)
PART = 10_000
"""Characters after which a long text is cut, at the next end of a paragraph."""
LARGEST_JSON = 512 * 1024 * 1024
"""Bytes of one .json file, which is read whole."""

_ROLES = {
    "user": "user", "human": "user", "prompter": "user", "me": "user",
    "assistant": "assistant", "bot": "assistant", "gpt": "assistant", "model": "assistant", "ai": "assistant",
}  # fmt: skip
_PASSED_OVER = {"system", "tool", "function", "developer"}
_LISTS = ("messages", "turns", "conversations", "conversation", "dialogue", "dialog", "chat")
_TEXTS = ("content", "text", "value", "message")


def own_files(path: Path) -> list[Path]:
    """The readable files of ``path``, a file or a directory, in order of name; hidden ones are left out."""
    if path.is_file():
        kind = _kind(path)
        if kind not in KINDS:
            raise DataError(f"{path} cannot be trained on: {', '.join(KINDS)} (and each with .xz) can be read.")
        return [path]
    found = [
        file
        for file in sorted(path.rglob("*"))
        if file.is_file() and _kind(file) in KINDS and not any(p.startswith(".") for p in file.relative_to(path).parts)
    ]
    if not found:
        raise DataError(f"There is nothing to read in {path}: no {', '.join(KINDS)} file.")
    return found


def _kind(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return suffixes[-2] if len(suffixes) > 1 and suffixes[-1] == ".xz" else (suffixes or [""])[-1]


def own_documents(files: Sequence[Path], root: Path, bad: BadLines) -> Iterator[Document]:
    """The documents in ``files``, named by their place under ``root``."""
    for file in files:
        name = file.relative_to(root).as_posix() if file != root else file.name
        kind = _kind(file)
        if kind in TEXT:
            yield from _parts(name, _paragraphs(line for _, line in lines(file, bad)))
        elif kind in MARKDOWN:
            text = without_markup("".join(line for _, line in lines(file, bad)))
            yield from _parts(name, _paragraphs(text.splitlines(keepends=True)))
        elif kind in JSON_LINES:
            yield from _of_lines(name, file, bad)
        else:
            yield from _of_export(name, file, bad)


def _paragraphs(rows: Iterator[str] | Sequence[str]) -> Iterator[str]:
    """Paragraphs, which blank lines part, without their white space at the ends."""
    gathered: list[str] = []
    for row in rows:
        if row.strip():
            gathered.append(" ".join(sanitize(row).split()))
        elif gathered:
            yield "\n".join(gathered)
            gathered = []
    if gathered:
        yield "\n".join(gathered)


def _parts(name: str, paragraphs: Iterator[str]) -> Iterator[Document]:
    gathered: list[str] = []
    number, size = 0, 0
    for paragraph in paragraphs:
        gathered.append(paragraph)
        size += len(paragraph)
        if size >= PART:
            yield Document(f"{name}#{number}", "\n\n".join(gathered), key=f"{name}#{number}")
            gathered, number, size = [], number + 1, 0
    if gathered:
        yield Document(f"{name}#{number}", "\n\n".join(gathered), key=f"{name}#{number}")


def _of_lines(name: str, file: Path, bad: BadLines) -> Iterator[Document]:
    """A record a line: a dialogue, a text, or one message of a dialogue that the lines are together."""
    loose: list[tuple[str, str]] = []
    for number, value in records(file, bad):
        try:
            found = _document(f"{name}#{number}", value)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            bad.note(file, number, f"neither text nor dialogue ({error})")
            continue
        if isinstance(found, Document):
            yield found
        else:
            loose += found
    if turns := alternating(loose):
        yield Document(name, turns=turns, key=name)


def _of_export(name: str, file: Path, bad: BadLines) -> Iterator[Document]:
    """A .json file: one conversation, or a list of them."""
    text = whole(file, bad, LARGEST_JSON)
    if text is None:
        return
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        bad.note(file, getattr(error, "lineno", 1), f"not JSON ({str(error).splitlines()[0]})")
        return
    single = isinstance(value, dict) or (isinstance(value, list) and bool(value) and _is_message(value[0]))
    for number, each in enumerate([value] if single else value if isinstance(value, list) else [value], 1):
        try:
            found = _document(f"{name}#{number}", each)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            bad.note(file, 1, f"entry {number} is neither text nor dialogue ({error})")
            continue
        if isinstance(found, Document):
            yield found
        elif turns := alternating(found):
            yield Document(f"{name}#{number}", turns=turns, key=name)


def document_of(identity: str, value: Any, split: Split | None) -> Document:
    """The document in one record, of the official ``split``. Raises ValueError, TypeError, KeyError, AttributeError
    where it holds none."""
    found = _document(identity, value)
    if not isinstance(found, Document):
        raise ValueError("one message is no dialogue")
    return replace(found, split=split if split is not None and split != "train" else None)


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and any(isinstance(value.get(key), str) for key in ("role", "speaker", "from"))


def _document(identity: str, value: Any) -> Document | list[tuple[str, str]]:
    """The document that a record holds, or, where the record is one message, that message."""
    if isinstance(value, list):
        return _dialogue(identity, value)
    if isinstance(value, str):
        return _text(identity, value)
    for key in _LISTS:
        if isinstance(value.get(key), list):
            return _dialogue(identity, value[key])
    if isinstance(value.get("mapping"), dict):
        return _dialogue(identity, _of_tree(value["mapping"]))
    if _is_message(value):
        return [_message(value)]
    for key in _TEXTS:
        if isinstance(value.get(key), str):
            return _text(identity, value[key])
    raise ValueError(f"none of {', '.join((*_LISTS, *_TEXTS))} in it")


def _text(identity: str, text: str) -> Document:
    text = "\n\n".join(_paragraphs(text.splitlines(keepends=True)))
    if not text:
        raise ValueError("it is empty")
    return Document(identity, text, key=identity)


def _dialogue(identity: str, messages: Sequence[Any]) -> Document:
    turns = alternating([_message(each) for each in messages])
    if not turns:
        raise ValueError("no user's message with an answer in it")
    return Document(identity, turns=turns, key=identity)


def _message(value: Any) -> tuple[str, str]:
    role = str(_first(value, ("role", "speaker", "from"))).lower()
    content = _first(value, _TEXTS)
    if isinstance(content, list):  # in pieces: {"type": "text", "text": ...}, or strings
        content = "\n".join(p if isinstance(p, str) else p.get("text", "") for p in content)
    if content is None or role in _PASSED_OVER:
        return "system", ""
    if not isinstance(content, str):
        raise TypeError("a message's text is not a string")
    if role not in _ROLES:
        raise ValueError(f"{role!r} is not a role: {', '.join(_ROLES)}")
    return _ROLES[role], content


def _first(value: Any, keys: Sequence[str]) -> Any:
    found = [value[key] for key in keys if key in value]
    if not found:
        raise ValueError(f"a message lacks {' or '.join(keys)}")
    return found[0]


def _of_tree(mapping: dict[str, Any]) -> list[Any]:
    """The messages on the way from the root of a tree of nodes to its last leaf, as some programs export them."""
    path: list[Any] = []
    node = next((n for n in reversed(mapping.values()) if not n.get("children")), None)
    seen: set[int] = set()
    while node is not None and id(node) not in seen:
        seen.add(id(node))
        message = node.get("message")
        if isinstance(message, dict):
            content = message.get("content") or {}
            pieces = [p for p in content.get("parts") or [] if isinstance(p, str)]
            path.append({"role": (message.get("author") or {}).get("role"), "content": "\n".join(pieces)})
        node = mapping.get(str(node.get("parent")))
    return path[::-1]


def alternating(messages: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Turns from a user's first one on, cleaned; neighbours of one role are joined, empty ones left out. Empty where
    there is no answer."""
    kept: list[tuple[str, str]] = []
    for role, text in messages:
        text = sanitize(text).strip()
        if not text or role not in ("user", "assistant") or (not kept and role != "user"):
            continue
        if kept and kept[-1][0] == role:
            kept[-1] = (role, f"{kept[-1][1]} {text}")
        else:
            kept.append((role, text))
    return tuple(kept) if len(kept) > 1 else ()
