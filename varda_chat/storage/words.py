"""Words: texts that are to leave no trace, found in a string and in the raw bytes of a file."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable
from functools import cached_property
from typing import Any

FORGOTTEN_TEXT = "(forgotten)"
"""What an event shows for a text that the user had forgotten: the text itself is purged from the disk."""

_SPACE = re.compile(r"(\s+)")
_BYTE_SPACE = rb"(?:\s|\\[nrt]|\xc2\xa0|\\u00[aA]0)+"


class Words:
    """Finds any of ``texts`` in whatever case, composed or decomposed, with whatever white space between its words."""

    def __init__(self, texts: Iterable[str]) -> None:
        clean = {text.strip() for text in texts}
        self.texts = tuple(sorted(clean - {""}, key=lambda text: (-len(text), text)))

    def __bool__(self) -> bool:
        return bool(self.texts)

    @property
    def shortest(self) -> int:
        """Bytes of the shortest text; 0 where there is none."""
        return min((len(text.encode("utf-8", "replace")) for text in self.texts), default=0)

    def stand_in(self, text: str) -> bool:
        """Whether one of the texts stands in ``text``."""
        return bool(self) and self._in_text.search(text) is not None

    def stand_in_bytes(self, data: Any) -> bool:
        """Whether one of the texts stands in ``data`` (bytes or a memory map), as UTF-8 or escaped as in JSON."""
        return bool(self) and self._in_bytes.search(data) is not None

    def taken_out(self, text: str) -> str:
        """``text`` with ``FORGOTTEN_TEXT`` where one of the texts stands."""
        if not self:
            return text
        instead = FORGOTTEN_TEXT if not self.stand_in(FORGOTTEN_TEXT) else "…"
        return self._in_text.sub(lambda _: instead, text)

    @cached_property
    def _in_text(self) -> re.Pattern[str]:
        return re.compile("|".join(_pattern(form, r"\s+", _any_case) for form in self._forms()))

    @cached_property
    def _in_bytes(self) -> re.Pattern[bytes]:
        patterns = (_pattern(form, _BYTE_SPACE.decode("latin-1"), _any_bytes) for form in self._forms())
        return re.compile("|".join(patterns).encode("latin-1"))

    def _forms(self) -> Iterable[str]:
        for text in self.texts:
            yield from dict.fromkeys((text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)))


def _pattern(text: str, space: str, any_of: Any) -> str:
    return "".join(
        space if part.isspace() else "".join(any_of(character) for character in part) for part in _SPACE.split(text)
    )


def _cases(character: str) -> list[str]:
    made = (character, character.lower(), character.upper(), character.title(), character.casefold())
    return list(dict.fromkeys(made))


def _any_case(character: str) -> str:
    return _one_of(re.escape(each) for each in _cases(character))


def _any_bytes(character: str) -> str:
    """The same for bytes, which stand in the pattern as Latin-1."""
    encoded: dict[str, None] = {}
    for each in _cases(character):
        encoded[re.escape(each.encode("utf-8", "surrogatepass").decode("latin-1"))] = None
        escaped = json.dumps(each)[1:-1]
        encoded[re.escape(escaped)] = None
        encoded[re.escape(re.sub(r"u[0-9a-f]{4}", lambda found: "u" + found[0][1:].upper(), escaped))] = None
    return _one_of(encoded)


def _one_of(patterns: Iterable[str]) -> str:
    found = list(dict.fromkeys(patterns))
    return found[0] if len(found) == 1 else f"(?:{'|'.join(found)})"
