"""Shows what the benchmarks found: rich tables for people, plain dictionaries for ``--json``."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from training.benchmark.recall import CONTROLS, PHRASINGS, Phrasing, Recall


def recall_table(recall: Recall) -> Table:
    table = Table(title="Facts with unseen values, asked for in a new session (greedy)", title_justify="left")
    table.add_column("answered right")
    for phrasing in PHRASINGS:
        table.add_column(f"{phrasing} phrasings", justify="right")
    for control in CONTROLS:
        cells = []
        for phrasing in PHRASINGS:
            score = recall.score(control, phrasing)
            low, high = score.interval
            cells.append(f"{score.share:.1%} ({score.right}/{score.total}; {low:.0%} to {high:.0%})")
        table.add_row(control, *cells)
    table.caption = (
        f"{recall.facts_stored} of {recall.facts} facts stored, in {recall.stored_vectors} vectors: "
        f"{recall.stored_vectors / max(1, recall.user_tokens):.1%} of the tokens told"
    )
    return table


def recall_json(recall: Recall) -> dict[str, Any]:
    def scores(phrasing: Phrasing) -> dict[str, Any]:
        return {
            control: {"right": score.right, "total": score.total, "share": round(score.share, 4),
                      "interval": [round(x, 4) for x in score.interval]}
            for control in CONTROLS
            for score in [recall.score(control, phrasing)]
        }  # fmt: skip

    return {
        **{phrasing: scores(phrasing) for phrasing in PHRASINGS},
        "facts": recall.facts,
        "facts_stored": recall.facts_stored,
        "stored_vectors": recall.stored_vectors,
        "user_tokens": recall.user_tokens,
    }
