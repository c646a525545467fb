"""Sanitizes external text, so that it can neither steer a terminal nor hide from a reader; and words counts."""

from __future__ import annotations

import re
import unicodedata

from varda_chat.errors import VardaError

# Introducers: ESC [ or CSI; ESC ] P X ^ _ or OSC DCS SOS PM APC. A string sequence runs to BEL, ST or ESC \;
# one that never ends is dropped to the end of its line, so it cannot swallow the text after it.
_CONTROL_STRING = r"(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])"
_ESCAPES = re.compile(
    _CONTROL_STRING + r"(?:[^\x07\x1b\x80-\x9f]*+(?:\x07|\x1b\\|\x9c)|[^\x07\x1b\x80-\x9f\r\n]*+)"
    r"|(?:\x1b\[|\x9b)[\x30-\x3f]*+[\x20-\x2f]*+[\x40-\x7e]?"
    r"|\x1b[\x20-\x2f]*+[\x30-\x7e]?"
)
_UNFINISHED = re.compile(
    r"(?:" + _CONTROL_STRING + r"[^\x07\x1b\x80-\x9f\r\n]{0,4096}\x1b?"
    r"|(?:\x1b\[|\x9b)[\x20-\x3f]{0,64}"
    r"|\x1b[\x20-\x2f]{0,8}"
    r"|[\r\u200c\u200d])\Z"
)
_NEWLINES = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_SURROGATES = re.compile("[\ud800-\udfff]")
# Other C0 and C1; bidi marks, overrides and isolates; invisible format controls and fillers; tag characters.
_HIDDEN = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# What JSON leaves as it is and a terminal obeys or a reader cannot see.
_ESCAPED_IN_JSON = re.compile(f"{_HIDDEN.pattern[:-1]}\u2028\u2029\ud800-\udfff]")
_JOINERS = "\u200c\u200d"
_JOINERS_AND_SELECTORS = re.compile("[\u200c\u200d\ufe00-\ufe0f]")


def sanitize(text: str) -> str:
    """``text`` as data: NFC, lines ended by ``\\n``, nothing that a terminal obeys or a reader cannot see.

    Escape sequences go whole, and so do C0 (but ``\\n`` and ``\\t``) and C1 controls, bidi controls, and
    zero-width and format characters. Joiners and variation selectors stay where emoji and joined scripts
    need them. A lone surrogate becomes U+FFFD. Idempotent.
    """
    if text.isascii() and text.replace("\n", "").replace("\t", "").isprintable():
        return text
    text = _ESCAPES.sub("", text)
    text = _NEWLINES.sub("\n", text)
    text = _SURROGATES.sub("\ufffd", text)
    text = unicodedata.normalize("NFC", _HIDDEN.sub("", text))
    if _JOINERS_AND_SELECTORS.search(text):
        text = unicodedata.normalize("NFC", _keep_needed_joiners(text))
    return text


def to_json(value: object, indent: int | None = None) -> str:
    """``value`` as JSON (on one line without ``indent``) that is safe to print: control, bidi and hidden characters in
    it are escaped, and whoever reads the JSON gets them back; so are bytes of a path that are no UTF-8."""
    import json  # --help is printed without

    text = json.dumps(value, ensure_ascii=False, indent=indent)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent)
    return _ESCAPED_IN_JSON.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    import json

    return json.dumps(match[0])[1:-1]


def one_line(text: str, limit: int = 200) -> str:
    """``text`` sanitized, on one line, at most ``limit`` characters; an ellipsis shows what was cut."""
    if limit < 1:
        raise ValueError("limit must be at least 1")
    # Nothing past this bound can be shown, so a hostile megabyte costs no more than a page.
    line = " ".join(sanitize(text[: 64 * limit + 4096]).split())
    if len(line) <= limit:
        return line
    return line[: limit - 1].rstrip(" \u200c\u200d") + "…"


