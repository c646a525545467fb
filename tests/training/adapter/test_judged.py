"""Pairs of a line and a statement that are judged by hand, and pairs that are drawn of facts and lines."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path

import pytest

from training.adapter.judged import READ, DrawnPairs, Pair, _leaning, batch_of, labels, load_judged
from training.data.synthetic.leaning import Telling, load_tellings
from varda_chat.errors import DataError


def test_hand_written_judgements_are_read_and_held_out_apart() -> None:
    training, held = load_judged(validation=False), load_judged(validation=True)
    assert len(training) > 15 * len(held) > 0
    assert not {pair for each in training for pair in each.pairs} & {pair for each in held for pair in each.pairs}
    for each in (*training, *held):
        fitting = [pair for pair in each.pairs if pair.answers or pair.ends]
        assert all(pair.answers == (each.kind == "ask") for pair in fitting)
        assert each.kind in ("ask", "correct", "forget") or not fitting
    leaning = {pair.statement for row in load_tellings(validation=False) for pair in _pairs(row)}
    others = [each for each in training if not leaning & {pair.statement for pair in each.pairs}]
    assert len(others) > 5000
    for each in others:
        assert not all(pair.answers or pair.ends for pair in each.pairs)


def test_most_that_is_told_holds_what_is_asked_for_as_it_is_read() -> None:
    told = [each for row in load_tellings(validation=False) for each in row.told]
    assert sum(each.holds_value(each.read) for each in told) > 0.9 * len(told)
    assert sum(each.read != each.text for each in told) > 0.4 * len(told)


def _pairs(row: Telling) -> list[Pair]:
    return [pair for each in _leaning(row) for pair in each.pairs]


ROW = {
    "statement": "I sing tenor.", "near": "My brother sings bass.", "ask": "What do I sing?",
    "ask_near": "What does my brother sing?", "ask_neither": "What does my sister sing?",
    "end": "I sing baritone these days.", "end_kind": "correct",
    "end_neither": "My cousin sings baritone these days.", "end_neither_kind": "tell",
}  # fmt: skip


TELLING = {
    "line": "We took in a greyhound. Her name is Juno. She hates stairs! Poor thing. And Mo sings in a choir.",
    "told": [
        {"text": "Her name is Juno.", "leans": "We took in a greyhound.", "value": "Juno", "ask": ["the dog's name?"],
         "answer": "Juno.", "end": "She's Minnie now.", "end_kind": "correct", "forget": "forget the dog's name"},
        {"text": "We took in a greyhound.", "leans": "", "value": "greyhound", "ask": ["what breed?"],
         "answer": "A greyhound.", "end": "breed unsaid pls", "end_kind": "forget", "forget": "forget the breed"},
        {"text": "And Mo sings in a choir.", "leans": "", "value": "Mo", "ask": ["who sings?"],
         "answer": "Mo sings.", "end": "Mo is silent now.", "end_kind": "correct", "forget": "forget Mo"},
    ],
    "near": ["how old is Juno?"],
}  # fmt: skip
DOG, NAME, ALONE, MO = (
    "We took in a greyhound.", "(We took in a greyhound.) Her name is Juno.", "Her name is Juno.",
    "And Mo sings in a choir.",
)  # fmt: skip


def tables(directory: Path, judged: Mapping[str, object], contrast: Mapping[str, str]) -> Path:
    """A directory with such a row in each table, held out as every first one is."""
    (directory / "leaning.jsonl").write_text(json.dumps(TELLING) + "\n", "utf-8")
    (directory / "judged.jsonl").write_text(json.dumps(judged) + "\n", "utf-8")
    (directory / "contrast.jsonl").write_text(json.dumps(contrast) + "\n", "utf-8")
    return directory


def test_of_two_statements_in_like_words_each_line_fits_one_at_most(tmp_path: Path) -> None:
    judged = {"kind": "none", "line": "Hi", "yes": [], "no": ["I am Bo."]}
    _, *rows = load_judged(validation=True, directory=tables(tmp_path, judged, ROW))[:6]
    tenor, bass = ROW["statement"], ROW["near"]
    assert [(each.kind, each.pairs) for each in rows] == [
        ("ask", (Pair("What do I sing?", tenor, answers=True), Pair("What do I sing?", bass))),
        ("ask", (Pair(ROW["ask_near"], tenor), Pair(ROW["ask_near"], bass, answers=True))),
        ("ask", (Pair(ROW["ask_neither"], tenor), Pair(ROW["ask_neither"], bass))),
        ("correct", (Pair(ROW["end"], tenor, ends=True), Pair(ROW["end"], bass))),
        ("tell", (Pair(ROW["end_neither"], tenor), Pair(ROW["end_neither"], bass))),
    ]


def test_what_leans_on_another_is_judged_as_it_is_read(tmp_path: Path) -> None:
    judged = {"kind": "none", "line": "Hi", "yes": [], "no": ["I am Bo."]}
    rows = load_judged(validation=True, directory=tables(tmp_path, judged, ROW))[6:]
    assert [(each.kind, each.pairs) for each in rows if each.pairs[0].line in ("what breed?", "the dog's name?")] == [
        ("ask", tuple(Pair("what breed?", each, answers=each in (DOG, NAME)) for each in (DOG, NAME, MO))),
        ("ask", tuple(Pair("the dog's name?", x, answers=x in (NAME, ALONE)) for x in (DOG, NAME, MO, ALONE))),
    ]
    by_line = {each.pairs[0].line: each for each in rows}
    assert by_line["She's Minnie now."].pairs == tuple(
        Pair("She's Minnie now.", each, ends=each == NAME) for each in (DOG, NAME, MO)
    )
    # "forget the breed" may mean the dog as a whole
    assert by_line["forget the breed"].pairs == tuple(Pair("forget the breed", x, ends=x == DOG) for x in (DOG, MO))
    assert by_line["how old is Juno?"].kind == "none"


def test_a_bad_judgement_is_named_with_its_place(tmp_path: Path) -> None:
    bad = {"kind": "none", "line": "Hi", "yes": ["I am Bo."], "no": ["x"]}
    with pytest.raises(DataError, match=r"judged.jsonl.*1.*'Hi'"):
        load_judged(validation=False, directory=tables(tmp_path, bad, ROW))
    with pytest.raises(DataError, match=r"contrast.jsonl.*1.*baritone"):
        load_judged(validation=False, directory=tables(tmp_path, bad | {"yes": []}, ROW | {"end_kind": "ask"}))


def test_drawn_pairs_fit_their_line_or_are_about_something_else(drawn: DrawnPairs) -> None:
    rng = random.Random(1)
    pairs = [pair for _ in range(60) for pair in drawn.group(rng)]
    assert {(pair.answers, pair.ends) for pair in pairs} == {(True, False), (False, True), (False, False)}
    fitting = {(pair.line, pair.statement) for pair in pairs if pair.answers or pair.ends}
    assert not fitting & {(pair.line, pair.statement) for pair in pairs if not (pair.answers or pair.ends)}


def test_pairs_are_labelled_in_the_order_of_the_logits() -> None:
    assert labels([Pair("a", "b", answers=True), Pair("a", "c", ends=True)]).tolist() == [[1, 0], [0, 1]]


def test_a_batch_has_its_share_of_hand_written_pairs(drawn: DrawnPairs) -> None:
    judged = load_judged(validation=True)
    pairs = batch_of(judged, drawn, 20, 0.5, random.Random(0))
    written = {pair for each in judged for pair in each.pairs}
    lines = {pair.line for pair in written}
    assert len(pairs) == 20
    assert all(pair.line in lines for pair in pairs[:10])
    beside = [pair for pair in pairs if pair.line in lines and pair not in written]
    assert beside and not any(pair.answers or pair.ends for pair in beside)


def test_a_drawn_memory_answers_a_question_only_by_what_was_asked_for(drawn: DrawnPairs) -> None:
    rng = random.Random(3)
    groups = [drawn.in_memory(rng) for _ in range(90)]
    assert {sum(pair.answers or pair.ends for pair in pairs) for pairs in groups} == {0, 1}
    assert all(READ <= len({pair.statement for pair in pairs}) <= READ + 1 for pairs in groups)
    asked, ended = (
        {line: fact.statement for fact in drawn.facts for line in getattr(fact, kind)} for kind in ("near", "near_end")
    )
    for near in (asked, ended):
        tempting = [pair for pairs in groups for pair in pairs if near.get(pair.line) == pair.statement]
        assert tempting and not any(pair.answers or pair.ends for pair in tempting)


def test_a_doubt_asks_for_what_it_doubts(drawn: DrawnPairs) -> None:
    rng = random.Random(5)
    groups = [pairs for pairs in (drawn.doubted(rng) for _ in range(20)) if pairs]
    assert groups
    for first, *others in groups:
        assert first.answers and not first.ends
        assert others and not any(pair.answers or pair.ends for pair in others)
