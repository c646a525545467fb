"""The settings file: TOML that a person writes, or the settings screen does, which keeps the person's comments."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from varda_chat.config import paths, persona
from varda_chat.config.defaults import (
    CONFIRM_DELETES,
    DEFAULT_MEMORY_SIZE,
    DEFAULT_PROFILE,
    DEFAULT_THEME,
    DRAWN,
    MAX_MEMORY_SIZE,
    GenerationSettings,
)
from varda_chat.errors import StorageError, VardaError
from varda_chat.storage.regular import read_regular
from varda_chat.text import one_line

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

MAX_FILE = 2**20
"""Bytes of a settings file that are read."""
_HEAD = "Settings of varda-chat. A flag, or a variable such as VARDA_CHAT_THEME, comes before what stands here."
_WORDS = {str: "a text in quotes", float: "a number", int: "a whole number", bool: "true or false"}


@dataclass(frozen=True)
class Settings:
    """What a settings file may hold; the defaults are the program's own. ``checkpoint``: "" for the bundled model;
    ``panel``, ``sessions``: whether the memory and the sessions are shown beside the chat at first; ``bell``: whether
    it rings after a long answer; ``confirm_deletes``: see ``CONFIRM_DELETES``; ``system``: the persona of profiles that
    keep none; ``keys``: keys, such as "f2,ctrl+b", by the names of what they do.
    """

    profile: str = DEFAULT_PROFILE
    checkpoint: str = ""
    theme: str = DEFAULT_THEME
    temperature: float = GenerationSettings.temperature
    top_p: float = GenerationSettings.top_p
    max_new_tokens: int = GenerationSettings.max_new_tokens
    memory_size: int = DEFAULT_MEMORY_SIZE
    panel: bool = True
    sessions: bool = False
    bell: bool = True
    confirm_deletes: str = "auto"
    system: str = ""
    keys: Mapping[str, str] = field(default_factory=dict)

    @property
    def generation(self) -> GenerationSettings:
        """How replies are drawn."""
        return GenerationSettings(self.temperature, self.top_p, self.max_new_tokens)


HELP = {
    "profile": "whose memory is opened",
    "checkpoint": "the model: a folder or hub id",
    "theme": "the colours",
    "temperature": "randomness of answers; 0 for none",
    "top_p": "share of likely words to use",
    "max_new_tokens": "longest answer, in tokens",
    "memory_size": "most vectors the memory holds",
    "panel": "memory beside the chat",
    "sessions": "sessions beside a wide chat",
    "bell": "rings after a long answer",
    "confirm_deletes": "ask before Varda deletes",
    "system": "how Varda should speak",
}
"""The settings of one value each, and what they are about."""
CHOICES: dict[str, tuple[str, ...]] = {"confirm_deletes": CONFIRM_DELETES}
"""The values that a setting may have, where there are few."""
_KINDS: dict[str, type] = {name: type(getattr(Settings(), name)) for name in HELP}


@dataclass(frozen=True)
class SettingsFile:
    """A settings file as it was read. ``found``: the names that stand in it."""

    path: Path
    settings: Settings = field(default_factory=Settings)
    found: frozenset[str] = frozenset()

    @property
    def flags(self) -> dict[str, Any]:
        """What stands in the file, as defaults of the flags of the same names."""
        return {name: getattr(self.settings, name) for name in self.found if name in HELP}

    def error(self, name: str, sentence: str) -> VardaError:
        """What is wrong with the setting ``name``, as one line."""
        return VardaError(f"{self.path}: {name}: {sentence}")


def read(path: Path, *, required: bool = False) -> SettingsFile:
    """Read ``path``; where it is not there, the defaults, unless it is ``required``.

    Raises VardaError, naming file and key, for what no setting is called and for wrong values.
    """
    try:
        table = tomllib.loads(read_regular(path, MAX_FILE).decode("utf-8-sig"))
    except FileNotFoundError:
        if required:
            raise VardaError(f"There is no settings file {path}.") from None
        return SettingsFile(path)
    except RecursionError:
        raise VardaError(f"{path} is not proper TOML: it is nested too deeply.") from None
    except ValueError as error:  # of TOML, of UTF-8, or of a number with too many digits
        raise VardaError(f"{path} is not proper TOML: {one_line(str(error), 200)}.") from error
    except OSError as error:
        raise VardaError(f"The settings file {path} cannot be read: {error.strerror}.") from error
    empty = SettingsFile(path)
    known = [each.name for each in fields(Settings)]
    values: dict[str, Any] = {}
    for name, value in table.items():
        if name not in known:
            raise VardaError(f"{path}: there is no setting {one_line(name, 40)!r}; there are {', '.join(known)}.")
        try:
            values[name] = _keys(value) if name == "keys" else checked(name, value)
        except VardaError as error:
            raise empty.error(name, str(error)) from error
    return SettingsFile(path, Settings(**values), frozenset(values))


def checked(name: str, value: object) -> Any:
    """``value``, if the setting ``name`` may have it. Raises VardaError with a sentence on what it may have."""
    kind = _KINDS[name]
    if kind is float and type(value) is int:
        try:
            value = float(value)
        except OverflowError:
            raise VardaError("It must be a smaller number.") from None
    if type(value) is not kind:
        raise VardaError(f"It must be {_WORDS[kind]}.")
    if name == "profile":
        paths.profile_dir(str(value))
    elif name == "system":
        persona.checked(str(value))
    elif name in {each.name for each in fields(GenerationSettings)}:
        given: dict[str, Any] = {name: value}
        GenerationSettings(**given)
    elif name in CHOICES and value not in CHOICES[name]:
        raise VardaError(f"It must be {', '.join(CHOICES[name][:-1])} or {CHOICES[name][-1]}.")
    elif name == "memory_size" and isinstance(value, int) and value < 1:
        raise VardaError(f"The memory needs room for at least 1 vector, not {value}.")
    elif name == "memory_size" and isinstance(value, int) and value > MAX_MEMORY_SIZE:
        raise VardaError(f"The memory has room for at most {MAX_MEMORY_SIZE:,} vectors.")
    return value


def parsed(name: str, text: str) -> Any:
    """What a person wrote for the setting ``name``. Raises VardaError as ``checked`` does."""
    kind = _KINDS[name]
    try:
        return checked(name, kind(text.strip()) if kind in (int, float) else text.strip())
    except (ValueError, OverflowError):
        raise VardaError(f"It must be {_WORDS[kind]}.") from None


def setting_typed(text: str) -> tuple[str, str]:
    """The name and the value behind ``/set``, "" for what is not there; "max-new-tokens" is max_new_tokens."""
    name, _, value = text.partition(" ")
    return name.replace("-", "_").lower(), value.strip()


def check_drawn(name: str) -> None:
    """Raise VardaError, which names those there are, where ``name`` is nothing that says how answers are drawn."""
    if name not in DRAWN:
        raise VardaError(f"There is nothing called {one_line(name, 40)!r} to set; there is {_may_be(*DRAWN)}.")


def drawn_typed(name: str, text: str) -> Any:
    """As ``parsed``, of what says how answers are drawn; the error names what ``name`` may be, and the others."""
    try:
        return parsed(name, text)
    except VardaError as error:
        others = _may_be(*(each for each in DRAWN if each != name))
        may_be = f"{_WORDS[_KINDS[name]]}, {DRAWN[name]}"
        raise VardaError(f"{name} must be {may_be}, not {one_line(text, 40)!r}. Also to set: {others}.") from error


def _may_be(*names: str) -> str:
    return ", ".join(f"{each} ({DRAWN[each]})" for each in names)


def drawing(generation: GenerationSettings) -> str:
    """How answers are drawn, in one line."""
    return ", ".join(f"{each} {getattr(generation, each):.10g}" for each in DRAWN)


def save(file: SettingsFile, wanted: Settings) -> SettingsFile:
    """Write what ``wanted`` has other than ``file``; the rest of the file stays as it is, comments too.

    A crash leaves the old file or the new one. Raises VardaError where somebody broke the file meanwhile, StorageError
    where it cannot be written.
    """
    from varda_chat.storage.files import make_private_directory, replace_file

    path = file.path.resolve()  # a link, as people have them into their collected dot files, stays one
    now = read(file.path)
    document = _document(path)
    for each in fields(Settings):
        value, before = getattr(wanted, each.name), getattr(file.settings, each.name)
        if value == before:
            continue
        if each.name == "keys":
            _change_keys(document, value, before)
        else:
            document[each.name] = value
    changes = {
        each.name for each in fields(Settings) if getattr(wanted, each.name) != getattr(file.settings, each.name)
    }
    try:
        if not path.parent.is_dir():
            make_private_directory(path.parent)
        replace_file(path, [document.as_string().encode()])
    except OSError as error:
        raise StorageError(f"The settings could not be written to {path}: {error.strerror}.") from error
    return SettingsFile(
        file.path,
        replace(now.settings, **{name: getattr(wanted, name) for name in changes}),
        now.found | changes,
    )


def _document(path: Path) -> TOMLDocument:
    import tomlkit

    if path.exists():
        return tomlkit.parse(path.read_text("utf-8-sig"))
    document = tomlkit.document()
    document.add(tomlkit.comment(_HEAD))
    return document


def _change_keys(document: TOMLDocument, wanted: Mapping[str, str], before: Mapping[str, str]) -> None:
    import tomlkit

    table = document.setdefault("keys", tomlkit.table())
    for name in before.keys() - wanted.keys():
        table.pop(name, None)
    for name, keys in wanted.items():
        if before.get(name) != keys:
            table[name] = keys
    if not table:
        del document["keys"]


def _keys(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise VardaError('It must be a table, such as [keys] with panel = "f2,ctrl+b" below it.')
    for name, keys in value.items():
        if not isinstance(keys, str) or not keys.strip():
            raise VardaError(f'{one_line(name, 40)} must be keys in quotes, such as "f2,ctrl+b".')
    return dict(value)
