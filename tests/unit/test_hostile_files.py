"""Files from outside are hostile: pipes and devices in their place, values that cannot be, links and own files as
targets. Each test does the real thing, in a process of its own where something could hang."""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import struct
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.unit.test_store import opened, texts, told, turn
from varda_chat.cli.main import main
from varda_chat.errors import StorageError, VardaError
from varda_chat.ingest.learning import read_file
from varda_chat.ingest.passages import Passage
from varda_chat.memory import maintenance
from varda_chat.memory.export import read_export
from varda_chat.storage.regular import NotRegularError, read_regular
from varda_chat.transcripts import Transcripts
from varda_chat.tui.controllers.history import InputHistory

SECONDS = 60
"""Far less than a hang takes."""


@pytest.fixture
def folder(own_data_folder: Path) -> Path:
    return three_statements(own_data_folder / "profiles" / "default")


def three_statements(place: Path) -> Path:
    """A memory of three statements."""
    with opened(place) as store:
        store.apply(turn(told("The dog is Rex."), told("I live in Havana."), told("Tea at five.")), session="s")
    return place


def run(*arguments: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)], input=stdin)


def program(*arguments: object, stdin: bytes = b"", preexec: str = "") -> subprocess.CompletedProcess[bytes]:
    """The command in a process of its own; a hang fails."""
    code = f"{preexec}\nfrom varda_chat.cli.main import main\nmain()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )


def one_line(result: subprocess.CompletedProcess[bytes]) -> str:
    said = result.stderr.decode()
    assert "Traceback" not in said, said
    assert len(said.strip().splitlines()) == 1, said
    return said


# Pipes, devices and links in the place of files


@pytest.mark.parametrize("name", ["memory.db", "sessions.db", "memory.lock"])
def test_a_pipe_in_the_place_of_an_own_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    command = ("sessions", "list") if name == "sessions.db" else ("memory", "pin", 1)
    result = program(*command)
    assert result.returncode == 1
    assert "is not a regular file" in one_line(result)


def test_a_pipe_in_the_place_of_the_index_is_replaced(folder: Path) -> None:
    (folder / "memory.faiss").unlink()
    os.mkfifo(folder / "memory.faiss")
    with opened(folder) as store:
        assert len(texts(store)) == 3
        assert store.search(told("Tea at five.").vectors[0].vector, 1).distances[0] == 0
    assert (folder / "memory.faiss").is_file()


@pytest.mark.parametrize("device", [False, True])
def test_a_pipe_or_a_device_is_no_file_to_read(folder: Path, tmp_path: Path, device: bool) -> None:
    path = tmp_path / "notes.txt"
    if device:
        path.symlink_to("/dev/zero")
    else:
        os.mkfifo(path)
    for command in (("memory", "import", path), ("memory", "learn", path), ("--config", path, "-p", "Hi")):
        result = program(*command)
        assert result.returncode in (1, 2)
        assert "is not a regular file" in one_line(result)
    with pytest.raises(NotRegularError):
        read_regular(path, 100)


def test_an_endless_stream_is_not_read_to_its_end() -> None:
    with open("/dev/zero", "rb") as endless, pytest.raises(VardaError, match="MiB"):  # noqa: PTH123
        list(read_export(endless, 1.0))


def test_reading_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 101)
    with pytest.raises(VardaError, match="larger than 100 bytes"):
        read_regular(tmp_path / "large", 100)


@pytest.mark.parametrize("kind", ["pipe", "link", "directory"])
def test_history_is_a_file_of_its_own_or_nothing(tmp_path: Path, kind: str) -> None:
    path, other = tmp_path / "history.jsonl", tmp_path / "other"
    other.write_text("untouched")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(other)
    else:
        path.mkdir()
    history = InputHistory(path)
    history.load()
    with pytest.raises(OSError, match=r"."):
        history.add("a secret")
    assert other.read_text() == "untouched"


# What is written


def test_an_export_deletes_nothing_beside_it(folder: Path, tmp_path: Path) -> None:
    target, beside = tmp_path / "notes.jsonl", tmp_path / "notes.jsonl.new"
    beside.write_text("mine")
    assert run("memory", "export", target).exit_code == 0
    assert beside.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["notes.jsonl", "notes.jsonl.new"]


