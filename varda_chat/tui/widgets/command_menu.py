"""The commands that what is typed may become, above the composer: chosen by Up and Down, taken by Tab or Enter."""

from __future__ import annotations

from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from varda_chat.tui.bindings import shortcut
from varda_chat.tui.commands import Command, matching

_NAME_CELLS = 20


class CommandMenu(OptionList, can_focus=False):
    """Shown while a command is being typed."""

    class Taken(Message):
        """A command was clicked on."""

        def __init__(self, command: Command) -> None:
            super().__init__()
            self.command = command

    def __init__(self) -> None:
        super().__init__(markup=False)
        self._commands: tuple[Command, ...] = ()
        self.display = False

    def show_for(self, text: str) -> None:
        """Offer what ``text`` may become; nothing where it is no command."""
        commands = matching(text)
        if commands != self._commands:
            self._commands = commands
            self.clear_options()
            self.add_options([Option(self._line(command)) for command in commands])
            self.highlighted = 0 if commands else None
        self.display = bool(commands)

    @property
    def chosen(self) -> Command | None:
        """The command that stands out; None while nothing is offered."""
        if not self.display or self.highlighted is None or self.highlighted >= len(self._commands):
            return None
        return self._commands[self.highlighted]

    def _line(self, command: Command) -> Content:
        gap = " " * max(2, _NAME_CELLS - len(command.usage))
        key = shortcut(self.app, command)
        return Content.assemble(
            (command.usage, "$primary"), gap, (command.help, "$foreground"), (f"  {key}" if key else "", "$quiet")
        )

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A click takes a command."""
        event.stop()
        self.post_message(self.Taken(self._commands[event.option_index]))
