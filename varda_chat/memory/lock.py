"""One writer a memory: the lock that says so."""

from __future__ import annotations

from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from varda_chat.errors import MemoryLockedError
from varda_chat.memory.files import LOCK, refuse_links


def take_lock(folder: Path) -> BaseFileLock:
    """Lock ``folder`` for writing until ``release()`` or the end of the process, however it ends.

    Raises MemoryLockedError where another holds it, StorageError where links lead out of the folder, OSError where the
    lock file cannot be made.
    """
    refuse_links(folder)
    # thread_local=False: the thread that closes a store need not be the one that opened it
    lock = FileLock(folder / LOCK, timeout=0, mode=0o600, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise MemoryLockedError(
            f"Another varda-chat is using this memory ({folder}). Close it, open this one with --incognito "
            "(it then reads the memory only), or choose another memory with --profile."
        ) from None
    return lock
