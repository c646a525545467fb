"""Keeps transformers and accelerate from writing into our commands' own displays."""

from __future__ import annotations

import logging

import transformers


def quiet_libraries() -> None:
    """No progress bars, and nothing below an error. The commands have displays and messages of their own."""
    transformers.utils.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    logging.getLogger("accelerate").setLevel(logging.ERROR)
