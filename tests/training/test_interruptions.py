"""A run that is cut off, however it is, resumes as if it had not been: weights and metrics are those of a whole run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from rich.console import Console
from safetensors.torch import load_file

from tests.helpers.paths import ROOT
from tests.helpers.texts import long_texts, source
from tests.helpers.tiny_training import tiny
from training.checkpointing import Saves, saved_config
from training.cli import train
from training.data.preprocess.pipeline import How, prepare_text
from training.run import build
from training.trainer import Trainer
from varda_chat.errors import VardaError

QUIET = Console(quiet=True)
STEPS = 12
FLAGS = ["--preset", "nano", "--max-steps", str(STEPS), "--warmup-steps", "2", "--batch-size", "1", "--save-every", "2",
         "--validate-every", "6", "--mixed-precision", "no"]  # fmt: skip


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "training", *arguments]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def wait_for(sign: Path, process: subprocess.Popen[Any]) -> None:
    """Until ``sign`` is there, or the process has ended without it."""
    deadline = time.monotonic() + 120
    while not sign.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)


def metrics(directory: Path) -> list[dict[str, object]]:
    """What was logged, but for what depends on the machine's speed."""
    records = [json.loads(line) for line in (directory / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{k: v for k, v in record.items() if k not in ("seconds", "tokens_per_second")} for record in records]


def assert_same_run(one: Path, other: Path) -> None:
    for file in ("model.safetensors", "last/model.safetensors"):
        expected, found = load_file(one / file), load_file(other / file)
        assert expected.keys() == found.keys()
        for name, tensor in expected.items():
            assert torch.equal(tensor, found[name]), f"{file}: {name}"
    assert metrics(one) == metrics(other)


def resume(out: Path, *more: str) -> None:
    result = CliRunner().invoke(train, ["--resume", "--output-dir", str(out), *more])
    assert result.exit_code == 0, result.output
    assert "Resumed at step" in result.output


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Prepared text, which trains quicker than dialogue."""
    directory = tmp_path_factory.mktemp("prepared") / "text"
    return str(prepare_text([source(long_texts(40))], How(vocab_size=400, held_out=0.1), directory).directory)


@pytest.fixture(scope="module")
def whole(text: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run that nothing disturbed."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    result = CliRunner().invoke(train, [*FLAGS, "--dataset", text, "--output-dir", str(out)])
    assert result.exit_code == 0, result.output
    return out


def test_killed_at_any_moment_it_goes_on_as_if_it_had_not_been(whole: Path, text: str, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    arguments = [*FLAGS, "--dataset", text, "--output-dir", str(out)]
    kills = 0
    # as soon as there is a save, and as soon as there is a second one
    for sign in (out / "last" / "run.json", out / "last.old" / "run.json"):
        process = subprocess.Popen(command(*arguments), env=environment(), stdout=subprocess.DEVNULL)
        wait_for(sign, process)
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        arguments = ["--resume", "--output-dir", str(out)]
    assert kills, "the run was over before it could be killed"
    resume(out)
    assert_same_run(whole, out)


class KilledError(BaseException):
    """Stands for a kill: nothing runs after it."""


@pytest.mark.parametrize("renames", [0, 1])
def test_a_kill_before_or_between_the_renames_of_a_save_loses_nothing(
    renames: int, whole: Path, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    rename = Path.rename
    done: list[str] = []

    def dying(self: Path, target: Path) -> Path:
        of_second_save = self.name == "last" or (self.name == "last.new" and (out / "last.old").exists())
        if of_second_save and len(done) == renames:
            raise KilledError
        if of_second_save:
            done.append(self.name)
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", dying)
        with pytest.raises(KilledError):
            CliRunner().invoke(train, [*FLAGS, "--dataset", text, "--output-dir", str(out)], catch_exceptions=False)
    assert (out / "last").exists() == (renames == 0)
    assert Saves(out).kept_step() == 2
    if renames:
        resume(out)
        assert_same_run(whole, out)


def test_asked_to_stop_it_saves_and_says_how_to_resume(whole: Path, text: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = subprocess.Popen(
        command(*FLAGS, "--dataset", text, "--output-dir", str(out)), env=environment(), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    wait_for(out / "last", process)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "saved. Resume with" in said.replace("\n", " ")
    assert "Traceback" not in said
    resume(out)
    assert_same_run(whole, out)


@pytest.mark.parametrize("flag", ["--max-steps=9", "--seed=1", "--preset=micro", "--memory_size=5", "--batch-size=2"])
def test_what_a_resumed_run_would_ignore_is_refused(flag: str, whole: Path) -> None:
    result = CliRunner().invoke(train, ["--resume", flag, "--output-dir", str(whole)])
    assert result.exit_code == 2
    named = flag.partition("=")[0].replace("_", "-")
    assert f"Error: {named} cannot be given with --resume" in result.output


def test_a_run_that_patience_ended_is_not_trained_further(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in what follows training, and resumed: thresholds and card are still to be written."""
    out = tmp_path / "out"
    # a learning rate that destroys what was learned: the first validation is the best
    config = tiny(datasets=(text,), max_steps=40, learning_rate=0.5, warmup_steps=0, patience=2, validate_every=2,
                  save_every=50, fact_episodes=1)  # fmt: skip

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("training.run.calibrate", stopped)
        with pytest.raises(KeyboardInterrupt):
            build(config, None, out, QUIET)
    ended, logged, best = Saves(out).kept_step(), metrics(out), load_file(out / "best.safetensors")
    assert ended is not None and ended < 40
    resume(out)
    assert Saves(out).kept_step() == ended
    assert metrics(out) == logged
    weights = load_file(out / "model.safetensors")
    # how well a result must fit is calibrated after training
    for name in (best.keys() & weights.keys()) - {"memory_reader.null_score"}:
        assert torch.equal(weights[name], best[name]), name
    assert f"{ended} steps" in (out / "README.md").read_text(encoding="utf-8")


def all_finite(path: Path) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in load_file(path).values())


