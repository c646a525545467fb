"""A person's own words on how Varda should speak: they follow the system prompt of a model that was trained with one.

A profile keeps its own in ``persona.txt``; ``--system`` and ``/persona`` are for a session, the setting ``system`` for
profiles that have none. Imports nothing heavy.
"""

from __future__ import annotations

from pathlib import Path

from varda_chat.errors import StorageError, VardaError
from varda_chat.storage.regular import NotRegularError, read_regular
from varda_chat.text import sanitize

FILE_NAME = "persona.txt"
MAX_CHARACTERS = 600
"""Of a window of a few hundred tokens a persona must leave most to the talk."""
NOT_HERE = "This model was not trained with a system prompt, so it takes no persona."


def checked(text: str) -> str:
    """``text`` in one line and without control codes. Raises VardaError where it is too long."""
    clean = " ".join(sanitize(text).split())
    if len(clean) > MAX_CHARACTERS:
        raise VardaError(f"A persona has at most {MAX_CHARACTERS} characters, not {len(clean):,}.")
    return clean


def kept(directory: Path) -> str:
    """The persona of the profile in ``directory``, "" for none. Raises VardaError where its file cannot be read."""
    path = directory / FILE_NAME
    try:
        return checked(read_regular(path, 4 * MAX_CHARACTERS).decode())
    except FileNotFoundError:
        return ""
    except VardaError as error:
        raise VardaError(f"{path}: {error}") from error
    except (OSError, NotRegularError, ValueError) as error:
        raise VardaError(f"{path} cannot be read: {error}.") from error


def keep(directory: Path, text: str) -> None:
    """Make ``text`` the persona of the profile, "" for none. Raises VardaError, StorageError."""
    from varda_chat.storage.files import make_private_directory, replace_file

    path, clean = directory / FILE_NAME, checked(text)
    try:
        if not clean:
            path.unlink(missing_ok=True)
            return
        make_private_directory(directory)
        replace_file(path, [f"{clean}\n".encode()])
    except OSError as error:
        raise StorageError(f"The persona could not be kept in {path}: {error.strerror}.") from error
