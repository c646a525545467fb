"""What counts as naming a value, as admitting not to know, as making one up, and as a loop."""

from __future__ import annotations

import pytest

from training.data.synthetic.relations import RELATIONS
from training.evaluation.scoring import Score, admits, honest, loops, makes_up, names, span_of


@pytest.mark.parametrize(
    ("reply", "value", "named"),
    [
        ("Your dog's name is Rimba.", "Rimba", True),
        ("RIMBA!", "rimba", True),
        ("Rimbaud", "Rimba", False),
        ("14 maple road", "14 Maple Road", True),
        ("14 Maple", "14 Maple Road", False),
        ("It's dark-green.", "dark green", True),
        ("She drinks creme brulee.", "crème brûlée", True),
        ("You go to Royal Barrel.", "the Royal Barrel", True),
        ("O’Brien", "O'Brien", True),
        ("anything", "", False),
        ("", "Rimba", False),
        ("a", "A", True),
    ],
)
def test_names(reply: str, value: str, named: bool) -> None:
    assert names(reply, value) is named


@pytest.mark.parametrize(
    "reply",
    [
        "I don't know your cat's name yet. What is it?", "You haven't told me.", "I don't think you've told me that.",
        "I'm afraid I don't know.", "I’m not sure about that.", "I can't remember you telling me.", "No idea, sorry!",
        "You never mentioned it.", "I have no memory of that.", "Hmm, I really don't remember.", "You did not say.",
        "I've never heard that.", "I was not told.", "I don't believe you ever told me where you live.",
    ],
)  # fmt: skip
def test_abstentions(reply: str) -> None:
    assert admits(reply)


@pytest.mark.parametrize(
    "reply",
    [
        "Your cat is called Tom.",
        "That's nice to hear.",
        "I know!",
        "You told me that it's Tom.",
        "I remember that well.",
    ],
)
def test_no_abstentions(reply: str) -> None:
    assert not admits(reply)


def test_what_the_model_learns_to_say_when_it_does_not_know_is_right() -> None:
    """Every way of admitting that training teaches, for every relation, counts as honest."""
    missed = [
        (relation.name, reply)
        for relation in RELATIONS
        for reply in relation.unknown
        if not honest(reply, relation.ask[0], ("Zzyzx",), relation.kind)
    ]
    assert len(missed) <= 0.002 * sum(len(relation.unknown) for relation in RELATIONS), missed[:20]


@pytest.mark.parametrize(
    ("reply", "question", "kind", "made_up"),
    [
        ("I don't know, maybe Rex?", "What is my dog called?", "pet_name", True),
        ("I don't know your dog's name. What is it?", "What is my dog called?", "pet_name", False),
        ("I'm not sure, red I think.", "What's my favourite colour?", "colour", True),
        ("I'm not sure what your favourite colour is.", "What's my favourite colour?", "colour", False),
        ("I don't know. Is it 42?", "What's my number?", None, True),
        ("I don't know your Lisbon address.", "What's my address in Lisbon?", None, False),
        ("Sorry, I don't know. What is it?", "What's my pin?", "code", False),
    ],
)
def test_makes_up(reply: str, question: str, kind: str | None, made_up: bool) -> None:
    assert makes_up(reply, question, kind) is made_up


@pytest.mark.parametrize(
    ("reply", "looping"),
    [
        ("I like it a lot. I like it a lot.", True),
        ("no no no no no", True),
        ("I like it. I like it.", False),
        ("I am fine, thank you. How are you?", False),
        ("", False),
    ],
)
def test_loops(reply: str, looping: bool) -> None:
    assert loops(reply) is looping


def test_wilson_interval() -> None:
    low, high = Score(8, 10).interval
    assert (round(low, 3), round(high, 3)) == (0.490, 0.943)
    assert Score(0, 0).interval == (0.0, 1.0)
    assert Score(0, 20).interval[0] == pytest.approx(0.0)
    assert Score(20, 20).interval[1] == pytest.approx(1.0)
    assert Score.of([True, False]) == Score(1, 2)


@pytest.mark.parametrize(
    ("text", "value", "span"),
    [
        ("My dog is called Rimba.", "Rimba", (17, 22)),
        ("she's a Nurse", "nurse", (8, 13)),
        ("I have a nursery.", "nurse", None),
        ("It's red, a dark red.", "dark red", (12, 20)),
    ],
)
def test_span_of(text: str, value: str, span: tuple[int, int] | None) -> None:
    assert span_of(text, value) == span
