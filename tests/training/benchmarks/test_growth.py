"""How cost grows: every curve of a model is measured, printed, written as JSON and drawn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from training.benchmarks import growth


def test_every_curve_is_measured_written_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="the extra bench is not installed")
    monkeypatch.setattr(growth, "PROMPTS", (48, 4096))
    monkeypatch.setattr(growth, "RESULTS", (1, 8))
    monkeypatch.setattr(growth, "VECTORS", 300)
    file, chart = tmp_path / "growth.json", tmp_path / "growth.svg"
    flags = ["--models", "mini", "--sizes", "200,400", "--runs", "1", "--turns", str(growth.TOGETHER)]
    result = CliRunner().invoke(growth.main, [*flags, "--json", str(file), "--chart", str(chart)])
    assert result.exit_code == 0, result.output
    curves = {each["of"]: each for each in json.loads(file.read_text("utf-8"))["curves"]}
    assert set(curves) == set(growth.WHAT)
    assert curves["memory"]["at"] == [200, 400]
    assert curves["prompt"]["at"] == [48, 383], "as many as the model can read"
    assert curves["results"]["at"] == [1, 8]
    assert curves["session"]["at"] == [growth.TOGETHER]
    for each in curves.values():
        assert len(each["ours"]) == len(each["at"]) and min(each["ours"]) > 0
        assert len(each["plain"]) == (0 if each["of"] == "session" else len(each["at"]))
    assert "mini: writing" in chart.read_text("utf-8")
    assert "turns of the session" in result.stdout


@pytest.mark.parametrize(
    "flags",
    [
        ["--models", "huge"],
        ["--sizes", "many"],
        ["--sizes", "10"],
        ["--json", "no-such-directory/growth.json"],
        ["--chart", "no-such-directory/growth.svg"],
        ["--chart", "growth.pdf"],
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_line(flags: list[str]) -> None:
    result = CliRunner().invoke(growth.main, flags)
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()[-1]) < 120
