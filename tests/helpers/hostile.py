"""Hostile values and texts, and the commands that meet them."""

from __future__ import annotations

import json
import re
import sqlite3
import struct
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from click.testing import CliRunner, Result

from tests.helpers.stores import opened, texts, told, turn
from varda_chat.cli.main import main
from varda_chat.memory import maintenance

SECONDS = 60
"""Far less than a hang takes."""


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


def refuses_to_restore(directory: Path, what: str) -> None:
    """Restore a backup with that damage, which is refused; the memory stays."""
    backup = maintenance.backup(directory)
    with closing(sqlite3.connect(backup)) as db, db:
        db.execute("PRAGMA foreign_keys = OFF")
        db.execute(DAMAGE[what])
    result = run("memory", "restore", backup, "--yes")
    assert result.exit_code == 1
    assert "cannot be restored" in result.stderr
    assert "\x1b" not in result.output
    with opened(directory) as store:
        assert len(texts(store)) == 3


HUGE = "99999999999999999999"


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


HOSTILE = "a\x1b]0;owned\x07b\x9b31mc\u202ed\u2066e"
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
