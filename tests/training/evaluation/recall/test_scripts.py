"""Scripts of the memory benchmark: repeatable, apart from training, and what they ask was told."""

from __future__ import annotations

import pytest

from training.data.synthetic.values import split_of
from training.data.synthetic.written import fixed_value, load_facts
from training.evaluation.recall import items as recall_items
from training.evaluation.recall.handwritten import development_facts
from training.evaluation.recall.scripts import make_scripts
from training.evaluation.recall.tasks import MEASURES, TASKS, TIERS, Task, Tier
from training.evaluation.scoring import names_any


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("task", TASKS)
def test_scripts_are_a_function_of_the_seed_and_their_words_hold_what_is_asked(task: Task, tier: Tier) -> None:
    scripts = make_scripts(task, tier, facts=12, per_person=4, seed=3)
    assert scripts == make_scripts(task, tier, facts=12, per_person=4, seed=3)
    assert scripts != make_scripts(task, tier, facts=12, per_person=4, seed=4)
    assert len(scripts) >= 2
    for script in scripts:
        assert script.facts
        assert len(script.facts) < len(script.lines)  # there is small talk, too
        assert len(script.sessions) == 2
        assert script.questions
        for line in script.facts:
            assert names_any(line.text, line.values), line
        for line in script.changes:
            assert line.outdates
        for question in script.questions:
            assert question.measure in MEASURES[task]
            assert not names_any(question.text, [v for group in question.wanted for v in group]), question


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("task", TASKS)
def test_values_are_never_those_of_training(task: Task, tier: Tier) -> None:
    for script in make_scripts(task, tier, facts=20, per_person=5, seed=0):
        for line in (*script.facts, *script.changes):
            spellings = [value for value in line.values if split_of(value) == "test"]
            assert spellings or not line.values, line


def test_no_fact_of_a_person_holds_the_value_of_another() -> None:
    for tier in TIERS:
        for script in make_scripts("recall", tier, facts=40, per_person=8, seed=0):
            for line in script.facts:
                others = [other for other in script.facts if other is not line]
                assert not any(names_any(other.text, line.values) for other in others), (line, others)


def test_never_told_asks_for_what_lies_near_and_was_not_told() -> None:
    near = total = 0
    for script in make_scripts("never-told", "seen", facts=50, per_person=5, seed=0):
        told = " / ".join(line.text for line in script.lines)
        for question in script.questions:
            assert question.text not in told
            assert set(question.unwanted) == set(script.values)
            total += 1
            near += question.kind is not None
    assert near == total == 50


def test_hand_written_facts_are_told_once_and_run_out() -> None:
    scripts = make_scripts("recall", "hand-written", facts=10_000, per_person=5, seed=0)
    asked = [question.text for script in scripts for question in script.questions]
    assert len(asked) == len(recall_items.FACTS)


def test_a_change_outdates_what_was_told_and_its_question_wants_the_new_value() -> None:
    for script in make_scripts("update", "held-out", facts=10, per_person=5, seed=0):
        changed = [q for q in script.questions if q.measure == "new value, not the old"]
        assert len(changed) == len(script.changes) == 3
        for line, question in zip(script.changes, changed, strict=True):
            assert question.wanted == (line.values,)
            assert set(question.unwanted) == set(line.outdates)
            assert any(set(line.outdates) <= set(fact.values) for fact in script.facts)


def test_the_development_tier_asks_for_facts_that_training_holds_out() -> None:
    """Each of its facts is one of the held-out rows, told and asked for once; the benchmark runs it when asked to."""
    held = load_facts(validation=True)
    scripts = make_scripts("recall", "development", facts=200, per_person=20, seed=0)
    told = [line for script in scripts for line in script.facts]
    assert len({line.text for line in told}) == len(told) == len(held)
    assert {line.values[0] for line in told} == {value[0] for value in map(fixed_value, held) if value}
    assert max(len(script.facts) for script in scripts) == 20
    assert "development" not in TIERS


def test_a_development_memory_knows_none_of_what_never_told_asks_for() -> None:
    for script in make_scripts("never-told", "development", facts=80, per_person=20, seed=0):
        asked = {question.text for question in script.questions}
        told = {value for line in script.facts for value in line.values}
        facts = [fact for fact in development_facts().told if fact.question in asked]
        assert len(facts) == len(asked)
        assert not told & {fact.value for fact in facts}


def test_the_development_tier_has_no_joined_questions() -> None:
    assert make_scripts("joined", "development", facts=20, per_person=2, seed=0) == []