def folded(text: str) -> str:
    """``text`` as words are looked for in it: without case and runs of white space, its accents in one form."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def split_unfinished(text: str) -> tuple[str, str]:
    """``text`` as (what can be sanitized now, a tail that may be the first half of a sequence).

    For streams: an escape sequence cut in two by a chunk border would leave its second half as text.
    """
    match = _UNFINISHED.search(text)
    return (text, "") if match is None else (text[: match.start()], text[match.start() :])


def _keep_needed_joiners(text: str) -> str:
    """Drop each joiner that joins nothing and each variation selector that has no base."""
    kept: list[str] = []
    for position, char in enumerate(text):
        before = kept[-1] if kept else ""
        if char in _JOINERS:
            after = text[position + 1 : position + 2]
            if not (_joinable(before) and _joinable(after) and not _is_selector(after)):
                continue
        elif _is_selector(char) and (not before or before.isspace() or before in _JOINERS or _is_selector(before)):
            continue
        kept.append(char)
    return "".join(kept)


def _is_selector(char: str) -> bool:
    return "\ufe00" <= char <= "\ufe0f"


def _joinable(char: str) -> bool:
    """Whether ``char`` can stand beside a joiner: an emoji or a letter of a joined script."""
    if not char or char.isascii() or char in _JOINERS:
        return False
    category = unicodedata.category(char)
    return category[0] in "LM" or category in ("So", "Sk")


def numbered(count: int, noun: str) -> str:
    """ "1 statement", "2 statements", "1,284 statements"."""
    return f"{count:,} {noun if count == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """ "statements", "memories"."""
    return f"{noun.removesuffix('y')}ies" if noun.endswith("y") else f"{noun}s"


def counted(count: int, noun: str, width: int) -> str:
    """The same in a column: numbers right in ``width`` characters, nouns of one length."""
    many = plural(noun)
    return f"{count:>{width},} {noun.ljust(len(many)) if count == 1 else many}"


def were(count: int) -> str:
    """What goes after so many of them."""
    return "was" if count == 1 else "were"


def times(count: int) -> str:
    """ "never", "once", "12 times"."""
    return {0: "never", 1: "once"}.get(count, f"{count:,} times")


def speaker(role: str) -> str:
    """Who said something, as a person reads it: "you" or "Varda"."""
    return "you" if role == "user" else "Varda"


_BOM = b"\xef\xbb\xbf"
_FALLBACK = "cp1252"


def decoded(data: bytes, where: str, first_line: int = 1) -> tuple[str, str]:
    """``data`` as text, each line as UTF-8 or else Windows-1252, and a sentence about it, "" where all is UTF-8.
    ``where`` ("notes.txt") begins that sentence; ``first_line``: the number of the first line of ``data`` there.

    Raises VardaError, naming the line, where one is text of neither encoding.
    """
    try:
        return data.decode("utf-8-sig"), ""
    except UnicodeDecodeError:
        pass
    lines: list[str] = []
    guessed: list[int] = []
    for number, line in enumerate(data.removeprefix(_BOM).split(b"\n"), first_line):
        try:
            lines.append(line.decode())
        except UnicodeDecodeError:
            lines.append(_by_fallback(line, where, number))
            guessed.append(number)
    told = f"{where}, line {guessed[0]}: this is not UTF-8; it was read as Windows-1252."
    if len(guessed) > 1:
        told = f"{where}: {len(guessed):,} lines, from line {guessed[0]} on, are not UTF-8; read as Windows-1252."
    return "\n".join(lines), told


def typed(text: str, where: str) -> tuple[str, str]:
    """The same for an argument of the command line, whose bytes that are not UTF-8 Python has kept as surrogates."""
    if text.isascii() or not any("\udc80" <= character <= "\udcff" for character in text):
        return text, ""
    return decoded(text.encode("utf-8", "surrogateescape"), where)


def _by_fallback(line: bytes, where: str, number: int) -> str:
    try:
        return line.decode(_FALLBACK)
    except UnicodeDecodeError:
        raise VardaError(
            f"{where}, line {number}: this is neither UTF-8 nor Windows-1252. Convert it to UTF-8."
        ) from None
