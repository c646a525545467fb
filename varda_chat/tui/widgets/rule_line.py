"""The thin rule under the title: fills while the model loads, carries a passing light while Varda thinks."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import reactive
from textual.timer import Timer
from textual.widgets import Static

from varda_chat.tui.formatting import bar
from varda_chat.tui.state import ChatState, Progress

_STEPS_PER_SECOND = 12
_LIGHT_CELLS = 9


class RuleLine(Static):
    """One row; at rest it is a quiet rule."""

    state: reactive[ChatState] = reactive(ChatState.LOADING)
    progress: reactive[Progress] = reactive(Progress())

    def __init__(self) -> None:
        super().__init__()
        self._step = 0
        self._timer: Timer | None = None

    def on_mount(self) -> None:
        self._timer = self.set_interval(1 / _STEPS_PER_SECOND, self._advance, pause=True)
        self._pace()

    def watch_state(self) -> None:
        self._pace()

    def _pace(self) -> None:
        if self._timer is None:
            return
        self._step = 0
        if self.state is ChatState.THINKING and self.app.animation_level != "none":
            self._timer.resume()
        else:
            self._timer.pause()

    def _advance(self) -> None:
        self._step += 2
        self.refresh()

    def render(self) -> Content:
        width = self.size.width
        if self.state is ChatState.LOADING:
            filled, rest = bar(self.progress.share, width)
            return Content.assemble((filled, "$accent"), (rest, "$line"))
        if self.state is ChatState.THINKING:
            start = self._step % (width + _LIGHT_CELLS) - _LIGHT_CELLS
            before, end = max(0, start), min(width, start + _LIGHT_CELLS)
            return Content.assemble(
                ("─" * before, "$line"), ("━" * (end - before), "$accent"), ("─" * (width - end), "$line")
            )
        return Content.styled("─" * width, "$line")
