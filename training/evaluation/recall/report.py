"""Shows what the benchmarks found: rich tables for people, plain dictionaries for ``--json``.

``recall_json``: ``settings`` (the plan); ``tasks[task][measure][tier]``, ``conditions[condition][tier]`` (the recall
task with the memory and under each control) and ``distractors[number][tier]``, each a score; ``economy[tier]``;
``paired[control][tier]``, the memory against each control on the same questions (McNemar's exact test: ``first`` and
``second`` are the questions that only the memory and only the control got right); ``answers[condition][tier]``, a
string of 1 for each right answer and 0 for each wrong one, in the order of the questions; ``replies_in_loops``, a score
over all replies with the memory; ``notices``. A score is ``{"right", "total", "share", "interval"}``: ``interval``
holds the 95 % bounds, ``share`` is null where nothing was counted.

``exchanges_json``: ``exchanges`` (conversation, session, user, reply, right, loops), ``recalled`` and ``in_loops``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from training.evaluation.recall.benchmark import Benchmark, Condition
from training.evaluation.recall.economy import Economy
from training.evaluation.recall.exchanges import Exchange, looping, recalled
from training.evaluation.recall.tasks import MEASURES, Tier
from training.evaluation.scoring import Score, loops
from training.evaluation.statistics import Paired, mcnemar
from training.evaluation.tables import chance_text, new_table, paired_json, score_json, share_text


def conditions(benchmark: Benchmark) -> tuple[Condition, ...]:
    """The memory, then the controls that were run."""
    return ("memory", *benchmark.plan.controls)


# Recall


def recall_tables(benchmark: Benchmark) -> list[Table]:
    """Tasks; controls and distractors (where they were run); economy."""
    plan = benchmark.plan
    tables = [task_table(benchmark)]
    if "recall" in plan.tasks:
        if plan.controls:
            tables += [recall_table(benchmark), _paired_table(benchmark)]
        if len(plan.distractors) > 1:
            tables.append(_distractor_table(benchmark))
        tables.append(_economy_table(benchmark.economy))
    return tables


def task_table(benchmark: Benchmark) -> Table:
    """Each task's measures, by tier."""
    plan = benchmark.plan
    table = new_table(
        "What the memory is for, by how it was phrased", "task", "right is", *plan.tiers, left=("right is",)
    )
    for task in plan.tasks:
        for number, measure in enumerate(MEASURES[task]):
            cells = [share_text(benchmark.score(task, measure, tier)) for tier in plan.tiers]
            last = number + 1 == len(MEASURES[task])
            table.add_row(_words(task) if number == 0 else "", measure, *cells, end_section=last)
    table.caption = f"{plan.per_person} facts to a memory; greedy; in brackets right/total and 95 % intervals"
    return table


def recall_table(benchmark: Benchmark) -> Table:
    """Facts recalled with the memory and under the controls, by tier."""
    table = new_table("Facts with unseen values, asked for in a new session (greedy)", "answered right",
                   *benchmark.plan.tiers)  # fmt: skip
    for condition in conditions(benchmark):
        cells = [share_text(benchmark.recall(condition, tier)) for tier in benchmark.plan.tiers]
        table.add_row(_words(condition), *cells)
    table.caption = _stored(benchmark.economy)
    return table


def paired(benchmark: Benchmark, control: Condition, tier: Tier) -> Paired:
    """The memory, with the fewest distractors, against ``control`` on the same questions."""
    own, other = (benchmark.recalled(condition, tier) for condition in ("memory", control))
    return mcnemar(own, other)


def _paired_table(benchmark: Benchmark) -> Table:
    table = new_table("The memory against each control on the same questions", "control", *benchmark.plan.tiers)
    for control in benchmark.plan.controls:
        found = [paired(benchmark, control, tier) for tier in benchmark.plan.tiers]
        table.add_row(_words(control), *(f"{each.first} : {each.second}, p {chance_text(each.p)}" for each in found))
    table.caption = "questions that only the memory : only the control answered right; p by McNemar's exact test"
    return table


def _distractor_table(benchmark: Benchmark) -> Table:
    table = new_table("Facts recalled among other stored vectors, of unrelated real chat", "other vectors",
                   *benchmark.plan.tiers)  # fmt: skip
    for level in benchmark.plan.distractors:
        table.add_row(f"{level:,}", *(share_text(_among(benchmark, tier, level)) for tier in benchmark.plan.tiers))
    return table


def _among(benchmark: Benchmark, tier: Tier, level: int) -> Score:
    return benchmark.score("recall", "value named", tier, distractors=level)


