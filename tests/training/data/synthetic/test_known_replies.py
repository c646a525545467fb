"""Known replies: no line has two, none speaks of the memory, and bad entries are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT
from training.adapter.lines import DIALOGUES, EXCHANGES
from training.adapter.preferences import PREFERENCES
from training.data.synthetic.known_replies import LONGEST, load_known, load_offers, load_wordings, speaks_of_memory
from varda_chat.errors import DataError
from varda_chat.models.adapters import KNOWN_REPLIES

SHIPPED = ROOT / "varda_chat" / "checkpoints" / "default" / KNOWN_REPLIES


def test_every_line_has_one_reply_and_none_speaks_of_the_memory() -> None:
    known = load_known(EXCHANGES, DIALOGUES, PREFERENCES)
    assert len(known) > 7000
    assert len({each.line.lower() for each in known}) == len(known)
    assert not [each.reply for each in known if speaks_of_memory(each.reply)]
    assert max(len(each.line) for each in known) <= LONGEST


@pytest.mark.parametrize(
    "reply",
    [
        "Lovely. I'll remember that.",
        "I find nothing about a cousin. Who is it?",
        "You haven't told me yet. What is it?",
        "Done, I've forgotten it.",
        "That is not in my memory.",
    ],
)
def test_what_speaks_of_the_memory_is_told(reply: str) -> None:
    assert speaks_of_memory(reply)


@pytest.mark.parametrize(
    "reply", ["Good morning! Slept well?", "I can remember what you tell me.", "Ask me in plain words to forget it."]
)
def test_what_says_how_the_memory_works_may_be_known(reply: str) -> None:
    assert not speaks_of_memory(reply)


def test_the_default_model_knows_nothing_that_speaks_of_the_memory() -> None:
    rows = [json.loads(line) for line in SHIPPED.read_text("utf-8").splitlines()]
    assert len(rows) > 7000
    assert not [row for row in rows if speaks_of_memory(row["reply"]) or not row["reply"].strip()]


def test_each_part_of_the_judged_offers_has_right_and_wrong_ones() -> None:
    for validation in (False, True):
        fits = [fits for each in load_offers(validation=validation) for _, fits in each.offers]
        assert 0.1 < sum(fits) / len(fits) < 0.5


@pytest.mark.parametrize(
    ("table", "row", "said"),
    [
        ("wording_replies", '{"lines": ["hi"], "reply": "Hello!"}', "two lines and a reply are needed"),
        ("wording_replies", '{"lines": ["hi", "hey"]}', "the key 'reply' is missing"),
        ("wording_replies", '{"lines": "hi", "reply": "Hello!"}', "'lines' is not a list of texts"),
        ("fitting", '{"line": "hi", "offers": []}', "no reply is offered"),
        ("fitting", '{"line": "hi", "offers": [["hey", "Hello!"]]}', "not enough values"),
        ("fitting", '{"line": "hi", "fits": []}', "unknown key 'fits'"),
    ],
)
def test_a_bad_entry_is_named(tmp_path: Path, table: str, row: str, said: str) -> None:
    (tmp_path / f"{table}.jsonl").write_text(row + "\n", "utf-8")
    with pytest.raises(DataError, match=f"{table}.jsonl, line 1: .*{said}"):
        load_wordings(tmp_path) if table == "wording_replies" else load_offers(validation=False, directory=tmp_path)
