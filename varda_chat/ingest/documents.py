"""Documents as passages: text by paragraph, Markdown, org and reStructuredText without their marks, and the sessions
that varda-chat exports as Markdown, by turn."""

from __future__ import annotations

import re
import time

from varda_chat.ingest.passages import Found

_MARKUP = re.compile(
    r"^\s{0,3}(?:#{1,6}\s+|>\s?|[-*+]\s+|\d+[.)]\s+)|^\s{0,3}(?:[-*_=]\s*){3,}$|[*_]{2}|`", re.MULTILINE
)
_LINK = re.compile(r"!?\[([^\]\n]{0,500})\]\([^)\s]{0,2000}\)")
_FENCE = re.compile(r"^(```|~~~).*?^\1[^\n]*$", re.MULTILINE | re.DOTALL)
_DIRECTIVE = re.compile(r"^\s*(?:#\+\w.*|:[\w-]+:.*|\.\. .*|\*{2,}\s+|[~^\"'-]{3,}\s*)$|^\*{2,}\s+", re.MULTILINE)
"""Lines of org and reStructuredText that say nothing: settings, drawers, directives, underlines; and stars."""

_SESSION = re.compile(r"\A# [^\n]*\n\nSession \d+, begun [^\n]*\.\n")
_SPEAKER = re.compile(r"(?:\A|\n)\n## (?:You, (?P<at>[\d-]+ [\d:-]+)|Varda)\n")
_AFTER_REPLY = re.compile(
    r"(?:\n\n\*\((?P<state>stopped|not finished)\)\*)?(?:\n\nRecalled:\n\n(?:- [^\n]*\n?)+)?\s*\Z"
)
"""As ``transcripts.exporting.render`` writes them."""


def read_text(text: str, suffix: str, found: Found) -> None:
    """Take ``text``, which the user wrote, by paragraph; ``suffix`` says which marks it has."""
    if suffix in (".md", ".markdown", ".org", ".rst"):
        text = without_markup(_DIRECTIVE.sub("", text) if suffix in (".org", ".rst") else text)
    for part in re.split(r"\n\s*\n", text.replace("\r\n", "\n")):
        found.say("user", " ".join(part.split()))


def without_markup(text: str) -> str:
    """Markdown as plain text: without fenced code, marks and the addresses of links."""
    return _LINK.sub(r"\1", _MARKUP.sub("", _FENCE.sub("", text)))


def is_session(text: str) -> bool:
    """Whether ``text`` is a session that varda-chat exported as Markdown."""
    return _SESSION.match(text) is not None


def read_session(text: str, found: Found) -> None:
    """Take the turns of an exported session, with their times."""
    headers = list(_SPEAKER.finditer(text))
    ends = [header.start() for header in headers[1:]] + [len(text)]
    at: float | None = None
    for header, end in zip(headers, ends, strict=True):
        said = text[header.end() : end].strip("\n")
        if header["at"]:
            at = _local(header["at"])
            found.say("user", said, at)
            continue
        ending = _AFTER_REPLY.search("\n\n" + said)
        reply = ("\n\n" + said)[: ending.start()].strip() if ending else said
        if reply == "(no answer)" or (ending and ending["state"] == "not finished"):
            found.skip()
        else:
            found.say("assistant", reply, at)


def _local(written: str) -> float | None:
    try:
        return time.mktime(time.strptime(written, "%Y-%m-%d %H:%M"))
    except (ValueError, OverflowError):
        return None
