"""When two statements are the same thing said twice: by their words, or by vectors no search can tell apart."""

from __future__ import annotations

import hashlib
import unicodedata

NEARLY_NOTHING = 1e-4
"""Share of a vector's squared norm below which another at that squared distance is the same (cosine 0.99995)."""


def normal_form(text: str) -> str:
    """``text`` without what does not change what it says: case, width, spacing, and the stop at its end."""
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return plain.rstrip(" .!") or plain


def statement_key(role: str, text: str) -> int:
    """A signed 64-bit number, equal for two statements of one role and normal form; to look them up by."""
    said = f"{role}\0{normal_form(text)}".encode(errors="replace")
    return int.from_bytes(hashlib.blake2b(said, digest_size=8).digest(), "little", signed=True)
