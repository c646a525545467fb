"""Saves: a run's state in ``last``, and the one before in ``last.old``; a kill at any moment leaves a whole one.

Each save lists its files with their checksums, so that one that was damaged later is noticed before it is loaded.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from training.config import ObjectiveWeights, TrainConfig
from varda_chat.errors import DataError
from varda_chat.storage.files import to_disk

LAST, OLD, FRESH, STATE = "last", "last.old", "last.new", "run.json"
FILES = "files"
"""Where the state lists the other files of its save, each with its checksum."""


class Saves:
    """The saved states of the run in ``directory``."""

    def __init__(self, directory: Path) -> None:
        self.last, self.old, self.fresh = directory / LAST, directory / OLD, directory / FRESH

    def newest(self) -> Path:
        """The newest whole save; raises DataError where there is none."""
        for directory in (self.last, self.old):
            if _state_of(directory) is not None:
                return directory
        for directory in (self.last, self.old):
            if (directory / STATE).exists():
                raise DataError(f"The saved run cannot be read: {directory / STATE} is no JSON.")
        raise DataError(f"Nothing to resume in {self.last.parent}: it holds no saved run.")

    def state(self) -> dict[str, Any]:
        """What the newest save says of the run; raises DataError where there is none or it cannot be read."""
        return _state_of(self.newest()) or {}

    def settle(self) -> list[str]:
        """Set aside a last save that is damaged, so that the one before it is the newest; returns what to tell of it.

        Raises DataError where the one before is damaged too, or there is none.
        """
        found = damage(self.last)
        if found is None:
            return []
        if not self.old.exists():
            raise DataError(f"The saved run cannot be read: {found}. There is no earlier save to resume from.")
        found_before = damage(self.old)
        if found_before is not None:
            raise DataError(f"The saved run cannot be read: {found}. Nor can the one before it: {found_before}.")
        aside, number = self.last.with_name(f"{LAST}.damaged"), 1
        while aside.exists():
            number += 1
            aside = self.last.with_name(f"{LAST}.damaged-{number}")
        self.last.rename(aside)
        to_disk(self.last.parent)
        return [f"{found}. It is set aside as {aside.name}; the run resumes from the save before it."]

    def kept_step(self) -> int | None:
        """The step of the newest save, None where there is none."""
        try:
            return int(self.state()["step"])
        except DataError:
            return None

    def begin(self) -> None:
        """Make room for a new save, of which nothing counts before ``finish``."""
        shutil.rmtree(self.fresh, ignore_errors=True)

    def finish(self, state: dict[str, Any]) -> None:
        """The new save is in ``fresh`` but for ``state``: let it be the last one."""
        files = {str(path.relative_to(self.fresh)): _digest(path) for path in _files(self.fresh)}
        (self.fresh / STATE).write_text(json.dumps(state | {FILES: files}, indent=1), encoding="utf-8")
        for path in (*self.fresh.rglob("*"), self.fresh):
            to_disk(path)
        if (self.last / STATE).exists():
            shutil.rmtree(self.old, ignore_errors=True)
            self.last.rename(self.old)
        else:
            shutil.rmtree(self.last, ignore_errors=True)
        self.fresh.rename(self.last)
        to_disk(self.last.parent)

    def drop(self, step: int) -> int | None:
        """The state after ``step`` has turned out to be bad: forget it if it was saved. Returns the step of the newest
        save that is left, None where there is none."""
        for directory in (self.last, self.old):
            if (directory / STATE).exists():
                if int(json.loads((directory / STATE).read_text(encoding="utf-8"))["step"]) < step:
                    break
                shutil.rmtree(directory)
        return self.kept_step()


def damage(directory: Path) -> str | None:
    """Which file of the save in ``directory`` is not as it was written, None where all are, or where there is no save.
    One without a list of its files is taken to be whole."""
    if not directory.exists():
        return None
    state = _state_of(directory)
    if state is None:
        return f"{directory / STATE} is missing or damaged"
    for name, digest in state.get(FILES, {}).items():
        path = directory / name
        if not path.is_file():
            return f"{path} is missing"
        if _digest(path) != digest:
            return f"{path} is damaged (its checksum does not match)"
    return None


def _state_of(directory: Path) -> dict[str, Any] | None:
    """What the save in ``directory`` says of the run, None where it cannot be read."""
    try:
        state = json.loads((directory / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) else None


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def has_run(directory: Path) -> bool:
    """Whether a run was saved in ``directory``."""
    return any((directory / name).exists() for name in (LAST, OLD))


def saved_config(directory: Path) -> TrainConfig:
    """The settings of the run saved in ``directory``; raises DataError where there is none."""
    saved = Saves(directory).state()["config"]
    saved["weights"] = ObjectiveWeights(**saved["weights"])
    for name in {"betas", "layouts", "datasets"} & saved.keys():
        saved[name] = tuple(saved[name])
    known = {field.name for field in fields(TrainConfig)}
    return TrainConfig(**{name: value for name, value in saved.items() if name in known})


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` write a file that then takes the place of ``path``, all or nothing."""
    fresh = path.with_name(path.name + ".new")
    write(fresh)
    to_disk(fresh)
    fresh.replace(path)


def cut_log(path: Path, step: int) -> None:
    """Take what was logged after ``step`` out of the JSON lines at ``path``, and a line that a kill cut off."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if record["step"] <= step:
            kept.append(line)
    write_whole(path, lambda fresh: fresh.write_text("".join(kept), encoding="utf-8"))
