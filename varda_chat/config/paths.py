"""Where things lie on disk: data, profiles, settings and the bundled checkpoint."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

from varda_chat.errors import VardaError

APP_NAME = "varda-chat"
HOME_VARIABLE = "VARDA_CHAT_HOME"
MODEL_VARIABLE = "VARDA_CHAT_MODEL"
BASE_VARIABLE = "VARDA_CHAT_BASE"
_PROFILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def expanded(given: str | Path) -> Path:
    """The path ``given`` by a person, with a home directory for ``~``. Raises VardaError where there is none."""
    try:
        return Path(given).expanduser()
    except RuntimeError as error:
        raise VardaError(f"{given} cannot be used: {error}") from error


def data_dir(override: str | Path | None = None) -> Path:
    """The data directory: ``override`` (``--data-dir``), else ``VARDA_CHAT_HOME``, else the platform's own."""
    given = override if override is not None else os.environ.get(HOME_VARIABLE)
    if given:
        return expanded(given).absolute()
    from platformdirs import user_data_path

    return user_data_path(APP_NAME, appauthor=False)


def is_profile_name(name: str) -> bool:
    """Whether a profile may be called that."""
    return _PROFILE_NAME.fullmatch(name) is not None


def profile_dir(profile: str, override: str | Path | None = None) -> Path:
    """The directory of ``profile``; raises VardaError for a name that could leave the data directory."""
    if not is_profile_name(profile):
        raise VardaError(
            f"{profile!r} is not a profile name: use 1 to 64 letters, digits, '.', '_' or '-', "
            "beginning with a letter or digit."
        )
    return data_dir(override) / "profiles" / profile


def config_file() -> Path:
    """The settings file where none is named: in ``VARDA_CHAT_HOME``, else in the platform's place for settings."""
    if os.environ.get(HOME_VARIABLE):
        return data_dir() / "config.toml"
    from platformdirs import user_config_path

    return user_config_path(APP_NAME, appauthor=False) / "config.toml"


def cache_dir() -> Path:
    """Where files are kept that can be rebuilt: ``cache`` in ``VARDA_CHAT_HOME``, else the platform's own place."""
    if os.environ.get(HOME_VARIABLE):
        return data_dir() / "cache"
    from platformdirs import user_cache_path

    return user_cache_path(APP_NAME, appauthor=False)


def reset_command(directory: Path) -> str:
    """The command that clears the profile in ``directory``, as a person would type it."""
    command, profile, home = "varda-chat --reset-memory", directory.name, directory.parent.parent
    if profile != "default":
        command += f" --profile {profile}"
    if home != data_dir():
        command += f" --data-dir {shlex.quote(str(home))}"
    return command


def bundled_checkpoint() -> Path:
    """mini, the complete model that comes with the package and needs no base."""
    return checkpoints_dir() / "mini"


def checkpoints_dir() -> Path:
    """Where the shipped models are."""
    return Path(__file__).parents[1] / "checkpoints"


def default_checkpoint() -> Path:
    """The model that a chat opens where none is named: ``VARDA_CHAT_MODEL`` (a shipped model's name or a directory),
    else the shipped adapter, else mini."""
    named = os.environ.get(MODEL_VARIABLE)
    if named:
        return shipped_checkpoints().get(named) or expanded(named)
    adapter = checkpoints_dir() / "default"
    return adapter if (adapter / "config.json").is_file() else bundled_checkpoint()


def base_directory() -> Path | None:
    """Where the person keeps the base model (``VARDA_CHAT_BASE``), if they said so."""
    given = os.environ.get(BASE_VARIABLE)
    return expanded(given) if given else None


def shipped_checkpoints() -> dict[str, Path]:
    """The models that come with the package, by name, the default one first."""
    found = sorted(each.parent for each in checkpoints_dir().glob("*/config.json"))
    return {each.name: each for each in sorted(found, key=lambda each: each.name != "default")}
