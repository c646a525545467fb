"""The evaluation of influence: what a masked memory finds, and that right answers come from what they recalled."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from training.cli import evaluate
from training.evaluation.recall import influence
from training.evaluation.recall.influence import Again, Answer, Influence, measure
from training.evaluation.recall.influence_report import influence_json, influence_tables
from training.evaluation.recall.tasks import Line, Script
from training.evaluation.recall.telling import open_store, tell
from training.evaluation.statistics import mcnemar
from varda_chat.config.defaults import GenerationSettings
from varda_chat.config.paths import bundled_checkpoint
from varda_chat.models.checkpoint import Checkpoint, load_checkpoint
from varda_chat.session.why import MaskedStore

pytest.importorskip("scipy")

LINES = ("My dog is called Rimba.", "I live in Lisbon.", "I work as a nurse.", "My cat is Tom.")


def test_a_masked_memory_finds_what_it_would_without_the_statements(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """Compared with a copy of the memory in which they were really forgotten."""
    script = Script("recall", "seen", (tuple(Line(text) for text in LINES),), (), ())
    tell(checkpoint, script, tmp_path / "whole", lambda: None)
    query = torch.randn(1, 3, checkpoint.model.config.memory_dim, generator=torch.Generator().manual_seed(0))
    with open_store(checkpoint, tmp_path / "whole", read_only=True) as store:
        statements = [each.id for each in store.statements()]
        assert len(statements) >= 3
        for number, masked in enumerate((statements[:1], statements[1:3], statements)):
            shutil.copytree(tmp_path / "whole", tmp_path / str(number))
            hidden = MaskedStore(store, masked)
            assert hidden.texts(statements) == [store.statement(each).text for each in statements]
            assert not hidden.used  # looked at, not used
            with open_store(checkpoint, tmp_path / str(number)) as less:
                less.forget(masked)
                assert hidden.size == less.size
                for k in (1, 5, store.size + 2):
                    found, wanted = hidden.search(query, k), less.search(query, k)
                    for name in ("ids", "distances", "vectors", "token_ids"):
                        assert torch.equal(getattr(found, name), getattr(wanted, name)), name


def test_right_answers_of_the_bundled_model_come_from_what_they_recalled() -> None:
    found = measure(load_checkpoint(bundled_checkpoint()), facts=6, per_person=3, tiers=("held-out",))
    right = found.of("held-out", right=True)
    assert len(found.answers) == 6
    assert len(right) >= 4
    for each in right:
        assert each.used
        assert each.without is not None
        assert each.without.masked == each.used
        assert not each.without.right
        assert each.control is not None
        assert not set(each.control.masked) & set(each.used)
    assert sum(each.control is not None and each.control.right for each in right) >= len(right) - 1


def answer(right: bool, without: str | None, control: str, person: int = 0) -> Answer:
    """An answer "Rimba." or "Tom.", and what it was without what it used and without another statement."""
    reply = "Rimba." if right else "Tom."
    return Answer(
        "seen", person, "My dog is called Rimba.", "What is my dog called?", reply, right,
        () if without is None else ("My dog is called Rimba.",),
        None if without is None else Again(("My dog is called Rimba.",), without, without == "Rimba."),
        None if without is None else Again(("I live in Lisbon.",), control, control == "Rimba."),
    )  # fmt: skip


def test_changes_and_verdicts_are_counted_on_the_same_answers() -> None:
    answers = (
        answer(True, "I don't know.", "Rimba."),
        answer(True, "rimba", "Rimba.", person=1),  # the same words
        answer(True, "Tom.", "Tom."),
        answer(True, None, ""),
        answer(False, "Rimba.", "Tom."),
    )
    report = influence_json(Influence(5, 5, ("seen",), 0, answers))
    right, wrong = report["tiers"]["seen"]["right"], report["all"]["wrong"]
    assert (right["used_memory"]["right"], right["used_memory"]["total"]) == (3, 4)
    assert (right["changed"]["masked"]["right"], right["changed"]["control"]["right"]) == (2, 1)
    assert right["changed"]["paired"] == {"questions": 3, "first": 1, "second": 0, "p": 1.0}
    assert right["changed"]["difference"]["mean"] == pytest.approx(1 / 3)
    assert (wrong["verdict"]["masked"]["right"], wrong["verdict"]["control"]["right"]) == (1, 0)
    assert len(influence_tables(Influence(5, 5, ("seen",), 0, answers))) == 1


def test_mcnemar_looks_at_what_only_one_got_right() -> None:
    first, second = [True] * 15 + [False] * 5, [True] * 5 + [False] * 15
    found = mcnemar(first, second)
    assert (found.questions, found.first, found.second) == (20, 10, 0)
    assert found.p == pytest.approx(2 * 0.5**10)
    assert mcnemar([True, False], [True, False]).p == 1.0


def test_the_command_prints_a_table_and_writes_json(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = GenerationSettings(temperature=0.0, max_new_tokens=4)
    monkeypatch.setattr("training.evaluation.recall.telling.GREEDY", short)
    monkeypatch.setattr(influence, "GREEDY", short)
    out = tmp_path / "influence.json"
    flags = ["--facts", "2", "--per-person", "1", "--tiers", "seen,hand-written", "--json", str(out)]
    result = CliRunner().invoke(evaluate, [str(tiny_checkpoint), "influence", *flags])
    assert result.exit_code == 0, result.output
    assert "asked again" in result.stdout
    report = json.loads(out.read_text())
    assert list(report["tiers"]) == ["seen", "hand-written"]
    assert len(report["answers"]) == 4
