"""The one table of commands: slash commands, their completion, the command palette and the help are made from it."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

_COMMAND = re.compile(r"/([A-Za-z][\w-]*)(?:\s+(.*))?", re.DOTALL)


@dataclass(frozen=True)
class Command:
    """One thing a person can ask for.

    name: what is typed after the slash.
    handler: a controller of the chat screen and a method of it ("memories.undo"), or an action of the app ("app.help"
        is its ``action_help``). With an ``argument`` it gets the text behind the name ("" where there is none), without
        one nothing.
    help: what it does, for completion and help.
    title: how the command palette calls it; "" keeps it out of the palette.
    argument: its argument as the help shows it, in brackets where it may be left out.
    keys: the keys that do the same, as a person reads them.
    """

    name: str
    handler: str
    help: str
    title: str = ""
    argument: str = ""
    keys: str = ""

    @property
    def usage(self) -> str:
        """The command as it is typed."""
        return f"/{self.name} {self.argument}".rstrip()

    @property
    def needs_argument(self) -> bool:
        """Whether it cannot go without one."""
        return bool(self.argument) and not self.argument.startswith("[")


COMMANDS: tuple[Command, ...] = (
    Command("help", "app.help", "keys, commands, where the data is", "Help", keys="F1"),
    # sessions
    Command("new", "sessions.new", "begin a new session; the memory stays", "New session", keys="Ctrl+N"),
    Command("sessions", "sessions.choose", "list, search and resume sessions", "Sessions", keys="F3"),
    Command("resume", "sessions.resume", "resume an earlier session", argument="[ID]"),
    Command("rename", "sessions.rename", "give this session a name", "Rename this session", argument="NAME"),
    Command(
        "export",
        "sessions.export",
        "write this session to a file, .md or .json",
        "Export this session",
        argument="[FILE]",
    ),
    # talking
    Command("copy", "answers.copy", "copy the last answer, or its code", "Copy the last answer", "[code]", "Ctrl+Y"),
    Command(
        "regenerate", "answers.regenerate", "take the last answer back and write another", "Another answer", keys="F5"
    ),
    Command("edit", "answers.edit", "change your last message and send it again", "Edit your last message", keys="F4"),
    Command("editor", "answers.editor", "write the message in $EDITOR", "Write in $EDITOR", keys="Ctrl+G"),
    Command("retry", "answers.retry", "try again after a failure", "Try again", keys="Ctrl+R"),
    # memory
    Command(
        "memory",
        "memories.browse",
        "search, edit, pin, forget, export what is in memory",
        "Memory browser",
        "[TEXT]",
        "F6",
    ),
    Command("map", "memories.map", "what lies near what in memory, as a map", "Map of the memory"),
    Command("remember", "memories.remember", "store this, whatever the model thinks of it", "Remember …", "TEXT"),
    Command("forget", "memories.forget", "choose what goes, then forget it", "Forget …", "TEXT"),
    Command(
        "proof",
        "memories.proof",
        "check that what you forgot last has no part in answers",
        "Proof of forgetting",
        keys="Alt+P",
    ),
    Command("pin", "memories.pin", "keep memories from ever being dropped", "Pin memories", "[TEXT]"),
    Command("undo", "memories.undo", "take back the last store or delete", "Undo the last store or delete", keys="F8"),
    Command("sources", "answers.sources", "what each part of the last answer was recalled from", "Sources", keys="F9"),
    Command("why", "answers.why", "what the last answer would be without what it was recalled from", "Why this answer"),
    Command("persona", "preferences.persona", "how Varda should speak: in words, or keep, or off", "Persona", "[TEXT]"),
    Command("incognito", "moving.incognito", "recall, but store and save nothing; again to end it", "Incognito"),
    Command("panel", "arrangement.toggle_panel", "show or hide the memory panel", "Memory panel", keys="F2"),
    # the program
    Command("profile", "moving.profile", "go to another memory, or begin a new one", "Profile", "[NAME]"),
    Command("model", "moving.model", "let another model answer", "Model", "[FOLDER]"),
    Command("theme", "preferences.theme", "change the colours", "Theme", "[NAME]"),
    Command("keys", "preferences.keys", "see the keys and change them", "Keys"),
    Command(
        "set",
        "preferences.set",
        "change how answers are drawn, for this session",
        argument="[NAME VALUE]",
    ),
    Command("settings", "preferences.settings", "change the settings, and save them", "Settings", keys="F10"),
    Command("quit", "app.quit", "save the memory and leave", "Quit", keys="Ctrl+Q"),
)


def find(name: str) -> Command | None:
    """The command of that name."""
    return next((command for command in COMMANDS if command.name == name.lower()), None)


def named(name: str) -> Command:
    """The command of that name, which is in the table. Raises KeyError where it is not."""
    command = find(name)
    if command is None:
        raise KeyError(name)
    return command


def parse(text: str) -> tuple[str, str] | None:
    """Name and argument if ``text`` is a command, known or not, else None: "/usr/bin is a directory" is a message."""
    match = _COMMAND.fullmatch(text.strip())
    return None if match is None else (match[1].lower(), (match[2] or "").strip())


def matching(text: str) -> tuple[Command, ...]:
    """The commands that ``text``, as far as it is typed, may become; none once the name is behind it."""
    if not re.fullmatch(r"/[\w-]*", text):
        return ()
    typed = text[1:].lower()
    begin = [command for command in COMMANDS if command.name.startswith(typed)]
    inside = [command for command in COMMANDS if typed in command.name and command not in begin]
    return tuple(begin + inside)


def nearest(name: str) -> str | None:
    """The name most like ``name``, for who mistyped it."""
    found = difflib.get_close_matches(name.lower(), [command.name for command in COMMANDS], n=1, cutoff=0.5)
    return found[0] if found else None
