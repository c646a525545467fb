"""An answer, opened: which of its words were recalled, from which memories, and how strongly, token by token."""

from __future__ import annotations

from collections.abc import Mapping

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static

from varda_chat.sanitize import one_line
from varda_chat.tui.formatting import bar
from varda_chat.tui.screens.card import Card
from varda_chat.turns import TokenSources, Turn

_SHOWN_CHARACTERS = 4000
_BAR_CELLS = 16
_STRONG, _FAIR = 0.5, 0.15
"""Shares of a token from which it is shown as recalled strongly, or fairly."""


class SourcesScreen(Card[None]):
    """Left and Right walk the recalled words; Enter opens the memory that a word came from."""

    BINDINGS = [  # noqa: RUF012 - Textual's own declaration
        Binding("left,h,shift+tab", "walk(-1)", "Word before", priority=True),
        Binding("right,l,tab", "walk(1)", "Word after", priority=True),
        Binding("enter", "open_record", "Open the memory", priority=True),
        Binding("q", "close", "Close", show=False),
    ]

    place: reactive[int] = reactive(0)

    def __init__(self, turn: Turn, texts: Mapping[int, str]) -> None:
        """``texts``: the words of the statements that ``turn.sources`` names, as far as they are known."""
        super().__init__()
        self._reply = turn.reply[:_SHOWN_CHARACTERS]
        self._spans = _words(self._reply, turn.sources)
        self._texts = dict(texts)
        self.set_reactive(SourcesScreen.place, _strongest(self._spans))

    def compose(self) -> ComposeResult:
        keys = (("← →", "walk the recalled words"), ("Enter", "open the memory"), ("Esc", "close"))
        with self.card("What this was recalled from", keys if self._spans else (("Esc", "close"),), name="sources"):
            with VerticalScroll(classes="answer"):
                yield Static(self._answer(), id="answer-text")
            with Vertical(classes="legend"):
                yield Static(_LEGEND)
            yield Static(self._shares(), id="shares")

    def watch_place(self) -> None:
        if self.is_mounted:
            self.query_one("#answer-text", Static).update(self._answer())
            self.query_one("#shares", Static).update(self._shares())

    def action_walk(self, steps: int) -> None:
        """Go to the next recalled word, or the one before."""
        if self._spans:
            self.place = (self.place + steps) % len(self._spans)

    def action_open_record(self) -> None:
        """Show the memory that the word came from most."""
        if self._spans:
            from varda_chat.tui.widgets.memory_panel import EventRow

            statement_id = self._spans[self.place].shares[0][0]
            self.app.screen_stack[-2].post_message(
                EventRow.Opened(statement_id, self._texts.get(statement_id, ""), "recalled")
            )

    def _answer(self) -> Content:
        parts: list[Content] = []
        done = 0
        for number, span in enumerate(self._spans):
            parts.append(Content(self._reply[done : span.start]))
            total = sum(share for _, share in span.shares)
            style = "$accent bold" if total >= _STRONG else "$accent" if total >= _FAIR else "$text-muted"
            here = " on $block-cursor-background" if number == self.place else ""
            if here:
                style = "$block-cursor-foreground bold"
            parts.append(Content.styled(self._reply[span.start : span.end], style + here))
            done = span.end
        parts.append(Content(self._reply[done:]))
        return Content("").join(parts)

    def _shares(self) -> Content:
        if not self._spans:
            return Content.styled("Nothing was recalled for this answer: it is the model's own.", "$quiet italic")
        span = self._spans[self.place]
        word = one_line(self._reply[span.start : span.end], 40) or "␣"
        lines = [Content.assemble(("“", "$quiet"), (word, "$accent bold"), ("” came from", "$quiet"))]
        rest = 1.0
        for statement_id, share in span.shares[:5]:
            rest -= share
            text = one_line(self._texts.get(statement_id, ""), 160) or "(no longer in memory)"
            lines.append(_share_line(share, Content(text)))
        lines.append(_share_line(max(0.0, rest), Content.styled("the model's own words", "$quiet")))
        return Content("\n").join(lines)


def _share_line(share: float, text: Content) -> Content:
    filled, empty = bar(min(1.0, share), _BAR_CELLS)
    return Content.assemble((filled, "$accent"), (empty, "$line"), (f"{share:5.0%}  ", "$quiet"), text)


def _words(reply: str, sources: tuple[TokenSources, ...]) -> list[TokenSources]:
    """The sources within ``reply``, in order and without overlap (a character may be several tokens), and not of
    white space before a word."""
    spans: list[TokenSources] = []
    end = 0
    for each in sorted(sources, key=lambda span: span.start):
        start, stop = max(each.start, end), min(each.end, len(reply))
        start += len(reply[start:stop]) - len(reply[start:stop].lstrip())
        if start < stop and each.shares:
            spans.append(TokenSources(start, stop, each.shares))
            end = stop
    return spans


def _strongest(spans: list[TokenSources]) -> int:
    return max(range(len(spans)), key=lambda n: sum(share for _, share in spans[n].shares), default=0)


_LEGEND = Content.assemble(
    ("bold", "$accent bold"), (" strongly  ", "$quiet"), ("coloured", "$accent"), (" partly  ", "$quiet"),
    ("grey", "$text-muted"), (" hardly recalled", "$quiet"),
)  # fmt: skip
