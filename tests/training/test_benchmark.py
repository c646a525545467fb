"""The memory benchmark on a tiny real model: what is told and asked, how it is judged, that each control is one."""

from __future__ import annotations

import json
import lzma
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from training.cli import evaluate
from training.data.sources.corpora import CORPORA, Dialogue
from training.data.synthetic.values import split_of
from training.evaluation.figures.plots import check_chart, draw_chart
from training.evaluation.perplexity.dialogue import load_twin, loss_of, measure_dialogue, sessions_of_pairs, windows
from training.evaluation.recall import controls
from training.evaluation.recall import items as recall_items
from training.evaluation.recall.benchmark import Benchmark, Outcome, Plan, judge, measure, measure_recall
from training.evaluation.recall.controls import (
    asking,
    prompt_of,
    somebody_else,
    store_blindly,
    text_search,
    vectors_held,
)
from training.evaluation.recall.distractors import Distractors
from training.evaluation.recall.exchanges import as_markdown, sample_exchanges
from training.evaluation.recall.reading import as_statements, kept_by_chat, read_session, room
from training.evaluation.recall.report import recall_json, recall_tables, wrong_answers
from training.evaluation.recall.scripts import make_scripts
from training.evaluation.recall.tasks import MEASURES, TASKS, TIERS, Line, Question, Script, Task, Tier
from training.evaluation.recall.telling import Person, open_store, questioning, tell, tell_changes
from training.evaluation.scoring import Score, names_any
from varda_chat.config.defaults import GenerationSettings
from varda_chat.errors import CheckpointError, DataError, VardaError
from varda_chat.memory import TurnChanges
from varda_chat.models.checkpoint import Checkpoint, load_checkpoint

TALK = ("Hello, how are you today?", "I like music a lot.", "It rains again.", "Do you know a good film?")


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint: Path) -> Checkpoint:
    return load_checkpoint(tiny_checkpoint)


@pytest.fixture(scope="module", autouse=True)
def short_replies() -> Iterator[None]:
    """An untrained model never ends a reply by itself."""
    short = GenerationSettings(temperature=0.0, max_new_tokens=8)
    with pytest.MonkeyPatch.context() as patch:
        for module in ("telling", "reading", "controls", "exchanges"):
            patch.setattr(f"training.evaluation.recall.{module}.GREEDY", short)
        yield


def person_of(*facts: tuple[str, str]) -> Script:
    """Tells facts (statement, value) over two sessions, with small talk, and is asked about the first value."""
    told = [Line(text, (value,)) for text, value in facts]
    half = len(told) // 2
    sessions = ((*told[:half], Line("Hello! How are you?")), (Line("It rains again."), *told[half:]))
    return Script("recall", "seen", sessions, (), (Question("What is it?", "value named", "", ((facts[0][1],),)),))


