"""The memory benchmark: facts are told, corrected and withdrawn in some sessions, and asked for in others.

``measure`` runs it: tasks, tiers, controls and distractors as the ``Plan`` says, every answer kept with what it was an
answer to. ``measure_recall`` is the short check that ends a training run.

Distractors come into a memory after the person's facts were told, in steps, and the recall questions are asked again at
each step. In life they would come before, between and after; the vectors of a fact are the same either way, because
they depend on its words alone, and the search knows no order. What this leaves out: deletes that a telling line would
do among the distractors, and any forgetting for want of room (the memory is given room enough).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from training.data.synthetic.relations import RELATIONS
from training.data.synthetic.templates import Relation
from training.evaluation.recall.controls import CONTROLS, Control, asking, check_text_search
from training.evaluation.recall.distractors import Distractors, unrelated_lines
from training.evaluation.recall.economy import Economy, measure_economy
from training.evaluation.recall.scripts import make_scripts
from training.evaluation.recall.tasks import TASKS, TIERS, Measure, Question, Script, Task, Tier
from training.evaluation.recall.telling import MOST_DISTRACTORS, Person, open_store, questioning, tell, tell_changes
from training.evaluation.scoring import Score, honest, names_any
from varda_chat.errors import VardaError
from varda_chat.models.checkpoint import Checkpoint

Condition = Literal["memory"] | Control
Progress = Callable[[str, int, int], None]
"""Called with what is being done, and how many of how many messages are behind us."""


@dataclass(frozen=True)
class Plan:
    """What to run. Raises VardaError, in one line, for what cannot be run.

    facts: told for each task and tier, ``per_person`` to a memory. distractors: numbers of them to ask with in the
    recall task; other tasks and the controls have none. controls: in the recall task.
    """

    facts: int = 100
    per_person: int = 5
    tasks: tuple[Task, ...] = TASKS
    tiers: tuple[Tier, ...] = TIERS
    distractors: tuple[int, ...] = (0,)
    controls: tuple[Control, ...] = CONTROLS
    seed: int = 0

    def __post_init__(self) -> None:
        for name, given, known in (
            ("tasks", self.tasks, TASKS), ("tiers", self.tiers, get_args(Tier)), ("controls", self.controls, CONTROLS),
        ):  # fmt: skip
            unknown = [each for each in given if each not in known]
            if unknown:
                raise VardaError(f"--{name}: there is no {unknown[0]!r}; choose of {', '.join(known)}.")
            if len(set(given)) < len(given):
                raise VardaError(f"--{name}: {','.join(given)} names one twice.")
        if not self.tasks or not self.tiers:
            raise VardaError("The benchmark needs at least one task and one tier.")
        if self.facts < 1 or self.per_person < 1:
            raise VardaError("--facts and --per-person must be at least 1.")
        if not self.distractors or not all(0 <= n <= MOST_DISTRACTORS for n in self.distractors):
            raise VardaError(f"--distractors: numbers from 0 to {MOST_DISTRACTORS:,}, separated by commas.")
        object.__setattr__(self, "distractors", tuple(sorted(set(self.distractors))))


@dataclass(frozen=True)
class Outcome:
    """One thing that was counted. ``told``: what the person had said about it; ``asked`` and ``reply``: the question
    and its answer, or, of records, the message that should have changed them and what left the memory."""

    task: Task
    tier: Tier
    measure: Measure
    condition: Condition
    distractors: int
    told: str
    asked: str
    reply: str
    right: bool


@dataclass(frozen=True)
class Benchmark:
    """All outcomes of a run. ``notices``: one line each on what was left out."""

    plan: Plan
    outcomes: tuple[Outcome, ...]
    economy: tuple[Economy, ...]
    notices: tuple[str, ...] = ()

    def score(
        self, task: Task, measure: Measure, tier: Tier, condition: Condition = "memory", distractors: int | None = None
    ) -> Score:
        """The share of right outcomes; ``distractors`` None for the least number asked with."""
        return Score.of(self._rights(task, measure, tier, condition, distractors))

    def _rights(
        self, task: Task, measure: Measure, tier: Tier, condition: Condition, distractors: int | None
    ) -> list[bool]:
        level = self.plan.distractors[0] if distractors is None else distractors
        level = level if task == "recall" and condition == "memory" else 0
        return [
            o.right
            for o in self.outcomes
            if (o.task, o.measure, o.tier, o.condition, o.distractors) == (task, measure, tier, condition, level)
        ]

    def recall(self, condition: Condition, tier: Tier) -> Score:
        """Facts recalled in the recall task."""
        return self.score("recall", "value named", tier, condition)

    def recalled(self, condition: Condition, tier: Tier) -> list[bool]:
        """Whether each question of the recall task was answered right, in the same order under every condition."""
        return self._rights("recall", "value named", tier, condition, None)


def judge(question: Question, reply: str) -> bool:
    """Whether ``reply`` is right."""
    if question.measure == "admits it, names nothing":
        return honest(reply, question.text, question.unwanted, question.kind)
    return all(names_any(reply, group) for group in question.wanted) and not names_any(reply, question.unwanted)


def measure(
    checkpoint: Checkpoint,
    plan: Plan,
    *,
    data_dir: Path | None = None,
    relations: Sequence[Relation] = RELATIONS,
    on_progress: Progress | None = None,
) -> Benchmark:
    """Run ``plan``. Raises VardaError: DataError for a missing corpus, or what the text search needs.

    Args:
        data_dir: the corpora, for the distractors; without it they are left out, and a notice says so.
    """
    if "recall" in plan.tasks and "text-search" in plan.controls:
        check_text_search()
    return _Run(checkpoint, plan, data_dir, relations, on_progress).go()


def measure_recall(
    checkpoint: Checkpoint,
    *,
    facts: int = 200,
    per_person: int = 5,
    seed: int = 0,
    relations: Sequence[Relation] = RELATIONS,
    on_progress: Progress | None = None,
) -> Benchmark:
    """The short check: recall alone, of both kinds of templates, with the memory, without it and with another's."""
    plan = Plan(
        facts=facts, per_person=per_person, tasks=("recall",), tiers=("seen", "held-out"),
        controls=("no-memory", "shuffled-memory"), seed=seed,
    )  # fmt: skip
    return measure(checkpoint, plan, relations=relations, on_progress=on_progress)


