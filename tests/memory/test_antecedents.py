"""What a statement leans on: the ones said just before it, in the same session, and no others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.stores import opened, told, turn
from varda_chat.errors import VardaError
from varda_chat.memory import MemoryStore
from varda_chat.memory.antecedents import MOST_SECONDS, ROOM, in_context, leans


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("She waters my plants.", True),
        ("and he plays the tuba", True),
        ("Well, actually, THEY moved to Uppsala last year.", True),
        ("It'll be called The Third Steep.", True),
        ("Their son never talks to me.", True),
        ("There are eleven of them now.", True),
        ("Four of them!", True),
        ("It is my sister's birthday on Monday.", False),
        ("That's my favourite song of all.", False),
        ("This week I work nights.", False),
        ("I love rhubarb.", False),
        ("My sister Ana is a dentist.", False),
        ("History is what I study.", False),
        ("Hermann sings in a choir.", False),
    ],
)
def test_what_begins_with_a_pronoun_or_is_short_leans(text: str, expected: bool) -> None:
    assert leans(text) is expected


def test_what_it_leans_on_stands_before_it_as_far_as_there_is_room() -> None:
    assert in_context([], "She sings.") == "She sings."
    assert in_context(["My aunt is ill.", "She is 80."], "She sings.") == "(My aunt is ill. She is 80.) She sings."
    assert in_context(["x" * ROOM, "She is 80."], "She sings.") == "(She is 80.) She sings."
    assert in_context(["My aunt is ill."], "x" * ROOM) == "x" * ROOM


AUNT, AGE, CHOIR = "My aunt Ida lives in Voss.", "She is eighty now.", "She sings in a choir."


def remember(store: MemoryStore, *sentences: str, session: str = "s", at: float | None = None) -> list[int]:
    changes = turn(*map(told, sentences))
    return [each.id for each in store.apply(changes, session=session, said_at=at).stored]


def before(store: MemoryStore, statement: int) -> list[str]:
    return [each.text for each in store.antecedents(statement)]


def test_a_statement_leans_on_those_before_it(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        aunt, age, choir, cat = remember(store, AUNT, AGE, CHOIR, "My cat hates rain.")
        assert before(store, aunt) == before(store, cat) == []
        assert before(store, age) == [AUNT]
        assert before(store, choir) == [AUNT, AGE]
        (farm,) = remember(store, "They have a farm there.")
        assert before(store, farm) == ["My cat hates rain."], "the turn before"
        (more,) = remember(store, "She is their neighbour.", "It is a goat farm.", "It is by the sea.")[2:]
        assert before(store, more) == ["She is their neighbour.", "It is a goat farm."], "two at most"
        with pytest.raises(VardaError, match="no memory with the id 99"):
            store.antecedents(99)


def test_what_was_said_elsewhere_or_long_before_is_none(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        remember(store, AUNT, session="a", at=1000.0)
        assert before(store, *remember(store, AGE, session="b", at=1001.0)) == []
        remember(store, AUNT + " Still.", session="b", at=1002.0)
        assert before(store, *remember(store, "She is 81.", session="b", at=1002.0 + MOST_SECONDS)) != []
        assert before(store, *remember(store, "She is 82.", session="b", at=1004.0 + 2 * MOST_SECONDS)) == []
        replied = replace(told("She must like it there."), role="assistant")
        (reply,) = store.apply(turn(replied), session="b", said_at=1005.0 + 2 * MOST_SECONDS).stored
        assert before(store, reply.id) == []


def test_what_is_forgotten_is_leant_on_no_more(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        aunt, age, choir = remember(store, AUNT, AGE, CHOIR)
        store.forget([age])
        assert before(store, choir) == [AUNT]
        store.forget([aunt])
        assert before(store, choir) == []