@pytest.fixture(scope="module")
def people(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> list[Person]:
    """Two people who have told their facts; their memories hold what the tiny model stored."""
    folder = tmp_path_factory.mktemp("people")
    scripts = (
        person_of(("My dog is called Rimba.", "Rimba"), ("I live in Lisbon.", "Lisbon")),
        person_of(("My cat is Tom.", "Tom"), ("I work as a nurse.", "nurse")),
    )
    return [tell(checkpoint, script, folder / str(n), lambda: None) for n, script in enumerate(scripts)]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with every corpus by name; in msc, the sessions of pairs of people."""
    folder = tmp_path_factory.mktemp("corpora")
    for corpus in CORPORA:
        for name in corpus.files:
            with lzma.open(folder / f"{name}.jsonl.xz", "wt", encoding="utf-8") as file:
                for number in range(150):
                    rng = random.Random(number)
                    turns = [{"speaker": ("user", "assistant")[i % 2], "text": rng.choice(TALK)} for i in range(4)]
                    for session in (2, 3):
                        identity = f"s{session}-valid_{number}" if corpus.name == "msc" else f"{session}x{number}"
                        file.write(json.dumps({"id": identity, "turns": turns}) + "\n")
    return folder


# Scripts


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


# Judging


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


# Reading again, and distractors


def test_what_is_read_again_is_what_the_chat_stored(tiny_checkpoint: Path, tmp_path: Path) -> None:
    keeping = load_checkpoint(tiny_checkpoint)
    keeping.model.config.delete_threshold = 2.0  # the untrained gates delete as they store
    lines = tuple(
        Line(text) for text in ("My dog is called Rimba. I live in Lisbon!", "What is my dog called?", "Hello")
    )
    # what is told twice is one: the second session says other things
    more = tuple(Line(text) for text in ("My cat is called Rimba!", "What do you live in?", "Hello my dog"))
    person = tell(keeping, Script("recall", "seen", (lines, more), (), ()), tmp_path / "m", lambda: None)
    read: list[str] = []
    for session in person.sessions:
        tokens = read_session(keeping, [(turn.prompt, turn.reply) for _, turn in session])
        kept = kept_by_chat(tokens, keeping.model.config.store_threshold)
        read += [vector.token for statement in as_statements(kept) for vector in statement.vectors]
    with open_store(keeping, person.directory, read_only=True) as store:
        mine = [s for s in store.statements(newest_first=False) if s.role == "user"]
        records = [store.reader.get(number) for number in range(1, store.size + 1)]
    stored = [record.token for record in records if record.statement_id in {s.id for s in mine}]
    assert read == stored
    assert len(stored) > 5


def test_distractors_are_nested_and_come_in_the_number_asked_for(checkpoint: Checkpoint, tmp_path: Path) -> None:
    talk = [f"{number} {line}" for number in range(5) for line in TALK]
    found = Distractors.of(checkpoint, iter(talk), 30)
    assert len(found) == 30
    few, many = found.statements(0, 10), found.statements(0, 30)
    assert sum(len(s.vectors) for s in few) == 10
    assert {s.text for s in few} <= {s.text for s in many}
    with open_store(checkpoint, tmp_path / "m") as store:
        found.add(store, 0, 10)
        assert store.size == 10
        found.add(store, 10, 30)
        assert store.size == 30
    with pytest.raises(DataError, match="too little"):
        Distractors.of(checkpoint, iter(TALK), 10_000)


# Controls


def test_store_everything_holds_every_token_and_a_random_store_the_budget(
    checkpoint: Checkpoint, people: list[Person], tmp_path: Path
) -> None:
    person = people[0]
    said = sum(len(checkpoint.chat.encode("user", turn.prompt).ids) - 2 for _, turn in person.told)
    rng = random.Random(0)
    store_blindly(checkpoint, person, tmp_path / "all", None, rng)
    store_blindly(checkpoint, person, tmp_path / "some", 7, rng)
    for folder, size in (("all", said), ("some", 7)):
        with open_store(checkpoint, tmp_path / folder, read_only=True) as store:
            assert store.size == size


def test_a_shuffled_memory_is_somebody_elses(
    checkpoint: Checkpoint, people: list[Person], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert somebody_else(people, 0) is people[1]
    assert somebody_else(people, 1) is people[0]
    opened: list[tuple[Path, bool]] = []

    def spy(checkpoint: Checkpoint, folder: Path, *, use_memory: bool = True) -> Any:
        opened.append((folder, use_memory))
        return questioning(checkpoint, folder, use_memory=use_memory)

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


# The run


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


# Dialogue


def test_windows_count_every_token_once(checkpoint: Checkpoint) -> None:
    dialogue = Dialogue("msc", "s2-valid_1", tuple(("user", "My dog is called Rimba, he is old.") for _ in range(30)))
    cut = windows(checkpoint, dialogue)
    assert len(cut) > 2
    messages = [checkpoint.chat.encode(*turn) for turn in dialogue.turns]
    assert sum(sum(window.counted) for window in cut) == sum(len(message.ids) - 1 for message in messages)
    assert all(len(window.ids) <= checkpoint.model.config.n_positions for window in cut)
    assert not any(window.counted[0] for window in cut)
    joined = [i for w in cut for i, counted in zip(w.ids, w.counted, strict=True) if counted]
    assert joined == [i for message in messages for i in message.ids[1:]]


def test_dialogue_is_predicted_by_every_reader(checkpoint: Checkpoint, corpora: Path, tiny_checkpoint: Path) -> None:
    found = measure_dialogue(checkpoint, corpora, twin=load_twin(tiny_checkpoint, checkpoint))
    first = found[0]
    assert first.corpus == "msc"
    assert set(first.losses) == {"memory", "no memory", "another pair's memory", "twin"}
    assert 0 < first.stored <= first.told
    # the twin is the model itself, without its memory
    assert first.perplexity("twin") == pytest.approx(first.perplexity("no memory"))
    assert first.perplexity("memory") != pytest.approx(first.perplexity("no memory"))
    ratio, low, high = first.ratio("memory", "no memory")
    assert low <= ratio <= high
    assert {p.corpus for p in found[1:]} <= {corpus.name for corpus in CORPORA}


def test_an_empty_memory_predicts_like_none(checkpoint: Checkpoint, tmp_path: Path) -> None:
    cut = windows(checkpoint, Dialogue("msc", "s2-valid_1", (("user", "Hello!"), ("assistant", "Hi, how are you?"))))
    none = loss_of(checkpoint.model, cut)
    with open_store(checkpoint, tmp_path / "m") as store:
        assert loss_of(checkpoint.model, cut, store).nats == pytest.approx(none.nats)
        tokens = read_session(checkpoint, [("My dog is called Rimba.", None)])
        store.apply(TurnChanges(stores=as_statements(tokens)), session="test")
        assert loss_of(checkpoint.model, cut, store).nats != pytest.approx(none.nats)


def test_sessions_are_grouped_by_pair_and_in_order() -> None:
    dialogues = [Dialogue("msc", f"s{s}-valid_{p}", ()) for s, p in ((3, 7), (2, 12), (2, 7), (4, 7))]
    assert [[d.id for d in pair] for pair in sessions_of_pairs(dialogues)] == [
        ["s2-valid_12"],
        ["s2-valid_7", "s3-valid_7", "s4-valid_7"],
    ]


def test_a_twin_with_another_tokenizer_is_refused(
    checkpoint: Checkpoint, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    from training.data.preprocess.tokenizer import train_tokenizer

    for path in tiny_checkpoint.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    train_tokenizer([" another text altogether"] * 4, 290).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(CheckpointError, match="another tokenizer"):
        load_twin(tmp_path, checkpoint)
    with pytest.raises(CheckpointError, match="no model"):
        load_twin(tmp_path / "nothing", checkpoint)


# Exchanges


def test_exchanges_are_chosen_by_the_seed_and_counted(checkpoint: Checkpoint) -> None:
    first = sample_exchanges(checkpoint, 13, 7, TALK)
    assert len(first) == 13
    assert first == sample_exchanges(checkpoint, 13, 7, TALK)
    assert {e.session for e in first if e.conversation == 1} == {1, 2}
    assert sum(e.right is not None for e in first) == 3
    text = as_markdown(first)
    assert "Conversation 1, session 2" in text
    assert text.count("\n| ") == 13 + 2 * 3


# The command


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["recall", "--tasks", "recall,remember"], 1, "'remember'"),
        (["recall", "--tiers", "spoken"], 1, "'spoken'"),
        (["recall", "--tiers", "seen,seen"], 1, "twice"),
        (["recall", "--controls", "bm25"], 1, "text-search"),
        (["recall", "--tasks", ","], 1, "at least one task"),
        (["recall", "--distractors", "many"], 1, "whole numbers"),
        (["recall", "--distractors", "-5"], 1, "from 0"),
        (["recall", "--distractors", ""], 1, "from 0"),
        (["recall", "--facts", "0"], 2, "facts"),
        (["recall", "--chart", "chart.pdf"], 1, ".svg"),
        (["recall", "--chart", "no-such-folder/chart.svg"], 1, "no folder"),
        (["recall", "--tasks", "update", "--chart", "chart.svg"], 1, "--chart"),
        (["recall", "--data-dir", "no-such-folder"], 1, "no folder"),
        (["dialogue"], 2, "--data-dir"),
        (["perplexity"], 2, "dialogue"),
        (["recall"], 1, "no checkpoint folder"),
    ],
)  # fmt: skip
def test_bad_flags_get_one_line_before_anything_is_measured(arguments: list[str], code: int, word: str) -> None:
    result = CliRunner().invoke(evaluate, ["./no-checkpoint-here", *arguments])
    assert result.exit_code == code, result.output
    assert word in result.output
    assert "Traceback" not in result.output
    if code == 1:
        assert len(result.output.strip().splitlines()) == 1


def test_a_missing_library_is_named_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, checkpoint: Checkpoint
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "bm25s", None)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(VardaError, match=r"varda-chat\[bench\]"):
        measure(checkpoint, Plan(facts=1, controls=("text-search",)))
    with pytest.raises(VardaError, match=r"varda-chat\[bench\]"):
        check_chart(Path("chart.svg"))


@pytest.fixture
def run_command(tiny_checkpoint: Path) -> Callable[..., str]:
    def run(*arguments: str) -> str:
        result = CliRunner().invoke(evaluate, [str(tiny_checkpoint), *arguments])
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


def test_recall_command(run_command: Callable[..., str], corpora: Path, tmp_path: Path) -> None:
    arguments = ("recall", "--facts", "2", "--per_person", "1", "--tasks", "never_told,recall", "--tiers", "seen",
                 "--controls", "text-search,no-memory")  # fmt: skip
    chart = tmp_path / "chart.svg"
    report = json.loads(run_command(*arguments, "--distractors", "0,10", "--data-dir", str(corpora), "--json",
                                    "--chart", str(chart)))  # fmt: skip
    assert list(report["conditions"]) == ["memory", "no-memory", "text-search"]
    assert list(report["tasks"]) == ["recall", "never-told"]
    assert chart.read_text(encoding="utf-8").startswith("<?xml")
    text = run_command(*arguments, "--show", "1")
    assert "never told" in text
    assert "Distractors are left out" in text


def test_dialogue_and_exchanges_commands(run_command: Callable[..., str], corpora: Path, tiny_checkpoint: Path) -> None:
    found = json.loads(run_command("dialogue", "--data-dir", str(corpora), "--twin", str(tiny_checkpoint), "--json"))
    assert found[0]["corpus"] == "msc"
    assert "memory / twin" in found[0]["ratios"]
    assert "msc" in run_command("dialogue", "--data-dir", str(corpora))
    assert "Conversation 1, session 1" in run_command("exchanges", "--count", "3", "--seed", "7")
    assert len(json.loads(run_command("exchanges", "--count", "3", "--json"))["exchanges"]) == 3
