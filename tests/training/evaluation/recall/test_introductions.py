"""Several things told in a line: how much of it is stored, found and said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from training.cli import evaluate
from training.evaluation.recall import introductions
from training.evaluation.recall.introductions import (
    Answer,
    Introductions,
    Person,
    introductions_json,
    measure,
    read_people,
    wrong_answers,
)
from varda_chat.config.defaults import GenerationSettings
from varda_chat.errors import DataError
from varda_chat.models.chat_format import sentence_spans
from varda_chat.models.checkpoint import Checkpoint

SHORT = GenerationSettings(temperature=0.0, max_new_tokens=4)
PEOPLE = (
    Person(("My dog is called Rimba. He hates the rain.",), (("What is my dog called?", ("Rimba",)),)),
    Person(("I live in Lisbon. It is by the sea.",), (("Where do I live?", ("Lisbon",)),)),
)


def test_forty_people_tell_several_things_a_line() -> None:
    people = read_people()
    assert len(people) == 40
    for person in people:
        assert len(person.lines) == 3 and len(person.asked) == 5
        assert all(len(sentence_spans(line)) > 1 for line in person.lines)
        for question, values in person.asked:
            assert not introductions._holds(question, values), "a question gives nothing away"
    lines = [line for person in people for line in person.lines]
    assert len(set(lines)) == 120


@pytest.mark.parametrize(
    ("text", "values", "holds"),
    [
        ("You grow dahlias.", ("dahlia",), True),
        ("It's on the 9TH, in March.", ("March 9", "9th"), True),
        ("Théo", ("theo",), True),
        ("You work at the portrait gallery.", ("art",), False),
        ("", ("x",), False),
    ],
)
def test_an_answer_holds_a_value_in_its_words(text: str, values: tuple[str, ...], holds: bool) -> None:
    assert introductions._holds(text, values) is holds


def test_a_value_that_no_line_holds_is_named(tmp_path: Path) -> None:
    entry = {"lines": ["I am Bo."], "asked": [{"ask": "Who am I?", "values": ["Ida"]}]}
    (tmp_path / "people.jsonl").write_text(json.dumps(entry) + "\n")
    with pytest.raises(DataError, match=r"people.jsonl.*1.*Who am I"):
        read_people(tmp_path / "people.jsonl")


def test_answers_are_measured_after_a_restart(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(introductions, "GREEDY", SHORT)
    steps: list[tuple[int, int]] = []
    found = measure(checkpoint, PEOPLE, on_progress=lambda _doing, done, total: steps.append((done, total)))
    assert steps[-1] == (6, 6)
    assert [each.asked for each in found.answers] == ["What is my dog called?", "Where do I live?"]
    assert found.tokens > found.stored_tokens > 0
    report = introductions_json(found)
    assert report["right"]["total"] == 2
    assert len(report["answers"]) == 2


def test_what_went_wrong_is_said() -> None:
    def answer(*, stored: bool, read: bool, right: bool) -> Answer:
        return Answer(0, "Who?", ("Bo", "Ida"), "Tom.", stored, read, right, False)

    answers = (
        answer(stored=True, read=True, right=True), answer(stored=True, read=True, right=False),
        answer(stored=True, read=False, right=False), answer(stored=False, read=False, right=False),
    )  # fmt: skip
    assert wrong_answers(Introductions(answers, 9, 1), 9) == tuple(
        f"Who? -> Tom.  (Bo/Ida; {why})" for why in ("read", "not found", "not stored")
    )
    assert len(wrong_answers(Introductions(answers, 9, 1), 1)) == 1


def test_the_command_prints_a_table_and_writes_json(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(introductions, "GREEDY", SHORT)
    monkeypatch.setattr(introductions, "read_people", lambda: PEOPLE)
    out = tmp_path / "introductions.json"
    ran = CliRunner().invoke(evaluate, [str(tiny_checkpoint), "introductions", "--show", "1", "--json", str(out)])
    assert ran.exit_code == 0, ran.output
    assert "Several things told in a line" in ran.stdout
    assert json.loads(out.read_text())["about"]["measure"] == "introductions"
