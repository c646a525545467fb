"""How a package gets into the environment that this program runs in: by pip, pipx or uv, whichever made it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

PACKAGE = "varda-chat"


def install_command(*packages: str, no_deps: bool = False) -> str:
    """The command by which a user installs ``packages`` beside this program; ``no_deps``: without what they depend on.

    A plain ``pip install`` would reach another environment where pipx or uv made this one: theirs are their own.
    """
    options = ["--no-deps"] if no_deps else []
    return shlex.join([*_installer(), *options, *packages])


def _installer() -> list[str]:
    if (Path(sys.prefix) / "pipx_metadata.json").is_file():
        return ["pipx", "runpip", PACKAGE, "install"]
    if _installed_by() == "uv":
        return ["uv", "pip", "install", "--python", sys.prefix]
    return ["pip", "install"]


def _installed_by() -> str:
    """What its installation records: "pip", "uv", ...; "" where it was not installed."""
    from importlib.metadata import PackageNotFoundError, distribution  # only a hint needs it

    try:
        return (distribution(PACKAGE).read_text("INSTALLER") or "").strip()
    except PackageNotFoundError:
        return ""
