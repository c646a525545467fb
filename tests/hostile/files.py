"""Hostile files, names and numbers: refused in a line, or read as what they are; none crashes, hangs or runs."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import shutil
import stat
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.helpers.hostile import (
    DAMAGE,
    HOSTILE,
    HUGE,
    OBEYED,
    empty_checkpoint,
    program,
    refuses_to_restore,
    run,
    three_statements,
)
from tests.helpers.stores import opened, some, texts
from tests.hostile.attacks import Attack, Tries
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
    """``value`` with one thing in it replaced, removed or doubled."""
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
        asking = [("search", "dog")] if number % 5 == 0 else []  # which loads the model
        for command in (("import", file), ("list",), ("list", "--json"), *asking):
            checked(run("memory", *command, "--profile", f"p{number}"))
        directory = work / "home" / "profiles" / f"p{number}"
        if directory.exists():
            with opened(directory, vocabulary=1000) as store:
                assert store.search(some(1), 20).token_ids.max(initial=0) < 1000
                assert len(texts(store)) <= 4
            assert checked(run("memory", "verify", "--profile", f"p{number}")).exit_code == 0
        yield


def _restores(work: Path, tries: int) -> Tries:
    kinds = list(DAMAGE)
    for number in range(tries):
        home = work / "home" / "profiles" / "default"
        directory = home if home.exists() else three_statements(home)
        refuses_to_restore(directory, kinds[number % len(kinds)])
        for path in (directory / "backups").iterdir():
            path.unlink()
        yield


SETTINGS: dict[str, Any] = {
    "profile": "work", "checkpoint": "mini", "theme": "varda-dark", "temperature": 0.5, "top_p": 0.9,
    "max_new_tokens": 40, "memory_size": 500, "panel": True, "keys": {"quit": "f10"},
}  # fmt: skip
RAW = ("[" * 20_000, "{a = 1", "1979-05-27T07:32:00Z", "'''", '"\\ud800"', "0x" + "f" * 5000, "1_0", "9" * 5000)
"""Values as a file holds them."""


def toml(value: Any) -> str:
    """``value`` as TOML, where TOML has it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {toml(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, float):
        return repr(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else json.dumps(value)


def _settings(work: Path, tries: int) -> Tries:
    """Each setting with each value that is none of its own, and flipped bytes."""
    rng, file = random.Random(2), work / "config.toml"
    written = [*map(toml, VALUES), *RAW]
    values = [(name, value) for name in (*SETTINGS, HOSTILE, "x" * 300) for value in written]
    rng.shuffle(values)
    read = 0
    for number in range(tries):
        if number % 5:
            name, value = values[number % len(values)]
            lines = {key: toml(each) for key, each in SETTINGS.items()}
            lines[name] = value
            text = "".join(f"{key if key in SETTINGS else json.dumps(key)} = {each}\n" for key, each in lines.items())
            file.write_bytes(text.encode("utf-8", "surrogatepass"))
        else:
            file.write_bytes(_flipped(text_of(SETTINGS).encode(), rng))
        result = checked(run("--config", file, "memory", "list", "--json"))
        assert result.exit_code in (0, 1, 2)
        assert len(result.stderr.strip().splitlines()) == (result.exit_code != 0), result.stderr
        read += "TOML" not in result.stderr
        yield
    assert read >= tries // 4, "most of them were no TOML, and no value was looked at"


def text_of(settings: dict[str, Any]) -> str:
    """A settings file with these."""
    return "".join(f"{name} = {toml(value)}\n" for name, value in settings.items())


NAMES = (
    "../x", "..", ".", "/etc", "a/b", "a\\b", "", " ", "\x00", HOSTILE, "con", "x" * 300, "~", "~root", "a\nb", "-x",
    "\ud800", "%2e%2e", "..\\..\\x", "\u202e", "x/../../y", "$(id)", "`id`", "a;b", "*", "memory.db", "é" * 130,
)  # fmt: skip


def _profile_names(work: Path, tries: int) -> Tries:
    """By every door through which a name comes: flags, settings, the commands that write."""
    home = work / "home" / "profiles"
    three_statements(home / "default")
    assert checked(run("memory", "export", work / "export.jsonl")).exit_code == 0
    doors: tuple[Callable[[str], Result], ...] = (
        lambda name: run("memory", "import", work / "export.jsonl", "--profile", name),
        lambda name: run("--profile", name, "--reset-memory", "--yes"),
        lambda name: run("memory", "backup", "--profile", name),
        lambda name: _set_profile(work / "config.toml", name),
    )
    taken = 0
    for number in range(tries):
        name = NAMES[number % len(NAMES)]
        result = checked(doors[number // len(NAMES) % len(doors)](name))
        taken += result.exit_code == 0
        mine = {work / "home", home, work / "export.jsonl", work / "config.toml"}
        assert [path for path in work.rglob("*") if home not in path.parents and path not in mine] == []
        assert all(path.parent != home or path.is_dir() for path in home.rglob("*"))
        yield
    assert taken >= tries // len(NAMES), "no name was taken: the commands did nothing"


def _set_profile(file: Path, name: str) -> Result:
    file.write_text(f"profile = {json.dumps(name)}\n")
    return run("--config", file, "memory", "import", file.with_name("export.jsonl"))


COMMANDS: tuple[tuple[str, ...], ...] = (
    ("memory", "show"), ("memory", "pin"), ("memory", "unpin"), ("memory", "undo"), ("memory", "list", "--limit"),
    ("memory", "search", "x", "--limit"), ("memory", "edit"), ("memory", "forget", "--yes"), ("memory", "import"),
    ("memory", "restore", "--yes"), ("memory", "learn"), ("memory", "index"), ("memory",),
    ("sessions", "show"), ("sessions", "delete", "--yes"), ("sessions", "search", "x", "--limit"),
    ("-p", "x", "--resume"), ("-p", "x", "--memory-size"), ("-p", "x", "--max-new-tokens"), ("-p", "x", "--seed"),
    ("--wait",), ("--config",), ("--temperature",), ("--top-p",), (),
)  # fmt: skip
ARGUMENTS = (
    HUGE,
    "9" * 5000,
    "-" + HUGE,
    "1e400",
    "nan",
    HOSTILE,
    f"--{HOSTILE}",
    "\x9b31m",
    "0x1",
    "\u0661" * 20,
    "1 2",
)
AFTER_DASHES = {"show", "pin", "unpin", "undo", "edit", "forget", "delete"}


def _arguments(work: Path, tries: int) -> Tries:
    """Each command with each argument; each is refused in one line beside click's usage, and the memory stays."""
    directory = three_statements(work / "home" / "profiles" / "default")
    pairs = [(command, argument) for command in COMMANDS for argument in ARGUMENTS]
    random.Random(4).shuffle(pairs)
    for number in range(tries):
        command, argument = pairs[number % len(pairs)]
        dashes = ["--"] if AFTER_DASHES & {*command} else []
        more = ["in other words"] if command[-1:] == ("edit",) else []
        result = checked(run(*command, *dashes, argument, *more))
        assert result.exit_code in (1, 2), (command, argument, result.output)
        errors = [line for line in result.stderr.strip().splitlines() if not line.startswith(("Usage:", "Try "))]
        assert len([line for line in errors if line]) == 1, result.stderr
        with opened(directory) as store:
            assert len(texts(store)) == 3
        yield


class Runs:
    """What a pickle of it does where it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.marker),)


def _checkpoints(work: Path, tries: int) -> Tries:
    from varda_chat.models.checkpoint import load_checkpoint

    rng, marker = random.Random(3), work / "executed"
    for number in range(tries):
        directory = work / str(number)
        directory.mkdir()
        empty_checkpoint(directory)
        config = json.loads((directory / "config.json").read_text())
        kind = number % 4
        if kind == 0:
            (directory / "model.safetensors").unlink()
            (directory / "pytorch_model.bin").write_bytes(pickle.dumps(Runs(marker)))
            code = {"auto_map": {"AutoModelForCausalLM": "evil.Model"}}
            (directory / "evil.py").write_text(f"import os\nos.mkdir({str(marker)!r})\n")
            (directory / "config.json").write_text(json.dumps(config | code))
        elif kind == 1:
            name = rng.choice([*config, "memory_size", "query_decay", "memory_dim", "admission_token_id"])
            (directory / "config.json").write_text(json.dumps(config | {name: rng.choice(VALUES)}))
        else:
            file = directory / ("config.json" if kind == 2 else "model.safetensors")
            file.write_bytes(_flipped(file.read_bytes()[: 400 if kind == 3 else None], rng))
        with pytest.raises(CheckpointError) as caught:  # it has no weights worth the name
            load_checkpoint(str(directory))
        assert "\n" not in str(caught.value)
        assert not marker.exists()
        yield


def _altered_checkpoints(work: Path, tries: int) -> Tries:
    """The bundled model with some bytes of a file changed, or the file cut: it is loaded, or refused in a line."""
    from varda_chat.config.paths import bundled_checkpoint
    from varda_chat.errors import VardaError
    from varda_chat.models.checkpoint import load_checkpoint

    rng = random.Random(9)
    bundled = bundled_checkpoint()
    whole = sorted(path for path in bundled.iterdir() if path.suffix in (".json", ".safetensors"))
    loaded = 0
    for number in range(tries):
        directory = work / str(number)
        shutil.copytree(bundled, directory)
        file = directory / rng.choice(whole).name
        content = bytearray(file.read_bytes())
        for _ in range(rng.choice((1, 1, 20))):
            content[rng.randrange(min(len(content), 20_000))] = rng.randrange(256)  # of the weights, their header
        if rng.random() < 0.1:
            del content[rng.randrange(len(content)) :]
        file.write_bytes(content)
        try:
            with redirect_stderr(io.StringIO()):  # where transformers draws its progress
                load_checkpoint(str(directory))
            loaded += 1
        except VardaError as error:
            one_line = str(error).splitlines() == [str(error)]
            assert one_line, error  # noqa: PT017
        shutil.rmtree(directory)
        yield
    assert tries < 20 or 0 < loaded < tries


def _special_files(work: Path, tries: int) -> Tries:
    own = ("memory.db", "sessions.db", "memory.lock", "memory.faiss", "history.jsonl")
    commands = (("memory", "import"), ("memory", "learn"), ("--config",), ("-p", "Hi", "--checkpoint"))
    for number in range(tries):
        directory = work / "home" / "profiles" / f"p{number}"
        three_statements(directory)
        place = number // 2 % (len(own) + len(commands))
        path = directory / own[place] if place < len(own) else work / f"special{number}"
        path.unlink(missing_ok=True)
        if place == len(own) + 3:
            path.mkdir()
            path /= "config.json"
        if number % 2:
            device(path)
        else:
            os.mkfifo(path)
        command: tuple[object, ...]
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
    Attack("a settings file altered", _settings, 150),
    Attack("a name of a profile that leads elsewhere", _profile_names, 108, "leaked"),
    Attack("a number or a word that nothing can hold", _arguments, 275),
    Attack("a checkpoint altered, or with code in it", _checkpoints, 60, "leaked"),
    Attack("the bundled checkpoint with bytes altered", _altered_checkpoints, 40),
    Attack("a pipe or an endless device as a file", _special_files, 18),
)
