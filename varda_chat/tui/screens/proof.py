"""The proof that what was forgotten has no part in answers: the logits with and without it, and what the files hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from varda_chat.text import one_line
from varda_chat.tui.controllers.session_host import SessionHost, sentence_for
from varda_chat.tui.screens.card import Card

if TYPE_CHECKING:
    from varda_chat.session.proof import Proof
    from varda_chat.session.purging import Read

_SHOWN, _CHARACTERS = 5, 300


class ProofScreen(Card[None]):
    """Asks the question again while one waits."""

    BINDINGS = [Binding("q", "close", "Close", show=False, id="proof.close")]  # noqa: RUF012 - Textual's own declaration

    def __init__(self, host: SessionHost, question: str, forgotten: Sequence[str], directory: Path) -> None:
        """``forgotten``: texts of memories. ``directory``: the profile's."""
        super().__init__()
        self._host, self._question, self._forgotten, self._directory = host, question, forgotten, directory

    def compose(self) -> ComposeResult:
        with self.card("Proof", [(self.key("card.close"), "close")], name="proof"), VerticalScroll():
            for text in self._forgotten[:_SHOWN]:
                words = f"“{one_line(text, _CHARACTERS)}”"
                yield Static(Content.assemble(("− ", "$error bold"), (words, "strike $text-muted")))
            question = one_line(self._question, _CHARACTERS)
            yield Static(Content.assemble(("asked: ", "$quiet"), question), classes="asked")
            yield Static("It is asked again, with and without that ever having been told …", id="verdict")

    def on_mount(self) -> None:
        self.query_one(VerticalScroll).focus()
        self._prove()

    @work(thread=True, exit_on_error=False)
    def _prove(self) -> None:
        from varda_chat.session.proof import files_that_hold, prove

        try:
            proof = self._host.call(lambda session: prove(session, self._question, self._forgotten))
            shown = _verdict(proof, files_that_hold(self._directory, self._forgotten))
        except Exception as error:  # noqa: BLE001 - whatever it is, the person gets a line and a live app
            shown = Content.styled(sentence_for(error, "proving it"), "$error")
        if self.is_attached:
            self.app.call_from_thread(self._show, shown)

    def _show(self, verdict: Content) -> None:
        if self.is_attached:
            self.query_one("#verdict", Static).update(verdict)


def _verdict(proof: Proof, read: Sequence[Read]) -> Content:
    from varda_chat.session.proof import lines_of

    first, *others = lines_of(proof, read)
    sign, colour = ("✓ ", "$success") if proof.holds else ("✕ ", "$error")
    lines = [Content.assemble((sign, f"{colour} bold"), (first, "bold"))]
    lines.append(Content.assemble(("as it is: ", "$quiet"), one_line(proof.now, _CHARACTERS)))
    lines.append(Content.assemble(("never told: ", "$quiet"), one_line(proof.never_told, _CHARACTERS)))
    return Content("\n").join([*lines, *(Content.styled(line, "$text-muted") for line in others)])
