"""Hostile files, names and numbers: refused in a line, or read as what they are; none crashes, hangs, runs or gets out."""

from __future__ import annotations

import json
import os
import pickle
import random
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import Result

from tests.hostile.attacks import Attack, Tries
from tests.unit.test_cli_output import HOSTILE, OBEYED
from tests.unit.test_hostile_files import (
    DAMAGE,
    HUGE,
    empty_checkpoint,
    program,
    refuses_to_restore,
    run,
    three_statements,
)
from tests.unit.test_store import opened, some, texts
from varda_chat.errors import CheckpointError

VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 2**31, 2**63, -(2**70), 1e30, 10**400, float("nan"), float("inf"), "", "x", HOSTILE, "\ud800",
    "\x00", "x" * 70_000, [], {}, [[[[]]]], {"a": {"b": []}}, [1e308] * 8, ["x"], "../../x", "9" * 5000,
)  # fmt: skip


def checked(result: Result) -> Result:
    """No traceback, no line for the terminal to obey."""
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert not OBEYED.search(result.output), result.output
    return result


def _mutated(value: Any, rng: random.Random) -> Any:
    """``value`` with one thing in it replaced, taken out or doubled."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        if rng.random() < 0.1:
            return {name: each for name, each in value.items() if name != key}
        return value | {key: _mutated(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        place = rng.randrange(len(value))
        return [*value[:place], _mutated(value[place], rng), *value[place + rng.randrange(2) :]]
    return rng.choice(VALUES)


def _flipped(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed[: rng.randrange(len(changed))] if rng.random() < 0.2 else changed)


def _imports(work: Path, tries: int) -> Tries:
    rng, file = random.Random(1), work / "export.jsonl"
    three_statements(work / "home" / "profiles" / "default")
    assert checked(run("memory", "export", file)).exit_code == 0
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    content = file.read_bytes()
    for number in range(tries):
        if number % 3:
            place = rng.randrange(len(lines))
            changed = [*lines[:place], _mutated(lines[place], rng), *lines[place + 1 :]]
            file.write_text("".join(json.dumps(line) + "\n" for line in changed))
        else:
            file.write_bytes(_flipped(content, rng))
        for command in (("import", file), ("list",), ("list", "--json"), ("search", "dog")):
            checked(run("memory", *command, "--profile", f"p{number}"))
        folder = work / "home" / "profiles" / f"p{number}"
        if folder.exists():
            with opened(folder, vocabulary=1000) as store:
                assert store.search(some(1), 20).token_ids.max(initial=0) < 1000
                assert len(texts(store)) <= 4
            assert checked(run("memory", "verify", "--profile", f"p{number}")).exit_code == 0
        yield


def _restores(work: Path, tries: int) -> Tries:
    kinds = list(DAMAGE)
    for number in range(tries):
        home = work / "home" / "profiles" / "default"
        folder = home if home.exists() else three_statements(home)
        refuses_to_restore(folder, kinds[number % len(kinds)])
        for path in (folder / "backups").iterdir():
            path.unlink()
        yield


SETTINGS = (
    'profile = "work"\nmemory_size = 500\ntemperature = 0.5\ntop_p = 0.9\ntheme = "varda-dark"\n[keys]\nquit = "f10"\n'
)


def _settings(work: Path, tries: int) -> Tries:
    rng, file = random.Random(2), work / "config.toml"
    for number in range(tries):
        if number % 2:
            line = rng.choice(SETTINGS.splitlines())
            value = rng.choice([*map(repr, VALUES), "[" * 20_000, "{a=1}", HUGE, "1979-05-27T07:32:00Z", "'''"])
            text = SETTINGS.replace(line, f"{line.partition('=')[0]}= {value}")
            file.write_bytes(text.encode("utf-8", "surrogatepass"))
        else:
            file.write_bytes(_flipped(SETTINGS.encode(), rng))
        result = checked(run("--config", file, "memory", "list"))
        assert result.exit_code in (0, 1, 2)
        assert len(result.stderr.strip().splitlines()) <= 1, result.stderr
        yield


NAMES = (
    "../x", "..", ".", "/etc", "a/b", "a\\b", "", " ", "\x00", HOSTILE, "con", "x" * 300, "~", "~root", "a\nb", "-x",
    "\ud800", "%2e%2e", "..\\..\\x", "\u202e", "x/../../y", "$(id)", "`id`", "a;b", "*", "memory.db", "é" * 130,
)  # fmt: skip


def _profile_names(work: Path, tries: int) -> Tries:
    profiles = work / "home" / "profiles"
    profiles.mkdir(parents=True)
    for number in range(tries):
        name = NAMES[number % len(NAMES)]
        checked(run("--profile", name, "memory", "list"))
        checked(run("--profile", name, "--reset-memory", "--yes"))
        if not name.startswith("-"):
            checked(run("memory", "import", "--profile", name, os.devnull))
        outside = [
            path for path in work.rglob("*") if profiles not in (path, *path.parents) and path != profiles.parent
        ]
        assert outside == []
        yield


COMMANDS = (
    ("memory", "show"), ("memory", "pin"), ("memory", "undo"), ("memory", "list", "--limit"),
    ("memory", "search", "x", "--limit"), ("sessions", "show"), ("sessions", "search", "x", "--limit"),
    ("-p", "x", "--resume"), ("-p", "x", "--memory-size"), ("-p", "x", "--max-new-tokens"), ("memory", "forget"),
    ("memory",), (), ("memory", "import"), ("--config",), ("sessions", "export", "1"), ("--temperature",),
)  # fmt: skip
ARGUMENTS = (HUGE, "9" * 5000, "-" + HUGE, "1e400", "nan", HOSTILE, f"--{HOSTILE}", "\x9b31m", "0x1", "١٢٣", "1 2")


def _arguments(work: Path, tries: int) -> Tries:
    three_statements(work / "home" / "profiles" / "default")
    for number in range(tries):
        command = COMMANDS[number % len(COMMANDS)]
        argument = ARGUMENTS[number // len(COMMANDS) % len(ARGUMENTS)]
        result = checked(run(*command, *(["--"] if command[-1:] in (("show",), ("pin",)) else []), argument))
        assert result.exit_code in (1, 2), result.output
        yield


class Runs:
    """What a pickle of it does where it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.marker),)


