"""What the evaluation tells and says is not trained on, word for word."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import training.data.synthetic
import training.evaluation.data
from training.evaluation.scoring import normalised

TRAINED, EVALUATED = (
    Path(next(iter(package.__path__))) for package in (training.data.synthetic, training.evaluation.data)
)
SAID = ("statement", "statements", "correction", "request")
"""Keys of what a person says in the tables ``recall_``; short questions are anybody's."""


def texts(found: Any) -> Iterator[str]:
    """All strings in ``found``, normalised."""
    if isinstance(found, str):
        yield normalised(found)
    elif isinstance(found, (list, dict)):
        for each in found.values() if isinstance(found, dict) else found:
            yield from texts(each)


def rows(tables: Iterator[Path]) -> Iterator[dict[str, Any]]:
    for table in tables:
        yield from map(json.loads, table.read_text(encoding="utf-8").splitlines())


def test_no_statement_of_recall_and_no_line_of_spared_is_trained_on() -> None:
    trained = {text for row in rows(TRAINED.glob("*.jsonl")) for text in texts(row)}
    said = {text for row in rows(EVALUATED.glob("recall_*.jsonl")) for key in SAID for text in texts(row.get(key, ()))}
    lines = {text for row in rows(EVALUATED.glob("spared_lines.jsonl")) for text in texts(row["text"])}
    assert len(trained) > 20_000 and len(said) > 100 and len(lines) > 100
    assert not {text for text in trained & (said | lines) if " " in text}  # a number or a word alone is anybody's
