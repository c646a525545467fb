"""Sessions on a real sqlite file: written as they happen, found again, renamed, deleted without a trace, exported."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.transcript_file import insert_turns
from varda_chat.errors import StorageError, VardaError
from varda_chat.transcripts import Recording, Transcripts
from varda_chat.transcripts.export import export, file_name, render
from varda_chat.transcripts.store import FILE_NAME, remove_file


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Transcripts]:
    with Transcripts.open(tmp_path / "profile") as store:
        yield store


def told(store: Transcripts, *turns: tuple[str, str]) -> int:
    """A session of those turns; returns its id."""
    session = store.begin(turns[0][0])
    for prompt, reply in turns:
        store.answer(store.ask(session, prompt), reply)
    return session


def test_a_prompt_is_on_disk_before_its_answer(store: Transcripts) -> None:
    session = store.begin("Hello [/x]\nthere")
    turn = store.ask(session, "Hello [/x]\nthere")
    with Transcripts.open(store.path.parent, read_only=True) as other:
        (open_turn,) = other.turns(session)
        assert (open_turn.prompt, open_turn.reply, open_turn.state) == ("Hello [/x]\nthere", "", "open")
    store.answer(turn, "Hi.", "stopped", {"stored": [{"id": 1, "text": "x"}]})
    (done,) = store.turns(session)
    assert (done.reply, done.state, done.details["stored"][0]["id"]) == ("Hi.", "stopped", 1)
    assert store.session(session).name == "Hello [/x] there"
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600


def test_the_last_used_is_first_and_turns_come_in_pages(store: Transcripts) -> None:
    first = told(store, *[(f"question {n}", f"answer {n}") for n in range(10)])
    second = told(store, ("other", "thing"))
    store.ask(first, "again")
    assert [info.id for info in store.sessions()] == [first, second]
    assert store.latest() == store.session(first)
    page = store.turns(first, 3)
    assert [turn.prompt for turn in page] == ["question 8", "question 9", "again"]
    earlier = store.turns(first, 3, before=page[0].id)
    assert [turn.prompt for turn in earlier] == ["question 5", "question 6", "question 7"]
    assert store.turns(first, 3, after=earlier[-1].id) == page


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("RIMB", 1),
        ("dog rimba", 1),
        ("dog lisbon", 0),
        ("über", 1),
        ("犬の", 1),
        ("is", 2),
        ('"', 1),
        ("", 0),
        ("*", 0),
    ],
)
def test_search_finds_parts_of_words_in_any_script(store: Transcripts, words: str, found: int) -> None:
    told(store, ("My dog is called Rimba.", "Noted."), ("Lisbon", 'Das ist "Übermut".'), ("犬の名前", "はい"))
    assert len(store.search(words)) == found


def test_an_excerpt_shows_where_the_word_is(store: Transcripts) -> None:
    session = told(store, ("Long ago", "word " * 200 + "needle in the hay " + "word " * 200))
    (hit,) = store.search("needle")
    assert (hit.session_id, hit.role) == (session, "assistant")
    assert "needle in the hay" in hit.excerpt
    assert hit.excerpt.startswith("…")
    assert len(hit.excerpt) <= 121


def test_rename_and_delete(store: Transcripts) -> None:
    session = told(store, ("My secret is Xyzzyplugh.", "I see, Xyzzyplugh."))
    assert store.rename(session, "  A \x1b[31mname\n").name == "A name"
    with pytest.raises(VardaError, match="name"):
        store.rename(session, " \n")
    store.delete(session)
    assert store.sessions() == ()
    assert store.search("Xyzzyplugh") == ()
    for call in (store.session, store.delete):
        with pytest.raises(VardaError, match="no session"):
            call(session)
    assert told(store, ("next", "one")) > session
    assert not any(b"Xyzzy" in file.read_bytes() for file in store.path.parent.iterdir())


def test_a_purged_text_leaves_every_file(store: Transcripts) -> None:
    details = {"recalled": [{"id": 3, "text": "I live in Quetzal."}]}
    session = store.begin("I live in Quetzal.")
    store.answer(store.ask(session, "i LIVE in quetzal. And you?"), "You said: I live in Quetzal.", "done", details)
    kept = told(store, ("Something else", "Yes."))
    assert store.purge(["I live in Quetzal.", " "]) == 1
    (turn,) = store.turns(session)
    assert turn.prompt == "(forgotten) And you?"
    assert turn.reply == "You said: (forgotten)"
    assert turn.details == {"recalled": [{"id": 3, "text": "(forgotten)"}]}
    assert store.session(kept).name == "Something else"
    assert store.search("quetzal") == ()
    assert not any(b"uetzal" in file.read_bytes() for file in store.path.parent.iterdir())


def test_a_copy_in_ram_takes_turns_and_writes_none(store: Transcripts) -> None:
    session = told(store, ("Hello", "Hi."))
    before = store.path.read_bytes()
    with Transcripts.open(store.path.parent, read_only=True) as copy:
        copy.answer(copy.ask(session, "secret"), "Yes.")
        assert len(copy.turns(session)) == 2
    assert len(store.turns(session)) == 1
    assert store.path.read_bytes() == before


def test_incognito_makes_no_file(tmp_path: Path) -> None:
    with Transcripts.open(tmp_path / "nobody", read_only=True) as copy:
        told(copy, ("secret", "Yes."))
    assert not (tmp_path / "nobody").exists()


@pytest.mark.parametrize("damage", ["all", "middle"])
def test_a_damaged_file_is_set_aside(tmp_path: Path, damage: str) -> None:
    with Transcripts.open(tmp_path) as store:
        told(store, *[(f"question {n}", "answer " * 50) for n in range(100)])
    path = tmp_path / FILE_NAME
    data = bytearray(path.read_bytes())
    data[slice(None) if damage == "all" else slice(4096, 16384)] = b"x" * (len(data) if damage == "all" else 12288)
    path.write_bytes(bytes(data))
    with Transcripts.open(tmp_path, read_only=True) as copy:
        assert copy.sessions() == ()
        assert "damaged" in copy.notices[0]
    with Transcripts.open(tmp_path) as store:
        assert "set aside" in store.notices[0]
        assert told(store, ("Hello", "Hi.")) == 1
    assert len(list(tmp_path.glob(f"{FILE_NAME}.damaged-*"))) == 1
    assert remove_file(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    Transcripts.open(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(VardaError, match="newer"):
        Transcripts.open(tmp_path)


def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="sessions"):
        Transcripts.open(tmp_path / "file" / "profile")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "profile").mkdir()
    (tmp_path / "profile" / FILE_NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="is a link"):
        Transcripts.open(tmp_path / "profile")
    assert not (tmp_path / "elsewhere").exists()


def test_two_processes_may_write(store: Transcripts) -> None:
    session = told(store, ("Hello", "Hi."))
    with Transcripts.open(store.path.parent) as other:
        other.rename(session, "Named elsewhere")
        told(other, ("Good day", "Good day."))
    store.ask(session, "And again")
    assert [info.name for info in store.sessions()] == ["Named elsewhere", "Good day"]


def test_recording_goes_on_where_the_disk_is_full(store: Transcripts) -> None:
    lines: list[str] = []
    recording = Recording(store, lines.append)
    recording.answered(recording.asked("first"), "one", "done")
    pages = store.db.execute("PRAGMA page_count").fetchone()[0]
    store.db.execute(f"PRAGMA max_page_count = {pages}")
    for _ in range(2):
        recording.answered(recording.asked("x" * 200_000), "y" * 200_000, "done")
    assert len(lines) == 1
    assert "full" in lines[0]
    assert recording.last_turn is None
    store.db.execute("PRAGMA max_page_count = 1000000")
    recording.answered(recording.asked("third"), "three", "done")
    assert recording.info is not None
    assert [turn.prompt for turn in store.turns(recording.info.id)] == ["first", "third"]


def test_recording_begins_resumes_and_pauses(store: Transcripts) -> None:
    recording = Recording(store)
    assert recording.info is None
    first = recording.asked("one")
    recording.answered(first, "1", "done")
    old = recording.session_id
    recording.begin()
    recording.answered(recording.asked("two"), "2", "done")
    assert old is not None
    assert [turn.reply for turn in recording.resume(old, 5)] == ["1"]
    recording.answered(recording.asked("one more"), "1b", "done", replaces=first)
    assert [turn.prompt for turn in store.turns(old)] == ["one more"]
    recording.paused = True
    assert recording.asked("secret") is None
    recording.paused = False
    store.delete(old)
    recording.asked("after the deletion")
    assert recording.session_id not in (None, old)
    with pytest.raises(VardaError, match="no session 99"):
        recording.resume(99, 5)
    with pytest.raises(VardaError, match="not kept"):
        Recording(None).resume(1, 5)


def test_export(store: Transcripts, tmp_path: Path) -> None:
    session = store.begin("On *stars*")
    details = {"recalled": [{"id": 1, "text": "I [like] stars."}]}
    store.answer(store.ask(session, "On *stars*"), "They shine.", "stopped", details)
    text = export(store, session, tmp_path / "out.md").read_text("utf-8")
    assert text.startswith("# On \\*stars\\*\n")
    assert "They shine.\n\n*(stopped)*" in text
    assert "- I \\[like\\] stars." in text
    data = json.loads(export(store, session, tmp_path / "out.json").read_text("utf-8"))
    assert [turn["reply"] for turn in data["turns"]] == ["They shine."]
    assert stat.S_IMODE((tmp_path / "out.md").stat().st_mode) == 0o600
    assert file_name(store.session(session)) == f"varda-{session}-On-stars.md"
    for bad in ("out.txt", "no/such/directory/out.md"):
        with pytest.raises(VardaError, match=r"\.md|no folder"):
            export(store, session, tmp_path / bad)


@given(prompt=st.text(), reply=st.text(), name=st.text(), words=st.text(max_size=20))
@settings(max_examples=60, deadline=None)
def test_any_text_is_kept_found_and_exported(prompt: str, reply: str, name: str, words: str) -> None:
    with Transcripts(Path("unused"), _empty(), writable=False) as store:
        session = told(store, (prompt, reply))
        store.search(words)
        store.search(prompt)
        with contextlib.suppress(VardaError):  # a name of nothing but controls
            store.rename(session, name)
        text = render(store.session(session), store.turns(session), "markdown")
        assert not set(text) & set("\x1b\x9b\x07\u202e")
        json.loads(render(store.session(session), store.turns(session), "json"))


def _empty() -> sqlite3.Connection:
    from varda_chat.storage.sqlite import connect_copy
    from varda_chat.transcripts.schema import migrate

    db = connect_copy(None)
    migrate(db)
    return db


def test_five_thousand_turns_are_found_at_once(store: Transcripts) -> None:
    session = store.begin("Long")
    insert_turns(
        store, session, [(f"question {n} about the stars", "They shine. " * 20, float(n)) for n in range(5000)]
    )
    started = time.perf_counter()
    (hit,) = store.search("question 4321")
    last = store.turns(session, 40)
    seconds = time.perf_counter() - started
    print(f"5,000 turns: search and last page in {seconds * 1000:.1f} ms")
    assert hit.at == 4321.0
    assert last[-1].prompt.startswith("question 4999")


def test_a_branch_has_the_turns_before_and_leaves_the_others(store: Transcripts) -> None:
    trunk = store.begin("one")
    ids = []
    for said in ("one", "two", "three"):
        ids.append(store.ask(trunk, said))
        store.answer(ids[-1], said.upper(), "done", {"memory_size": 3, "stored": []})
    branch = store.branch(trunk, ids[2])
    assert branch.branch_of == trunk
    assert [(turn.prompt, turn.reply, turn.details) for turn in store.turns(branch.id)] == [
        ("one", "ONE", {"stored": []}),
        ("two", "TWO", {"stored": []}),
    ]
    assert [turn.prompt for turn in store.turns(trunk)] == ["one", "two", "three"]
    assert store.memory_sizes(9) == (3, 3, 3)
    twig = store.branch(branch.id, store.turns(branch.id)[0].id)
    other = store.begin("other")
    assert twig.turns == 0
    for each in (trunk, branch.id, twig.id):
        assert store.branches(each) == (trunk, branch.id, twig.id)
    assert store.branches(other) == (other,)
    store.delete(trunk)
    assert store.branches(twig.id) == (branch.id, twig.id)


def test_a_branch_without_turns_does_not_keep_what_was_purged_in_its_name(store: Transcripts) -> None:
    long = "The combination of the safe behind the painting in my grandmother's study is 4711 and then 0815 backwards."
    for before in ("", "Well, listen. "):
        trunk = store.begin(before + long)
        first = store.ask(trunk, before + long)
        store.answer(first, "Noted.")
        branch = store.branch(trunk, first).id
        other = store.branch(told(store, ("Hello there.", "Hi.")), 0).id
        store.purge([long])
        assert "combination" not in store.session(branch).name
        assert store.session(other).name == "Hello there."
