"""What ``disks`` runs on a disk without room: changes by every door, each done whole or refused in one sentence.

``python -m tests.hostile.small_disk DISK TEMPLATE TRIES full|limit`` prints a line of JSON a try. DISK is a small disk
to fill, TEMPLATE a directory elsewhere. ``limit`` bounds the size of files by RLIMIT_FSIZE and fills nothing.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from click.testing import CliRunner, Result

from tests.helpers.purges import CAT, full_of_it, holding, told
from varda_chat.cli.main import main
from varda_chat.errors import VardaError
from varda_chat.memory import maintenance, verify
from varda_chat.memory.store import MemoryStore
from varda_chat.session.purging import purge
from varda_chat.transcripts import Transcripts
from varda_chat.tui.controllers.history import InputHistory

State = tuple[frozenset[str], frozenset[str]]
"""The texts in memory, and what was said in the sessions."""
ROOM = (0, 20_000, 80_000, 160_000, 400_000)
"""Bytes that are left at most, one of these by chance: some changes fit."""


TYPED = [f"{number} a long line " * 200 for number in range(20)]


class RefusedError(Exception):
    """It was refused, in one sentence."""


def state(directory: Path) -> State:
    with MemoryStore.open_records(directory) as memory, Transcripts.open(directory) as transcripts:
        texts = frozenset(each.text for each in memory.statements())
        said = (turn for session in transcripts.sessions() for turn in transcripts.turns(session.id))
        return texts, frozenset(f"{turn.prompt} {turn.reply}" for turn in said)


@contextmanager
def room(disk: Path, left: int, how: str) -> Iterator[None]:
    """With so many bytes left on the disk, or in any file."""
    filler = disk / "filler"
    try:
        if how == "limit":
            resource.setrlimit(resource.RLIMIT_FSIZE, (left, resource.RLIM_INFINITY))
        else:
            free = os.statvfs(disk)
            with filler.open("wb", buffering=0) as file:
                for _ in range((free.f_bavail * free.f_frsize - left) // 4096):
                    if file.write(bytes(4096)) < 4096:
                        break
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        filler.unlink(missing_ok=True)


def command(*arguments: object) -> Result:
    """A command, which may be refused in one sentence but not end in a traceback."""
    result = CliRunner().invoke(main, [*map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    if result.exit_code:
        last = result.stderr.strip().splitlines()[-1]  # after notices, such as that the session is not saved
        assert last.startswith("Error: "), result.output
        raise RefusedError(last)
    return result


def store(directory: Path) -> None:
    with MemoryStore.open_records(directory) as memory:
        memory.importing.add([told("It rains here.", 7), told("Bread at noon.", 8)])


def forget(directory: Path) -> None:
    command("memory", "forget", "4", "--yes")


def undo(directory: Path) -> None:
    command("memory", "undo")


def take_in(directory: Path) -> None:
    command("memory", "import", directory.parent / "export.jsonl")


def say(directory: Path) -> None:
    with Transcripts.open(directory) as transcripts:
        session = transcripts.begin("Hello")
        transcripts.answer(transcripts.ask(session, "Hello"), "A long answer. " * 2000)


def rename(directory: Path) -> None:
    with Transcripts.open(directory) as transcripts:
        transcripts.rename(1, "cats")


def typed(directory: Path) -> None:
    history = InputHistory(directory / "history.jsonl")
    history.load()
    for line in TYPED:
        history.add(line)


def back_up(directory: Path) -> None:
    command("memory", "backup")


def restore(directory: Path) -> None:
    (newest,) = (directory / "backups").glob("*.db")
    command("memory", "restore", newest, "--yes")


def reset(directory: Path) -> None:
    command("--reset-memory", "--yes")


def export(directory: Path) -> None:
    command("memory", "export", directory.parent / "export.jsonl")


def index(directory: Path) -> None:
    command("memory", "index", "graph")


def clean(directory: Path) -> None:
    command("memory", "forget", "zyxw", "--purge", "--yes")


def chat(directory: Path) -> None:
    command("-p", "My aunt is called Rosa.")


CHANGES: tuple[Callable[[Path], None], ...] = (
    store, forget, undo, take_in, say, rename, typed, back_up, restore, reset, export, index, clean, chat,
)  # fmt: skip


def attempt(disk: Path, template: Path, change: Callable[[Path], None], left: int, how: str) -> bool:
    """Make a change with so little room; whether it was refused. Raises AssertionError where something was lost."""
    home = disk / "home"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(template, home)
    directory = home / "profiles" / "default"
    before, exported = state(directory), (directory.parent / "export.jsonl").read_bytes()
    lines = (directory / "history.jsonl").read_text().splitlines()
    saved = {path.name for path in (directory / "backups").iterdir()}
    refused = ""
    with room(disk, left, how):
        try:
            change(directory)
        except (RefusedError, VardaError, OSError) as error:
            refused = str(error)
            if change in (store, forget, undo, say) and not isinstance(error, AssertionError):
                assert "--incognito" in refused and "--data-dir" in refused, "it names no way out: " + refused
    assert (directory / "memory.db").exists() or (change is reset and not refused)
    assert not (directory / "memory.db").exists() or verify(directory) == (), refused
    if change is clean:
        with MemoryStore.open_records(directory) as memory:
            purge(memory, (), ["zyxw"])
        assert holding(directory) == []
        return bool(refused)
    now = state(directory)
    if change is chat:  # it answers, though what it was told may be remembered or not
        assert before[0] <= now[0] and before[1] <= now[1], "a statement or a turn is gone"
    elif refused:
        asked = [turn for turn in now[1] - before[1] if turn.startswith("Hello")] if change is say else []
        assert now == (before[0], before[1] | {*asked}), (
            f"{change.__name__} was refused ({refused}), and yet something is not as it was"
        )
        assert {path.name for path in (directory / "backups").iterdir()} >= saved, "a backup is gone"
    else:
        assert now == expected(change, before), f"{change.__name__} was said to be done, and is not"
    if change is not reset or refused:
        check_typed((directory / "history.jsonl").read_text().splitlines(), lines, change is typed, bool(refused))
    assert (directory.parent / "export.jsonl").read_bytes() == exported or (change is export and not refused)
    strays = [path for path in home.rglob("*") if path.suffix in (".part", ".new") or ".tmp" in path.name]
    assert [path for path in strays if not (template / path.relative_to(home)).exists()] == []
    for path in (directory / "backups").glob("*.db"):
        maintenance.restore(directory, path)
        assert state(directory)[0] >= {CAT, "I live in Lisbon."}
    return bool(refused)


def check_typed(now: list[str], before: list[str], more: bool, refused: bool) -> None:
    """What was typed before is there, and of what was typed now whole lines: all, where none was refused."""
    assert now[: len(before)] == before
    added = [json.loads(line)["text"] for line in now[len(before) :]]
    assert added == (TYPED[: len(added)] if more else [])
    assert len(added) == len(TYPED) or refused or not more


def expected(change: Callable[[Path], None], before: State) -> State:
    """What is there where it was done."""
    texts, said = before
    if change is store:
        return texts | {"It rains here.", "Bread at noon."}, said
    if change is forget:
        return texts - {"I like tea."}, said
    if change in (undo, restore):
        return (texts | {"Zyxw is ill."} if change is undo else texts), said
    if change is take_in:
        return texts | {f"fact {number}" for number in range(30)}, said
    if change is say:
        return texts, said | {f"Hello {'A long answer. ' * 2000}"}
    if change is reset:
        return frozenset(), said
    return before


def prepare(template: Path) -> None:
    """A data directory with a lived-in profile, and an export of thirty other statements beside it."""
    other = template / "other"
    with MemoryStore.open_records(other) as memory:
        memory.importing.add([told(f"fact {number}", number) for number in range(30)])
    os.environ["VARDA_CHAT_HOME"] = str(template)
    full_of_it(template / "profiles" / "default")
    (template / "profiles" / "other").symlink_to(other)
    command("memory", "export", template / "profiles" / "export.jsonl", "--profile", "other")
    (template / "profiles" / "other").unlink()
    shutil.rmtree(other)


def run(disk: Path, template: Path, tries: int, how: str) -> None:
    prepare(template)
    os.environ["VARDA_CHAT_HOME"] = str(disk / "home")
    rng = random.Random(5)
    for number in range(tries):
        change = CHANGES[number % len(CHANGES)]
        said: dict[str, object] = {"change": change.__name__}
        left = rng.randint(0, rng.choice(ROOM))
        try:
            said["refused"] = attempt(disk, template, change, left, how)
        except AssertionError as error:
            said["lost"] = f"{change.__name__}, {left} bytes left: {error}"
        except Exception:  # noqa: BLE001 - whatever it is, it is counted
            said["crashed"] = f"{change.__name__}, {left} bytes left: {traceback.format_exc()[-1500:]}"
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
