"""Flushes files and folders to disk, on every platform. Imports nothing heavy."""

from __future__ import annotations

import os
from pathlib import Path


def to_disk(path: Path) -> None:
    """Make what was written to the file ``path``, or renamed and removed in the folder ``path``, durable; folders where
    the platform can open them. Raises OSError."""
    is_folder = path.is_dir()
    try:
        # Windows flushes only what is open for writing, and opens no folder
        handle = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
    except PermissionError:
        if is_folder:
            return
        raise
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