def test_numbers_that_run_away_end_the_run_and_the_last_good_state_is_kept(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A weight becomes NaN in the fourth step, whose state is saved before that shows."""
    out, step = tmp_path / "out", Trainer.train_step

    def poisoning(self: Trainer) -> dict[str, float]:
        terms = step(self)
        if self.step == 4:
            with torch.no_grad():
                next(self.model.parameters())[0, 0] = float("nan")
        return terms

    config = tiny(datasets=(text,), max_steps=6, save_every=2, validate_every=6, fact_episodes=1)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", poisoning)
        with pytest.raises(VardaError, match=r"loss became nan at step 4.*step 2, is kept.*--learning-rate") as caught:
            build(config, None, out, QUIET)
    assert "\n" not in str(caught.value)
    assert Saves(out).kept_step() == 2
    assert all_finite(out / "last.old" / "model.safetensors")
    resume(out, "--learning-rate", "1e-4")
    assert saved_config(out).learning_rate == 1e-4
    assert all_finite(out / "model.safetensors")


def test_a_learning_rate_that_ruins_the_model_is_named(text: str, tmp_path: Path) -> None:
    config = tiny(datasets=(text,), max_steps=40, save_every=50, learning_rate=1e30, warmup_steps=0, fact_episodes=1)
    with pytest.raises(VardaError, match=r"became (nan|inf) at step \d+. Nothing was saved yet; .*lower"):
        build(config, None, tmp_path / "out", QUIET)


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        MemoryError(),
    ],
)
def test_memory_used_up_is_told_with_what_to_do(
    error: Exception, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, compute = tmp_path / "out", Trainer.gradients_of_step

    def full(self: Trainer) -> dict[str, float]:
        if self.step == 3:
            raise error
        return compute(self)

    monkeypatch.setattr(Trainer, "gradients_of_step", full)
    result = CliRunner().invoke(train, [*FLAGS, "--dataset", text, "--output-dir", str(out)])
    assert result.exit_code == 1
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert "used up at step 3; the state of step 2 is kept" in line
    assert "--batch-size" in line
    assert Saves(out).kept_step() == 2


def test_other_errors_of_a_step_are_not_hidden(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(self: Trainer) -> dict[str, float]:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(Trainer, "gradients_of_step", wrong)
    with pytest.raises(RuntimeError, match="shapes"):
        build(tiny(datasets=(text,)), None, tmp_path / "out", QUIET)
