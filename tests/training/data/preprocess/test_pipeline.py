"""Text prepared: cleaned, split by document without a leak, tokenised once; what is wrong is said."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tests.helpers.texts import prose, source, texts
from training.cli import train
from training.data.preprocess.encoding import led, tokenizer_fingerprint
from training.data.preprocess.pipeline import HELD_OUT, How, prepare_text
from training.data.preprocess.token_files import PreparedText
from training.data.preprocess.tokenizer import save_tokenizer, train_tokenizer
from training.data.sources import own_text
from training.data.sources.catalogue import NAMED
from training.data.sources.corpora import Dialogue, is_validation
from training.data.sources.documents import SPLITS, BadLines, Document, place
from training.data.sources.own_text import own_documents, own_files
from training.data.sources.records import LONGEST_LINE
from training.data.sources.wikitext import articles
from varda_chat.errors import DataError


def decoded(prepared: PreparedText, split: str) -> list[str]:
    found = prepared.split(split)  # type: ignore[arg-type]
    return [prepared.chat.tokenizer.decode(d.ids.tolist()[1:], skip_special_tokens=False) for d in found]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(train, ["prepare", *map(str, arguments)])


def test_every_document_is_in_one_split_and_comes_back_letter_for_letter(tmp_path: Path) -> None:
    documents = [*texts(200), Document("odd", "  Café <|end|> tab\tand\n\nünïcode 戦場 <|user|>", key="odd")]
    prepared = prepare_text([source(documents)], How(vocab_size=400), tmp_path / "out")
    parts = {split: decoded(prepared, split) for split in SPLITS}
    assert sorted(text for part in parts.values() for text in part) == sorted(led(d.text) for d in documents)
    assert all(parts.values()), "no split is empty"
    assert len(parts["train"]) > 180
    special = prepared.chat.special_ids
    assert sum(int(np.isin(d.ids, list(special)).sum()) for s in SPLITS for d in prepared.split(s)) == len(documents)


def test_the_same_seed_gives_the_same_bytes_and_another_another_split(tmp_path: Path) -> None:
    made = [
        prepare_text([source(texts(120))], How(vocab_size=400, seed=seed), tmp_path / f"{number}")
        for number, seed in enumerate((3, 3, 4))
    ]
    first, again, other = (text.manifest["splits"] for text in made)
    assert first == again
    assert decoded(made[0], "test") != decoded(made[2], "test")
    assert first["train"]["sha256"] != other["train"]["sha256"]


def test_duplicates_are_dropped_and_never_cross_from_test_into_training(tmp_path: Path) -> None:
    official = [Document("t", prose(1), split="test"), Document("v", prose(2), split="validation")]
    leaks = [
        Document("a", prose(1), split="train"),  # as it stands in test
        Document("b", prose(2).upper().replace(" ", "  ") + "!!", split="train"),  # the same words as in validation
        Document("c", prose(3), split="train"),
        Document("d", prose(3), split="train"),
    ]
    training = [Document(str(n), prose(n), split="train") for n in range(10, 20)]
    prepared = prepare_text([source([*leaks, *training, *official])], How(vocab_size=400), tmp_path / "out")
    kept = {split: decoded(prepared, split) for split in SPLITS}
    assert kept["test"] == [" " + prose(1)]
    assert kept["validation"] == [" " + prose(2)]
    assert kept["train"] == [" " + prose(n) for n in (3, *range(10, 20))]
    assert prepared.manifest["sources"][0]["duplicates_dropped"] == {"exact": 2, "normalised": 1}


def test_what_is_held_out_of_a_source_does_not_depend_on_what_it_is_prepared_with(tmp_path: Path) -> None:
    diary = texts(20)
    assert not any(place("diary", d.key) < 2 * HELD_OUT for d in diary), "none is drawn, so one for each is chosen"
    alone = prepare_text([source(diary, "diary")], How(vocab_size=400), tmp_path / "alone")
    (validation,), (test,) = decoded(alone, "validation"), decoded(alone, "test")
    books = texts(200, start=1000)
    copies = {
        "none": [],
        "in training": [Document("copy", validation[1:], split="train")],
        "in test": [Document("copy", validation[1:], split="test")],
    }
    for name, copy in copies.items():
        both = [source([*books, *copy], "books"), source(diary, "diary")]
        together = prepare_text(both, How(vocab_size=400), tmp_path / name)
        assert not {validation, test} & set(decoded(together, "train"))
        assert set(decoded(alone, "train")) < set(decoded(together, "train"))
        assert test in decoded(together, "test")
        assert validation in decoded(together, "test" if name == "in test" else "validation")


def test_documents_of_one_key_are_held_out_together(tmp_path: Path) -> None:
    documents = [Document(str(n), prose(n), key=str(n // 2)) for n in range(20)]
    prepared = prepare_text([source(documents, "diary")], How(vocab_size=400), tmp_path / "out")
    number = {" " + d.text: int(d.key) for d in documents}
    for split in ("validation", "test"):
        one, other = (number[text] for text in decoded(prepared, split))
        assert one == other


def test_with_seed_0_validation_is_what_the_dialogue_benchmark_holds_out() -> None:
    for number in range(2000):
        dialogue = Dialogue("spc", f"valid-{number}", ())
        assert (place("spc", dialogue.id) < 0.02) == is_validation(dialogue)


def test_what_is_read_is_mapped_from_disk(tmp_path: Path) -> None:
    prepared = prepare_text([source(texts(60))], How(vocab_size=400), tmp_path / "out")
    split = prepared.split("train")
    assert isinstance(split.tokens, np.memmap)
    assert np.shares_memory(split[3].ids, split.tokens), "a document is a view, not a copy"
    assert split.lengths == [len(d.ids) for d in split]


def test_a_tokenizer_given_is_used_and_survives_being_saved_with_a_model(tmp_path: Path) -> None:
    tokenizer = train_tokenizer([prose(n) for n in range(50)], 500)
    save_tokenizer(tokenizer, tmp_path / "saved", 128)
    prepared = prepare_text([source(texts(50))], How(tokenizer=tokenizer), tmp_path / "out")
    from tokenizers import Tokenizer

    again = Tokenizer.from_file(str(tmp_path / "saved" / "tokenizer.json"))
    assert prepared.fingerprint == tokenizer_fingerprint(tokenizer) == tokenizer_fingerprint(again)


def write_own(directory: Path) -> None:
    """A directory as a person might have it: notes, a book, dialogues, exports of chat programs; some of it broken."""
    directory.mkdir(parents=True)
    (directory / "book.txt").write_text("\r\n\r\n".join(prose(n) for n in range(300)), encoding="utf-8")
    (directory / "notes.md").write_text("# My notes\n\nSee [the page](http://x.y).\n\n```\ncode\n```\n\nThe end.\n")
    (directory / "broken.txt").write_bytes(b"A good line.\n\xff\xfe bad\nAnother good line.\n")
    turns = [{"speaker": "user", "text": "Hi there"}, {"speaker": "assistant", "text": "Hello \x1b[31myou\x1b[0m"}]
    (directory / "talk.jsonl").write_text(
        json.dumps({"turns": turns}) + "\n{not json\n"
        + json.dumps({"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Who?"},
                                   {"role": "assistant", "content": [{"type": "text", "text": "Varda."}]}]}) + "\n"
        + json.dumps({"text": "Just a text."}) + "\n" + json.dumps({"turns": [{"speaker": "martian", "text": "x"}]})
    )  # fmt: skip
    (directory / "list.json").write_text(
        json.dumps([{"role": "user", "content": "One?"}, {"role": "assistant", "content": "Two."}])
    )
    (directory / "shared.json").write_text(
        json.dumps([{"conversations": [{"from": "human", "value": "Up?"}, {"from": "gpt", "value": "Down."}]}, 7])
    )

    def node(parent: str | None, role: str, text: str, children: list[str]) -> dict[str, object]:
        message = {"author": {"role": role}, "content": {"parts": [text]}}
        return {"parent": parent, "children": children, "message": message}

    (directory / "export.json").write_text(
        json.dumps([{"mapping": {
            "r": {"parent": None, "children": ["a"], "message": None},
            "a": node("r", "user", "Left?", ["b"]), "b": node("a", "assistant", "Right.", []),
        }}])
    )  # fmt: skip
    (directory / ".hidden.txt").write_text("not to be read")
    (directory / "picture.png").write_bytes(b"\x89PNG")


def test_ones_own_files_of_every_kind(tmp_path: Path) -> None:
    directory = tmp_path / "own"
    write_own(directory)
    bad = BadLines()
    found = {d.id: d for d in own_documents(own_files(directory), directory, bad)}
    books = [d for name, d in found.items() if name.startswith("book.txt")]
    assert len(books) > 3
    assert all(len(d.text) > 9000 for d in books[:-1])
    assert found["notes.md#0"].text == "My notes\n\nSee the page.\n\nThe end."
    assert found["talk.jsonl#1"].turns == (("user", "Hi there"), ("assistant", "Hello you"))
    assert found["talk.jsonl#3"].turns == (("user", "Who?"), ("assistant", "Varda."))
    assert found["talk.jsonl#4"].text == "Just a text."
    assert found["list.json#1"].turns == (("user", "One?"), ("assistant", "Two."))
    assert found["shared.json#1"].turns == (("user", "Up?"), ("assistant", "Down."))
    assert found["export.json#1"].turns == (("user", "Left?"), ("assistant", "Right."))
    assert not any("hidden" in name for name in found)
    assert bad.count == 4
    said = "\n".join(bad.first)
    for place_of in ("broken.txt, line 2", "talk.jsonl, line 2", "talk.jsonl, line 5", "shared.json, line 1"):
        assert place_of in said


def test_a_long_export_on_one_line_is_read_whole(tmp_path: Path) -> None:
    """As chat programs write theirs: years of conversations without a line end."""
    talk = [{"role": "user", "content": "Well? " * 100_000}, {"role": "assistant", "content": "Well."}]
    exported = "\ufeff" + json.dumps([{"messages": talk}] * 30)
    assert len(exported) > LONGEST_LINE
    (tmp_path / "conversations.json").write_text(exported, encoding="utf-8")
    bad = BadLines()
    assert len(list(own_documents(own_files(tmp_path), tmp_path, bad))) == 30
    assert not bad.count


def test_an_export_that_cannot_be_read_whole_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = tmp_path / "conversations.json.xz"
    exported = lzma.compress(json.dumps([{"text": prose(n)} for n in range(50)]).encode())

    def read(content: bytes) -> BadLines:
        packed.write_bytes(content)
        bad = BadLines()
        assert not list(own_documents([packed], tmp_path, bad))
        return bad

    with pytest.raises(DataError, match=r"conversations.json.xz is damaged \(.+\). Fetch it again"):
        read(exported[:-20])
    (found,) = read(lzma.compress(b'["One line.",\n"A b\xff line."]')).first
    assert found == f"{packed}, line 2: not UTF-8 (invalid start byte)"
    monkeypatch.setattr(own_text, "LARGEST_JSON", 1024)
    with pytest.raises(DataError, match=r"longer than .* one record a line"):
        read(exported)


def test_the_command_shows_what_came_out_and_where_lines_were_bad(tmp_path: Path) -> None:
    write_own(tmp_path / "own")
    result = run(tmp_path / "own", "--output-dir", tmp_path / "out", "--vocab-size", 400)
    assert result.exit_code == 0, result.output
    assert "broken.txt, line 2" in result.output.replace("\n", "")
    assert "varda-train --dataset" in result.output
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["sources"][0]["bad_lines"]["count"] == 4
    assert {f["name"] for f in manifest["sources"][0]["files"]} >= {"book.txt", "talk.jsonl"}
    assert str(tmp_path) not in json.dumps(manifest["command"]), "the manifest names no directory of this machine"
    assert "--vocab-size 400" in manifest["command"]
    again = run(tmp_path / "own", "--output-dir", tmp_path / "out", "--vocab-size", 400)
    assert again.exit_code == 0, "what is there is not made twice"


@pytest.mark.parametrize("change", ["sources", "files", "seed", "vocabulary", "tokenizer"])
def test_text_of_other_sources_or_settings_is_not_taken_for_what_was_asked_for(tmp_path: Path, change: str) -> None:
    notes, diary, out = tmp_path / "notes", tmp_path / "diary", tmp_path / "out"
    for directory, start in ((notes, 0), (diary, 50)):
        directory.mkdir()
        lines = (json.dumps({"text": prose(n)}) for n in range(start, start + 20))
        (directory / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    flags: list[object] = [notes, "--output-dir", out, "--vocab-size", 400]
    assert run(*flags).exit_code == 0
    before = (out / "manifest.json").read_bytes()
    if change == "sources":
        flags[0] = diary
    elif change == "files":
        with (notes / "a.jsonl").open("a", encoding="utf-8") as file:
            file.write("\n" + json.dumps({"text": prose(99)}))
    elif change == "tokenizer":
        flags += ["--tokenizer", out]
    else:
        flags += ["--seed", 7] if change == "seed" else ["--vocab-size", 300]
    result = run(*flags)
    assert result.exit_code == 1, result.output
    said = " ".join(result.output.split())
    assert said.endswith("was prepared from other text or with other settings; choose another --output-dir.")
    assert (out / "manifest.json").read_bytes() == before


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda directory: (directory / "a.jsonl").write_text("{oh\n" * 3), "a.jsonl, line 1"),
        (lambda directory: (directory / "a.bin").write_bytes(b"x"), "nothing to read"),
        (lambda directory: (directory / "a.txt").write_text("Two words."), "too few"),
    ],
)
def test_what_cannot_be_prepared_gets_one_line(tmp_path: Path, make: object, word: str) -> None:
    assert callable(make)
    (tmp_path / "in").mkdir()
    make(tmp_path / "in")
    result = run(tmp_path / "in", "--output-dir", tmp_path / "out")
    assert result.exit_code == 1
    assert word in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "out").exists(), "nothing half done is left"


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        ([], 2, "--list"),
        (["no-such-corpus"], 1, "no corpus of that name"),
        (["star", "--data-dir", "/no/such/directory"], 1, "star.jsonl.xz is missing"),
        (["wikitext-2", "--held-out", "0.7"], 1, "--held-out"),
        (["wikitext-2", "--tokenizer", "/no/such/model"], 1, "no folder /no/such/model"),
    ],
)
def test_bad_flags_get_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], code: int, word: str
) -> None:
    monkeypatch.setenv("VARDA_CHAT_HOME", str(tmp_path))
    if "wikitext-2" in arguments:
        arguments = [*arguments, "--data-dir", str(wikitext_directory(tmp_path / "wt"))]
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert word in result.output.replace("\n", " ")


def wikitext_directory(directory: Path) -> Path:
    """WikiText's layout in small: titles between blank lines, section headings, a title that is none."""
    directory.mkdir()
    for split, first in (("train", 0), ("valid", 20), ("test", 30)):
        parts = [
            f" \n = Title {n} = \n \n {prose(n)} @-@ <unk> \n \n = = Section = = \n \n {prose(n + 100)} \n"
            " = not a title = \n"
            for n in range(first, first + (12 if split == "train" else 3))
        ]
        with lzma.open(directory / f"wikitext2_raw.{split}.txt.xz", "wt", encoding="utf-8") as file:
            file.write("".join(parts))
    return directory


