"""A run can be watched: live on a terminal, as lines on a pipe, in TensorBoard, and afterwards as curves."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from tests.helpers.texts import long_texts, source
from tests.helpers.tiny_training import tiny
from training import display, trainer
from training.cli import train
from training.config import TrainConfig
from training.curves import FILES, draw_curves, panels
from training.data.preprocess.pipeline import How, prepare_text
from training.run import build


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("prepared") / "text"
    return str(prepare_text([source(long_texts(40))], How(vocab_size=400, held_out=0.1), directory).directory)


def config(text: str) -> TrainConfig:
    return tiny(datasets=(text,), max_steps=3, save_every=3, validate_every=2, fact_episodes=1)


def test_on_a_terminal_progress_and_figures_are_drawn_live(text: str, tmp_path: Path) -> None:
    screen = io.StringIO()
    build(config(text), None, tmp_path / "out", Console(file=screen, force_terminal=True, width=160, height=50))
    shown = screen.getvalue()
    for word in ("step", "epoch 1", "3/3", "left", "loss", "perplexity", "retrieval", "stored", "found", "tokens/s"):
        assert word in shown, word
    assert shown.count("\x1b[1A") > 2, "drawn in place"
    assert "validation loss" in shown


def test_on_a_pipe_there_are_lines(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display._Lines, "SECONDS", 0.0)
    pipe = io.StringIO()
    build(config(text), None, tmp_path / "out", Console(file=pipe, width=160))
    lines = pipe.getvalue().splitlines()
    assert sum("of 3: loss" in line and "min left" in line for line in lines) == 3
    assert "\x1b" not in pipe.getvalue()
    assert sum("validation loss" in line for line in lines) == 3, "two validations, and the table of all"


def test_tensorboard_gets_what_metrics_jsonl_has(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setattr(trainer, "LOG_EVERY", 1)
    out = tmp_path / "out"
    flags = ["--dataset", text, "--preset", "nano", "--max-steps", "2", "--batch-size", "1", "--mixed-precision", "no"]
    result = CliRunner().invoke(train, [*flags, "--output-dir", str(out), "--log-with", "tensorboard"])
    assert result.exit_code == 0, result.output
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    (events,) = (out / "tensorboard").glob("events*")
    found = EventAccumulator(str(events))
    found.Reload()
    losses = {event.step: event.value for event in found.Scalars("training/loss")}
    assert losses == pytest.approx({r["step"]: r["loss"] for r in records if "loss" in r})
    assert len(losses) == 2
    (validated,) = found.Scalars("validation/loss")
    assert validated.value == pytest.approx(records[-1]["validation"]["loss"])


def test_without_tensorboard_the_flag_says_what_is_missing(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = CliRunner().invoke(train, ["--dataset", text, "--log-with", "tensorboard"])
    assert result.exit_code == 1
    assert "varda-chat[tensorboard]" in result.output


def test_curves_are_drawn_of_all_there_is(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "LOG_EVERY", 1)
    out = tmp_path / "out"
    build(config(text), None, out, Console(quiet=True))
    png, svg = (out / name for name in FILES)
    assert png.read_bytes().startswith(b"\x89PNG")
    assert svg.read_text(encoding="utf-8").rstrip().endswith("</svg>")
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    drawn = panels(records)
    assert [len(lines) for lines in drawn.values()] == [4, 3, 2]
    for lines in drawn.values():
        for label, steps, values in lines:
            assert steps in ([1, 2, 3], [2, 3]), label
            assert len(values) == len(steps)


def test_without_matplotlib_a_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    said = draw_curves([{"step": 1, "talk": 2.0, "facts": 3.0}], tmp_path)
    assert said is not None
    assert "varda-chat[bench]" in said
    assert not list(tmp_path.iterdir())
