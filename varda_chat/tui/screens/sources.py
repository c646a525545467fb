"""An answer, opened: which of its words were recalled, from which memories, and how strongly, token by token.

Asked why: and what becomes of it without them."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static

from varda_chat.session.turn import Recalled, TokenSources, Turn
from varda_chat.text import one_line, sanitize
from varda_chat.tui.controllers.session_host import SessionHost, sentence_for
from varda_chat.tui.formatting import bar
from varda_chat.tui.screens.card import Card
from varda_chat.tui.widgets.what_if import WhatIf

if TYPE_CHECKING:
    from varda_chat.session.session import ChatSession
    from varda_chat.session.why import Without

_SHOWN_CHARACTERS = 4000
_STATEMENTS_SHOWN = 5
_WORD = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]+")
_TOKENS_SHOWN = 12
_BAR_CELLS = 16
_STRONG, _FAIR = 0.5, 0.15
"""Shares of a word from which it is shown as recalled strongly, or fairly."""


@dataclass(frozen=True)
class RecalledWord:
    """A word of the reply, the tokens of it that were recalled, and the statements' shares of the word, on average over
    its characters, the largest first."""

    start: int
    end: int
    tokens: tuple[TokenSources, ...]
    shares: tuple[tuple[int, float], ...]

    @property
    def recalled(self) -> float:
        """How much of it was recalled, 0 to 1."""
        return min(1.0, sum(share for _, share in self.shares))


class SourcesScreen(Card[None]):
    """Left and Right walk the recalled words; Enter opens the memory that a word came from."""

    BINDINGS = [  # noqa: RUF012 - Textual's own declaration
        Binding("left,h,shift+tab", "walk(-1)", "Word before", priority=True, id="sources.before"),
        Binding("right,l,tab", "walk(1)", "Word after", priority=True, id="sources.after"),
        Binding("enter", "open_statement", "Open the memory", priority=True, id="sources.open"),
        Binding("s", "stop", "Stop answering it without memories", id="sources.stop"),
        Binding("q", "close", "Close", show=False, id="sources.close"),
    ]

    place: reactive[int] = reactive(0)

    def __init__(
        self,
        turn: Turn,
        texts: Mapping[int, str],
        unused: Sequence[Recalled] | None = None,
        host: SessionHost | None = None,
    ) -> None:
        """``texts``: the words of the statements that ``turn.sources`` names, as far as they are known. ``unused``:
        what was found for the message and not used, None where that was not asked for; where it was, ``host`` has the
        message answered again without what was used."""
        super().__init__()
        self._turn = turn
        self._host = host
        self._stop = threading.Event()
        self._reply = sanitize(turn.reply)[:_SHOWN_CHARACTERS]
        self._words = recalled_words(self._reply, turn.sources)
        self._texts = dict(texts)
        self._recalled = turn.recalled
        self._unused = unused
        self.set_reactive(SourcesScreen.place, _strongest(self._words))

    def compose(self) -> ComposeResult:
        walk = f"{self.key('sources.before')} {self.key('sources.after')}"
        hints = [(self.key("card.close"), "close")]
        if self._words:
            walks, opens = ("walk", "open") if self.is_narrow else ("walk the recalled words", "open the memory")
            hints = [(walk, walks), (self.key("sources.open"), opens), *hints]
        if self._unused is not None and self._host is not None:
            hints.insert(-1, (self.key("sources.stop"), "stop"))
        with self.card("What this was recalled from", hints, name="sources"):
            if self._unused is None:
                with VerticalScroll(classes="answer"):
                    yield Static(self._answer(), id="answer-text")
                yield from self._where_from()
            else:  # there is more than may fit, so all of it scrolls
                with VerticalScroll(id="whole"):
                    with Vertical(classes="answer"):
                        yield Static(self._answer(), id="answer-text")
                    yield from self._where_from()
                    yield WhatIf()
                    yield Static(_why(self._recalled, self._unused), id="why")

    def _where_from(self) -> ComposeResult:
        with Vertical(classes="legend"):
            yield Static(_LEGEND)
        yield Static(self._shares(), id="shares")

    def on_mount(self) -> None:
        if self._unused is not None:
            self.query_one("#whole").focus()
            if self._host is not None:
                self._answer_without(self._host)

    def on_unmount(self) -> None:
        """Nothing goes on unseen."""
        self._stop.set()

    def action_stop(self) -> None:
        """Answer it no further without memories."""
        self._stop.set()

    @work(thread=True, group="what if", exclusive=True, exit_on_error=False)
    def _answer_without(self, host: SessionHost) -> None:
        """Have the message answered without what was used. The session is held for one answer at a time."""

        def begin(session: ChatSession) -> Iterator[Without]:
            return session.influence(self._turn, self._stop)

        problem = ""
        try:
            answers = host.call(begin)
            while not self._stop.is_set() and (each := host.call(lambda session: next(answers, None))) is not None:
                self.app.call_from_thread(self._show_without, each)
        except Exception as error:  # noqa: BLE001 - whatever it is, the person gets a line and a live app
            problem = sentence_for(error, "answering it without memories")
        if self.is_attached:
            self.app.call_from_thread(self._end_without, problem)

    def _show_without(self, answer: Without) -> None:
        if self.is_attached:
            self.query_one(WhatIf).show(answer)

    def _end_without(self, problem: str) -> None:
        if self.is_attached:
            self.query_one(WhatIf).end(problem, stopped=self._stop.is_set())
            stop = self.key("sources.stop")
            self.show_hints([each for each in self._foot if each[0] != stop])

    def watch_place(self) -> None:
        if self.is_mounted:
            self.query_one("#answer-text", Static).update(self._answer())
            self.query_one("#shares", Static).update(self._shares())

    def action_walk(self, steps: int) -> None:
        """Go to the next recalled word, or the one before."""
        if self._words:
            self.place = (self.place + steps) % len(self._words)

    def action_open_statement(self) -> None:
        """Show the memory that the word came from most."""
        if self._words:
            from varda_chat.tui.widgets.memory_panel import EventRow

            statement_id = self._words[self.place].shares[0][0]
            self.app.screen_stack[-2].post_message(
                EventRow.Opened(statement_id, self._texts.get(statement_id, ""), "recalled")
            )

    def _answer(self) -> Content:
        parts: list[Content] = []
        done = 0
        for number, word in enumerate(self._words):
            strength = word.recalled
            style = "$accent bold" if strength >= _STRONG else "$accent" if strength >= _FAIR else "$text-muted"
            if number == self.place:
                style = "$block-cursor-foreground bold on $block-cursor-background"
            parts += [Content(self._reply[done : word.start])]
            parts += [Content.styled(self._reply[word.start : word.end], style)]
            done = word.end
        parts.append(Content(self._reply[done:]))
        return Content("").join(parts)

    def _shares(self) -> Content:
        if not self._words:
            return Content.styled(self._turn.owes_nothing, "$quiet italic")
        word = self._words[self.place]
        name = one_line(self._reply[word.start : word.end], 40)
        lines = [Content.assemble(("“", "$quiet"), (name, "$accent bold"), ("” came from", "$quiet"))]
        for statement_id, share in word.shares[:_STATEMENTS_SHOWN]:
            text = one_line(self._texts.get(statement_id, ""), 160) or "(no longer in memory)"
            lines.append(_share_line(share, Content(text)))
        lines.append(_share_line(1.0 - word.recalled, Content.styled("the model's own words", "$quiet")))
        if len(word.tokens) > 1:
            pieces = [
                Content.assemble(
                    (one_line(self._reply[token.start : token.end], 20) or "␣", "$foreground"),
                    (f" {min(1.0, sum(share for _, share in token.shares)):.0%}", "$quiet"),
                )
                for token in word.tokens[:_TOKENS_SHOWN]
            ]
            lines += [Content(""), Content.assemble(("token by token  ", "$quiet"), Content("  ").join(pieces))]
        return Content("\n").join(lines)


def _why(recalled: Sequence[Recalled], unused: Sequence[Recalled]) -> Content:
    """What the answer was recalled from, and what was looked at and not used, each with its share."""
    lines = [Content.styled("RECALLED, and the largest share of a word", "$quiet bold")]
    lines += [_share_line(each.weight, Content(one_line(each.text, 160))) for each in recalled[:_STATEMENTS_SHOWN]]
    if not recalled:
        lines.append(Content.styled("nothing", "$quiet italic"))
    lines += [
        Content(""),
        Content.styled("LOOKED AT AND NOT USED, and what your message reads of it now", "$quiet bold"),
    ]
    lines += [
        _share_line(each.weight, Content.styled(one_line(each.text, 160), "$text-muted"))
        for each in unused[:_STATEMENTS_SHOWN]
    ]
    if not unused:
        lines.append(Content.styled("nothing", "$quiet italic"))
    return Content("\n").join(lines)


def _share_line(share: float, text: Content) -> Content:
    filled, empty = bar(share if share >= 0.005 else 0.0, _BAR_CELLS)
    return Content.assemble((filled, "$accent"), (empty, "$line"), (f"{share:5.0%}  ", "$quiet"), text)


def recalled_words(reply: str, sources: tuple[TokenSources, ...]) -> list[RecalledWord]:
    """The words of ``reply`` of which a token has sources, in order."""
    tokens = _tokens(reply, sources)
    words = []
    for match in _WORD.finditer(reply):
        own = [
            TokenSources(max(each.start, match.start()), min(each.end, match.end()), each.shares)
            for each in tokens
            if each.start < match.end() and each.end > match.start()
        ]
        if own:
            shares: dict[int, float] = {}
            for token in own:
                for statement_id, share in token.shares:
                    part = (token.end - token.start) / (match.end() - match.start())
                    shares[statement_id] = shares.get(statement_id, 0.0) + share * part
            ordered = sorted(shares.items(), key=lambda item: -item[1])
            words.append(RecalledWord(match.start(), match.end(), tuple(own), tuple(ordered)))
    return words


def _tokens(reply: str, sources: tuple[TokenSources, ...]) -> list[TokenSources]:
    """The sources within ``reply``, in order and without overlap: a character may be several tokens."""
    tokens: list[TokenSources] = []
    end = 0
    for each in sorted(sources, key=lambda token: token.start):
        start, stop = max(each.start, end), min(each.end, len(reply))
        if start < stop and each.shares:
            tokens.append(TokenSources(start, stop, each.shares))
            end = stop
    return tokens


def _strongest(words: list[RecalledWord]) -> int:
    return max(range(len(words)), key=lambda number: words[number].recalled, default=0)


_LEGEND = Content.assemble(
    ("bold", "$accent bold"), (" strongly  ", "$quiet"), ("coloured", "$accent"), (" partly  ", "$quiet"),
    ("grey", "$text-muted"), (" hardly recalled", "$quiet"),
)  # fmt: skip
