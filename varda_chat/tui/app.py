"""VardaApp: paints first, loads the session in a thread, and leaves only after the memory is saved."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from rich.text import Text
from textual import events, on, work
from textual.app import App, SystemCommand
from textual.binding import Binding
from textual.command import CommandPalette
from textual.driver import Driver
from textual.notifications import SeverityLevel
from textual.screen import Screen

from varda_chat.config.defaults import DEFAULT_THEME
from varda_chat.config.paths import config_file
from varda_chat.config.settings import SettingsFile
from varda_chat.session.request import Request
from varda_chat.text import sanitize
from varda_chat.tui.bindings import shortcut, shown
from varda_chat.tui.clipboard import copy_natively, native_command
from varda_chat.tui.commands import COMMANDS, Command
from varda_chat.tui.controllers.collecting import Collector
from varda_chat.tui.controllers.session_host import OpenSession, SessionHost, sentence_for
from varda_chat.tui.messages import HungUp
from varda_chat.tui.screens.chat import ChatScreen
from varda_chat.tui.screens.help import HelpScreen
from varda_chat.tui.screens.keys import PressScreen
from varda_chat.tui.state import ChatState
from varda_chat.tui.themes import VARDA_DARK, VARDA_LIGHT, checked_theme, own_variables

if TYPE_CHECKING:
    from rich.console import RenderableType

    from varda_chat.transcripts import Transcripts

_MAKING_SECONDS = 0.05
"""After so long it is looked whether the first screen has been made."""
LEAVING_SIGNALS = tuple(each for each in signal.Signals if each.name in ("SIGTERM", "SIGHUP", "SIGQUIT"))
"""On these the app saves, restores the terminal and exits with 128 plus the signal's number."""
CRASHED = 1
"""The exit code after an error that nobody expected."""


