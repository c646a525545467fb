"""What becomes of an answer without the memories it was recalled from: side by side, with the tokens that changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Static

from varda_chat.text import one_line, sanitize

if TYPE_CHECKING:
    from varda_chat.session.why import Span, Without

_CHARACTERS = 2000
_MEMORY_CHARACTERS = 160
HEADING = "WHAT IF YOU HAD NOT TOLD ME?"


class WhatIf(Vertical):
    """Fills as the answers come."""

    def __init__(self) -> None:
        super().__init__()
        self._whole = ""
        self._shown = 0

    def compose(self) -> ComposeResult:
        yield Static(HEADING, classes="heading", markup=False)
        yield Static("It is answered again, without what it was recalled from …", classes="quiet state", markup=False)

    def show(self, answer: Without) -> None:
        """Show the next one; the first is with all memories."""
        if not answer.masked:
            self._whole = sanitize(answer.reply)[:_CHARACTERS]
            return
        self._shown += 1
        self.mount(Side(self._whole, answer), before=self.query_one(".state"))

    def end(self, problem: str, *, stopped: bool) -> None:
        """No more come; ``problem`` says why, "" for because that is all."""
        state = self.query_one(".state", Static)
        if problem or stopped:
            state.update(Content(problem or "Stopped."))
        elif not self._shown:
            state.update("No memory had a part in it: there is nothing to leave out.")
        else:
            state.display = False


class Side(Vertical):
    """The answer as it is, and what it would be without some memories."""

    def __init__(self, whole: str, answer: Without) -> None:
        super().__init__()
        self._whole = whole
        self._answer = answer

    def compose(self) -> ComposeResult:
        answer = self._answer
        changed = "the same answer" if answer.same else f"{answer.changed_tokens} of {answer.tokens} tokens differ"
        yield Static(Content.assemble(("without ", "$quiet"), masked_words(answer), (f"  {changed}", "$quiet")))
        if answer.same:
            return
        reply = sanitize(answer.reply)[:_CHARACTERS]
        with Horizontal(classes="sides"):
            yield Static(_marked("with it" if len(answer.masked) == 1 else "with them", self._whole, answer.lost))
            yield Static(_marked("without", reply, answer.changed))


def masked_words(answer: Without) -> str:
    """What was left out."""
    if len(answer.masked) == 1:
        return f"“{one_line(answer.masked[0].text, _MEMORY_CHARACTERS)}”"
    return "both of them" if len(answer.masked) == 2 else f"all {len(answer.masked)} of them"


def _marked(name: str, text: str, spans: Sequence[Span]) -> Content:
    """``text`` under its ``name``, the characters of ``spans`` underlined."""
    parts: list[Content | str | tuple[str, str]] = [(f"{name}\n", "$quiet")]
    done = 0
    for start, end in spans:
        parts += [text[done:start], (text[max(start, done) : end], "$accent bold underline")]
        done = max(done, end)
    parts.append(text[done:])
    if not text:
        parts.append(("(an empty answer)", "$quiet italic"))
    return Content.assemble(*parts)
