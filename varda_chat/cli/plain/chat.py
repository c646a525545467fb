"""Takes line by line as messages and commands: ``varda-chat --plain``."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from varda_chat.cli.plain import answers, memory, sessions
from varda_chat.cli.plain.talk import Talk, say, tell
from varda_chat.errors import VardaError
from varda_chat.session.request import Request, session_to_resume, transcripts_of
from varda_chat.text import one_line, sanitize
from varda_chat.tui import commands


def chat(request: Request, lines: Iterator[str], resume: int | None, resume_last: bool, *, typed: bool = False) -> None:
    """Take each of ``lines`` (``typed``: by a person, who can be asked) as a message or a command until they end or one
    is /quit. What goes wrong is told, and the chat goes on; raises VardaError where the model or the memory cannot be
    opened."""
    talk = Talk(
        request, lines, typed, transcripts_of(request, needed=resume is not None), None, incognito=request.incognito
    )
    try:
        talk.resume = session_to_resume(talk.transcripts, resume, resume_last)
        for line in lines:
            if not _take(talk, line):
                break
    finally:
        talk.close()


def _take(talk: Talk, line: str) -> bool:
    """Do what ``line`` says; whether the chat goes on."""
    if not sanitize(line).strip():
        return True
    typed = commands.parse(line)
    if typed is not None and typed[0] in ("quit", "exit"):
        return False
    if typed is None or typed[0] in _NEED_SESSION:
        _ = talk.session  # where it cannot be opened, the chat ends
    try:
        if typed is None:
            talk.answer(line.strip())
        else:
            _obey(talk, *typed)
    except BrokenPipeError:
        raise
    except (VardaError, OSError) as error:
        tell(f"Error: {error}")
    return True


def _obey(talk: Talk, name: str, argument: str) -> None:
    command = commands.find(name)
    if command is None:
        tell(f"There is no command /{one_line(name, 40)}. /help lists those there are.")
    elif name not in _COMMANDS:
        tell(f"/{name} is for the chat on a whole screen. /help lists the commands that there are here.")
    elif command.needs_argument and not argument:
        tell(f"{command.usage}: {command.help}.")
    else:
        _COMMANDS[name](talk, argument)


def _help(_talk: Talk, _: str) -> None:
    for each in commands.COMMANDS:
        if each.name in _COMMANDS or each.name == "quit":
            say(f"{each.usage}: {each.help}")


_COMMANDS: dict[str, Callable[[Talk, str], None]] = {
    "help": _help,
    "new": sessions.new,
    "sessions": sessions.list_saved,
    "resume": sessions.resume,
    "rename": sessions.rename,
    "export": sessions.export,
    "copy": answers.copy,
    "regenerate": answers.regenerate,
    "edit": answers.edit,
    "retry": answers.retry,
    "memory": memory.show,
    "remember": memory.remember,
    "forget": memory.forget,
    "proof": memory.proof,
    "pin": memory.pin,
    "undo": memory.undo,
    "sources": answers.sources,
    "why": answers.why,
    "persona": answers.persona,
    "incognito": sessions.incognito,
    "profile": sessions.profile,
    "model": sessions.model,
    "set": answers.set_drawing,
}
"""Each is given what is typed behind its name."""
_NEED_SESSION = _COMMANDS.keys() - {"help", "sessions"}
