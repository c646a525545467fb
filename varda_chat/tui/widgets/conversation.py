"""The messages, newest at the bottom: follows the end on demand, mounts only the last few hundred."""

from __future__ import annotations

from textual.containers import VerticalScroll
from textual.widget import Widget

MOUNTED_MESSAGES = 200


class Conversation(VerticalScroll, can_focus=False):
    """A scrolling column of messages."""

    async def add(self, message: Widget, *, after: Widget | None = None) -> None:
        """Show ``message`` at the end or right ``after`` another; surplus old ones leave."""
        if after is not None and after.parent is self:
            await self.mount(message, after=after)
        else:
            await self.mount(message)
        surplus = len(self.children) - MOUNTED_MESSAGES
        if surplus > 0:
            await self.remove_children(list(self.children)[:surplus])

    def follow(self) -> None:
        """Go to the end and stay there while text comes."""
        self.anchor()