class VardaApp(App[None]):
    """The terminal chat over one session."""

    TITLE = "varda-chat"
    CSS_PATH = ["app.tcss", "dialogs.tcss", "browser.tcss"]  # noqa: RUF012 - Textual's own declaration
    BINDINGS = [  # noqa: RUF012 - Textual's own declaration
        Binding("f1,f12", "help", "Help", id="help", priority=True),
        Binding("ctrl+p", "command_palette", "Command palette", id="palette", priority=True),
        Binding("ctrl+q", "quit", "Save the memory and quit", id="quit", priority=True),
    ]

    def __init__(
        self,
        request: Request,
        open_session: OpenSession | None = None,
        *,
        first_run: bool = False,
        theme: str = DEFAULT_THEME,
        settings: SettingsFile | None = None,
        transcripts: Transcripts | None = None,
        resume: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``open_session(on_progress)``, or else what ``request`` asks for, is called in a thread after the first
        paint. Raises VardaError for an unknown ``theme``. ``settings``: as the person has them in a file.
        ``transcripts``: where sessions are kept, and ``resume`` the one to resume. ``clock`` gives unix seconds,
        for "2 min ago".
        """
        super().__init__()
        self.register_theme(VARDA_DARK)
        self.register_theme(VARDA_LIGHT)
        self._begin_with(checked_theme(theme))
        settings = settings or SettingsFile(config_file())
        self.keymap: Mapping[str, str] = settings.settings.keys
        self._host = SessionHost(open_session or (lambda on_progress: request.open(on_progress, transcripts)))
        self._quitting = False
        self._signalled = 0
        self.crashed = False
        self.draft_kept = False
        self._collector = Collector()
        self.chat = ChatScreen(
            self._host,
            request,
            settings=settings,
            first_run=first_run,
            transcripts=transcripts,
            resume=resume,
            clock=clock,
        )

    def _begin_with(self, theme: str) -> None:
        """Take on the first theme. One of ours only needs its variables; to set it would parse all styles twice, which
        the first paint would wait for."""
        if theme not in (VARDA_DARK.name, VARDA_LIGHT.name):
            self.theme = theme
            return
        self.set_reactive(VardaApp.theme, theme)
        self.set_class(self.current_theme.dark, "-dark-mode", update=False)
        self.set_class(not self.current_theme.dark, "-light-mode", update=False)
        self.stylesheet.set_variables(self.get_css_variables())

    def get_default_screen(self) -> Screen[None]:
        """The chat is the first screen, so the first paint is the real one."""
        return self.chat

    def get_driver_class(self) -> type[Driver]:
        """Our own driver for terminals; where the environment names another, that one."""
        found = super().get_driver_class()
        if found.__name__ != "LinuxDriver":
            return found
        from varda_chat.tui.driver import TerminalDriver

        return TerminalDriver

    def on_mount(self) -> None:
        self.set_keymap(dict(self.keymap))
        if not self.is_headless:
            self.obey_signals()
        self._collector.start()
        self.set_interval(1.0, self._collect)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Our own variables, for themes that are not ours."""
        return own_variables(self.current_theme)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """What the command palette offers."""
        for command in COMMANDS:
            if command.title:
                hint = f"{command.help}  {shortcut(self, command)}".rstrip()
                yield SystemCommand(command.title, hint, partial(self._run_from_palette, command))

    async def _run_from_palette(self, command: Command) -> None:
        await self.chat.commands.obey_when_loaded(command)

    def _collect(self) -> None:
        self._collector.look(busy=not self.chat.is_idle)

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.InputEvent):
            self._collector.touch()
        await super().on_event(event)

    def action_help(self) -> None:
        """Open the help on the place one is in, or close it."""
        if isinstance(self.screen, HelpScreen):
            self.screen.dismiss(None)
        elif not isinstance(self.screen, CommandPalette):
            help_screen = HelpScreen(self.screen, self.keymap, profile_dir=self.chat.request.directory)
            self.push_screen(help_screen)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """No key acts while one is asked for, to be bound, or before the first screen is made."""
        return self.chat.is_mounted and not isinstance(self.screen, PressScreen)

    def use_keys(self, keymap: Mapping[str, str]) -> None:
        """Let the person's keys count, and be named, from now on."""
        self.keymap = keymap
        self.set_keymap(dict(keymap))
        self.chat.show_keys()

    def action_help_quit(self) -> None:
        """Ctrl+C with nothing selected: stop a running answer, else say how to leave."""
        if self.chat.state is ChatState.THINKING:
            self.chat.action_stop()
        else:
            self.notify(f"Press {shown(self, 'quit')} to quit.", markup=False)

    async def action_quit(self) -> None:
        """Stop the answer, save the memory, leave. Asked twice: leave the screen at once, saving goes on."""
        if self._quitting:
            self.exit()
            return
        self._quitting = True
        while self.screen is not self.chat:
            await self.pop_screen()
        self.chat.farewell()
        self._close_and_exit()

    def obey_signals(self) -> None:
        """From now on leave as by the key on the signals that end a program."""
        loop = asyncio.get_running_loop()
        if not hasattr(signal, "SIGHUP"):  # Windows, whose event loop hears of no signals
            return
        for number in LEAVING_SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
                loop.add_signal_handler(number, self.call_later, self._leave_on, number)
        loop.add_signal_handler(signal.SIGINT, self.call_later, self.action_help_quit)

    async def _leave_on(self, number: signal.Signals) -> None:
        """Leave as by the key. While the model loads there is nothing to save, so at once."""
        self._signalled = number
        if not self.chat.is_mounted:  # to leave a screen that is being made is an error
            self.set_timer(_MAKING_SECONDS, partial(self._leave_on, number))
            return
        self.chat.composing.keep_draft()
        if self.chat.state is ChatState.LOADING:
            self.exit()
        else:
            await self.action_quit()

    @on(HungUp)
    async def _hang_up(self) -> None:
        if not self._signalled:
            await self._leave_on(getattr(signal, "SIGHUP", signal.SIGTERM))

    @property
    def exit_code(self) -> int:
        """What the program ends with."""
        if self._signalled:
            return 128 + self._signalled
        return self.return_code or (CRASHED if self.crashed else 0)

    def panic(self, *renderables: RenderableType) -> None:
        """End after an error that nobody expected; what was being written is kept."""
        self._note_crash()
        super().panic(*renderables)

    def _fatal_error(self) -> None:
        self._note_crash()
        super()._fatal_error()

    def _note_crash(self) -> None:
        self.crashed = True
        with suppress(Exception):  # the error to report is the first one
            self.draft_kept = self.chat.composing.keep_draft()

    @work(thread=True, group="close", exit_on_error=False)
    def _close_and_exit(self) -> None:
        try:
            self._host.close()
        except Exception as error:  # noqa: BLE001 - the person must get out, with a line on what went wrong
            sentence = sentence_for(error, "saving the memory")
            self.call_from_thread(self.exit, None, 1, Text(sentence))
        else:
            self.call_from_thread(self.exit)

    async def on_unmount(self) -> None:
        """However the program ends, the session is closed."""
        self._collector.stop()
        if not self._quitting:
            await asyncio.to_thread(self._host.close)

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = False,
    ) -> None:
        """A line at the screen's edge; whatever is in it is shown as the text it is."""
        clean, seconds = sanitize(message), self.NOTIFICATION_TIMEOUT if timeout is None else timeout
        super().notify(clean, title=sanitize(title), severity=severity, timeout=seconds, markup=False)
        self.chat.arrangement.make_room(clean, seconds)

    def copy_to_clipboard(self, text: str) -> None:
        """Copy by the terminal (OSC 52) and, where there is one, by the machine's own clipboard program."""
        super().copy_to_clipboard(text)
        command = native_command()
        if command is not None and not self.is_headless:
            self._copy_in_thread(text, command)

    @work(thread=True, group="copy", exit_on_error=False)
    def _copy_in_thread(self, text: str, command: list[str]) -> None:
        copy_natively(text, command)