def _economy_table(economy: Sequence[Economy]) -> Table:
    table = new_table("What it costs (the recall task's memories)", "", *(each.tier for each in economy))
    rows: list[tuple[str, list[str]]] = [
        ("facts with a word of the value stored", [share_text(each.recall) for each in economy]),
        ("user tokens stored", [share_text(each.share_stored) for each in economy]),
        ("stored tokens that lie in a value", [share_text(each.precision) for each in economy]),
        ("stored tokens in a message with a fact", [share_text(each.precision_of_facts) for each in economy]),
        ("vectors a fact", [f"{each.vectors_a_fact:.1f}" for each in economy]),
        ("vectors from the model's own replies", [f"{each.reply_vectors}" for each in economy]),
        ("bytes a fact, on disk", [f"{each.bytes_a_fact:,.0f}" for each in economy]),
        ("of these the vectors", [f"{each.vector_bytes / max(1, each.facts):,.0f}" for each in economy]),
        ("statements deleted by mistake", [share_text(Score(each.deleted, each.statements)) for each in economy]),
    ]
    for name, cells in rows:
        table.add_row(name, *cells)
    table.caption = "bytes: growth of memory.db and memory.faiss over an empty memory"
    return table


def _stored(economy: Sequence[Economy]) -> str:
    facts, told = sum(each.facts_stored for each in economy), sum(each.facts for each in economy)
    stored, tokens = sum(each.stored for each in economy), sum(each.user_tokens for each in economy)
    return f"a word of the value stored for {facts} of {told} facts, {stored / max(1, tokens):.1%} of the tokens told"


def recall_json(benchmark: Benchmark) -> dict[str, Any]:
    """See the module."""
    plan = benchmark.plan
    replies = [o.reply for o in benchmark.outcomes if o.condition == "memory" and "record" not in o.measure]
    found: dict[str, Any] = {
        "settings": {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(plan).items()},
        "tasks": {
            task: {
                measure: {tier: score_json(benchmark.score(task, measure, tier)) for tier in plan.tiers}
                for measure in MEASURES[task]
            }
            for task in plan.tasks
        },
    }
    if "recall" in plan.tasks:
        found["conditions"] = {
            condition: {tier: score_json(benchmark.recall(condition, tier)) for tier in plan.tiers}
            for condition in conditions(benchmark)
        }
        found["distractors"] = {
            str(level): {tier: score_json(_among(benchmark, tier, level)) for tier in plan.tiers}
            for level in plan.distractors
        }
        found["paired"] = {
            control: {tier: paired_json(paired(benchmark, control, tier)) for tier in plan.tiers}
            for control in plan.controls
        }
        found["answers"] = {
            condition: {
                tier: "".join(str(int(right)) for right in benchmark.recalled(condition, tier)) for tier in plan.tiers
            }
            for condition in conditions(benchmark)
        }
        found["economy"] = {each.tier: _economy(each) for each in benchmark.economy}
    found["replies_in_loops"] = score_json(Score.of(loops(reply) for reply in replies))
    found["notices"] = list(benchmark.notices)
    return found


def _economy(economy: Economy) -> dict[str, Any]:
    counts = {name: value for name, value in asdict(economy).items() if name != "tier"}
    return counts | {
        "recall": score_json(economy.recall),
        "precision": score_json(economy.precision),
        "precision_of_facts": score_json(economy.precision_of_facts),
        "share_stored": score_json(economy.share_stored),
        "vectors_a_fact": round(economy.vectors_a_fact, 3),
        "bytes_a_fact": round(economy.bytes_a_fact, 1),
    }


def wrong_answers(benchmark: Benchmark, count: int) -> list[str]:
    """The first ``count`` wrong outcomes with the memory, and the fewest distractors, a line each: task, what was told,
    question, reply."""
    fewest = {0, benchmark.plan.distractors[0]}
    wrong = [o for o in benchmark.outcomes if o.condition == "memory" and o.distractors in fewest and not o.right]
    return [f"{o.task}, {o.tier}: {o.told or '(nothing)'} | {o.asked} | {o.reply}" for o in wrong[:count]]


# Dialogue


# Exchanges


def exchanges_json(exchanges: Sequence[Exchange]) -> dict[str, Any]:
    """See the module."""
    return {
        "exchanges": [asdict(exchange) | {"loops": exchange.loops} for exchange in exchanges],
        "recalled": score_json(recalled(exchanges)),
        "in_loops": score_json(looping(exchanges)),
    }


# Within


def _words(name: str) -> str:
    return name.replace("-", " ")
