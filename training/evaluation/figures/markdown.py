"""The cells and tables of the page of figures, as Markdown; scores and intervals are those of the results' JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from training.evaluation.tables import chance_text

Model = dict[str, Any]
"""A model's figures, by measure."""
Cell = Callable[[Model], str]
NOT_MEASURED = "not measured"


def cell_text(cell: Cell, model: Model) -> str:
    """The cell, where what it shows was measured."""
    try:
        return cell(model)
    except KeyError:
        return NOT_MEASURED


def percent(score: Any) -> str:
    """ "58%"."""
    return NOT_MEASURED if score["share"] is None else f"{score['right'] / score['total']:.0%}"


def short_share(score: Any) -> str:
    """ "58% of 12"."""
    return NOT_MEASURED if score["share"] is None else f"{percent(score)} of {score['total']}"


def full_share(score: Any) -> str:
    """ "65% (43% to 82%) of 20"."""
    if score["share"] is None:
        return NOT_MEASURED
    low, high = score["interval"]
    return f"{percent(score)} ({low:.0%} to {high:.0%}) of {score['total']}"


def count(score: Any) -> str:
    """ "7 of 12"."""
    return f"{score['right']} of {score['total']}"


def interval_text(interval: Any) -> str:
    """ "12.5% (5% to 20%)", of a mean and its bounds."""
    low, high = interval["low"], interval["high"]
    return f"{interval['mean']:.1%}" + ("" if low is None else f" ({low:.0%} to {high:.0%})")


def split_text(paired: Any) -> str:
    """ "9 : 2, p 0.07", of McNemar's test."""
    return NOT_MEASURED if paired is None else f"{paired['first']} : {paired['second']}, p {chance_text(paired['p'])}"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The table, without a line break at its end."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in lines)
