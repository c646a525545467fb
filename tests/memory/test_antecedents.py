"""What a statement leans on: the ones said just before it, in the same session, and no others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.stores import opened, told, turn
from varda_chat.errors import VardaError
from varda_chat.memory import MemoryStore
from varda_chat.memory.antecedents import in_context, leans, leant_on


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


AUNT, AGE, CHOIR = "My aunt Ida lives in Voss.", "She is eighty now.", "She sings in a choir."


def remember(store: MemoryStore, *sentences: str, session: str = "s", at: float | None = None) -> list[int]:
    changes = turn(*map(told, sentences))
    return [each.id for each in store.apply(changes, session=session, said_at=at).stored]


def before(store: MemoryStore, statement: int) -> list[str]:
    return [each.text for each in store.antecedents(statement)]


def test_a_statement_leans_on_those_before_it(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        aunt, age, choir, cat, more = remember(store, AUNT, AGE, CHOIR, "My cat hates rain.", "It is very old now.")
        assert before(store, aunt) == before(store, cat) == []
        assert before(store, age) == [AUNT]
        assert before(store, choir) == [AUNT, AGE]
        assert before(store, more) == ["My cat hates rain."]
        chain = "She has a neighbour.", "He is a nice man.", "It is a small place.", "There he goes."
        assert before(store, remember(store, *chain)[-1]) == [*chain[1:3]], "two at most"
        with pytest.raises(VardaError, match="no memory with the id 99"):
            store.antecedents(99)


def test_what_was_said_elsewhere_is_none(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        remember(store, AUNT, session="a", at=1000.0)
        assert before(store, *remember(store, AGE, session="b", at=1000.0)) == [], "another session"
        assert before(store, *remember(store, "She is 81.", session="b", at=1001.0)) == [], "another line"
        replied = replace(told("She must like it there."), role="assistant")
        (reply,) = store.apply(turn(replied), session="b", said_at=1001.0).stored
        assert before(store, reply.id) == [], "another speaker"


def test_what_was_told_before_is_found_by_no_line_of_now(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        remember(store, AUNT)
        remember(store, "My cat hates rain.")
        store.apply(turn(told(AUNT), told(CHOIR)), session="s")
        choir = max(each.id for each in store.statements())
        assert before(store, choir) == [], "not the cat"


def test_what_is_forgotten_is_leant_on_no_more(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        remember(store, "My cat hates rain.")
        aunt, age, choir = remember(store, AUNT, AGE, CHOIR)
        assert [each.text for each in store.antecedents(choir, without=[age])] == [AUNT]
        store.forget([age])
        assert before(store, choir) == [AUNT]
        store.forget([aunt])
        assert before(store, choir) == []
        store.undo_last()
        assert before(store, choir) == [AUNT]


def test_a_copy_of_the_memory_leans_on_the_same(tmp_path: Path) -> None:
    with opened(tmp_path / "one") as store, opened(tmp_path / "other") as other:
        store.forget(remember(store, "My cat hates rain."))
        aunt, _, choir = remember(store, AUNT, AGE, CHOIR)
        other.importing.add(store.reader.exported())
        copied = {each.text: each.id for each in other.statements()}
        assert copied[CHOIR] != choir
        assert before(other, copied[CHOIR]) == before(store, choir) == [AUNT, AGE]
        assert before(other, copied[AUNT]) == before(store, aunt) == []
