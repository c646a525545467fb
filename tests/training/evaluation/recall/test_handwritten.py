"""The hand-written benchmark tier keeps its promises: sizes, reserved values, own wording, no template."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from fnmatch import fnmatch
from pathlib import Path

from click.testing import CliRunner

from training.cli import evaluate
from training.data.sources import catalogue
from training.data.synthetic.relations import RELATIONS
from training.data.synthetic.values import split_of, with_article
from training.data.synthetic.wordings import HERE
from training.evaluation import DATA
from training.evaluation.recall.items import (
    FACTS,
    FORGETS,
    INTERFERENCE,
    JOINED,
    SMALL_TALK,
    UNKNOWNS,
    UPDATES,
    Handwritten,
)
from training.evaluation.recall.scripts import make_scripts
from training.evaluation.recall.tasks import TASKS, TIERS


def _told() -> Iterator[tuple[str, str, str]]:
    """Every (line that tells a value, the value, the question about it)."""
    for fact in FACTS:
        yield fact.statement, fact.value, fact.question
    for update in UPDATES:
        yield update.statement, update.old, update.question
        yield update.correction, update.new, update.question
    for forget in FORGETS:
        yield forget.statement, forget.value, forget.question
    for joined in JOINED:
        for statement, value in zip(joined.statements, joined.values, strict=True):
            yield statement, value, joined.question
    for group in INTERFERENCE:
        for statement, (question, value) in zip(group.statements, group.questions_values, strict=True):
            yield statement, value, question


def _facts_by_statement() -> dict[str, list[Handwritten]]:
    """The items of FACTS under the sentence that tells them."""
    facts: dict[str, list[Handwritten]] = {}
    for fact in FACTS:
        facts.setdefault(fact.statement, []).append(fact)
    return facts


def _plain(line: str) -> str:
    """The line as compared: lower case, single spaces, no closing punctuation."""
    return " ".join(line.lower().split()).rstrip(" .?!")


def test_every_table_is_as_large_as_promised() -> None:
    assert len(FACTS) >= 165
    assert len(UPDATES) >= 40
    assert len(FORGETS) >= 40
    assert len(UNKNOWNS) >= 60
    assert len(JOINED) >= 25
    assert len(INTERFERENCE) >= 25
    assert all(3 <= len(group.statements) <= 4 for group in INTERFERENCE)
    assert len(set(SMALL_TALK)) == len(SMALL_TALK) == 40


def test_every_value_is_kept_out_of_training() -> None:
    assert [value for _, value, _ in _told() if split_of(value) != "test"] == []


def test_every_value_stands_in_its_statement_and_not_in_its_question() -> None:
    for line, value, question in _told():
        assert value.lower() in line.lower(), (line, value)
        assert value.lower() not in question.lower(), (question, value)


def test_other_spellings_do_not_repeat_the_value() -> None:
    for fact in FACTS:
        assert fact.value not in fact.also, fact
        assert len(set(fact.also)) == len(fact.also), fact
        assert all(other.strip() for other in fact.also), fact


def test_about_twenty_statements_hold_two_facts_and_no_other_statement_repeats() -> None:
    shared = {statement: facts for statement, facts in _facts_by_statement().items() if len(facts) > 1}
    assert len(shared) >= 20
    for first, second in shared.values():
        # written together: the same words elsewhere would be a mistake
        assert FACTS.index(second) == FACTS.index(first) + 1
        assert first.topic != second.topic
        assert first.question != second.question
        assert first.value != second.value
    lines = [*_facts_by_statement()]
    lines += [update.statement for update in UPDATES] + [forget.statement for forget in FORGETS]
    lines += [statement for joined in JOINED for statement in joined.statements]
    lines += [statement for group in INTERFERENCE for statement in group.statements]
    assert [line for line, count in Counter(map(_plain, lines)).items() if count > 1] == []


def test_topics_are_slugs_and_pair_with_a_statement_once() -> None:
    topics = [fact.topic for fact in FACTS] + [update.topic for update in UPDATES]
    topics += [forget.topic for forget in FORGETS] + [unknown.topic for unknown in UNKNOWNS]
    assert all(topic.isidentifier() and topic == topic.lower() for topic in topics)
    pairs = Counter((fact.topic, _plain(fact.statement)) for fact in FACTS)
    assert max(pairs.values()) == 1
    assert max(Counter(_plain(fact.question) for fact in FACTS).values()) == 1
    assert max(Counter(item.topic for item in UNKNOWNS).values()) == 1
    assert max(Counter(_plain(item.question) for item in UNKNOWNS).values()) == 1


def test_an_update_tells_its_new_value_only_in_the_correction() -> None:
    for update in UPDATES:
        assert update.new.lower() not in update.statement.lower(), update
        assert update.old.lower() != update.new.lower(), update


def test_a_request_to_forget_does_not_repeat_the_value() -> None:
    for forget in FORGETS:
        assert forget.value.lower() not in forget.request.lower(), forget


def test_the_values_of_a_group_and_of_a_joined_question_can_be_told_apart() -> None:
    for group in INTERFERENCE:
        assert len({question for question, _ in group.questions_values}) == len(group.statements)
        for _, value in group.questions_values:
            assert sum(value.lower() in statement.lower() for statement in group.statements) == 1, (group, value)
    for joined in JOINED:
        assert joined.values[0].lower() not in joined.statements[1].lower(), joined
        assert joined.values[1].lower() not in joined.statements[0].lower(), joined


def _lines_and_values() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every line a person types, with the values that a template would have had to carry to produce it."""
    for line, value, question in _told():
        yield line, (value,)
        yield question, ()
    for fact in FACTS:
        yield fact.statement, (fact.value, *fact.also)
    for update in UPDATES:
        yield update.correction, (update.old, update.new)
    for forget in FORGETS:
        yield forget.request, (forget.value,)
    for unknown in UNKNOWNS:
        yield unknown.question, ()


