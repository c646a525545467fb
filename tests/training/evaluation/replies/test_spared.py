"""The evaluation of spared facts: the shape of its items, what it counts, and the lines that once lost facts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from training.cli import evaluate
from training.evaluation.recall.telling import open_store
from training.evaluation.replies import spared
from training.evaluation.replies.spared import (
    LINES,
    REAL,
    Change,
    Exchange,
    FactSet,
    Line,
    SetResult,
    Spared,
    concerns,
    measure,
    read_sets,
)
from training.evaluation.replies.spared_report import (
    CLAIMED,
    FRESH,
    PROMISED,
    counts,
    spared_json,
    spared_markdown,
    totals,
)
from training.evaluation.scoring import names
from training.tables import read_items
from varda_chat.config.defaults import GenerationSettings
from varda_chat.config.paths import bundled_checkpoint
from varda_chat.errors import DataError
from varda_chat.models import MemoryConfig
from varda_chat.models.checkpoint import Checkpoint, load_checkpoint
from varda_chat.session.session import ChatSession

CASES = ("Tom", "Skoda", "peanuts", "third of May", "cello", "Imke", "Leeds", "Jonas", "ochre", "carpenter")
"""Values of the ten facts told first in the cases that this evaluation comes from; they are a test of their own."""
KINDS = {
    "negated", "idiom", "about deleting", "third person", "correction of nothing", "other language", "junk", "news",
}  # fmt: skip


@pytest.fixture(scope="module")
def sets() -> tuple[FactSet, ...]:
    return read_sets(None)


@pytest.fixture
def short_replies(monkeypatch: pytest.MonkeyPatch) -> None:
    """An untrained model never ends a reply by itself."""
    monkeypatch.setattr(spared, "GREEDY", GenerationSettings(temperature=0.0, max_new_tokens=4))


def dialogue() -> Iterator[str]:
    """Endless lines, every second of which concerns a fact of the first set."""
    number = 0
    while True:
        number += 1
        yield f"I like tree number {number}."
        yield f"My car has {number} wheels."


def test_items_are_five_sets_of_ten_facts(sets: tuple[FactSet, ...]) -> None:
    assert [each.number for each in sets] == [1, 2, 3, 4, 5]
    for each in sets:
        assert len(each.facts) == len({fact.id for fact in each.facts}) == 10
        assert Counter(line.kind for line in each.lines) == dict.fromkeys(KINDS, 3)
        assert Counter(request.kind for request in each.requests) == {"correction": 2, "request": 2}
        assert {request.target for request in each.requests} <= {fact.id for fact in each.facts}
        for fact in each.facts:
            assert names(fact.text, fact.value)
            assert not any(names(other.text, fact.value) for other in each.facts if other is not fact)
    texts = [line.text for each in sets for line in each.lines]
    assert len(set(texts)) == len(texts)


def test_facts_are_not_those_of_the_cases(sets: tuple[FactSet, ...]) -> None:
    for fact in (fact for each in sets for fact in each.facts):
        assert not any(names(fact.text, value) for value in CASES)


def test_lines_concern_no_fact(sets: tuple[FactSet, ...]) -> None:
    for each in sets:
        for line in each.lines:
            # "don't forget my birthday" names the topic and must delete nothing; it never names the value
            facts = [] if line.kind == "negated" else each.facts
            assert not concerns(line.text, facts), line
            assert not any(names(line.text, fact.value) for fact in each.facts), line


def test_real_lines_fill_up_and_leave_topics_out() -> None:
    filled = read_sets(None, real=dialogue())
    for each in filled:
        assert len(each.lines) == LINES
        assert sum(line.kind == REAL for line in each.lines) == 16
    assert not any("car" in line.text for line in filled[0].lines if line.kind == REAL)
    assert read_sets(None, seed=1)[0].lines != read_sets(None, seed=0)[0].lines
    with pytest.raises(DataError, match="too few lines"):
        read_sets(None, real=iter(["I like tea."]))


def test_an_item_that_does_not_fit_is_named(tmp_path: Path) -> None:
    (tmp_path / "lines.jsonl").write_text('{"set": 1, "kind": "junk", "text": "x"}\n{"set": 1, "knid": "y"}\n')
    with pytest.raises(DataError, match=r"lines\.jsonl, line 2: unknown key 'knid'"):
        read_items(tmp_path / "lines.jsonl", Line)


def exchange(stage: spared.Stage, kind: str, deleted: tuple[Change, ...] = (), lost: tuple[str, ...] = (),
             target: str | None = None, held: bool = False, reply: str = "reply") -> Exchange:  # fmt: skip
    return Exchange(1, stage, kind, "text", reply, (), deleted, lost, target, held)


def test_totals_count_what_was_lost_and_what_was_right() -> None:
    car, pet, talk = Change(1, "user", "car", ("car",)), Change(2, "user", "pet", ("pet",)), Change(3, "user", "x", ())
    found = Spared(
        (
            SetResult(
                1, ("car", "pet", "job"), held=("car", "pet"), lost=("pet",),
                exchanges=(
                    exchange("telling", "fact"),
                    exchange("same session", "junk", (pet, talk), ("pet",)),
                    exchange("after restart", "idiom", reply="I'll remember that."),
                    exchange("request", "correction", (car, talk), ("car",), "car", held=True),
                    exchange("request", "request", (), (), "pet", reply="It's deleted."),
                    exchange("fresh request", "request", (pet,), ("pet",), "pet", held=True),
                ),
            ),
        ),
        0.5, 0,
    )  # fmt: skip
    share = {name: (score.right, score.total) for name, score in totals(found).items()}
    assert share["facts held after the telling"] == (2, 3)
    assert share["of these lost to unrelated lines"] == (1, 2)
    assert share["unrelated lines that deleted something"] == (1, 2)
    assert share["requests after the lines that deleted their fact"] == (1, 1)
    assert share["requests after the lines that deleted something else"] == (1, 2)
    assert share[FRESH] == (1, 1)
    assert share[PROMISED] == (1, 6)
    assert share[CLAIMED] == (1, 3)
    assert counts(found)["statements deleted by unrelated lines"] == 2
    assert "LOST: pet" in spared_markdown(found)
    assert spared_json(found)["kinds"]["junk"] == {"lines": 1, "deleting": 1, "facts_lost": 1, "stored": 0}


def test_a_threshold_of_one_deletes_nothing(
    checkpoint: Checkpoint, sets: tuple[FactSet, ...], short_replies: None
) -> None:
    one = FactSet(1, sets[0].facts[:3], sets[0].lines[:4], sets[0].requests[:1])
    own = checkpoint.model.config.delete_threshold
    found = measure(checkpoint, [one], threshold=1.0)
    assert not any(each.deleted for each in found.exchanges)
    assert found.sets[0].lost == ()
    assert [each.stage for each in found.exchanges].count("telling") == 3
    assert len(found.lines) == 4
    assert checkpoint.model.config.delete_threshold == own
    assert found.notices


@pytest.mark.parametrize(
    ("rank", "deciding", "own"),
    [(0, ["delete_threshold"], 0.5), (4, ["rerank_end_threshold", "rerank_forget_threshold"], None)],
)
def test_a_threshold_stands_in_for_those_by_which_the_model_deletes(
    rank: int, deciding: list[str], own: float | None, sets: tuple[FactSet, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = MemoryConfig(rerank_rank=rank)
    model: Any = SimpleNamespace(model=SimpleNamespace(config=SimpleNamespace(memory=memory)))
    during: list[list[float]] = []

    def told(*_: object) -> SetResult:
        during.append([getattr(memory, name) for name in deciding])
        return SetResult(1, (), (), (), ())

    monkeypatch.setattr(spared, "_tell_set", told)
    assert measure(model, sets[:1], threshold=0.9).threshold == 0.9
    assert measure(model, sets[:1]).threshold == own
    assert during == [[0.9] * len(deciding), [0.5] * len(deciding)]


def test_command_writes_what_it_found(
    tiny_checkpoint: Path, tmp_path: Path, sets: tuple[FactSet, ...], monkeypatch: pytest.MonkeyPatch,
    short_replies: None,
) -> None:  # fmt: skip
    small = FactSet(1, sets[0].facts[:2], sets[0].lines[:2], sets[0].requests[:1])
    monkeypatch.setattr(spared, "read_sets", lambda data_dir, seed: (small,))
    arguments = [str(tiny_checkpoint), "spared", "--delete-thresholds", "0.9"]
    files = ["--json", str(tmp_path / "s.json"), "--exchanges", str(tmp_path / "s.md")]
    result = CliRunner().invoke(evaluate, [*arguments, *files])
    assert result.exit_code == 0, result.output
    assert "By delete threshold" in result.stdout
    assert "## After restart" in (tmp_path / "s.md").read_text()
    assert len(json.loads((tmp_path / "s.json").read_text())["exchanges"]) == 6
    printed = CliRunner().invoke(evaluate, [*arguments[:2], "--json"])
    assert json.loads(printed.stdout)["totals"]["facts held after the telling"]["total"] == 2
    wrong = CliRunner().invoke(evaluate, [*arguments[:2], "--delete-thresholds", "2"])
    assert "between 0 and 1" in wrong.output


CASE_FACTS = (
    "My husband Tom is a radiographer.", "I drive a blue Skoda.", "I am allergic to peanuts.",
    "My birthday is on the third of May.", "I play the cello.", "My best friend is called Imke.", "I live in Leeds.",
    "My son is called Jonas.", "My favourite colour is ochre.", "I work as a carpenter.",
)  # fmt: skip
CASE_LINES = (
    "Don't forget my birthday!", "Don't forget to smile!", "Forget it, let's talk about music.",
    "How do I delete a file in Linux?", "He deleted my comment yesterday.", "I was wrong about the weather.",
    "Actually, it is raining.", "we lost 3-0 on Saturday, gutted", "Сегодня я читаю книгу.", "我今天很高兴。",
    "🙂" * 60, " ".join(f"https://example.com/{n}" for n in range(12)), "Update: the train is late.",
    "My neighbour changed the locks.",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("line", CASE_LINES)
def test_the_bundled_model_keeps_facts_after(line: str, tmp_path: Path) -> None:
    """Each line that once deleted a fact it does not concern."""
    model = load_checkpoint(bundled_checkpoint())
    with ChatSession(model, open_store(model, tmp_path), generation=spared.GREEDY) as session:
        for fact in CASE_FACTS:
            session.reply(fact)
        assert session.reply(line).deleted == ()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "value"),
    [("Actually, I drive a red Volvo now.", "Skoda"), ("Please forget what my favourite colour is.", "ochre")],
)
def test_the_bundled_model_deletes_only_what_is_meant(line: str, value: str, tmp_path: Path) -> None:
    model = load_checkpoint(bundled_checkpoint())
    with ChatSession(model, open_store(model, tmp_path), generation=spared.GREEDY) as session:
        for fact in CASE_FACTS:
            session.reply(fact)
        deleted = [each.text for each in session.reply(line).deleted]
    assert len(deleted) == 1
    assert names(deleted[0], value)
