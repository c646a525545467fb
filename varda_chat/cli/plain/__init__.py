"""The chat line by line, for screen readers, dumb terminals and logs: answers on stdout, and on stderr, in words, what
happened to the memory. ``varda-chat --plain`` runs it."""

from varda_chat.cli.plain.chat import chat

__all__ = ["chat"]
