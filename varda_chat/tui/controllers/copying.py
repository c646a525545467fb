"""What ``/copy`` takes of an answer, on the screen and line by line."""

from __future__ import annotations

from varda_chat.errors import VardaError


def to_copy(answer: str, what: str = "") -> tuple[str, str]:
    """``answer``, as its Markdown, or (``what`` is "code") its last code block, and what that is called. Raises
    VardaError where there is none."""
    if what.strip().lower() == "code":
        from markdown_it import MarkdownIt

        blocks = [token.content for token in MarkdownIt("gfm-like").parse(answer) if token.type == "fence"]
        if not blocks:
            raise VardaError("There is no code in the last answer.")
        return blocks[-1].rstrip("\n"), "The code"
    if not answer:
        raise VardaError("There is no answer to copy yet.")
    return answer, "The last answer"
