"""The evaluation of everyday replies: the shape of its items, how replies are judged, the command."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from training.cli import evaluate
from training.evaluation import DATA
from training.evaluation.replies import conversation
from training.evaluation.replies.conversation import Judge, Kind, Memory, Prompt, measure, words_of
from training.evaluation.scoring import names
from training.tables import read_items
from varda_chat.config.defaults import GenerationSettings
from varda_chat.models.checkpoint import load_checkpoint

KINDS = read_items(DATA / "conversation_kinds.jsonl", Kind)
PROMPTS = read_items(DATA / "conversation_prompts.jsonl", Prompt)
MEMORY = read_items(DATA / "conversation_memory.jsonl", Memory)


@pytest.fixture(scope="module")
def judge() -> Judge:
    words = frozenset(
        words_of(
            "hello how are you goodbye the capital of france is paris it i don't know many cows need your job archivist"
        )
    )
    return Judge(KINDS, [each.value for each in MEMORY], words)


def prompt(text: str) -> Prompt:
    return next(each for each in PROMPTS if each.text == text)


def test_items_are_120_prompts_of_twelve_kinds() -> None:
    assert len(PROMPTS) == len({each.text for each in PROMPTS}) == 120
    count = Counter(each.kind for each in PROMPTS)
    assert set(count) == {kind.kind for kind in KINDS}
    assert len(count) == 12
    assert min(count.values()) >= 8
    patterns = [pattern for kind in KINDS for pattern in (*kind.wanted, *kind.unwanted)]
    patterns += [pattern for each in PROMPTS for pattern in (*each.wanted, *each.unwanted)]
    for pattern in patterns:
        re.compile(pattern)
        # replies are searched in lower case
        assert pattern == pattern.casefold()
    for each in PROMPTS:
        assert (each.answer is not None) == (each.kind in ("world", "arithmetic"))


def test_values_of_the_memory_are_told_apart_and_asked_for_by_no_prompt() -> None:
    for each in MEMORY:
        assert names(each.text, each.value)
        assert not any(names(other.text, each.value) for other in MEMORY if other is not each)
        assert not any(names(other.text, each.value) for other in PROMPTS)


@pytest.mark.parametrize(
    ("text", "reply", "fault"),
    [
        ("Hello!", "Hello! How are you?", None),
        ("Hello!", "Goodbye!", "unwanted"),
        ("What's the capital of France?", "Paris.", None),
        ("What's the capital of France?", "I don't know the capital of France.", None),
        ("What's the capital of France?", "Your job is archivist.", "value from memory"),
        ("Hello!", "Hello! You are calledse.", "torn word"),
        ("Hello!", "Hello, it'scing.", "torn word"),
        ("Hello!", "hello how are you hello how are you", "loop"),
        ("What is two plus two?", "5", "wrong number"),
        ("What is two plus two?", "4", None),
        ("Hello!", "", "empty reply"),
    ],
)
def test_faults(judge: Judge, text: str, reply: str, fault: str | None) -> None:
    assert judge.fault(prompt(text), reply, "full")[0] == fault
    assert judge.acceptable(prompt(text), reply, "full") == (fault is None)


def test_an_abstention_about_something_else_is_not_acceptable(judge: Judge) -> None:
    france = prompt("What's the capital of France?")
    assert not judge.acceptable(france, "I don't know how many cows you need.", "empty")
    assert judge.acceptable(france, "I don't know.", "empty")
    assert judge.right(france, "It is Paris.")
    assert judge.right(prompt("Hello!"), "Paris") is None


def test_a_value_is_no_fault_in_an_empty_memory(judge: Judge) -> None:
    assert judge.fault(prompt("Hello!"), "Hello archivist", "empty") == (None, "")


def test_command_writes_what_it_found(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    chosen = [prompt("Hello!"), prompt("My shoe size is 43.")]
    short = GenerationSettings(max_new_tokens=4)
    monkeypatch.setattr(
        conversation, "measure",
        lambda checkpoint, **given: measure(checkpoint, prompts=chosen, generation=short, **given),
    )  # fmt: skip
    out = tmp_path / "c.json"
    result = CliRunner().invoke(
        evaluate,
        [str(tiny_checkpoint), "conversation", "--json", str(out), "--exchanges", str(tmp_path / "c.md")],
    )
    assert result.exit_code == 0, result.output
    found = json.loads(out.read_text())
    assert len(found["replies"]) == 2 * 2 * 3
    assert found["all"]["full"]["acceptable"]["total"] == 6
    assert all(not each["stored"] for each in found["replies"] if each["kind"] == "incognito")
    assert "(full, seed 2)" in (tmp_path / "c.md").read_text()
    assert "Torn words are not looked for" in result.stdout


def test_a_seed_gives_the_same_replies(tiny_checkpoint: Path) -> None:
    checkpoint = load_checkpoint(tiny_checkpoint)
    short = GenerationSettings(max_new_tokens=6)
    runs = [
        measure(checkpoint, prompts=[prompt("Hello!")], seeds=[seed], states=["empty"], generation=short)
        for seed in (3, 3)
    ]
    assert runs[0].replies == runs[1].replies