class _Run:
    """The state of one run: the outcomes so far, the distractors, the progress."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        plan: Plan,
        data_dir: Path | None,
        relations: Sequence[Relation],
        on_progress: Progress | None,
    ) -> None:
        self.checkpoint = checkpoint
        self.plan = plan
        self.relations = relations
        self.on_progress = on_progress
        self.notices: list[str] = []
        self.levels = plan.distractors
        if data_dir is None and self.levels[-1] > 0:
            self.levels = tuple(n for n in self.levels if n == 0) or (0,)
            self.notices.append("Distractors are left out: they need real chat, given by --data-dir.")
        self.data_dir = data_dir
        self.distractors = Distractors(())
        self.outcomes: list[Outcome] = []
        self.economy: list[Economy] = []
        self.doing, self.done, self.total = "", 0, 0

    def go(self) -> Benchmark:
        plan = self.plan
        scripts = {
            (task, tier): make_scripts(
                task, tier, facts=plan.facts, per_person=plan.per_person, seed=plan.seed, relations=self.relations
            )
            for tier in plan.tiers
            for task in plan.tasks
        }
        self.total = sum(self._messages(script) for group in scripts.values() for script in group)
        if self.data_dir is not None and self.levels[-1] > 0 and "recall" in plan.tasks:
            self._note("reading real chat for distractors")
            lines = unrelated_lines(self.data_dir, plan.seed)
            self.distractors = Distractors.of(self.checkpoint, lines, self.levels[-1], plan.seed)
        with tempfile.TemporaryDirectory(prefix="varda-recall-") as scratch:
            for (task, tier), people in scripts.items():
                self._note(f"{task}, {tier}")
                self._task(task, tier, people, Path(scratch) / tier / task)
        for tier in plan.tiers:
            short = [task for task in plan.tasks if self._facts_of(scripts[task, tier]) < plan.facts]
            if short:
                counts = ", ".join(f"{self._facts_of(scripts[task, tier])} for {task}" for task in short)
                self.notices.append(f"{tier}: fewer than {plan.facts} facts are there: {counts}.")
        # what was asked for and left out is not in the plan of what was run
        run = Plan(plan.facts, plan.per_person, plan.tasks, plan.tiers, self.levels, plan.controls, plan.seed)
        return Benchmark(run, tuple(self.outcomes), tuple(self.economy), tuple(self.notices))

    @staticmethod
    def _facts_of(scripts: Sequence[Script]) -> int:
        return sum(len(script.facts) for script in scripts)

    def _messages(self, script: Script) -> int:
        asked = len(script.questions)
        if script.task == "recall":
            asked *= len(self.levels) + len(self.plan.controls)
        if script.task == "forget":
            asked += len(script.changes)
        return len(script.lines) + len(script.changes) + asked

    def _note(self, doing: str) -> None:
        self.doing = doing
        if self.on_progress:
            self.on_progress(doing, self.done, self.total)

    def _step(self) -> None:
        self.done += 1
        self._note(self.doing)

    def _task(self, task: Task, tier: Tier, scripts: Sequence[Script], directory: Path) -> None:
        people = []
        for number, script in enumerate(scripts):
            person = tell(self.checkpoint, script, directory / "told" / str(number), self._step)
            questions = script.questions
            if script.changes:
                if task == "forget":
                    questions = self._answerable(person)
                tell_changes(self.checkpoint, person, self._step)
                self._measure_changes(person)
            people.append(person)
            if task != "recall":
                with questioning(self.checkpoint, person.directory) as ask:
                    self._ask(person, questions, ask, "memory", 0)
        if task == "recall":
            self.economy.append(measure_economy(self.checkpoint, tier, people, directory))
            self._controls(people, directory)
            self._among_distractors(people)

    def _answerable(self, person: Person) -> tuple[Question, ...]:
        """The questions, without those for what is to be forgotten whose value the model does not name before either:
        what it never knew, it cannot forget."""
        kept = []
        with questioning(self.checkpoint, person.directory) as ask:
            for question in person.script.questions:
                if question.measure == "not named any more":
                    self._step()
                    if not names_any(ask(question.text), question.unwanted):
                        self.total -= 1
                        continue
                kept.append(question)
        return tuple(kept)

    def _measure_changes(self, person: Person) -> None:
        """Which statements the changes deleted: of those they outdate (where they were stored), and of the others."""
        deleted = person.deleted_by_changes()
        script = person.script
        outdating = [line for line in script.changes if line.outdates]
        told = {value: line.text for line in script.facts for value in line.values}
        doomed: set[int] = set()
        for line in outdating:
            outdated = person.stored_ids(line.outdates)
            doomed |= outdated
            if outdated:
                self._add_change(
                    script, "old record deleted", told[line.outdates[0]], line.text, outdated, outdated <= deleted
                )
        texts = {stored.id: stored.text for _, turn in person.told for stored in turn.stored}
        messages = " / ".join(line.text for line in script.changes)
        for statement in sorted(texts.keys() - doomed):
            right = statement not in deleted
            self._add_change(script, "other records kept", texts[statement], messages, {statement}, right)

    def _add_change(
        self, script: Script, measure: Measure, told: str, said: str, statements: set[int], right: bool
    ) -> None:
        was_deleted = right if measure == "old record deleted" else not right
        shown = f"({'deleted' if was_deleted else 'kept'}: {len(statements)} of the memory's records)"
        self.outcomes.append(Outcome(script.task, script.tier, measure, "memory", 0, told, said, shown, right))

    def _controls(self, people: Sequence[Person], directory: Path) -> None:
        for control in self.plan.controls:
            for number, person in enumerate(people):
                with asking(control, self.checkpoint, people, number, directory, self.plan.seed) as ask:
                    self._ask(person, person.script.questions, ask, control, 0)

    def _among_distractors(self, people: Sequence[Person]) -> None:
        for person in people:
            there = 0
            for level in self.levels:
                if level > there:
                    with open_store(self.checkpoint, person.directory) as store:
                        self.distractors.add(store, there, level)
                    there = level
                with questioning(self.checkpoint, person.directory) as ask:
                    self._ask(person, person.script.questions, ask, "memory", level)
            shutil.rmtree(person.directory)  # 10,000 vectors are 10 MB a person

    def _ask(
        self,
        person: Person,
        questions: Sequence[Question],
        ask: Callable[[str], str],
        condition: Condition,
        distractors: int,
    ) -> None:
        script = person.script
        for question in questions:
            reply = ask(question.text)
            self.outcomes.append(
                Outcome(script.task, script.tier, question.measure, condition, distractors, question.told,
                        question.text, reply, judge(question, reply))
            )  # fmt: skip
            self._step()