def _checkpoints(work: Path, tries: int) -> Tries:
    from varda_chat.model.checkpoint import load_checkpoint

    rng, marker = random.Random(3), work / "executed"
    for number in range(tries):
        folder = work / str(number)
        folder.mkdir()
        empty_checkpoint(folder)
        config = json.loads((folder / "config.json").read_text())
        kind = number % 4
        if kind == 0:
            (folder / "model.safetensors").unlink()
            (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Runs(marker)))
            code = {"auto_map": {"AutoModelForCausalLM": "evil.Model"}}
            (folder / "evil.py").write_text(f"import os\nos.mkdir({str(marker)!r})\n")
            (folder / "config.json").write_text(json.dumps(config | code))
        elif kind == 1:
            name = rng.choice([*config, "memory_size", "query_decay", "memory_dim", "admission_token_id"])
            (folder / "config.json").write_text(json.dumps(config | {name: rng.choice(VALUES)}))
        else:
            file = folder / ("config.json" if kind == 2 else "model.safetensors")
            file.write_bytes(_flipped(file.read_bytes()[: 400 if kind == 3 else None], rng))
        try:
            load_checkpoint(str(folder))
        except CheckpointError as error:
            assert "\n" not in str(error)
        else:
            raise AssertionError("a checkpoint without its weights was loaded")
        assert not marker.exists()
        yield


def _special_files(work: Path, tries: int) -> Tries:
    own = ("memory.db", "sessions.db", "memory.lock", "memory.faiss", "history.jsonl")
    commands = (("memory", "import"), ("memory", "learn"), ("--config",), ("-p", "Hi", "--checkpoint"))
    for number in range(tries):
        folder = work / "home" / "profiles" / f"p{number}"
        three_statements(folder)
        place = number // 2 % (len(own) + len(commands))
        path = folder / own[place] if place < len(own) else work / f"special{number}"
        path.unlink(missing_ok=True)
        if place == len(own) + 3:
            path.mkdir()
            path /= "config.json"
        if number % 2:
            device(path)
        else:
            os.mkfifo(path)
        if place < len(own):
            command = ("sessions", "list") if own[place] == "sessions.db" else ("memory", "pin", 1)
            result = program(*command, "--profile", f"p{number}")
        else:
            command = commands[place - len(own)]
            result = program(*command, path.parent if path.name == "config.json" else path)
        said = result.stderr.decode()
        assert "Traceback" not in said, said
        assert len(said.strip().splitlines()) <= 1, said
        assert result.returncode in ((0,) if place in (3, 4) else (1, 2)), said
        yield


def device(path: Path) -> None:
    """Make ``path`` the endless device /dev/zero, or a link to it where that is not allowed."""
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))
    except OSError:
        path.symlink_to("/dev/zero")


ATTACKS = (
    Attack("an export altered, then imported", _imports, 100),
    Attack("a backup with what cannot be, restored", _restores, 15),
    Attack("a settings file altered", _settings, 100),
    Attack("a name of a profile that leads elsewhere", _profile_names, 27, "leaked"),
    Attack("a number or a word that nothing can hold", _arguments, 80),
    Attack("a checkpoint altered, or with code in it", _checkpoints, 60, "leaked"),
    Attack("a pipe or an endless device as a file", _special_files, 18),
)
