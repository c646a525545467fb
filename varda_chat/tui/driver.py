"""How the app reads and draws on a terminal: Textual's driver, made safe against bad bytes, redirects and hang-ups."""

from __future__ import annotations

import os
import selectors
import sys
from codecs import getincrementaldecoder
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO, cast

from textual._xterm_parser import XTermParser
from textual.app import App
from textual.drivers.linux_driver import LinuxDriver

from varda_chat.tui.messages import HungUp
from varda_chat.tui.terminals import screen

if TYPE_CHECKING:
    from varda_chat.tui.app import VardaApp

_READ_BYTES = 4096
_SELECT_SECONDS = 0.1


class _Output:
    """A terminal to draw on. Once it is closed, what is drawn is dropped: a writer that failed would block the app."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()


class TerminalDriver(LinuxDriver):
    """Draws on stderr or, where that is redirected, on stdout. Replaces bytes that are not UTF-8."""

    def __init__(
        self, app: App[Any], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self._output = _Output(screen() or sys.__stderr__ or sys.stderr)
        self._file = cast("Any", self._output)

    def start_application_mode(self) -> None:
        """Take the screen, but not before the app obeys the signals after which it has to give it back."""
        cast("VardaApp", self._app).obey_signals()
        super().start_application_mode()  # type: ignore[no-untyped-call]

    def _get_terminal_size(self) -> tuple[int, int]:
        with suppress(OSError, ValueError):
            if not {"COLUMNS", "LINES"} & os.environ.keys():
                columns, rows = os.get_terminal_size(self._output.fileno())
                if columns and rows:
                    return columns, rows
        return super()._get_terminal_size()

    def run_input_thread(self) -> None:
        """Read keys until the app ends or the terminal hangs up."""
        parser = XTermParser(self._debug)
        decode = getincrementaldecoder("utf-8")("replace").decode
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                if selector.select(_SELECT_SECONDS):
                    data = self._read()
                    if not data:
                        self._app.post_message(HungUp())
                        return
                    for message in parser.feed(decode(data)):
                        self.process_message(message)
                for message in parser.tick():
                    self.process_message(message)

    def _read(self) -> bytes:
        try:
            return os.read(self.fileno, _READ_BYTES)
        except OSError:  # how Linux reports that the other end is closed
            return b""
