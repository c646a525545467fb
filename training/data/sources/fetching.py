"""Fetches a file from its public address: whole and with the right checksum, or not at all."""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from varda_chat.errors import DataError

TIMEOUT = 30.0
"""Seconds without a byte after which a server counts as unreachable."""
_CHUNK = 1 << 18

Progress = Callable[[int, int | None], None]
"""Called with the bytes that have come, and of how many (None: not said)."""


@dataclass(frozen=True)
class Digest:
    """What a file must hash to, in hexadecimal: its SHA-256, or, ``of_git``, its id as a blob of git."""

    value: str
    of_git: bool = False

    def of(self, path: Path) -> str:
        return git_blob(path) if self.of_git else checksum(path)


def fetch(url: str, path: Path, digest: Digest, on_progress: Progress | None = None) -> Path:
    """Put what lies at ``url`` into ``path``; nothing is fetched where it is there already. Raises DataError where it
    cannot be had, breaks off or is not what ``digest`` says; then ``path`` is as it was before."""
    if path.exists() and digest.of(path) == digest.value:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    come, size = 0, None
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, part.open("wb") as file:  # noqa: S310 - from our own list
            said = answer.headers.get("Content-Length")
            size = int(said) if said else None
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                come += len(chunk)
                if on_progress:
                    on_progress(come, size)
        if size is not None and come < size:
            raise DataError(f"{url} broke off after {come:,} of {size:,} bytes. Try again.")
        if (found := digest.of(part)) != digest.value:
            raise DataError(
                f"{url} is not what it was: its checksum is {found[:12]}…, not {digest.value[:12]}…. "
                "It was not kept; fetch the corpus by hand and give its directory with --data-dir."
            )
        part.replace(path)
    except urllib.error.HTTPError as error:
        error.close()
        raise DataError(f"{url} cannot be had: the server says {error.code} {error.reason}.") from error
    except (http.client.HTTPException, urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error or type(error).__name__
        what = f"broke off after {come:,} bytes" if come else "cannot be reached"
        raise DataError(f"{url} {what} ({reason}). Try again, or give a directory with --data-dir.") from error
    finally:
        part.unlink(missing_ok=True)
    return path


def checksum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git_blob(path: Path) -> str:
    """The id that git gives a file's content: SHA-1 of "blob", its length and itself."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