@pytest.mark.parametrize("name", ["memory.db", "memory.faiss", "sessions.db", "history.jsonl", "MEMORY.DB"])
def test_an_export_never_takes_the_place_of_an_own_file(folder: Path, name: str) -> None:
    before = (folder / "memory.db").read_bytes()
    result = run("memory", "export", folder / name)
    assert result.exit_code == 1
    assert "belongs to a memory" in result.stderr
    assert (folder / "memory.db").read_bytes() == before


def test_an_export_never_takes_the_place_of_a_backup_or_a_device(folder: Path, tmp_path: Path) -> None:
    backup = maintenance.backup(folder)
    before = backup.read_bytes()
    assert run("memory", "export", backup).exit_code == 1
    assert backup.read_bytes() == before
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in run("memory", "export", tmp_path / "pipe").stderr


def test_an_export_does_not_follow_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "target").write_text("untouched")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    assert run("memory", "export", tmp_path / "link").exit_code == 0
    assert (tmp_path / "target").read_text() == "untouched"


def test_export_and_import_by_pipes(folder: Path, tmp_path: Path) -> None:
    varda = f"{sys.executable} -m varda_chat memory"
    for number, line in enumerate(
        (
            "{v} export - | {v} import - --profile p{n}",
            "{v} export {t}/x{n} && cat {t}/x{n} | {v} import /dev/stdin --profile p{n}",
            "{v} import <({v} export -) --profile p{n}",
            "{v} export >(cat > {t}/x{n}); while [ ! -s {t}/x{n} ]; do sleep 0.1; done; sleep 0.5; "
            "{v} import {t}/x{n} --profile p{n}",
        )
    ):
        code = line.format(v=varda, t=tmp_path, n=number)
        done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, timeout=SECONDS, check=False)
        assert done.returncode == 0, done.stderr
        assert "3 memories were imported, 0 were there already" in done.stdout, done
        assert done.stderr == ""


# What is in them


