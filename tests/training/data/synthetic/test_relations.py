"""The relations' templates are whole, and no test value is ever drawn for training."""

import random
import re

import pytest

from training.data.synthetic.relations import RELATIONS, Relation, render
from training.data.synthetic.values import KINDS, draw, split_of, with_article

_PLACEHOLDER = re.compile(r"\{[^}]*\}")
_WITH_VALUE = {"tell": 6, "answer": 2, "correct": 3, "tell_held_out": 2}
_WITHOUT_VALUE = {"ask": 5, "forget": 3, "unknown": 2, "acknowledge": 4, "ask_held_out": 2}


def _ids(relation: Relation) -> str:
    return relation.name


@pytest.mark.parametrize("relation", RELATIONS, ids=_ids)
def test_templates_have_their_placeholders(relation: Relation) -> None:
    for field, least in (_WITH_VALUE | _WITHOUT_VALUE).items():
        templates: tuple[str, ...] = getattr(relation, field)
        assert len(set(templates)) == len(templates) >= least, field
        for template in templates:
            found = _PLACEHOLDER.findall(template)
            if field in _WITH_VALUE:
                assert len(found) == 1, template
                assert found[0] in ("{value}", "{a_value}"), template
            else:
                assert not found, template
            assert "{" not in render(template, "x"), template
            assert "  " not in template, template


@pytest.mark.parametrize("relation", RELATIONS, ids=_ids)
def test_held_out_phrasings_are_unseen(relation: Relation) -> None:
    assert not set(relation.tell_held_out) & set(relation.tell + relation.correct)
    assert not set(relation.ask_held_out) & set(relation.ask)


@pytest.mark.parametrize("relation", RELATIONS, ids=_ids)
def test_replies_speak_to_the_user(relation: Relation) -> None:
    for template in relation.answer + relation.unknown:
        assert not re.search(r"\bmy\b|\bam i\b|\bmine\b", template, re.IGNORECASE), template


def test_names_are_unique_and_kinds_exist() -> None:
    names = [relation.name for relation in RELATIONS]
    assert len(names) == len(set(names)) >= 110
    assert {relation.kind for relation in RELATIONS} <= set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_splits_are_disjoint(kind: str) -> None:
    rng = random.Random(kind)
    train = {draw(kind, "train", rng) for _ in range(2_000)}
    test = {draw(kind, "test", rng) for _ in range(2_000)}
    assert not {value.lower() for value in train} & {value.lower() for value in test}
    assert not any(re.search(r"rimba|\bmira\b", value, re.IGNORECASE) for value in train)
    assert all(value == " ".join(value.split()) for value in train | test)


def test_reserved_names_are_test_names() -> None:
    assert {split_of(name) for name in ("Rimba", "rimba", "Mira", "Little Rimba", "Mira Hill")} == {"test"}
    assert split_of("Rimbatoo") == "test"


def test_articles() -> None:
    assert with_article("nurse") == "a nurse"
    assert with_article("electrician") == "an electrician"
    assert with_article("ukulele") == "a ukulele"
    assert with_article("used piano") == "a used piano"
    assert render("I'm {a_value}.", "optician") == "I'm an optician."
