"""Pairs of a line and a statement that are judged by hand, and pairs that are drawn of facts and lines."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from training.adapter.judged import READ, DrawnPairs, Pair, batch_of, labels, load_judged
from varda_chat.errors import DataError


def test_hand_written_judgements_are_read_and_held_out_apart() -> None:
    training, held = load_judged(validation=False), load_judged(validation=True)
    assert len(training) > 15 * len(held) > 0
    assert not {each.pairs[0].line for each in training} & {each.pairs[0].line for each in held}
    for each in (*training, *held):
        fitting = [pair for pair in each.pairs if pair.answers or pair.ends]
        assert bool(fitting) == (each.kind != "none")
        assert all(pair.answers == (each.kind == "ask") for pair in fitting)
        assert len(each.pairs) > len(fitting)


def test_a_bad_judgement_is_named_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "judged.jsonl"
    path.write_text(json.dumps({"kind": "none", "line": "Hi", "yes": ["I am Bo."], "no": ["x"]}) + "\n", "utf-8")
    with pytest.raises(DataError, match=r"judged.jsonl.*1.*'Hi'"):
        load_judged(validation=False, path=path)


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
