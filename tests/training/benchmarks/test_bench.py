"""The table of ``make bench``: ratios and goals, the plain base, and what its command prints and writes."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from training.benchmarks import __main__ as bench
from training.benchmarks import commits, processes
from training.benchmarks.ratios import Figure, Row, in_turns, medians
from training.benchmarks.speed import WRITTEN, ModelBench, measure_models, measure_speed, plain_base
from varda_chat.models.checkpoint import load_checkpoint

FASTER = Row("faster", "work", "plain work", "tokens/s", {"mini": 1.2})
SHORTER = Row("shorter", "work", "plain work", "ms", {"mini": 1.2}, at_most=True)


def test_a_goal_is_met_at_least_or_at_most() -> None:
    assert Figure(FASTER, "mini", 10.0, 12.0, 1).met is True
    assert Figure(FASTER, "mini", 10.0, 11.0, 1).met is False
    assert Figure(SHORTER, "mini", 10.0, 12.0, 1).met is True
    assert Figure(SHORTER, "mini", 10.0, 13.0, 1).met is False
    assert Figure(SHORTER, "other", 10.0, 13.0, 1).met is None


def test_both_ways_run_in_turns_and_the_first_does_not_count() -> None:
    runs: list[str] = []
    plain, ours = in_turns(lambda: runs.append("plain"), lambda: runs.append("ours"), 2, lambda: runs.append("before"))
    assert runs == ["before", "plain", "before", "ours"] * 3
    assert min(plain, ours) >= 0.0
    times = iter([100.0, 200.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert medians(lambda: next(times), lambda: next(times), 3) == (3.0, 4.0)


def test_the_plain_base_has_the_models_own_weights() -> None:
    model = load_checkpoint("mini").model
    ids = torch.randint(3, 4000, (1, 24), generator=torch.Generator().manual_seed(0))
    plain = plain_base(model)
    with torch.inference_mode():
        torch.testing.assert_close(plain(ids).logits, model(ids).logits)
    assert plain.lm_head.weight.data_ptr() == model.lm_head.weight.data_ptr()


@pytest.fixture
def mini_bench(tmp_path: Path) -> Iterator[ModelBench]:
    found = ModelBench("mini", load_checkpoint("mini"), tmp_path, 200)
    yield found
    found.close()


def test_both_write_as_many_tokens_after_a_prompt_of_the_length_asked_for(mini_bench: ModelBench) -> None:
    prompt = mini_bench.prompt(48)
    assert len(prompt) == 48
    assert len(mini_bench.write(prompt, WRITTEN)()) == WRITTEN  # type: ignore[arg-type]
    assert mini_bench.plain_write(prompt, WRITTEN)().shape == (1, 48 + WRITTEN)  # type: ignore[attr-defined]


def test_every_row_of_a_model_is_measured(mini_bench: ModelBench) -> None:
    rows = frozenset(row.name for row in bench.OF_MODELS)
    found = list(measure_models(mini_bench, rows, 1))
    assert {each.row.name for each in found} == rows
    assert all(each.ratio > 0 and each.goal is not None for each in found)
    assert "383-token" in found[2].row.what, "as many of the 400 as the model can read"


def test_speeds_of_a_checkpoint_are_those_rows() -> None:
    found = measure_speed(load_checkpoint("mini"), memory_size=200, repeats=1)
    assert [each.work for each in found] == [
        "writing 64 tokens, 200 vectors",
        "reading a 192-token prompt, 200 vectors",
    ]


def test_commits_are_measured_for_each_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "VECTORS", 200)
    (found,) = commits.measure_commits({"mini": 16}, 1)
    assert found.plain > 0
    assert found.ours > 0
    written = re.fullmatch(r"(\d+) pages written, the plain one (\d+)", found.detail)
    assert written is not None and int(written[1]) > int(written[2]) > 0


def test_the_command_prints_the_table_and_writes_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "in_turns", lambda plain, ours, runs: (0.5, 2.0))
    file = tmp_path / "bench.json"
    result = CliRunner().invoke(bench.main, ["--rows", "help", "--quick", "--json", str(file)])
    assert result.exit_code == 0, result.output
    assert "varda-chat --help" in result.stdout
    assert "✗" in result.stdout
    assert "GB/s" in result.stdout
    (row,) = json.loads(file.read_text())["rows"]
    assert (row["ratio"], row["goal"], row["met"]) == (4.0, 1.6, False)
    assert row["command"] == "python -m training.benchmarks --rows help"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--rows", "speed"], "is none of"),
        (["--models", "huge"], "is none of"),
        (["--rows", ","], "is none of"),
        (["--json", "no-such-directory/bench.json"], "no directory"),
    ],
)
def test_what_cannot_be_measured_or_written_is_refused_in_a_line(flags: list[str], said: str) -> None:
    result = CliRunner().invoke(bench.main, flags)
    assert result.exit_code == 2
    assert said in result.stderr


def test_the_peak_is_the_process_s_own_and_not_its_parent_s() -> None:
    """Linux counts what the parent had when it was forked."""
    mine = bytearray(200_000_000)
    mine[::4096] = b"x" * len(mine[::4096])
    small = processes.peak([sys.executable, "-c", "pass"])
    large = processes.peak([sys.executable, "-c", "bytearray(b'x') * 100_000_000"])
    assert small < 60 < 100 < large < 160