def test_no_line_is_a_rendered_training_template() -> None:
    templates = {
        _plain(template)
        for relation in RELATIONS
        for family in (
            relation.tell,
            relation.ask,
            relation.correct,
            relation.forget,
            relation.unknown,
            relation.tell_held_out,
            relation.ask_held_out,
        )
        for template in family
    }
    assert len(templates) > 1000
    for line, values in _lines_and_values():
        plain = _plain(line)
        assert plain not in templates, line
        for value in values:
            assert plain.replace(value.lower(), "{value}") not in templates, line
            assert plain.replace(with_article(value).lower(), "{a_value}") not in templates, line


def _row_is_about(line: str, name: str) -> bool:
    """Whether a line of a table begins with the file's name, or with a pattern that fits it."""
    first = line.split("|")[1] if line.startswith("| `") else ""
    return any(fnmatch(name, pattern) for pattern in re.findall(r"`([^`]+)`", first))


def test_every_file_is_documented_with_its_keys_and_licence() -> None:
    """In every directory of tables: the README names each file, and in its row each key that occurs."""
    for directory in (DATA, HERE, Path(catalogue.__file__).parent):
        readme = (directory / "README.md").read_text("utf-8")
        assert "MIT licence" in readme
        for path in directory.glob("*.jsonl"):
            row = next(line for line in readme.splitlines() if _row_is_about(line, path.name))
            keys = {key for line in path.read_text("utf-8").splitlines() for key in json.loads(line)}
            assert {key for key in keys if f"`{key}`" not in row} == set(), path


def test_the_scripts_are_written_for_other_systems(tmp_path: Path) -> None:
    """What is in the file is what the benchmark tells, asks and wants, and the README names every key."""
    out = tmp_path / "recall.jsonl"
    flags = ["--facts", "3", "--per-person", "2", "--seed", "5"]
    result = CliRunner().invoke(evaluate, ["build-recall", str(out), *flags])
    assert result.exit_code == 0, result.output
    written = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    made = [s for task in TASKS for tier in TIERS for s in make_scripts(task, tier, facts=3, per_person=2, seed=5)]
    assert written == json.loads(json.dumps([asdict(script) for script in made]))
    readme = (DATA / "README.md").read_text("utf-8")
    keys = {*written[0], *written[0]["sessions"][0][0], *written[0]["questions"][0]}
    assert {key for key in keys if f"`{key}`" not in readme and f'"{key}"' not in readme} == set()
