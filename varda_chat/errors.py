"""Every error of ours, each carrying the one sentence a user will read."""

from __future__ import annotations


class VardaError(Exception):
    """Something went wrong that the user can act on; ``str(error)`` is the line shown to them."""

    exit_code = 1


class MemoryLockedError(VardaError):
    """Another process is writing this profile."""


class MemoryDamagedError(VardaError):
    """The id map could not be read; it was set aside, not overwritten."""


class StorageError(VardaError):
    """The disk refused a write (full, read-only, no permission)."""


class CheckpointError(VardaError):
    """A checkpoint directory or hub id could not be loaded as one of our models."""


class DataError(VardaError):
    """Training data is missing or malformed."""


class IndexFileError(VardaError):
    """An index file is missing, damaged or from another state of the memory; it can be rebuilt."""
