"""Sessions and their labels: repeatable, and each label where it belongs."""

from __future__ import annotations

import random

import numpy as np

from tests.helpers.adapters import CHAT, LENGTH
from training.adapter.labels import INTENT, STATUS, Session
from training.adapter.sessions import SessionBuilder
from varda_chat.models.chat_format import NOTES
from varda_chat.models.configuration import INTENTS, STATUSES


def test_the_same_seed_gives_the_same_sessions(builder: SessionBuilder, sessions: list[Session]) -> None:
    for seed, first in enumerate(sessions[:4]):
        again = builder.draw(random.Random(seed), 2, LENGTH)
        for name, array in vars(first.arrays).items():
            np.testing.assert_array_equal(array, getattr(again.arrays, name), err_msg=name)
        np.testing.assert_array_equal(first.status, again.status)
        assert first.turns == again.turns
    assert not np.array_equal(sessions[0].arrays.ids, sessions[1].arrays.ids)


def test_each_turn_is_labelled_at_the_end_of_the_users_message(sessions: list[Session]) -> None:
    seen: set[str] = set()
    for session in sessions:
        for turn in session.turns:
            ids = session.arrays.ids[turn.session].tolist()
            assert ids[turn.end] == CHAT.end_id
            start = max(i for i in range(turn.end) if ids[i] == CHAT.headers["user"][0])
            assert ids[start : start + len(CHAT.headers["user"])] == CHAT.headers["user"]
            reply = turn.end + len(CHAT.footer)
            if ids[reply + 1] != CHAT.assistant_id:
                note = CHAT.decode(ids[reply : ids.index(CHAT.end_id, reply)])
                assert note.startswith("memory\n" + NOTES[STATUSES[turn.status]])
                reply = ids.index(CHAT.end_id, reply) + len(CHAT.footer)
            elif not turn.real:
                assert STATUSES[turn.status] == "nothing"
            assert ids[reply : reply + len(CHAT.reply_prompt)] == CHAT.reply_prompt
            end = ids.index(CHAT.end_id, reply)
            status = session.status[turn.session]
            assert set(status[reply : end + 1].tolist()) <= {-1, turn.status}
            assert set(status[start:reply].tolist()) == {-1}
            if turn.intent >= 0:
                seen.add(f"{INTENTS[turn.intent]} {STATUSES[turn.status]}")
    assert {"tell stored", "ask recalled", "other nothing"} <= seen


def test_a_question_finds_the_sentence_that_told_the_fact(sessions: list[Session]) -> None:
    found = missed = 0
    for session in sessions:
        arrays = session.arrays
        for turn in session.turns:
            if turn.target < 0 or STATUSES[turn.status] != "recalled":
                continue
            ids = arrays.ids[turn.session].tolist()
            start = turn.end + len(CHAT.footer)
            note = CHAT.decode(ids[start : ids.index(CHAT.end_id, start)])
            told = CHAT.decode([int(t) for t in arrays.ids[arrays.statement == turn.target]])
            answered = (arrays.target_statement[turn.session] == turn.target).nonzero()[0]
            said = any(start < place < start + 200 for place in answered)
            assert (told.strip() in note) or not said
            found, missed = found + said, missed + (told.strip() not in note)
    assert found > 5 and found > missed


def test_a_value_that_is_said_is_the_value_that_was_told(sessions: list[Session]) -> None:
    compared = 0
    for session in sessions:
        arrays = session.arrays
        for row, targets in enumerate(arrays.target_statement):
            for statement in sorted({int(each) for each in targets if each >= 0}):
                said = CHAT.decode([int(t) for t in arrays.ids[row][1:][targets[:-1] == statement]])
                told = CHAT.decode([int(t) for t in arrays.ids[arrays.statement == statement]])
                first, second = (text.strip().lower().strip(".,!? ") for text in (said, told))
                assert first and second
                assert second in first, (said, told)
                compared += 1
    assert compared > 5


def test_only_the_users_tokens_are_stored_and_only_replies_are_learned(sessions: list[Session]) -> None:
    for session in sessions:
        arrays = session.arrays
        for row, ids in enumerate(arrays.ids):
            role = 0
            for place, token in enumerate(ids.tolist()):
                if not arrays.valid[row, place]:
                    break
                if token == CHAT.headers["user"][0]:
                    role = int(ids[place + 1])
                if arrays.store_label[row, place] == 1:
                    assert role == CHAT.user_id
                if place and arrays.target_weight[row, place - 1] > 0:
                    assert role == CHAT.assistant_id
        told = arrays.statement >= 0
        assert (arrays.store_label[told] == 1).all()


def test_intents_and_statuses_are_those_of_the_model() -> None:
    assert list(INTENT) == list(INTENTS)
    assert list(STATUS) == list(STATUSES)
