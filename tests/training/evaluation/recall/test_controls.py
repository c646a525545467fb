"""Each control of the memory benchmark is one: what it stores, what it reads, and what it leaves behind."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from training.evaluation.recall import controls
from training.evaluation.recall.controls import (
    asking,
    prompt_of,
    somebody_else,
    store_blindly,
    text_search,
    vectors_held,
)
from training.evaluation.recall.reading import room
from training.evaluation.recall.telling import Person, open_store, questioning
from varda_chat.models.checkpoint import Checkpoint

pytestmark = pytest.mark.usefixtures("short_replies")


def test_store_everything_holds_every_token_and_a_random_store_the_budget(
    checkpoint: Checkpoint, people: list[Person], tmp_path: Path
) -> None:
    person = people[0]
    said = sum(len(checkpoint.chat.encode("user", turn.prompt).ids) - 2 for _, turn in person.told)
    rng = random.Random(0)
    store_blindly(checkpoint, person, tmp_path / "all", None, rng)
    store_blindly(checkpoint, person, tmp_path / "some", 7, rng)
    for directory, size in (("all", said), ("some", 7)):
        with open_store(checkpoint, tmp_path / directory, read_only=True) as store:
            assert store.size == size


def test_a_shuffled_memory_is_somebody_elses(
    checkpoint: Checkpoint, people: list[Person], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert somebody_else(people, 0) is people[1]
    assert somebody_else(people, 1) is people[0]
    opened: list[tuple[Path, bool]] = []

    def spy(checkpoint: Checkpoint, directory: Path, *, use_memory: bool = True) -> Any:
        opened.append((directory, use_memory))
        return questioning(checkpoint, directory, use_memory=use_memory)

    monkeypatch.setattr(controls, "questioning", spy)
    for control in ("shuffled-memory", "no-memory", "store-everything"):
        with asking(control, checkpoint, people, 0, tmp_path, 0) as ask:
            assert isinstance(ask("What is my dog called?"), str)
    assert opened[0] == (people[1].directory, True)
    assert opened[1] == (people[0].directory, False)
    assert opened[2][0].is_relative_to(tmp_path)


@pytest.mark.parametrize("control", ["facts-in-prompt", "text-search"])
def test_the_prompts_of_the_plain_controls_hold_statements_and_no_memory_is_read(
    control: controls.Control, checkpoint: Checkpoint, people: list[Person], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    seen: list[tuple[str, Any]] = []

    def spy(model: Any, chat: Any, prompt: list[int], memory: Any, *args: Any) -> list[int]:
        seen.append((chat.decode(prompt), memory))
        return []

    monkeypatch.setattr(controls, "generate_reply", spy)
    person = people[0]
    with asking(control, checkpoint, people, 0, tmp_path, 0) as ask:
        ask("What is this about?")
    (prompt, memory), facts = seen[0], [turn.prompt for line, turn in person.told if line.values]
    assert memory is None
    assert prompt.rstrip().endswith("What is this about?")
    if control == "facts-in-prompt":
        assert all(fact in prompt for fact in facts)
    else:
        assert sum(turn.prompt in prompt for _, turn in person.told) == controls.LINES_FOUND


def test_text_search_finds_the_line_that_shares_words() -> None:
    said = [
        ("I had soup.", "Nice."),
        ("My dog is called Rimba.", "Noted."),
        ("Morning!", "Hi."),
        ("My cat naps.", "Aw."),
    ]
    found = text_search(said)("What is my dog called?")
    assert len(found) == controls.LINES_FOUND
    assert said[1] in found


def test_a_prompt_that_is_too_long_loses_its_first_turns_and_keeps_the_question(checkpoint: Checkpoint) -> None:
    turns = [(f"Number {n}.", "Yes.") for n in range(40)]
    ids = prompt_of(checkpoint, turns, "What is my dog called?")
    text = checkpoint.chat.decode(ids)
    assert len(ids) <= room(checkpoint)
    assert "Number 0." not in text
    assert "Number 39." in text
    assert "What is my dog called?" in text


def test_asking_leaves_nothing_behind(checkpoint: Checkpoint, people: list[Person]) -> None:
    before = vectors_held(checkpoint, people[0])
    with questioning(checkpoint, people[0].directory) as ask:
        first = ask("My dog is called Rimba.")
        assert ask("My dog is called Rimba.") == first
    assert vectors_held(checkpoint, people[0]) == before
