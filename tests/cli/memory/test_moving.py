"""``memory export``, ``import``, ``backup`` and ``restore``, with hostile files to import."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.memory_commands import SAID, answers, run
from tests.helpers.stores import opened, texts, told, turn
from varda_chat.memory import peek


def test_export_and_import_are_a_round_trip(directory: Path, tmp_path: Path) -> None:
    run("pin", 2)
    file = tmp_path / "out.jsonl"
    assert answers("export", file)[0]["exported"] == 3
    assert file.stat().st_mode & 0o777 == 0o600
    done = answers("import", file, "--profile", "new")[0]
    assert done.pop("seconds") >= 0
    assert done == {"imported": 3, "known": 0, "bad": 0, "bad_lines": [], "not_kept": 0}
    assert answers("import", file, "--profile", "new")[0]["known"] == 3
    again = tmp_path / "again.jsonl"
    answers("export", again, "--profile", "new")
    assert again.read_bytes() == file.read_bytes()
    with opened(directory.parent / "new") as store:
        assert store.search(told(SAID).vectors[0].vector, 1).distances[0] == 0
    assert run("export", "-").stdout.encode() == file.read_bytes()


def test_an_import_beyond_the_capacity_says_so_and_is_undone_whole(directory: Path, tmp_path: Path) -> None:
    file = tmp_path / "much.jsonl"
    lines = [good_line(text=f"n{number}", vectors=[vector()] * 9) for number in range(1300)]
    file.write_text("\n".join(['{"varda_chat_memory": 1}', *lines]) + "\n")
    result = run("import", file)
    assert result.exit_code == 0, result.output
    assert "1,300 memories were imported" in result.stdout
    assert f"keeps 10,000 vectors: {1300 * 9 + 6 - 10_000:,}" in result.stderr
    assert peek(directory).statements == 1303
    undone = run("undo")
    assert len(undone.stdout.splitlines()) == 21
    assert "deleted: 1,300" in undone.stdout
    assert [each["id"] for each in answers("list")] == [3, 2, 1]
    assert peek(directory).vectors == 6


def good_line(**changed: Any) -> str:
    return json.dumps({"text": "ok", "role": "user", "fingerprint": "m", "vectors": [vector()]} | changed)


def vector(data: str = "AACAPwAAgD8=", **changed: Any) -> dict[str, Any]:
    return {"token_id": 1, "token": "t", "strength": 0.5, "vector": data} | changed


BAD = (
    "not json",
    "[1, 2",
    "[" * 100_000,
    json.dumps({"text": [[[[[[1]]]]]]}),
    json.dumps([]),
    good_line(text=""),
    good_line(text="x" * 30_000),
    good_line(text="\x1b[2J"),
    good_line(role="system"),
    good_line(text=7),
    good_line(recall_count=-1),
    good_line(created_at="now"),
    good_line(recall_count=True),
    good_line().replace('"strength": 0.5', '"strength": NaN'),
    good_line().replace('"strength": 0.5', '"strength": 1e999'),
    good_line(vectors=[vector("AADAfwAAgD8=")]),  # holds a NaN
    good_line(vectors=[vector("%%%")]),
    good_line(vectors=[vector("AAA=")]),
    good_line(vectors=[vector(), vector("AACAPw==")]),  # of two dimensions
    good_line(vectors=[vector(token_id=2**80)]),
    good_line(vectors=[vector()] * 1001),
    good_line(text="big" + " " * 5_000_000),
    '{"a": ' + "9" * 10_000 + "}",
)


def test_a_hostile_import_is_counted_by_line_and_takes_in_only_what_is_good(tmp_path: Path) -> None:
    file = tmp_path / "theirs.jsonl"
    lines = ['{"varda_chat_memory": 1}', *BAD, good_line(text="fine \x1b]0;x\x07\u202ehere")]
    file.write_text("\n".join(lines) + "\n")
    result = run("import", file, "--json")
    assert result.exit_code == 0, result.output
    done = json.loads(result.stdout)
    assert done["imported"] == 1
    assert done["bad_lines"] == list(range(2, len(BAD) + 2))
    assert "Traceback" not in result.output
    assert [each["text"] for each in answers("list")] == ["fine here"]


@pytest.mark.parametrize(
    "head", ["", "{}", "[]", "\x00\x01", '{"varda_chat_memory": 99}', '{"varda_chat_memory": "1"}']
)
def test_a_file_that_is_no_export_makes_no_memory(tmp_path: Path, own_data_directory: Path, head: str) -> None:
    file = tmp_path / "other.jsonl"
    file.write_text(head + "\n" + good_line() + "\n")
    result = run("import", file)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert not (own_data_directory / "profiles").exists()


def test_backup_and_restore(directory: Path, tmp_path: Path) -> None:
    (made,) = answers("backup")
    with opened(directory) as store:
        newer = store.apply(turn(told("Later.")), session="s").stored[0]
    (done,) = answers("restore", made["backup"], "--yes")
    assert done["statements"] == 3
    assert Path(done["backup"]).is_file()
    with opened(directory) as store:
        assert texts(store) == ["The dog is Rex.", "Tea at five.", SAID]
        assert store.apply(turn(told("After.")), session="s").stored[0].id > newer.id
    strange = tmp_path / "strange.db"
    strange.write_bytes(b"not a database" * 100)
    assert run("restore", strange, "--yes").exit_code == 1
    assert "Nothing was changed" in run("restore", made["backup"], stdin="n\n").stdout
    assert peek(directory).statements == 4
