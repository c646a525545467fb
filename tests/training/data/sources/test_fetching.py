"""Fetching against a real server: whole and right, or not at all; and the library of the hub on a directory."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from click.testing import CliRunner

from training.cli import train
from training.data.sources import hub, originals, wikitext
from training.data.sources.documents import BadLines
from training.data.sources.fetching import Digest, fetch, git_blob
from training.data.sources.selection import Places, source_of
from varda_chat.errors import DataError

BODY = b" \n = A title = \n \n Some words of an article . \n" * 50


class _Server(BaseHTTPRequestHandler):
    """Serves every path with BODY, but for those that go wrong, and those of ``pages``."""

    pages: ClassVar[dict[str, bytes]] = {}

    def do_GET(self) -> None:
        if self.path in self.pages:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.pages[self.path])
            return
        if "missing" in self.path:
            self.send_error(404, "Not Found")
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY[:100] if "interrupted" in self.path else BODY)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def sha256(content: bytes) -> Digest:
    return Digest(digest(content))


def test_what_is_right_is_kept_and_not_fetched_twice(address: str, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    seen: list[tuple[int, int | None]] = []
    fetch(f"{address}/file", path, sha256(BODY), lambda come, size: seen.append((come, size)))
    assert path.read_bytes() == BODY
    assert seen[-1] == (len(BODY), len(BODY))
    fetch("http://127.0.0.1:9/nobody-there", path, sha256(BODY))


@pytest.mark.parametrize(
    ("page", "wanted", "word"),
    [
        ("/file", sha256(b"another"), "not what it was"),
        ("/interrupted", sha256(BODY), "broke off after 100"),
        ("/missing", sha256(BODY), "404 Not Found"),
    ],
)
def test_what_is_wrong_leaves_what_was_there(
    address: str, tmp_path: Path, page: str, wanted: Digest, word: str
) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes(b"before")
    with pytest.raises(DataError, match=word) as caught:
        fetch(address + page, path, wanted)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path], "no half of a file is left"


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be reached"):
        fetch("http://127.0.0.1:9/file", tmp_path / "file.txt", sha256(BODY))


def test_a_corpus_is_fetched_by_name_with_its_licence(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wikitext, "ADDRESS", address)
    monkeypatch.setattr(hub, "reachable", lambda: False)
    said: list[str] = []
    names = tuple(wikitext.CHECKSUMS)
    monkeypatch.setattr(wikitext, "CHECKSUMS", dict.fromkeys(names, digest(BODY)))
    places = Places(None, tmp_path / "corpora")
    found = source_of("wikitext-2", places, said.append)
    assert [path.read_bytes() for path in found.files] == [BODY] * 3
    assert "CC BY-SA" in said[0]
    monkeypatch.setattr(wikitext, "ADDRESS", "http://127.0.0.1:9")
    assert source_of("wikitext-2", places, said.append).files == found.files, "what was fetched is found again"
    monkeypatch.setattr(wikitext, "CHECKSUMS", dict.fromkeys(names, digest(b"another")))
    with pytest.raises(DataError, match="cannot be reached"):
        source_of("wikitext-2", Places(None, tmp_path / "elsewhere"), said.append)


def rows(directory: Path, split: str, texts: list[str]) -> None:
    directory.mkdir(exist_ok=True)
    (directory / f"{split}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))


def test_a_dataset_in_the_hubs_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("VARDA_CHAT_HOME", str(tmp_path / "home"))
    rows(tmp_path / "set", "train", [f"Text number {n} of many." for n in range(80)] + [""])
    rows(tmp_path / "set", "test", ["A text to test on.", "And one more."])
    result = CliRunner().invoke(
        train, ["prepare", f"hub:{tmp_path / 'set'}", "--output-dir", str(tmp_path / "out"), "--vocab-size", "400"]
    )
    assert result.exit_code == 0, result.output
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["splits"]["test"]["documents"] == 2, "the official test split is kept"
    assert manifest["splits"]["validation"]["documents"] >= 1, "and validation drawn from training"
    assert manifest["sources"][0]["bad_lines"] == {
        "count": 1, "first": [f"{tmp_path / 'set'} (train), line 81: neither text nor dialogue (it is empty)"],
    }  # fmt: skip


def test_wikitext_is_made_of_the_hubs_rows_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    lines = [" \n", " = A title = \n", " \n", " Some words . \n"]
    for split in ("train", "validation", "test"):
        rows(tmp_path / "set", split, [line if line.strip() else "" for line in lines])
    names = tuple(wikitext.CHECKSUMS)
    monkeypatch.setattr(hub, "CHECKSUMS", dict.fromkeys(names, digest("".join(lines).encode())))
    hub.wikitext_from_hub(tmp_path / "out", str(tmp_path / "set"), None)
    assert [(tmp_path / "out" / name).read_text() for name in names] == ["".join(lines)] * 3
    monkeypatch.setattr(hub, "CHECKSUMS", dict.fromkeys(names, digest(b"another")))
    with pytest.raises(DataError, match="not what it was"):
        hub.wikitext_from_hub(tmp_path / "again", str(tmp_path / "set"), None)
    assert list((tmp_path / "again").iterdir()) == []


CHATS = [
    {"dialogue_id": number, "chat_logs": [
        {"text": f"Hello  from {number}", "id": "b"}, {"text": "Hi \u2019there", "id": "a"},
        {"text": "Submit-Deal", "id": "b"},
    ]} for number in range(60)
]  # fmt: skip


def test_a_corpus_is_made_from_its_repository_at_the_commit(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"data/split/casino_{s}.json": json.dumps(CHATS[at:]).encode() for s, at in (("train", 3), ("test", 0))}
    (tmp_path / "blob").write_bytes(files["data/split/casino_train.json"])
    blobs = {
        name: hashlib.sha1(b"blob %d\0" % len(body) + body, usedforsecurity=False).hexdigest()
        for name, body in files.items()
    }
    assert git_blob(tmp_path / "blob") == blobs["data/split/casino_train.json"]
    commit = "2f6ed4a6a551" + "0" * 28
    tree = {"tree": [{"path": n, "type": "blob", "sha": b} for n, b in blobs.items()], "truncated": False}
    repository = "/kushalchawla/CaSiNo"
    head = {"sha": commit, "commit": {"tree": {"sha": "t"}}}
    monkeypatch.setattr(_Server, "pages", {
        f"/repos{repository}/commits/2f6ed4a6a551": json.dumps(head).encode(),
        f"/repos{repository}/git/trees/t?recursive=1": json.dumps(tree).encode(),
        **{f"{repository}/{commit}/{name}": body for name, body in files.items()},
    })  # fmt: skip
    monkeypatch.setattr(originals, "API", f"{address}/repos")
    monkeypatch.setattr(originals, "RAW", address)
    said: list[str] = []
    found = source_of("casino", Places(None, tmp_path / "corpora"), said.append)
    assert "CC BY 4.0" in said[0]
    documents = list(found.read(BadLines()))
    assert [d.split for d in documents] == [None] * 57 + ["test"] * 60
    assert documents[0].turns == (("user", "Hello from 3"), ("assistant", "Hi 'there"))
    monkeypatch.setitem(_Server.pages, f"{repository}/{commit}/data/split/casino_test.json", b"[]")
    with pytest.raises(DataError, match="not what it was"):
        source_of("casino", Places(None, tmp_path / "other"), said.append)
    with pytest.raises(DataError, match="cannot be fetched as it is"):
        source_of("fiction_dialogue_a", Places(None, tmp_path / "other"), said.append)


MSC = """[{"id": "valid_7", "meta": {"user": ["I sing."], "assistant": ["I don’t fly."]},
          "dialogue": [["How are you?", "Fine."]]}]""".encode()


@pytest.mark.parametrize(
    ("name", "content", "turns"),
    [
        ("msc", MSC, ("How are you?", "Fine.")),
        ("wizard_of_wikipedia", b'[{"dialogue": [["More?", "Yes."]]}]', ("More?", "Yes.")),
        ("spc", b'a,b,c\n"x","y","User 1: Hi!\nUser 2: Hello\nthere!"\n', ("Hi!", "Hello there!")),
        ("memorybank_en", b'{"Emily": {"history": {"d": [{"query": "Q", "response": "R"}]}}}', ("Q", "R")),
    ],
)
def test_the_originals_formats(tmp_path: Path, name: str, content: bytes, turns: tuple[str, str]) -> None:
    (tmp_path / "file").write_bytes(content)
    stem, paths, records = originals.ORIGINALS[name][0]
    record = next(iter(records(tmp_path / "file", paths[0])))
    assert [turn["text"] for turn in record["turns"]] == list(turns)
    assert [turn["speaker"] for turn in record["turns"]] == ["user", "assistant"]
    assert stem.startswith(name)
    if name == "msc":
        assert record["id"] == "s2-valid_7"
        assert (record["session"], record["personas"]) == (2, {"user": ["I sing."], "assistant": ["I don't fly."]})
