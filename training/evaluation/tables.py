"""How evaluations show shares: in a table, and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.table import Table

from training.evaluation.scoring import Score
from training.evaluation.statistics import Paired


def new_table(title: str, first: str, *columns: str, left: tuple[str, ...] = ()) -> Table:
    """An empty table: the first column and those named in ``left`` are left-aligned, the others right-aligned."""
    table = Table(title=title, title_justify="left", caption_justify="left")
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="left" if column in left else "right")
    return table


def share_text(score: Score) -> str:
    """ "12.5% (1/8; 2% to 47%)", or "none" where nothing was counted."""
    if not score.total:
        return "none"
    low, high = score.interval
    return f"{score.share:.1%} ({score.right}/{score.total}; {low:.0%} to {high:.0%})"


def score_json(score: Score) -> dict[str, Any]:
    """``{"right", "total", "share", "interval"}``; ``share`` is null where nothing was counted."""
    return {
        "right": score.right,
        "total": score.total,
        "share": round(score.share, 4) if score.total else None,
        "interval": [round(bound, 4) for bound in score.interval],
    }


def paired_json(paired: Paired) -> dict[str, Any]:
    """``{"questions", "first", "second", "p"}``: see Paired."""
    return asdict(paired) | {"p": round(paired.p, 6)}


def chance_text(p: float) -> str:
    """ "0.03", "0.0004", "under 0.0001"."""
    return "under 0.0001" if p < 0.0001 else f"{p:.2f}" if p >= 0.01 else f"{p:.1g}"
