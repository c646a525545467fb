"""The bottom line: what Varda is doing, with which model and whose memory, and how fast she answered."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static

from varda_chat.config.defaults import LOADING_MINI
from varda_chat.config.paths import bundled_checkpoint
from varda_chat.tui.formatting import duration, magnitude
from varda_chat.tui.state import ChatState, Progress, SessionDetails, Vitals

_SHOWN = {
    ChatState.LOADING: ("◌", "$accent", "loading"),
    ChatState.READY: ("●", "$success", "ready"),
    ChatState.THINKING: ("✦", "$accent", "thinking"),
    ChatState.STOPPED: ("■", "$warning", "stopped"),
    ChatState.FAILED: ("✕", "$error", "not loaded"),
    ChatState.SAVING: ("◌", "$accent", "saving memory …"),
}


class StatusBar(Static):
    """Drops what matters least where the terminal is narrow."""

    state: reactive[ChatState] = reactive(ChatState.LOADING)
    progress: reactive[Progress] = reactive(Progress())
    details: reactive[SessionDetails] = reactive(SessionDetails("", ""))
    vitals: reactive[Vitals] = reactive(Vitals())
    waiting: reactive[int] = reactive(0)
    writing: reactive[bool] = reactive(False)

    def render(self) -> Content:
        sign, colour, word = _SHOWN[self.state]
        if self.state is ChatState.LOADING and self.progress.what:
            word = f"{self.progress.what} {self.progress.share:.0%}"
        if self.state is ChatState.THINKING and self.writing:
            word = "writing"
        left = Content.assemble((f"{sign} ", colour), (word, f"{colour} bold"))
        marks = Content("  ").join(self._marks())
        room = self.content_size.width - left.cell_length - marks.cell_length - 2
        for detail in self._figures():
            part = Content.assemble(("  ·  ", "$quiet"), (detail, "$quiet"))
            if part.cell_length > room:
                continue
            left += part
            room -= part.cell_length
        if room < 0:
            return left.truncate(self.content_size.width, ellipsis=True)
        return Content.assemble(left, " " * (room + 2), marks)

    def _marks(self) -> list[Content]:
        marks = []
        if self.details.incognito:
            marks.append(Content.styled("incognito", "$secondary bold"))
        if self.details.read_only:
            marks.append(Content.styled("read-only", "$warning bold"))
        return marks

    def _figures(self) -> list[str]:
        """Most telling first."""
        details = []
        if self.waiting:
            details.append(f"{self.waiting} waiting")
        speed = self.vitals.speed
        if speed:
            details.append(f"{speed:.0f} tokens/s" if speed >= 10 else f"{speed:.1f} tokens/s")
        if self.vitals.context and self.details.window:
            details.append(f"context {self.vitals.context}/{self.details.window}")
        if self.vitals.lookup_seconds:
            details.append(f"look-up {duration(self.vitals.lookup_seconds)}")
        falls_back = self.state is ChatState.LOADING and self.progress.what == LOADING_MINI
        model = bundled_checkpoint().name if falls_back else self.details.model_name
        if self.details.parameters:
            model += f" {magnitude(self.details.parameters)}"
        return [*details, f"model {model}", f"profile {self.details.profile}"]