def test_ids_outside_the_vocabulary_are_read_again(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    run("memory", "export", path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[1]["vectors"][0]["token_id"] = 2**31 - 1
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert run("memory", "import", path, "--profile", "other").exit_code == 0
    other = folder.with_name("other")
    for _ in range(2):  # read from memory.db, then from the index
        with opened(other, vocabulary=1000) as store:
            assert [each.text for each in store.reader.foreign_statements()] == ["The dog is Rex."]
            found = store.search(told("The dog is Rex.").vectors[0].vector, 5)
            assert found.token_ids.max() < 1000
    with opened(other, vocabulary=1000) as store:
        store.replace_vectors(1, told("The dog is Rex.").vectors)
        assert store.reader.foreign_statements() == ()


DAMAGE = {
    "an escape sequence in role": "UPDATE statements SET role = char(27) || '[31m'",
    "no meta": "DELETE FROM meta",
    "a negative capacity": "UPDATE meta SET capacity = -5",
    "a capacity of letters": "UPDATE meta SET capacity = 'abc'",
    "a renamed column": "ALTER TABLE statements RENAME COLUMN text TO words",
    "another table": "CREATE TABLE extra (x)",
    "another index": "CREATE INDEX extra ON statements (text)",
    "a text of bytes": "UPDATE statements SET text = x'ff'",
    "an id near the last": "UPDATE statements SET id = 9223372036854775806 WHERE id = 1",
    "no more ids": "UPDATE sqlite_sequence SET seq = 9223372036854775807",
    "a time of letters": "UPDATE statements SET created_at = 'soon'",
    "a vector that is no number": "UPDATE vectors SET vector = x'0000c07f'",
    "a token below 0": "UPDATE vectors SET token_id = -2",
    "an unknown kind of index": "UPDATE meta SET index_type = 'magic'",
    "a trigger": "CREATE TRIGGER t AFTER INSERT ON statements BEGIN DELETE FROM statements; END",
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_restore_is_checked_as_an_import_is(folder: Path, what: str) -> None:
    refuses_to_restore(folder, what)


def refuses_to_restore(folder: Path, what: str) -> None:
    """Restore a backup with that damage, which is refused; the memory stays."""
    backup = maintenance.backup(folder)
    with closing(sqlite3.connect(backup)) as db, db:
        db.execute("PRAGMA foreign_keys = OFF")
        db.execute(DAMAGE[what])
    result = run("memory", "restore", backup, "--yes")
    assert result.exit_code == 1
    assert "cannot be restored" in result.stderr
    assert "\x1b" not in result.output
    with opened(folder) as store:
        assert len(texts(store)) == 3


def test_a_restore_sanitizes_texts(folder: Path) -> None:
    backup = maintenance.backup(folder)
    with closing(sqlite3.connect(backup)) as db, db:
        db.execute("UPDATE statements SET text = 'The ' || char(27) || '[31mdog' || char(8238) WHERE id = 1")
    assert run("memory", "restore", backup, "--yes").exit_code == 0
    with opened(folder) as store:
        assert store.statement(1).text == "The dog"


def test_one_bad_profile_hides_no_other(folder: Path) -> None:
    bad, worse = folder.with_name("bad"), folder.with_name("worse")
    bad.mkdir()
    os.mkfifo(bad / "memory.db")
    (worse / "memory.db").mkdir(parents=True)
    result = run("memory", "profiles", "--json")
    found = {each["profile"]: each for each in map(json.loads, result.stdout.splitlines())}
    assert result.exit_code == 0
    assert found["default"]["statements"] == 3
    assert "problem" not in found["default"]
    assert "not a regular file" in found["bad"]["problem"]
    assert "not a regular file" in found["worse"]["problem"]
    assert "not a regular file" in run("memory", "profiles").stdout


# Numbers and nesting


HUGE = "99999999999999999999"


@pytest.mark.parametrize("number", [HUGE, "9" * 5000, "-1", "0"])
@pytest.mark.parametrize(
    "command",
    [
        ("memory", "show"),
        ("memory", "pin"),
        ("memory", "undo"),
        ("memory", "list", "--limit"),
        ("memory", "search", "x", "--limit"),
        ("sessions", "show"),
        ("sessions", "search", "x", "--limit"),
        ("-p", "x", "--resume"),
        ("-p", "x", "--memory-size"),
        ("-p", "x", "--max-new-tokens"),
    ],
)
def test_numbers_that_nothing_can_hold_are_refused(folder: Path, command: tuple[str, ...], number: str) -> None:
    result = run(*command, *(["--"] if command[-1] in ("show", "pin", "undo") else []), number)
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    assert len(result.stderr.strip().splitlines()[-1]) < 300


@pytest.mark.parametrize("number", [HUGE, "9" * 5000])
def test_forgetting_a_number_that_no_id_can_be(folder: Path, number: str) -> None:
    assert run("memory", "forget", number, "--yes").exit_code == 2


@pytest.mark.parametrize("text", ["x = " + "[" * 20_000, "memory_size = " + "9" * 5000, f"memory_size = {HUGE}"])
def test_a_settings_file_that_goes_too_far_gets_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    result = run("--config", tmp_path / "config.toml", "-p", "Hi")
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert "config.toml" in result.stderr


# Text that is not UTF-8


def test_latin_1_is_read_as_such_and_said_so(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes("My name is Ana.\n\nI live near the caf\xe9.".encode("latin-1"))
    reading = read_file(path)
    assert reading.passages[1] == Passage("user", "I live near the caf\xe9.")
    (notice,) = reading.notices
    assert "line 3" in notice
    path.write_bytes("My aunt Zo\xeb.\n".encode() + "Near the caf\xe9.".encode("latin-1"))
    assert read_file(path).passages == (Passage("user", "My aunt Zo\xeb. Near the caf\xe9."),)
    path.write_bytes(b"fine\n\nnot \x81 fine")
    with pytest.raises(VardaError, match="line 3"):
        read_file(path)
    path.write_text("caf\xe9", encoding="utf-8")
    assert read_file(path).notices == ()


def test_latin_1_on_a_pipe_and_as_an_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    from varda_chat.cli.chat import lines_of
    from varda_chat.cli.parameters import TEXT

    stream = io.TextIOWrapper(io.BytesIO(b"My name is Ana.\nI like the caf\xe9.\n"), encoding="utf-8")
    assert list(lines_of(stream)) == ["My name is Ana.\n", "I like the caf\xe9.\n"]
    assert TEXT.convert(b"caf\xe9".decode("utf-8", "surrogateescape"), None, None) == "caf\xe9"


# Long input


@pytest.mark.parametrize("size", [99_000, 994_000])
def test_a_line_that_is_too_long_is_refused_in_one_sentence(own_data_folder: Path, size: int) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    result = program(stdin=b"word " * (size // 5) + b"\n")
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 5, "seconds of a processor"
    assert result.returncode == 1
    said = one_line(result)
    assert "20,000 characters" in said or "20,000 are read" in said
    assert "memory learn" in said


# Forgetting


def test_forgetting_takes_whole_words(folder: Path) -> None:
    refused = run("memory", "forget", "ana", "--yes", "--json")
    assert refused.exit_code == 1
    assert "by id: 2" in refused.stderr
    assert run("memory", "forget", "ana", "--yes", stdin="n\n").exit_code == 1
    assert run("memory", "forget", "ana", "--yes", stdin="").exit_code == 1
    assert maintenance.peek(folder).statements == 3
    assert run("memory", "forget", "ana", "--yes", stdin="y\n").exit_code == 0
    assert maintenance.peek(folder).statements == 2
    assert run("memory", "forget", "rex", "--yes").exit_code == 0
    assert maintenance.peek(folder).statements == 1


# The lock


HOLDS = """
import sys
from pathlib import Path
from varda_chat.storage.locks import take_lock
lock = take_lock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_command_waits_for_the_lock(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        at_once = run("memory", "pin", 1)
        assert at_once.exit_code == 1
        assert "Another varda-chat" in at_once.stderr
        release = threading.Timer(1.0, holder.stdin.close)
        release.start()
        assert run("--wait", SECONDS, "memory", "pin", 1).exit_code == 0
        release.join()


def test_four_at_once_all_remember(tiny_checkpoint: Path, own_data_folder: Path) -> None:
    line = [sys.executable, "-m", "varda_chat", "--checkpoint", str(tiny_checkpoint), "--max-new-tokens", "4"]
    line += ["--wait", str(2 * SECONDS), "-p"]
    said = [f"Statement number {number} is a statement of its own." for number in range(4)]
    running = [subprocess.Popen([*line, each], stdout=subprocess.PIPE, stderr=subprocess.PIPE) for each in said]
    for process in running:
        with process:
            _, errors = process.communicate(timeout=2 * SECONDS)
            assert process.returncode == 0, errors.decode()
    with Transcripts.open(own_data_folder / "profiles" / "default", read_only=True) as transcripts:
        turns = [turn for session in transcripts.sessions() for turn in transcripts.turns(session.id)]
    assert sorted(turn.prompt for turn in turns) == said
    assert all(turn.details["stored"] for turn in turns), "each of them was remembered"


@pytest.mark.parametrize("number", ["ENOSYS", "ENOLCK", "EOPNOTSUPP"])
def test_a_disk_that_cannot_lock_is_named(folder: Path, number: str) -> None:
    broken = "import errno, fcntl\ndef flock(*_): raise OSError(errno." + number + ", 'no locks')\nfcntl.flock = flock"
    result = program("memory", "pin", "1", preexec=broken)
    assert result.returncode == 1
    assert "cannot lock files" in one_line(result)
    assert "--data-dir" in one_line(result)


# History


def test_a_torn_line_costs_no_entry(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text('{"text": "first"}\n{"text": "sec')
    history = InputHistory(path)
    history.load()
    history.add("third")
    again = InputHistory(path)
    again.load()
    assert again.older("") == "third"
    assert again.older("") == "first"


def test_a_deeply_nested_line_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text("[" * 100_000 + '\n{"text": "first"}\n')
    history = InputHistory(path)
    history.load()
    assert history.older("") == "first"


# A disk that refuses


def test_a_full_disk_names_the_ways_out(tmp_path: Path) -> None:
    from varda_chat.storage.sqlite import disk_errors

    full = OSError(28, "No space left on device")
    for error in (full, OSError(30, "Read-only file system", str(tmp_path))):
        with pytest.raises(StorageError, match=r"--incognito.*--data-dir"), disk_errors("Nothing was stored"):
            raise error


def test_a_read_only_disk_names_the_ways_out(folder: Path, tmp_path: Path) -> None:
    """A real one: a tmpfs in a namespace of its own, mounted again without the right to write."""
    disk = tmp_path / "disk"
    disk.mkdir()
    setup = (
        f"mount -t tmpfs none {disk} && cp -r {folder.parents[1]} {disk}/home && mount -o remount,ro {disk} && "
        f"export VARDA_CHAT_HOME={disk}/home && {sys.executable} -m varda_chat memory forget rex --yes"
    )
    private = ("unshare", "--map-root-user", "--mount", "sh", "-c")
    try:
        allowed = subprocess.run([*private, f"mount -t tmpfs none {disk}"], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no unshare")
    if allowed.returncode:
        pytest.skip("this machine lets no test mount a disk")
    done = subprocess.run([*private, setup], capture_output=True, timeout=SECONDS, check=False)
    assert done.returncode == 1
    assert "--data-dir" in one_line(done)


# Checkpoints


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return empty_checkpoint(tmp_path)


def empty_checkpoint(tmp_path: Path) -> Path:
    """A directory with the configuration of a model of one block, and weights of no content."""
    shapes = {"transformer.wte.weight": [100, 32], "transformer.wpe.weight": [64, 32], "transformer.h.0.a": [1]}
    at, header = 0, {}
    for name, shape in shapes.items():
        size = 4 * (shape[0] * shape[1] if len(shape) == 2 else shape[0])
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    head = json.dumps(header).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + bytes(at))
    config = {"model_type": "varda_gpt", "vocab_size": 100, "n_positions": 64, "n_embd": 32, "n_layer": 1, "n_head": 2}
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("admission_token_id", 1e9), ("admission_token_id", 100), ("memory_size", 1e30), ("memory_size", "many"),
        ("n_layer", 100_000), ("n_layer", 2), ("n_layer", -1), ("n_layer", None), ("n_embd", 10**9), ("n_head", 0),
        ("n_positions", 10**6), ("vocab_size", 10**30), ("query_decay", "x"), ("store_threshold", float("nan")),
        ("score_scale", 10**400), ("num_search_results", 10**6), ("memory_dim", True),
    ],
)  # fmt: skip
def test_a_checkpoint_that_cannot_be_names_file_and_field(checkpoint: Path, field: str, value: object) -> None:
    from varda_chat.errors import CheckpointError
    from varda_chat.models.limits import check_weights, checked_config

    config = json.loads((checkpoint / "config.json").read_text())
    check_weights(checkpoint, checked_config(checkpoint))
    (checkpoint / "config.json").write_text(json.dumps(config | {field: value}))
    with pytest.raises(CheckpointError, match=rf"config\.json: {field} is ") as caught:
        check_weights(checkpoint, checked_config(checkpoint))
    assert len(str(caught.value)) < 500 and "\n" not in str(caught.value)


def test_a_checkpoint_nested_too_deeply_or_pickled_or_a_pipe_is_refused(checkpoint: Path) -> None:
    from varda_chat.errors import CheckpointError
    from varda_chat.models.limits import check_weights, checked_config

    config = checked_config(checkpoint)
    (checkpoint / "config.json").write_text("[" * 100_000)
    with pytest.raises(CheckpointError, match=r"config\.json is nested too deeply"):
        checked_config(checkpoint)
    (checkpoint / "model.safetensors").rename(checkpoint / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"no model\.safetensors"):
        check_weights(checkpoint, config)
    os.mkfifo(checkpoint / "model.safetensors")
    with pytest.raises(CheckpointError, match="not a regular file"):
        checked_config(checkpoint)


@pytest.mark.parametrize(("field", "value"), [("n_layer", 100_000), ("memory_size", 1e30)])
def test_the_chat_refuses_such_a_checkpoint_in_a_line(checkpoint: Path, field: str, value: object) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(config | {field: value}))
    result = program("--checkpoint", checkpoint, "-p", "Hi")
    assert result.returncode == 1
    assert f"config.json: {field} is " in one_line(result)


# A kill is no damage


TOLD_UNTIL_KILLED = """
import sys
from pathlib import Path
from varda_chat import ChatSession
session = ChatSession.open(Path(sys.argv[1]), sys.argv[2])
session.memory.remember("The dog is Rex.")
print("stored", flush=True)
sys.stdin.read()
"""


def test_after_a_kill_the_next_start_says_nothing(tiny_checkpoint: Path, own_data_folder: Path) -> None:
    place = own_data_folder / "profiles" / "default"
    with subprocess.Popen(
        [sys.executable, "-c", TOLD_UNTIL_KILLED, str(place), str(tiny_checkpoint)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as chat:  # fmt: skip
        assert chat.stdout is not None
        assert chat.stdout.readline() == "stored\n"
        chat.kill()
    assert "The dog is Rex." in run("memory", "list").stdout
    verified = run("memory", "verify")
    assert verified.exit_code == 0, verified.output
    started = program("--checkpoint", tiny_checkpoint, "--max-new-tokens", 4, "-p", "Hi")
    assert (started.returncode, started.stderr) == (0, b"")
