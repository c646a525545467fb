"""Settings of the chat as frozen dataclasses. Read at the edge (flags, settings file), passed in from there."""

from __future__ import annotations

from dataclasses import dataclass

from varda_chat.errors import VardaError

DEFAULT_MEMORY_SIZE = 10_000
"""Capacity of a memory, in vectors, where nothing else was chosen; the original's default."""
MAX_MEMORY_SIZE = 1_000_000_000
MAX_NEW_TOKENS = 1_000_000
WAIT_SECONDS = 10.0
"""How long an answer without a screen waits for another varda-chat that is using the memory."""
DEFAULT_PROFILE = "default"
DEFAULT_THEME = "varda-dark"
DRAWN = {"temperature": "0 to 10", "top_p": "above 0, up to 1", "max_new_tokens": f"1 to {MAX_NEW_TOKENS:,}"}
"""What says how answers are drawn, which ``/set`` changes for a session, and what each may be."""
LOADING_MINI = "loading mini"
"""What is done where the default model cannot be had."""
CONFIRM_DELETES = ("auto", "always", "never")
"""When a turn asks before it deletes. auto: where more than one memory would go, or a pinned one. never: pinned ones
then stay, unasked."""


@dataclass(frozen=True)
class GenerationSettings:
    """How a reply is drawn. ``temperature`` 0 is greedy decoding; ``top_p`` is nucleus sampling's mass."""

    temperature: float = 0.5
    top_p: float = 0.9
    max_new_tokens: int = 80
    seed: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= 10:
            raise VardaError(f"The temperature must lie between 0 and 10, not {self.temperature}.")
        if not 0 < self.top_p <= 1:
            raise VardaError(f"top-p must lie above 0 and at most at 1, not {self.top_p}.")
        if self.max_new_tokens < 1:
            raise VardaError(f"A reply needs at least 1 token, not {self.max_new_tokens}.")
        if self.max_new_tokens > MAX_NEW_TOKENS:
            raise VardaError(f"A reply has at most {MAX_NEW_TOKENS:,} tokens, fewer than max_new_tokens says.")
