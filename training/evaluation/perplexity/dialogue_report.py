"""Shows the perplexity of dialogue: rich tables for people, a plain list for ``--json``.

``dialogue_json``: a list, one object a corpus: ``corpus``, ``units``, ``tokens``, ``perplexity[reader]``, ``stored``,
``told``, and ``ratios["reader / reader"]`` = ``{"ratio", "interval"}``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from training.evaluation.perplexity.dialogue import READERS, Loss, Prediction, Reader
from training.evaluation.tables import new_table

RATIOS: tuple[tuple[Reader, Reader], ...] = (
    ("memory", "no memory"),
    ("memory", "another pair's memory"),
    ("memory", "twin"),
    ("no memory", "twin"),
)
"""The comparisons of perplexity that are shown, where both were measured."""


def dialogue_tables(predictions: Sequence[Prediction]) -> list[Table]:
    """Perplexity of each corpus by reader, and what the readers reach of each other's."""
    readers = [reader for reader in READERS if any(reader in p.losses for p in predictions)]
    table = new_table("Perplexity on held-out human dialogue", "corpus", "tokens", *readers)
    ratios = new_table("Ratios of perplexity: below 1, the first is better", "corpus", "of", "ratio", "95 % interval")
    ratios.columns[1].justify = "left"
    for p in predictions:
        cells = [f"{p.perplexity(reader):.2f}" if reader in p.losses else "" for reader in readers]
        table.add_row(p.corpus, f"{_tokens(p):,}", *cells)
        for one, other in RATIOS:
            if one in p.losses and other in p.losses:
                ratio, low, high = p.ratio(one, other)
                ratios.add_row(p.corpus, f"{one} / {other}", f"{ratio:.3f}", f"{low:.3f} to {high:.3f}")
    first = predictions[0]
    pairs = len(first.losses["memory"])
    table.caption = f"{first.corpus}: {pairs} pairs of people, {first.stored:,} of {first.told:,} tokens stored"
    ratios.caption = "intervals: bootstrap over pairs of people (of the other corpora: over dialogues)"
    return [table, ratios]


def dialogue_json(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """See the module."""
    return [
        {
            "corpus": p.corpus,
            "units": len(next(iter(p.losses.values()))),
            "tokens": _tokens(p),
            "perplexity": {reader: round(p.perplexity(reader), 4) for reader in p.losses},
            "stored": p.stored,
            "told": p.told,
            "ratios": {
                f"{a} / {b}": {"ratio": round(ratio, 5), "interval": [round(low, 5), round(high, 5)]}
                for a, b in RATIOS
                if a in p.losses and b in p.losses
                for ratio, low, high in [p.ratio(a, b)]
            },
        }
        for p in predictions
    ]


def _tokens(prediction: Prediction) -> int:
    return Loss.sum(next(iter(prediction.losses.values()))).tokens
