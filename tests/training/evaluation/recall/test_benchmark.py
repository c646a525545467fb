"""The memory benchmark on a tiny real model: how it is judged, and that every task is run and counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from training.evaluation.figures.plots import COLOURS, check_chart, draw_chart
from training.evaluation.recall import controls
from training.evaluation.recall.benchmark import Benchmark, Outcome, Plan, judge, measure, measure_recall
from training.evaluation.recall.report import recall_json, recall_tables, wrong_answers
from training.evaluation.recall.scripts import make_scripts
from training.evaluation.recall.tasks import MEASURES, TASKS, TIERS, Question, Tier
from training.evaluation.recall.telling import open_store, tell, tell_changes
from training.evaluation.scoring import Score
from varda_chat.models.checkpoint import Checkpoint

pytestmark = pytest.mark.usefixtures("short_replies")


def question(**fields: Any) -> Question:
    return Question(**({"text": "What is my dog called?", "measure": "value named", "told": ""} | fields))


@pytest.mark.parametrize(
    ("asked", "reply", "right"),
    [
        (question(wanted=(("Rimba",),)), "your dog's called RIMBA!", True),
        (question(wanted=(("Rimba",),)), "Rimbaon", False),
        (question(wanted=(("14", "fourteen"),)), "He is fourteen.", True),
        (question(wanted=(("Mira",),), unwanted=("Rimba",)), "Mira.", True),
        (question(wanted=(("Mira",),), unwanted=("Rimba",)), "Mira, not Rimba.", False),
        (question(wanted=(("Mira",), ("nurse",))), "Mira, and she is a doctor.", False),
        (question(measure="not named any more", unwanted=("Rimba",)), "I don't know.", True),
        (question(measure="admits it, names nothing", kind="pet_name"), "You haven't told me.", True),
        (question(measure="admits it, names nothing", kind="pet_name"), "I don't know, is it Foxy?", False),
        (question(measure="admits it, names nothing", unwanted=("Tom",)), "I don't know, but tom is a cat.", False),
        (question(measure="admits it, names nothing"), "That's nice.", False),
    ],
)
def test_judge(asked: Question, reply: str, right: bool) -> None:
    assert judge(asked, reply) is right


def plan(**overrides: Any) -> Plan:
    settings: dict[str, Any] = {"facts": 2, "per_person": 1, "controls": ()}
    return Plan(**(settings | overrides))


def test_every_task_and_tier_is_run_and_counted(checkpoint: Checkpoint) -> None:
    done: list[tuple[int, int]] = []
    found = measure(checkpoint, plan(), on_progress=lambda _, n, total: done.append((n, total)))
    assert done[-1][0] == done[-1][1]
    report = recall_json(found)
    assert json.loads(json.dumps(report)) == report
    assert set(report) == {
        "settings", "tasks", "conditions", "distractors", "paired", "answers", "economy", "replies_in_loops", "notices",
    }  # fmt: skip
    for task in TASKS:
        assert set(report["tasks"][task]) == set(MEASURES[task])
        for tier in TIERS:
            score = report["tasks"][task][MEASURES[task][0]][tier]
            assert set(score) == {"right", "total", "share", "interval"}
            assert score["total"] >= (0 if task == "forget" else 1)
    assert len(recall_tables(found)) == 2
    assert len(wrong_answers(found, 3)) == 3


def test_controls_distractors_and_chart(checkpoint: Checkpoint, corpora: Path, tmp_path: Path) -> None:
    found = measure(
        checkpoint,
        Plan(facts=2, per_person=1, tasks=("recall",), tiers=("seen", "hand-written"), distractors=(0, 20, 50)),
        data_dir=corpora,
    )
    report = recall_json(found)
    assert list(report["conditions"]) == ["memory", *controls.CONTROLS]
    assert all(report["conditions"][c][t]["total"] == 2 for c in report["conditions"] for t in ("seen", "hand-written"))
    assert list(report["distractors"]) == ["0", "20", "50"]
    assert all(score["total"] == 2 for level in report["distractors"].values() for score in level.values())
    for control in controls.CONTROLS:
        for tier in ("seen", "hand-written"):
            one, other = (report["answers"][condition][tier] for condition in ("memory", control))
            assert report["paired"][control][tier]["questions"] == len(one) == len(other) == 2
            assert report["paired"][control][tier]["first"] == sum(map(str.__gt__, one, other))
    economy = report["economy"]["seen"]
    assert economy["facts"] == 2
    assert 0 < economy["stored"] <= economy["user_tokens"]
    assert economy["stored_in_value"] <= economy["stored_in_fact"] <= economy["stored"]
    assert economy["bytes_a_fact"] > 0
    for name in ("chart.svg", "chart.png"):
        check_chart(tmp_path / name)
        draw_chart(found, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000


def test_every_tier_is_drawn_in_a_colour_of_its_own(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra bench is not installed")
    tiers: tuple[Tier, ...] = get_args(Tier)
    drawn = Benchmark(Plan(tasks=("recall",), tiers=tiers, distractors=(0, 10), controls=()), (), ())
    draw_chart(drawn, tmp_path / "chart.svg")
    assert "development phrasings" in (tmp_path / "chart.svg").read_text(encoding="utf-8")
    assert len(set(COLOURS)) == len(tiers)


def test_distractors_without_corpora_are_left_out_with_a_notice(checkpoint: Checkpoint) -> None:
    found = measure(checkpoint, plan(tasks=("recall",), tiers=("seen",), distractors=(0, 100)))
    assert found.plan.distractors == (0,)
    assert "--data-dir" in found.notices[0]


def test_a_deleted_record_counts_as_deleted(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """Deletes are read from what the chat reports, of records that were really there."""
    script = make_scripts("forget", "seen", facts=4, per_person=4, seed=0)[0]
    person = tell(checkpoint, script, tmp_path / "m", lambda: None)
    line = script.changes[0]
    records = person.stored_ids(line.outdates)
    assert records <= {stored.id for _, turn in person.told for stored in turn.stored}
    tell_changes(checkpoint, person, lambda: None)
    assert len(person.changes) == len(script.changes)
    with open_store(checkpoint, person.directory) as store:
        there = {statement.id for statement in store.statements()}
    assert not person.deleted_by_changes() & there


def test_the_short_check_runs_for_a_single_fact(checkpoint: Checkpoint) -> None:
    found = measure_recall(checkpoint, facts=1, per_person=1)
    for tier in ("seen", "held-out"):
        assert found.recall("memory", tier).total == 2  # somebody else's memory needs somebody else
        assert found.recall("shuffled-memory", tier).total == 2


def test_every_condition_is_asked_the_same_questions_in_the_same_order(checkpoint: Checkpoint) -> None:
    found = measure(checkpoint, plan(tasks=("recall",), tiers=("seen",), controls=("no-memory", "shuffled-memory")))
    asked = {
        condition: [(each.told, each.asked) for each in found.outcomes if each.condition == condition]
        for condition in ("memory", "no-memory", "shuffled-memory")
    }
    assert asked["memory"] == asked["no-memory"] == asked["shuffled-memory"]


def test_scores_tell_conditions_and_levels_apart() -> None:
    def outcome(condition: Any, level: int, right: bool) -> Outcome:
        return Outcome("recall", "seen", "value named", condition, level, "", "", "", right)

    found = Benchmark(
        Plan(distractors=(0, 10)),
        (outcome("memory", 0, True), outcome("memory", 10, False), outcome("no-memory", 0, False)),
        (),
    )
    assert found.recall("memory", "seen") == Score(1, 1)
    assert found.recall("no-memory", "seen") == Score(0, 1)
    assert found.score("recall", "value named", "seen", distractors=10) == Score(0, 1)
