"""Shows what ``retrieval`` found: tables and the object for ``--json``.

``retrieval_json``: ``conversations``, ``questions``, ``unanswerable`` (counts), ``seed``, ``notices`` and ``systems``,
a list of ``{"system", "overall", "categories", "differences", "paired", "unanswerable_auc", "ms_per_question",
"bytes_per_turn"}``.
``overall[metric]`` and ``categories[category][metric]`` are ``{"mean", "low", "high"}`` with the 95 % interval;
``differences[metric]`` is the same for the paired difference to BM25; ``paired`` is McNemar's exact test on any@5:
``first`` and ``second`` are the questions for which only the system and only BM25 found evidence.
"""

from __future__ import annotations

from typing import Any

from rich.table import Table

from training.evaluation.retrieval.benchmark import BASELINE, FOUND, METRICS, Retrieval, Row
from training.evaluation.statistics import Interval
from training.evaluation.tables import chance_text, new_table, paired_json

BY_CATEGORY = "recall@5"


def retrieval_tables(found: Retrieval) -> list[Table]:
    """The metrics by system; their differences to BM25; recall@5 by category; costs and unanswerable questions."""
    answerable = [each for each in found.asked if each.question.answerable]
    first = new_table("Turns found that answer a question", "system", *METRICS)
    differences = new_table("Difference to BM25 on the same questions", "system", *METRICS, f"{FOUND}: p")
    for row in found.rows:
        first.add_row(row.system, *(_percent(found.mean(row, metric)) for metric in METRICS))
        if row.system != BASELINE:
            differences.add_row(
                row.system, *(_points(found.difference(row, metric)) for metric in METRICS),
                chance_text(found.paired(row).p),
            )  # fmt: skip
    first.caption = (
        f"{len(answerable)} answerable questions in {len({each.conversation for each in found.asked})} conversations; "
        "95 % intervals by bootstrap over conversations"
    )
    differences.caption = (
        "percentage points; an interval without 0 is a difference beyond chance; p: McNemar's exact test, which treats "
        "the questions of a conversation as independent"
    )
    categories = new_table(f"{BY_CATEGORY} by category", "system", *found.categories)
    for row in found.rows:
        categories.add_row(row.system, *(_percent(found.mean(row, BY_CATEGORY, each)) for each in found.categories))
    costs = new_table("Unanswerable questions, and costs", "system", "AUC", "ms per question", "bytes per turn")
    for row in found.rows:
        auc = found.unanswerable(row)
        costs.add_row(
            row.system, "" if auc is None else f"{auc:.2f}",
            "" if row.seconds is None else f"{row.seconds * 1000:.1f}",
            "" if row.bytes is None else f"{row.bytes / max(1, row.turns):,.0f}",
        )  # fmt: skip
    unanswerable = len(found.asked) - len(answerable)
    costs.caption = f"AUC: {unanswerable} unanswerable questions told apart by the best score (memory: no-match share)"
    return [first, differences, categories, costs]


def retrieval_json(found: Retrieval) -> dict[str, Any]:
    """See the module."""
    return {
        "conversations": len({each.conversation for each in found.asked}),
        "questions": sum(each.question.answerable for each in found.asked),
        "unanswerable": sum(not each.question.answerable for each in found.asked),
        "seed": found.seed,
        "systems": [_row(found, row) for row in found.rows],
        "notices": list(found.notices),
    }


def _row(found: Retrieval, row: Row) -> dict[str, Any]:
    return {
        "system": row.system,
        "overall": {metric: _interval(found.mean(row, metric)) for metric in METRICS},
        "categories": {
            category: {metric: _interval(found.mean(row, metric, category)) for metric in METRICS}
            for category in found.categories
        },
        "differences": {metric: _interval(found.difference(row, metric)) for metric in METRICS},
        "paired": paired_json(found.paired(row)),
        "unanswerable_auc": found.unanswerable(row),
        "ms_per_question": None if row.seconds is None else round(row.seconds * 1000, 3),
        "bytes_per_turn": None if row.bytes is None else round(row.bytes / max(1, row.turns), 1),
    }


def _interval(interval: Interval) -> dict[str, float | None]:
    return {"mean": round(interval.mean, 5), "low": interval.low, "high": interval.high}


def _percent(interval: Interval) -> str:
    bounds = "" if interval.low is None or interval.high is None else f" ({interval.low:.0%} to {interval.high:.0%})"
    return f"{interval.mean:.1%}{bounds}"


def _points(interval: Interval) -> str:
    low, high = interval.low, interval.high
    bounds = "" if low is None or high is None else f" ({low * 100:+.0f} to {high * 100:+.0f})"
    return f"{interval.mean * 100:+.1f}{bounds}"