def test_wikitext_is_kept_byte_for_byte_in_its_official_splits(tmp_path: Path) -> None:
    directory = wikitext_directory(tmp_path / "wt")
    whole = lzma.decompress((directory / "wikitext2_raw.train.txt.xz").read_bytes()).decode("utf-8")
    found = list(articles(directory / "wikitext2_raw.train.txt.xz", BadLines()))
    assert "".join(found) == whole
    assert [text[:14] for text in found[:2]] == [" \n = Title 0 =", " \n = Title 1 ="]
    result = run("WikiText_2", "--data-dir", directory, "--output-dir", tmp_path / "out", "--vocab-size", 400)
    assert result.exit_code == 0, result.output
    assert "CC BY-SA" in result.output
    prepared = PreparedText.open(tmp_path / "out")
    assert "".join(decoded(prepared, "train")) == whole
    counted = prepared.manifest["splits"]["train"]
    assert (counted["documents"], counted["words"], counted["lines"]) == (12, len(whole.split()), whole.count("\n"))


def test_the_sessions_of_two_people_are_one_document(tmp_path: Path) -> None:
    with lzma.open(tmp_path / "msc.valid.jsonl.xz", "wt", encoding="utf-8") as file:
        for session in (3, 2):
            for pair in range(30):
                turns = [
                    {"speaker": "user", "text": f"I am {pair} in {session}."},
                    {"speaker": "assistant", "text": "Oh."},
                ]
                file.write(json.dumps({"id": f"s{session}-valid_{pair}", "turns": turns}) + "\n")
    result = run("msc", "--data-dir", tmp_path, "--output-dir", tmp_path / "out", "--vocab-size", 400)
    assert result.exit_code == 0, result.output
    prepared = PreparedText.open(tmp_path / "out")
    documents = [d for split in SPLITS for d in prepared.split(split)]
    assert len(documents) == 30
    assert [int(d.turn[-1]) for d in documents] == [1] * 30
    one = prepared.chat.decode(documents[0].ids.tolist())
    assert one.index("in 2.") < one.index("in 3.")


def test_damaged_and_foreign_directories_are_refused(tmp_path: Path) -> None:
    prepare_text([source(texts(60))], How(vocab_size=400), tmp_path / "out")
    tokens = tmp_path / "out" / "train.tokens.bin"
    tokens.write_bytes(tokens.read_bytes()[:-2])
    with pytest.raises(DataError, match="damaged"):
        PreparedText.open(tmp_path / "out")
    (tmp_path / "out" / "manifest.json").write_text("{}")
    with pytest.raises(DataError, match="no prepared text"):
        PreparedText.open(tmp_path / "out")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thing").touch()
    with pytest.raises(DataError, match="something else"):
        prepare_text([source(texts(60))], How(vocab_size=400), tmp_path / "other")


def test_every_corpus_has_a_licence_and_is_listed() -> None:
    result = run("--list")
    assert result.exit_code == 0
    for named in NAMED.values():
        assert named.licence
        assert named.attribution
        assert named.name in result.output
