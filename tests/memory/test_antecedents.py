"""What a statement leans on: the ones said just before it, in the same session, and no others."""

from __future__ import annotations

import io
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.stores import opened, told, turn
from varda_chat.errors import VardaError
from varda_chat.memory import MemoryStore, TurnChanges
from varda_chat.memory.antecedents import in_context, leans, leant_on
from varda_chat.memory.export import lines_of, read_export


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
        ("This Friday I have my exam.", False),
        ("its my birthday on monday", False),
        ("im vegan", False),
        ("And I'm vegan.", False),
        ("I love rhubarb.", False),
        ("My sister Ana is a dentist.", False),
        ("History is what I study.", False),
        ("Hermann sings in a choir.", False),
    ],
)
def test_what_begins_with_a_pronoun_or_is_short_leans(text: str, expected: bool) -> None:
    assert leans(text) is expected


def test_what_it_leans_on_stands_before_it() -> None:
    assert in_context([], "She sings.") == "She sings."
    assert in_context(["My aunt is ill.", "She is 80."], "She sings.") == "(My aunt is ill. She is 80.) She sings."


def test_a_sentence_leans_on_the_two_before_it_at_most_and_on_no_cry() -> None:
    line = ("My aunt Ida has a farm.", "She makes cheese there.", "It is the best one.", "They sell it too.")
    assert leant_on(line, [0]) == set()
    assert leant_on(line, [1]) == {0}
    assert leant_on(line, [3]) == {1, 2}
    assert leant_on(("Oh dear!", "She makes cheese there."), [1]) == set()
    assert leant_on(("She makes cheese there.",), [0]) == set()
    assert leant_on(("I have a dog called Rex.", "My mother called.", "She is ill."), [2]) == {1}


AUNT, AGE, CHOIR = "My aunt Ida lives in Voss.", "She is eighty now.", "She sings in a choir."
CAT = "My cat hates rain."


def line(*sentences: str) -> TurnChanges:
    """What is stored of a message of these sentences."""
    firsts = (None, *sentences)
    return turn(*(replace(told(text), follows=before) for before, text in zip(firsts, sentences, strict=False)))


def remember(store: MemoryStore, *sentences: str) -> list[int]:
    return [each.id for each in store.apply(line(*sentences), session="s").stored]


def before(store: MemoryStore, statement: int) -> list[str]:
    return [each.text for each in store.antecedents(statement)]


def test_a_statement_leans_on_those_before_it(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        aunt, age, choir, cat, more = remember(store, AUNT, AGE, CHOIR, CAT, "It is very old now.")
        assert before(store, aunt) == before(store, cat) == []
        assert before(store, age) == [AUNT]
        assert before(store, choir) == [AUNT, AGE]
        assert before(store, more) == [CAT]
        chain = "She has a neighbour.", "He is a nice man.", "It is a small place.", "There he goes."
        assert before(store, remember(store, *chain)[-1]) == [*chain[1:3]], "two at most"
        with pytest.raises(VardaError, match="no memory with the id 99"):
            store.antecedents(99)
    with opened(tmp_path) as again:
        assert before(again, choir) == [AUNT, AGE]


def test_what_another_message_said_is_none(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        remember(store, AUNT)
        assert before(store, *remember(store, AGE)) == []
        store.apply(turn(told(CAT), told("Vegetarian.")), session="s", said_at=5.0)
        assert before(store, max(each.id for each in store.statements())) == [], "side by side, of no one message"


def test_what_was_told_before_is_leant_on_again(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        remember(store, AUNT)
        remember(store, CAT)
        (choir,) = remember(store, AUNT, CHOIR)
        assert before(store, choir) == [AUNT]
        assert remember(store, AUNT, CHOIR) == []
        assert before(store, choir) == [AUNT]


def test_what_is_forgotten_is_leant_on_no_more(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        _, _, _, neighbour, snores = remember(store, CAT, AUNT, AGE, "My neighbour Rex was ill.", "He snores.")
        store.forget([neighbour])
        assert before(store, snores) == [], "it is not the aunt who snores"
        store.undo_last()
        assert before(store, snores) == ["My neighbour Rex was ill."]
        store.forget([neighbour], purge=True)
        assert before(store, snores) == []


def test_what_comes_back_leans_on_the_same(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        aunt, _, choir = remember(store, AUNT, AGE, CHOIR)
        store.forget([choir])
        store.undo_last()
        assert before(store, choir) == [AUNT, AGE]
        store.forget([aunt])
        remember(store, AUNT)
        store.bring_back([aunt])
        assert before(store, choir) == [AUNT, AGE], "told again, and then brought back"


def test_a_copy_of_the_memory_leans_on_the_same(tmp_path: Path) -> None:
    with opened(tmp_path / "one") as store, opened(tmp_path / "other") as other:
        store.forget(remember(store, CAT))
        aunt, _, choir = remember(store, AUNT, AGE, CHOIR)
        _, rex, snores = remember(store, CAT, "My neighbour Rex was ill.", "He snores.")
        store.forget([rex])
        other.importing.add(store.reader.exported())
        copied = {each.text: each.id for each in other.statements()}
        assert copied[CHOIR] != choir
        assert before(other, copied[CHOIR]) == before(store, choir) == [AUNT, AGE]
        assert before(other, copied[AUNT]) == before(store, aunt) == []
        assert before(other, copied["He snores."]) == before(store, snores) == []


def test_an_export_says_what_follows_what(tmp_path: Path) -> None:
    with opened(tmp_path / "one") as store, opened(tmp_path / "other") as other:
        store.forget(remember(store, CAT))
        remember(store, AUNT, AGE)
        lines = b"".join(lines_of(store.reader.exported(), vectors=True))
        assert b'"follows": 2' in lines
        for damaged in (lines, lines.replace(b'"follows": 2', b'"follows": "2"')):
            read = [each for _, each in read_export(io.BytesIO(damaged), 9e9)]
            other.importing.add(each for each in read if not isinstance(each, str))
        assert any(isinstance(each, str) and "follows" in each for each in read)
        copied = {each.text: each.id for each in other.statements()}
        assert before(other, copied[AGE]) == [AUNT]


def test_a_damaged_memory_keeps_what_follows_what(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        _, _, choir = remember(store, AUNT, AGE, CHOIR)
    with closing(sqlite3.connect(tmp_path / "memory.db")) as db:
        db.execute("DROP INDEX statements_by_act")
        db.commit()
    with opened(tmp_path) as saved:
        assert saved.notices
        assert before(saved, choir) == [AUNT, AGE]
