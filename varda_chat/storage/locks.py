"""One writer a memory: the lock that says so."""

from __future__ import annotations

import errno
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from varda_chat.errors import MemoryLockedError, StorageError
from varda_chat.storage.files import LOCK, refuse_links

_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK, errno.EINVAL)


def take_lock(directory: Path, wait: float = 0.0) -> BaseFileLock:
    """Lock ``directory`` for writing until ``release()`` or the end of the process, however it ends; waits up to
    ``wait`` seconds for another that has it.

    Raises MemoryLockedError where another still holds it, StorageError where links lead out of the directory or its
    disk cannot lock files, OSError where the lock file cannot be made.
    """
    refuse_links(directory)
    # thread_local=False: the thread that closes a store need not be the one that opened it
    # no soft lock: a file that only stands for a lock outlives a killed process
    lock = FileLock(directory / LOCK, timeout=wait, mode=0o600, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        waited = f", and still is after {wait:g} seconds" if wait else ""
        raise MemoryLockedError(
            f"Another varda-chat is using this memory ({directory}){waited}. Close it, open this one with --incognito "
            "(it then reads the memory only), or choose another memory with --profile."
        ) from None
    except (NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise
        raise StorageError(
            f"The disk of {directory} cannot lock files, so that two chats could write one memory at once. Put the "
            "memory on another disk with --data-dir, or open this one with --incognito (it then reads the memory only)."
        ) from error
    return lock
