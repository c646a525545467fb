"""The everyday tables: every entry can be told, asked, corrected and forgotten, and a bad one is named by its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from training.data.synthetic.everyday import TABLES, load_everyday
from training.data.synthetic.relations import ALL_RELATIONS, RELATIONS, relatives
from varda_chat.errors import DataError

EVERYDAY = load_everyday()


def test_there_are_hundreds_and_all_are_whole() -> None:
    assert len(EVERYDAY) > 800
    assert len({relation.name for relation in ALL_RELATIONS}) == len(ALL_RELATIONS)
    for relation in EVERYDAY:
        assert len(set(relation.tell)) == 4
        assert len(set(relation.ask)) == 5
        for reply in relation.unknown:
            assert reply.startswith("I don't"), "an abstention begins unlike any answer"
        for reply in relation.answer:
            assert not reply.startswith("I don't")


def test_what_the_same_answer_fits_shares_a_topic() -> None:
    topics = {relation.topic for relation in EVERYDAY}
    assert "dog_name" in topics & {relation.topic for relation in RELATIONS}
    assert "mother_birthday" in topics, "mum and mother are one person"
    for relation in EVERYDAY[::40]:
        assert all(other.topic != relation.topic for other in relatives(relation.name))


def test_texts_are_plain_and_short() -> None:
    for relation in EVERYDAY:
        for text in (*relation.tell, *relation.ask, *relation.answer, *relation.correct, *relation.forget):
            assert text.isascii()
            assert len(text.split()) <= 32, text


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"kind": "planet"}, "planet"),
        ({"tell": ["I have no value at all."]}, "one value"),
        ({"ask": ["Is it {value}?"]}, "no value"),
        ({"tell": None}, ""),
    ],
)
def test_a_bad_entry_is_named_by_file_and_line(tmp_path: Path, change: dict[str, object], word: str) -> None:
    good = json.loads((TABLES / "pets.jsonl").read_text(encoding="utf-8").splitlines()[0])
    lines = [json.dumps(good), json.dumps(good | change)]
    (tmp_path / "pets.jsonl").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(DataError, match=rf"pets\.jsonl, line 2: .*{word}"):
        load_everyday(tmp_path)
