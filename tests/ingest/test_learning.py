"""Files to learn from: every shape recognised by its content, roles and times kept, nothing read that nobody said."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.paths import EXPORTS
from varda_chat.errors import VardaError
from varda_chat.ingest.exports import read_value
from varda_chat.ingest.learning import Reading, read_file
from varda_chat.ingest.passages import Found
from varda_chat.transcripts.export import render
from varda_chat.transcripts.records import SessionInfo, StoredTurn


def said(reading: Reading) -> list[tuple[str, str]]:
    return [(each.role, each.text) for each in reading.passages]


def written(directory: Path, name: str, content: Any) -> Path:
    path = directory / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "passages", "skipped"),
    [
        ("chatgpt-conversations.json",
         [("user", "My parrot is called Quillo."), ("assistant", "What a lovely name!")], 1),
        ("claude-conversations.json",
         [("user", "I grow tomatoes on the balcony."), ("assistant", "Which kind?")], 0),
        ("corpus.jsonl", [("user", "My flat is on the fourth floor."), ("assistant", "Is there a lift?")], 0),
        ("letta-agent.af",
         [("user", "Name: Ines. Plays the oboe."), ("user", "I moved to Trondheim in May."),
          ("assistant", "How do you like it there?")], 2),
        ("mem0-get-all.json", [("user", "Works as a locksmith"), ("user", "Has a sister called Ofelia")], 0),
        ("openai-finetune.jsonl",
         [("user", "My dog is called Rimba."), ("assistant", "Nice!"), ("user", "I live in Gdansk.")], 2),
        ("sharegpt.jsonl", [("user", "I collect old maps."), ("assistant", "Which is your favourite?")], 1),
        ("latin1.txt", [("user", "My friend José lives in Besançon.")], 0),
    ],
)  # fmt: skip
def test_each_shape_is_known_by_its_content_alone(
    name: str, passages: list[tuple[str, str]], skipped: int, tmp_path: Path
) -> None:
    for path in (EXPORTS / name, written(tmp_path, "export", (EXPORTS / name).read_bytes())):
        reading = read_file(path)
        assert said(reading) == passages
        assert (reading.unread, reading.skipped) == ((), skipped)


def test_times_are_kept_and_memories_known_as_such() -> None:
    assert [each.at for each in read_file(EXPORTS / "chatgpt-conversations.json").passages] == [1760000001, 1760000003]
    assert read_file(EXPORTS / "claude-conversations.json").passages[0].at == 1772359201
    memories = read_file(EXPORTS / "mem0-get-all.json").passages
    assert [(each.at, each.memory) for each in memories] == [(1770130800, True), (1770303600, True)]
    assert [each.memory for each in read_file(EXPORTS / "letta-agent.af").passages] == [True, False, False]


@pytest.mark.parametrize("name", ["chatgpt-conversations.json", "claude-conversations.json"])
def test_an_account_export_is_read_from_its_zip_and_is_the_same_file(name: str, tmp_path: Path) -> None:
    archive = tmp_path / "export.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.write(EXPORTS / name, "account/conversations.json")
        file.writestr("account/users.json", "[]")
        file.writestr("account/chat.html", "<html>not this</html>")
    assert read_file(archive) == read_file(EXPORTS / name)


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_a_corpus_may_be_packed(pack: Any, tmp_path: Path) -> None:
    data = (EXPORTS / "corpus.jsonl").read_bytes()
    assert read_file(written(tmp_path, "corpus.jsonl.xz", pack(data))) == read_file(EXPORTS / "corpus.jsonl")


def test_only_the_branch_that_was_kept_is_read(tmp_path: Path) -> None:
    def message(id_: str, parent: str, text: str, sender: str = "human") -> dict[str, Any]:
        return {"uuid": id_, "parent_message_uuid": parent, "text": text, "sender": sender}

    claude = [{"name": "x", "chat_messages": [message("a", "0", "Hi."), message("b", "a", "Not this.", "assistant"),
                                              message("c", "a", "But this.", "assistant")]}]  # fmt: skip
    assert said(read_file(written(tmp_path, "c.json", claude))) == [("user", "Hi."), ("assistant", "But this.")]
    chatgpt = json.loads((EXPORTS / "chatgpt-conversations.json").read_text("utf-8"))
    del chatgpt[0]["current_node"]
    reading = read_file(written(tmp_path, "g.json", chatgpt))
    assert said(reading)[0] == ("user", "My parrot is called Quillo.")
    chatgpt[0] |= {"current_node": "n3"}
    chatgpt[0]["mapping"]["n1"]["parent"] = "n3"  # a circle
    assert said(read_file(written(tmp_path, "g.json", chatgpt))) == said(reading)


def test_conversations_are_read_in_the_order_in_which_they_began(tmp_path: Path) -> None:
    def conversation(at: str, text: str) -> dict[str, Any]:
        return {"created_at": at, "chat_messages": [{"sender": "human", "text": text}]}

    newest_first = [conversation("2026-03-02T00:00:00Z", "second"), conversation("2026-03-01T00:00:00Z", "first")]
    assert [text for _, text in said(read_file(written(tmp_path, "c.json", newest_first)))] == ["first", "second"]


def test_tool_calls_thoughts_and_hidden_turns_are_not_read(tmp_path: Path) -> None:
    def node(content: Any, parent: str | None, **more: Any) -> dict[str, Any]:
        return {"message": {"author": {"role": "assistant"}, "content": content} | more, "parent": parent}

    chatgpt = {"current_node": "d", "mapping": {
        "a": node({"content_type": "text", "parts": ["search(x)"]}, None, recipient="browser"),
        "b": node({"content_type": "thoughts", "thoughts": []}, "a"),
        "c": node({"content_type": "text", "parts": ["hidden"]}, "b",
                  metadata={"is_visually_hidden_from_conversation": True}),
        "d": node({"content_type": "multimodal_text", "parts": [{"content_type": "image"}, "Seen."]}, "c"),
    }}  # fmt: skip
    reading = read_file(written(tmp_path, "g.json", chatgpt))
    assert (said(reading), reading.skipped) == ([("assistant", "Seen.")], 3)
    letta = {"agents": [{"messages": [
        {"role": "user", "content": '{"type": "login", "time": "now"}'},
        {"role": "user", "content": '{"type": "user_message", "message": "I row.", "time": "now"}'},
        {"role": "assistant", "content": "He rows, I should ask.", "tool_calls": [
            {"function": {"name": "send_message", "arguments": '{"message": "Where?"}'}}]},
    ]}]}  # fmt: skip
    assert said(read_file(written(tmp_path, "l.af", letta))) == [("user", "I row."), ("assistant", "Where?")]


def test_a_bad_line_costs_that_line_and_is_named(tmp_path: Path) -> None:
    good = '{"role": "user", "content": "My dog is called Rimba."}'
    lines = [good, '{"role": "user", "content"', "[1]", '{"role": "pope", "content": "x"}', '{"x": 1}', "[" * 100_000,
             '{"messages": [{"role": "user"}, {"role": "user", "content": "I row."}]}', "", good]  # fmt: skip
    reading = read_file(written(tmp_path, "talk.jsonl", "\n".join(lines)))
    assert [text for _, text in said(reading)] == ["My dog is called Rimba.", "I row.", "My dog is called Rimba."]
    assert sorted(str(each).split(":")[0] for each in reading.unread) == [
        "line 2", "line 3", "line 4", "line 5", "line 6", "line 7, message 1"
    ]  # fmt: skip
    account = [json.loads(good), {"mapping": {"a": 1}, "current_node": []}, 7]
    reading = read_file(written(tmp_path, "account.json", account))
    assert len(reading.passages) == 1
    assert [each.where for each in reading.unread] == ["entry 2", "entry 3"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
def test_names_survive_every_encoding(encoding: str, name: str, tmp_path: Path) -> None:
    text = "My friend José lives in Besançon, in “la rue”."
    content = text if name == "a.txt" else json.dumps({"role": "user", "content": text}, ensure_ascii=False)
    reading = read_file(written(tmp_path, name, content.encode(encoding)))
    assert said(reading) == [("user", text)]
    assert bool(reading.notices) == (encoding == "cp1252")


def test_one_foreign_line_does_not_spoil_the_others(tmp_path: Path) -> None:
    reading = read_file(written(tmp_path, "a.txt", "José\n\n".encode() + b"Besan\xe7on\n"))
    assert said(reading) == [("user", "José"), ("user", "Besançon")]
    assert "line 3: this is not UTF-8" in reading.notices[0]


def test_a_session_that_was_exported_is_read_by_turn(tmp_path: Path) -> None:
    at = float(int(time.time()) // 60 * 60)
    recalled = {"recalled": [{"id": 1, "text": "- My *cat*"}]}
    turns = [
        StoredTurn(1, 1, "Hi.\n\n## Notes\n\n- mine", "Hello!\n\nRecalled: you.", "done", at, recalled),
        StoredTurn(2, 1, "My cat is Tom.", "Nice", "stopped", at, {}),
        StoredTurn(3, 1, "And?", "", "failed", at, {}),
        StoredTurn(4, 1, "Still?", "half", "open", at, recalled),
    ]
    info = SessionInfo(1, "About # cats", False, at, at, 4)
    expected = [("user", turns[0].prompt), ("assistant", turns[0].reply), ("user", "My cat is Tom."),
                ("assistant", "Nice"), ("user", "And?"), ("user", "Still?")]  # fmt: skip
    for kind in ("markdown", "json"):
        reading = read_file(written(tmp_path, "session", render(info, turns, kind)))
        assert said(reading) == expected
        assert {each.at for each in reading.passages} == {at}


def test_documents_lose_their_marks(tmp_path: Path) -> None:
    org = "#+TITLE: Me\n* About\n:ID: 7\n\nMy dog is called *Rimba*.\n"
    rst = "About\n=====\n\n.. note:: x\n\nMy dog is called **Rimba**.\n"
    markdown = "# About\n\nMy dog is called **Rimba**, see [here](http://x).\n\n```\ncode\n```\n"
    assert said(read_file(written(tmp_path, "a.org", org)))[-1] == ("user", "My dog is called *Rimba*.")
    assert said(read_file(written(tmp_path, "a.rst", rst))) == [("user", "About"), ("user", "My dog is called Rimba.")]
    assert said(read_file(written(tmp_path, "a.md", markdown)))[-1] == ("user", "My dog is called Rimba, see here.")
    assert said(read_file(written(tmp_path, "a.txt", "[10:03] hello\n"))) == [("user", "[10:03] hello")]
    assert read_file(written(tmp_path, "a.jsonl", "")).passages == ()


def zipped(name: str, data: bytes) -> bytes:
    import io

    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, data)
    return archive.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.pdf", b"%PDF-1.7\nx"),
        ("a.html", b"<!DOCTYPE html><p>x"),
        ("a.png", b"\x89PNG\r\n\x1a\n\0\0"),
        ("a.txt", b"\x81\x8d not text"),
        ("a.json", b'{"unknown": 1}'),
        ("a.json", b"{half"),
        ("a.json", b"7"),
        ("a.jsonl", b"{half\n"),
        ("a.json", b"[" * 200_000),
        ("a.docx", zipped("word/document.xml", b"<x/>")),
        ("a.zip", zipped("conversations.json", b"[]" * 99)[:-30]),
        ("a.jsonl.gz", gzip.compress(b"{}" * 99)[:-12]),
        ("a.jsonl.xz", lzma.compress(b"{}" * 99)[:-12]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # an archive holds the time: not the same in two workers
)
def test_what_is_none_of_it_is_refused_with_what_is_accepted(name: str, content: bytes, tmp_path: Path) -> None:
    path = written(tmp_path, name, content)
    with pytest.raises(VardaError, match=r"ChatGPT|damaged"):
        read_file(path)


def test_special_and_endless_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(VardaError, match="regular file"):
            read_file(path)
    monkeypatch.setattr("varda_chat.ingest.files.MAX_FILE", 1000)
    long = bytes(5000)
    packed = {"a.txt": long, "a.gz": gzip.compress(long), "a.xz": lzma.compress(long)}
    for name, data in (packed | {"a.zip": zipped("conversations.json", long)}).items():
        with pytest.raises(VardaError, match="larger than 1,000 bytes"):
            read_file(written(tmp_path, name, data))


def test_an_export_of_a_memory_is_for_import(tmp_path: Path) -> None:
    for content in ('{"varda_chat_memory": 1}\n', '{"varda_chat_memory": 1}\n{"text": "x", "role": "user"}\n'):
        with pytest.raises(VardaError, match="varda-chat memory import"):
            read_file(written(tmp_path, "memory.jsonl", content))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "user", "text", "x", "{}"])
KEYS = st.sampled_from(["mapping", "current_node", "message", "parent", "author", "role", "content", "parts", "text",
                        "chat_messages", "uuid", "parent_message_uuid", "sender", "agents", "blocks", "label", "value",
                        "messages", "turns", "speaker", "conversations", "from", "results", "memory", "prompt", "reply",
                        "created_at", "create_time", "tool_calls", "function", "arguments", "type"])  # fmt: skip
JSON_VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=25
)


@given(value=JSON_VALUES)
@settings(deadline=None)
def test_no_json_value_brings_the_reader_down(value: Any) -> None:
    found = Found()
    read_value(value, found)
    assert all(each.role in ("user", "assistant") and each.text.strip() for each in found.passages)
