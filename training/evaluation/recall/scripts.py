"""Who tells what in which session, and what is asked afterwards: scripts, a function of task, tier, counts and seed.

The tiers differ in the words alone, not in the values, which training never sees: ``seen`` takes the phrasings that
training takes, ``held-out`` phrasings that it never took, ``hand-written`` sentences that no template made. The
``development`` tier, which has to be asked for, is hand-written facts that training holds out: thresholds are chosen on
it, so that the benchmark need not be looked at.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from training.data.synthetic.relations import RELATIONS
from training.data.synthetic.templates import Relation
from training.evaluation.recall.handwritten import benchmark_facts, development_facts, handwritten
from training.evaluation.recall.tasks import TASKS, TIERS, Script, Task, Tier
from training.evaluation.recall.templates import TEMPLATED


def make_scripts(
    task: Task, tier: Tier, *, facts: int, per_person: int, seed: int, relations: Sequence[Relation] = RELATIONS
) -> list[Script]:
    """People who tell ``facts`` facts in all (rounded up to whole people, two or more), ``per_person`` each.

    The hand-written sentences are used once each, so there the facts may run out before. A joined or an interference
    person needs two facts or more.
    """
    rng = random.Random(f"{seed}/{task}/{tier}")
    if task in ("joined", "interference"):
        per_person = max(2, per_person)
    people = max(2, math.ceil(facts / per_person))
    if tier in ("hand-written", "development"):
        written = benchmark_facts() if tier == "hand-written" else development_facts()
        return list(handwritten(written, task, facts, people, per_person, rng))
    return [TEMPLATED[task](tier, per_person, rng, relations) for _ in range(people)]


def write_scripts(path: Path, *, facts: int, per_person: int, seed: int) -> int:
    """Write the scripts of every task and tier as JSONL, an object per Script; returns how many. ``data/README.md``
    documents them."""
    scripts = [
        script
        for task in TASKS
        for tier in TIERS
        for script in make_scripts(task, tier, facts=facts, per_person=per_person, seed=seed)
    ]
    lines = (json.dumps(asdict(script), ensure_ascii=False) + "\n" for script in scripts)
    path.write_text("".join(lines), encoding="utf-8")
    return len(scripts)
