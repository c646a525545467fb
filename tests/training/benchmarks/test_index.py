"""The memory benchmark: its table and its JSON hold what was measured, for every index type."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from training.benchmarks.index import clustered, main, measure_all
from training.benchmarks.turns import TurnFigures, turn_table
from varda_chat.memory.index.registry import INDEX_TYPES


def test_the_vectors_are_the_same_each_time_and_in_clusters() -> None:
    vectors = clustered(400, 32, centres=8, seed=1)
    np.testing.assert_array_equal(vectors, clustered(400, 32, centres=8, seed=1))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)
    likeness = np.sort(vectors @ vectors.T, axis=1)[:, ::-1]
    assert likeness[:, 10].mean() > likeness[:, 200].mean() + 0.3


def test_json_has_a_row_for_each_type_and_size() -> None:
    result = CliRunner().invoke(main, ["--sizes", "200,900", "--dim", "16", "--json"])
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["rows"]
    assert [(row["size"], row["index_type"]) for row in rows] == [(n, kind) for n in (200, 900) for kind in INDEX_TYPES]
    for row in rows:
        assert row["recall_at_5"] >= (1.0 if row["index_type"] == "flat" else 0.95)
        assert row["bytes_on_disk"] > row["size"] * 16 * 4
        assert min(row[name] for name in ("build", "search_1", "search_64", "add", "remove", "save", "load")) > 0


def test_the_table_says_what_was_measured() -> None:
    result = CliRunner().invoke(main, ["--sizes", "300", "--dim", "16", "--index-types", "flat"])
    assert result.exit_code == 0
    assert "300" in result.stdout
    assert "random unit vectors in clusters" in result.stdout


def test_without_clusters_is_measured_when_asked() -> None:
    result = CliRunner().invoke(main, ["--sizes", "3000", "--dim", "64", "--index-types", "ivf", "--unclustered"])
    assert result.exit_code == 0
    assert "without clusters" in result.stdout
    (row,) = measure_all((3000,), ("ivf",), 64, unclustered=True)
    assert 0.1 < row.recall_at_5 < 0.95


def test_half_precision_is_measured_against_the_unrounded() -> None:
    (row,) = measure_all((500,), ("flat",), 16, half=True)
    assert row.index_type == "flat, half"
    assert row.recall_at_5 >= 0.98


def test_turns_and_starts_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.benchmarks.turns.TURNS", 3)
    monkeypatch.setattr("training.benchmarks.index.TURN_SIZES", (400,))
    result = CliRunner().invoke(
        main, ["--sizes", "400", "--dim", "16", "--index-types", "flat,graph", "--only-turns", "--json"]
    )
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["turns"]
    assert [(row["index_type"], row["size"]) for row in rows] == [("flat", 400), ("graph", 400)]
    for row in rows:
        assert row["commit_p99"] >= row["commit_median"] > 0
        assert min(row["start"], row["imports"], row["build"]) > 0
    assert "commit, p99" in turn_table_of(rows)


def turn_table_of(rows: list[dict[str, Any]]) -> str:
    console = Console(width=140, record=True, file=StringIO())
    console.print(turn_table([TurnFigures(**row) for row in rows], str))
    return console.export_text()


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (["--sizes", "many"], 2, "whole numbers"),
        (["--sizes", "0"], 2, "at least 1"),
        (["--sizes", "100", "--index-types", "tree"], 1, "not available"),
    ],
)
def test_bad_flags_are_refused_in_a_line(flags: list[str], code: int, words: str) -> None:
    result = CliRunner().invoke(main, flags)
    assert result.exit_code == code
    assert words in result.stderr
