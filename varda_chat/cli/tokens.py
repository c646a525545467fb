"""What the servers share: the token that lets a client in, and a warning where others than this computer can ask."""

from __future__ import annotations

import ipaddress
import os
import secrets
import stat
from pathlib import Path

import click

from varda_chat.errors import VardaError
from varda_chat.text import sanitize

TOKEN_VARIABLE = "VARDA_CHAT_TOKEN"  # noqa: S105 - the name of a variable
_TOKEN_BYTES = 512


def token_from(file: Path | None) -> tuple[str, bool]:
    """The token that ``file`` holds, else the environment's, else a new one; and whether it is new. Raises VardaError
    for a file that holds none."""
    given = _read(file) if file is not None else os.environ.get(TOKEN_VARIABLE)
    return given or secrets.token_urlsafe(16), not given


def warn_of(host: str) -> None:
    """Say what it means to listen at ``host``, where that is not this computer alone."""
    if not _is_loopback(host):
        click.echo(
            f"Warning: {host} can be reached from elsewhere. Who has the token chats as you and reads your memory, and "
            "nothing on the way is encrypted.",
            err=True,
        )


def _read(file: Path) -> str:
    try:
        status = file.stat()
        with file.open("rb") as handle:
            text = handle.read(_TOKEN_BYTES + 1) if stat.S_ISREG(status.st_mode) else b""
    except OSError as error:
        raise VardaError(f"The token file {file} cannot be read: {error.strerror}.") from error
    token = text.decode("ascii", "replace").strip()
    if not token or len(text) > _TOKEN_BYTES or not token.isascii() or not token.isprintable():
        raise VardaError(f"The token file {file} must hold one line of up to {_TOKEN_BYTES} ASCII characters.")
    if status.st_mode & (stat.S_IRGRP | stat.S_IROTH):
        click.echo(f"Warning: other users can read {sanitize(str(file))}. chmod 600 keeps the token secret.", err=True)
    return token


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
