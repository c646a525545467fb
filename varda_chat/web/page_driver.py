"""How the app draws in a page of ``varda-chat serve``: Textual's driver, which ends the app with the server."""

from __future__ import annotations

from textual.drivers.web_driver import WebDriver

from varda_chat.tui.messages import HungUp


class PageDriver(WebDriver):
    """Reads what the page sends until the app ends or the server ends, however it does."""

    def run_input_thread(self) -> None:
        """Post HungUp where the server closed the pipe first."""
        super().run_input_thread()
        if not self.exit_event.is_set():
            self._app.post_message(HungUp())
