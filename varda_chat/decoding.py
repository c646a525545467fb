"""Text that is not UTF-8: read as Windows-1252, which Latin-1 text is too, and said so; never replaced in silence."""

from __future__ import annotations

from varda_chat.errors import VardaError

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
