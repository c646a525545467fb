"""``varda-chat memory ...``, each command by click's runner on a real memory; with hostile files to import."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.unit.test_store import agrees, opened, texts, told, turn
from varda_chat.cli.main import main
from varda_chat.cli.memory import memory
from varda_chat.memory import peek
from varda_chat.memory.records import Imported

SAID = "the safe opens with 4711"


def run(*arguments: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, ["memory", *map(str, arguments)], input=stdin)


def answers(*arguments: object) -> list[Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def folder(own_data_folder: Path) -> Path:
    """A memory of three statements: The dog is Rex. / Tea at five. / the secret."""
    place = own_data_folder / "profiles" / "default"
    with opened(place) as store:
        store.apply(turn(told("The dog is Rex."), told("Tea at five.")), session="s")
        store.apply(turn(told(SAID)), session="s")
    return place


def test_list_and_show(folder: Path) -> None:
    assert [each["id"] for each in answers("list")] == [3, 2, 1]
    assert [each["text"] for each in answers("list", "--limit", 1)] == [SAID]
    assert "Tea at five." in run("list").stdout
    (shown,) = answers("show", 1)
    assert (shown["text"], shown["tokens"], shown["removed"]) == ("The dog is Rex.", ["t0", "t1"], False)
    assert "recalled    never" in run("show", 1).stdout


def test_profile_and_json_may_stand_before_memory(folder: Path, tmp_path: Path) -> None:
    before = CliRunner().invoke(main, ["--json", "--profile", "default", "memory", "list"])
    assert len([json.loads(line) for line in before.stdout.splitlines()]) == 3
    assert answers("list", "--profile", "other") == []
    assert answers("list", "--data-dir", tmp_path / "none") == []
    assert not (tmp_path / "none").exists()


def test_forget_asks_and_is_undone(folder: Path) -> None:
    assert "Nothing was changed." in run("forget", "dog", stdin="n\n").stdout
    assert peek(folder).statements == 3
    asked = run("forget", "DOG", stdin="y\n")
    assert "The dog is Rex." in asked.stdout
    assert [each["id"] for each in answers("list")] == [3, 2]
    (shown,) = answers("show", 1)
    assert shown["removed"]
    assert "memory undo 1" in run("show", 1).stdout
    assert [each["id"] for each in answers("list", "--removed")] == [1]
    assert [each["text"] for each in answers("undo")[0]["restored"]] == ["The dog is Rex."]
    assert answers("list", "--removed") == []
    assert [each["id"] for each in answers("undo")[0]["removed"]] == [3]  # the store of the last turn
    assert answers("undo", 3)[0]["restored"][0]["text"] == SAID
    with opened(folder) as store:
        assert store.search(told(SAID).vectors[0].vector, 1).distances[0] == 0


def test_store_and_delete_of_one_turn_are_undone_one_by_one(folder: Path) -> None:
    with opened(folder) as store:
        store.apply(turn(told("The dog is Max."), delete=[1]), session="s")
    first = run("undo").stdout
    assert "+ The dog is Rex." in first
    assert "The same turn stored 'The dog is Max.'; varda-chat memory undo once more deletes that." in first
    assert {each["text"] for each in answers("list")} == {"The dog is Rex.", "The dog is Max.", "Tea at five.", SAID}
    (second,) = answers("undo")
    assert (second["restored"], [each["text"] for each in second["removed"]]) == ([], ["The dog is Max."])
    assert second["left"] == []
    assert {each["text"] for each in answers("list")} == {"The dog is Rex.", "Tea at five.", SAID}


def holding(folder: Path, secret: bytes) -> list[str]:
    return [str(path) for path in folder.rglob("*") if path.is_file() and secret in path.read_bytes()]


def test_purge_leaves_no_trace_in_the_folder(folder: Path) -> None:
    vector = told(SAID).vectors[0].vector.tobytes()
    answers("backup")
    run("forget", 3, "--yes")  # deleted, but still to be brought back
    answers("backup")
    (folder / "memory.db.damaged-20260101T000000Z").write_text(SAID)
    (folder / "history.jsonl").write_text(json.dumps({"text": f"Well, {SAID}!"}) + '\n{"text": "Tea at five."}\n')
    assert len(holding(folder, SAID.encode())) >= 4
    done = answers("forget", SAID, "--purge", "--yes")[0]
    assert done["purged"]
    assert holding(folder, SAID.encode()) == []
    assert holding(folder, vector) == []
    assert "Tea" in (folder / "history.jsonl").read_text()
    assert [each["id"] for each in answers("list")] == [2, 1]
    assert run("undo", 3).exit_code == 1
    for path in [folder, *folder.rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
    answers("restore", "--yes")
    assert [each["id"] for each in answers("list")] == [2, 1]


def test_purge_of_a_whole_memory_leaves_no_trace(folder: Path) -> None:
    answers("backup")
    run("forget", 3, "--yes")
    (folder / "memory.db.damaged-20260101T000000Z").write_text(SAID)
    result = CliRunner().invoke(main, ["--reset-memory", "--purge", "--yes"])
    assert result.exit_code == 0, result.output
    for trace in (SAID.encode(), b"Tea at five", told("Tea at five.").vectors[0].vector.tobytes()):
        assert holding(folder, trace) == []
    assert peek(folder).statements == 0


def test_recall_is_measured_where_the_types_differ(folder: Path) -> None:
    with opened(folder) as store:
        store.take_in(
            Imported(told(f"n{number}", 100, number), "s", 1.0, None, 0, False, "model-a") for number in range(26)
        )
    found = {each["index_type"]: each for each in answers("stats")[0]["search"]}
    assert {each["vectors"] for each in found.values()} == {2606}
    assert found["flat"]["recall"] == 1.0
    assert all(0.3 < each["recall"] <= 1.0 for each in found.values())
    assert min(each["recall"] for each in found.values()) < 1.0


@pytest.mark.parametrize("kind", ["ivf", "compressed", "graph"])
def test_the_index_type_is_chosen_and_kept(folder: Path, kind: str) -> None:
    assert answers("index", kind)[0] == {"index_type": kind}
    assert answers("stats")[0]["index_type"] == kind
    with opened(folder) as store:
        assert "another index type" in store.notices[0]
        store.apply(turn(told("new"), delete=[1]), session="s")
        agrees(store)
    with opened(folder) as store:
        assert store.notices == []
        assert store.core.index().memory.index_type == kind
        agrees(store)
        store.set_index_type("flat")
        agrees(store)


def test_pin_and_unpin(folder: Path) -> None:
    assert answers("pin", 2)[0]["pinned"]
    assert answers("stats")[0]["pinned"] == 1
    assert not answers("unpin", 2)[0]["pinned"]


def test_export_and_import_are_a_round_trip(folder: Path, tmp_path: Path) -> None:
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
    with opened(folder.parent / "new") as store:
        assert store.search(told(SAID).vectors[0].vector, 1).distances[0] == 0
    assert run("export", "-").stdout.encode() == file.read_bytes()


def test_an_import_beyond_the_capacity_says_so_and_is_undone_whole(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "much.jsonl"
    lines = [good_line(text=f"n{number}", vectors=[vector()] * 9) for number in range(1300)]
    file.write_text("\n".join(['{"varda_chat_memory": 1}', *lines]) + "\n")
    result = run("import", file)
    assert result.exit_code == 0, result.output
    assert "1,300 memories were imported" in result.stdout
    assert f"keeps 10,000 vectors: {1300 * 9 + 6 - 10_000:,}" in result.stderr
    assert peek(folder).statements == 1303
    undone = run("undo")
    assert len(undone.stdout.splitlines()) == 21
    assert "deleted: 1,300" in undone.stdout
    assert [each["id"] for each in answers("list")] == [3, 2, 1]
    assert peek(folder).vectors == 6


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
def test_a_file_that_is_no_export_makes_no_memory(tmp_path: Path, own_data_folder: Path, head: str) -> None:
    file = tmp_path / "other.jsonl"
    file.write_text(head + "\n" + good_line() + "\n")
    result = run("import", file)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert not (own_data_folder / "profiles").exists()


def test_backup_and_restore(folder: Path, tmp_path: Path) -> None:
    (made,) = answers("backup")
    with opened(folder) as store:
        newer = store.apply(turn(told("Later.")), session="s").stored[0]
    (done,) = answers("restore", made["backup"], "--yes")
    assert done["statements"] == 3
    assert Path(done["backup"]).is_file()
    with opened(folder) as store:
        assert texts(store) == ["The dog is Rex.", "Tea at five.", SAID]
        assert store.apply(turn(told("After.")), session="s").stored[0].id > newer.id
    strange = tmp_path / "strange.db"
    strange.write_bytes(b"not a database" * 100)
    assert run("restore", strange, "--yes").exit_code == 1
    assert "Nothing was changed" in run("restore", made["backup"], stdin="n\n").stdout
    assert peek(folder).statements == 4


def test_an_index_that_only_has_to_catch_up_is_no_problem(folder: Path) -> None:
    run("forget", "1", "--yes")
    run("undo")
    assert answers("verify")[0] == {"problems": [], "repairs": [], "ok": True}
    run("export", folder.parent / "all.jsonl")
    run("import", folder.parent / "all.jsonl", "--profile", "other")
    assert answers("verify", "--profile", "other")[0] == {"problems": [], "repairs": [], "ok": True}
    (folder / "memory.faiss").write_bytes(b"VARDAIX1 of an earlier version")
    assert "earlier varda-chat" in answers("verify", "--repair")[0]["problems"][0]
    assert answers("verify")[0]["ok"]


def test_verify_repairs(folder: Path) -> None:
    assert answers("verify")[0]["ok"]
    broken = told("Tea at five.").vectors[0].vector.tobytes()
    database = folder / "memory.db"
    database.write_bytes(database.read_bytes().replace(broken, bytes(len(broken))))
    (folder / "memory.faiss").unlink()
    assert run("verify").exit_code == 1
    done = run("verify", "--repair", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["ok"]
    assert run("verify").exit_code == 0
    with opened(folder) as store:
        assert [each.text for each in store.reader.foreign_statements()] == ["Tea at five."]


def test_stats_path_and_profiles(folder: Path) -> None:
    (found,) = answers("stats")
    assert (found["statements"], found["vectors"], found["models"]) == (3, 6, {"model-a": 3})
    assert [(each["index_type"], each["recall"]) for each in found["search"]] == [
        ("flat", 1.0), ("ivf", 1.0), ("compressed", 1.0), ("graph", 1.0)
    ]  # fmt: skip
    assert "recall@5" in run("stats").stdout
    assert answers("stats", "--profile", "none")[0]["search"] == []
    assert run("path").stdout.strip() == str(folder)
    assert answers("profiles")[0]["statements"] == 3


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["show", "99"], 1),
        (["pin", "99"], 1),
        (["forget", "no such words", "--yes"], 1),
        (["forget", "1", "--json"], 2),
        (["show", "x"], 2),
        (["nonesuch"], 2),
        (["import", "/no/such/file"], 2),
        (["search", " "], 1),
        (["index", "tree"], 1),
        (["list", "--profile", "../up"], 1),
        (["learn", sys.executable], 1),
    ],
)
def test_bad_input_gets_one_clear_line(folder: Path, arguments: list[str], code: int) -> None:
    result = run(*arguments)
    assert result.exit_code == code
    assert "Traceback" not in result.output
    assert result.stdout == ""
    assert result.stderr.strip()
    assert peek(folder).statements == 3


def test_the_model_is_loaded_only_where_it_must_run(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    commands = [["list"], ["show", "1"], ["pin", "1"], ["unpin", "1"], ["stats"], ["verify"], ["path"], ["profiles"],
                ["backup"], ["export", str(file)], ["import", str(file), "--profile", "b"], ["forget", "1", "--yes"],
                ["undo"], ["restore", "--yes"], ["index", "ivf"], ["forget", "3", "--purge", "--yes"],
                ["purge", "2", "--yes"]]  # fmt: skip
    used = {command[0] for command in commands} | {"search", "edit", "learn"}
    assert set(memory.commands) == used
    probe = (
        "import sys; from click.testing import CliRunner; from varda_chat.cli.main import main\n"
        f"for a in {commands!r}:\n"
        "    r = CliRunner().invoke(main, ['memory', *a]); assert r.exit_code == 0, (a, r.output, r.exception)\n"
        "print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, check=False, env=dict(os.environ)
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_the_model_searches_edits_learns_and_reads_imports(tiny_checkpoint: Path, tmp_path: Path) -> None:
    model = ("--checkpoint", tiny_checkpoint)
    text = tmp_path / "notes.md"
    text.write_text("# Notes\n\nMy dog is called **Rimba**.\n\nI live in [Lisbon](http://example.org).\n")
    talk = tmp_path / "talk.jsonl"
    talk.write_text('{"messages": [{"role": "user", "content": "I work as a nurse."}]}\n')
    (first,) = answers("learn", text, talk, *model)
    assert first["passages"] == 4
    assert first["stored"] >= 2
    (again,) = answers("learn", text, talk, *model)
    assert (again["passages"], again["stored"]) == (0, 0)
    listed = answers("list")
    assert not any("*" in each["text"] or "http" in each["text"] for each in listed)
    found = answers("search", "What is my dog called?", *model)
    assert found
    assert {each["id"] for each in found} <= {each["id"] for each in listed}
    assert [each["match"] for each in found] == sorted((each["match"] for each in found), reverse=True)
    (edited,) = answers("edit", listed[0]["id"], "My cat is called Tom.", *model)
    assert edited["text"] == "My cat is called Tom."
    assert edited["vector_count"] > 0
    file = tmp_path / "out.jsonl"
    answers("export", file, "--no-vectors")
    answers("import", file, "--profile", "new", *model)
    moved = answers("list", "--profile", "new")
    assert [each["text"] for each in moved] == [each["text"] for each in answers("list")]
    assert all(each["vector_count"] > 0 for each in moved)


@pytest.mark.parametrize("kind", ["md", "csv"])
def test_a_memory_that_was_written_to_be_read_is_read_again(
    folder: Path, tiny_checkpoint: Path, tmp_path: Path, kind: str
) -> None:
    run("pin", 2)
    file = tmp_path / f"memory.{kind}"
    assert answers("export", file)[0]["format"] == kind
    assert run("export", "-", "--format", kind).stdout.encode() == file.read_bytes()
    done = answers("import", file, "--profile", "new", "--checkpoint", tiny_checkpoint)[0]
    assert (done["imported"], done["bad"]) == (3, 0)
    kept = ("text", "role", "session", "created_at", "recall_count", "pinned")
    before, after = ([{name: each[name] for name in kept} for each in answers("list", *more)]
                     for more in ((), ("--profile", "new")))  # fmt: skip
    assert after == before
    assert all(each["vector_count"] for each in answers("list", "--profile", "new"))
    if kind == "csv":
        assert answers("import", file, "--profile", "new")[0]["known"] == 3


def test_exports_of_others_are_learned_with_their_times_and_only_once(tiny_checkpoint: Path) -> None:
    model = ("--checkpoint", tiny_checkpoint)
    files = sorted((Path(__file__).parent / "exports").iterdir())
    (dry,) = answers("learn", "--dry-run", *files, *model)
    assert dry["stored"] == dry["memory_size"] == 0
    assert dry["skipped"] == 6
    assert answers("list") == []
    (done,) = answers("learn", *files, *model)
    assert done["passages"] == dry["passages"] == 17
    assert done["unread"] == []
    listed = answers("list")
    assert len(listed) == done["stored"]
    assert {each["text"] for each in listed} <= {each["text"] for each in dry["would_store"]}
    dated = {each["text"]: each["created_at"] for each in listed}
    assert dated["Works as a locksmith"] == 1770130800
    assert dated["Has a sister called Ofelia"] == 1770303600
    assert any("Ines" in text for text in dated)
    (again,) = answers("learn", *files, *model)
    assert (again["passages"], again["stored"], again["refreshed"]) == (0, 0, 0)
    assert answers("list") == listed


def test_lines_that_cannot_be_learned_are_named_at_the_end(tiny_checkpoint: Path, tmp_path: Path) -> None:
    talk = tmp_path / "talk.jsonl"
    talk.write_text('{"role": "user", "content": "I work as a nurse."}\n{"half\n' * 30)
    result = run("learn", talk, "--checkpoint", tiny_checkpoint)
    assert result.exit_code == 0
    assert "30 passages were read" in result.stdout
    assert f"{talk}, line 2: it is not JSON" in result.stderr
    assert "... and 10 more that could not be read." in result.stderr


def test_learning_goes_on_where_it_was_cut_off(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from varda_chat.session.memory_actions import SessionMemory

    text = tmp_path / "notes.txt"
    text.write_text("\n\n".join(f"My number is {number}." for number in range(6)))
    learn = SessionMemory.learn
    calls: list[Any] = []

    def cut_off(session: SessionMemory, role: str, said: str, **more: Any) -> Any:
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(said)
        return learn(session, role, said, **more)

    monkeypatch.setattr(SessionMemory, "learn", cut_off)
    assert run("learn", text, "--checkpoint", tiny_checkpoint).exit_code == 130
    monkeypatch.undo()
    monkeypatch.setenv("VARDA_CHAT_HOME", str(tmp_path / "varda-home"))
    (rest,) = answers("learn", text, "--checkpoint", tiny_checkpoint)
    assert rest["passages"] == 3


def test_learning_that_was_killed_goes_on_and_stores_what_a_whole_run_stores(
    tiny_checkpoint: Path, tmp_path: Path, own_data_folder: Path
) -> None:
    notes, count = tmp_path / "notes.txt", 200
    notes.write_text("\n\n".join(f"My number is {number}." for number in range(count)))
    learning = ["learn", str(notes), "--checkpoint", str(tiny_checkpoint)]
    process = subprocess.Popen([sys.executable, "-m", "varda_chat", "memory", *learning], stderr=subprocess.DEVNULL)
    until = time.monotonic() + 150
    while process.poll() is None and peek(own_data_folder / "profiles" / "default").statements < 5:
        assert time.monotonic() < until
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    (rest,) = answers(*learning)
    assert 0 < rest["passages"] < count
    assert answers(*learning)[0]["passages"] == 0
    (whole,) = answers(*learning, "--profile", "whole")
    assert whole["passages"] == count
    kept = [
        {each["text"] for each in answers("list", "--limit", 1000, "--profile", name)} for name in ("default", "whole")
    ]
    assert kept[0] == kept[1]


def test_reading_through_another_model_goes_on_where_it_was_cut_off(folder: Path, tiny_checkpoint: Path) -> None:
    from varda_chat.session.session import ChatSession

    readings: list[str] = []

    def cut_off(what: str, share: float) -> None:
        if "another model" in what:
            readings.append(what)
            if len(readings) == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ChatSession.open(folder, tiny_checkpoint, on_progress=cut_off)
    with opened(folder, read_only=True) as store:  # the old model still finds what was not read yet
        assert [each.text for each in store.reader.foreign_statements()] == ["The dog is Rex.", "Tea at five."]
        assert store.search(told(SAID).vectors[0].vector, 1).distances[0] == 0
    readings.clear()
    with ChatSession.open(folder, tiny_checkpoint, on_progress=cut_off) as session:
        assert session.memory.size >= 3
    assert readings == ["reading 1 memory of another model"]
    assert len(answers("stats")[0]["models"]) == 1


def test_a_path_that_is_no_utf8_is_printed_so_that_a_script_can_use_it(tmp_path: Path) -> None:
    home = os.fsencode(tmp_path) + b"/caf\xe9"
    line: list[str | bytes] = [sys.executable, "-m", "varda_chat", "--data-dir", home, "memory", "path"]
    folder = home + b"/profiles/default"
    assert subprocess.run(line, capture_output=True, check=True).stdout == folder + b"\n"
    shown = subprocess.run([*line, "--json"], capture_output=True, check=True).stdout
    assert os.fsencode(json.loads(shown)["path"]) == folder
