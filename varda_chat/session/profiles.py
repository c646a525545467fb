"""Lists the profiles in the data directory, and how large the memory of each is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from varda_chat.config import paths
from varda_chat.errors import VardaError
from varda_chat.storage.files import DATABASE

if TYPE_CHECKING:
    from varda_chat.memory.maintenance import Peek


def directories(data_dir: Path | None = None) -> list[Path]:
    """The directory of each, by name. Raises VardaError where no data directory can be, OSError as reading does."""
    home = paths.data_dir(data_dir) / "profiles"
    return sorted(each for each in (home.iterdir() if home.is_dir() else ()) if each.is_dir())


def known(data_dir: Path | None = None) -> dict[str, Peek]:
    """What is in each profile, by its name; of one that cannot be read, the ``problem``."""
    return {directory.name: _peek(directory) for directory in directories(data_dir)}


def _peek(directory: Path) -> Peek:
    from varda_chat.memory.maintenance import Peek, peek

    try:
        found = peek(directory)
    except (VardaError, OSError) as error:
        return Peek(directory / DATABASE, 0, 0, 0, 0, problem=str(error))
    return replace(found, problem=f"{found.path} is damaged.") if found.damaged else found


def check_free(directory: Path, wait: float = 0.0) -> None:
    """Raise MemoryLockedError where another process still writes the memory in ``directory`` after ``wait`` seconds."""
    if (directory / DATABASE).exists():
        from varda_chat.storage.locks import take_lock

        take_lock(directory, wait).release()
