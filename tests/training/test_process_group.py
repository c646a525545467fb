"""Two processes under ``accelerate launch`` share a step: its gradients are those of one, and one of them writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.helpers.paths import ROOT
from tests.helpers.shared_steps import STEPS, gradients, settings
from training.data.preprocess.tokenizer import train_tokenizer
from training.gradients import Gradients
from training.launch import make_accelerator
from training.process_group import ProcessGroup
from varda_chat.errors import VardaError
from varda_chat.models.checkpoint import load_checkpoint


def launched(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a module of ours as two processes on the CPU. (With --cpu, ``accelerate launch`` starts one, without MPI.)"""
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2",
               "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0",
               "--num_cpu_threads_per_process", "1", "--module", *map(str, arguments)]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200)


@pytest.fixture(scope="module")
def both(corpora: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """Directories of what one process and two wrote, and what the two said."""
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    tokenizer = one / "tokenizer.json"
    train_tokenizer([" My dog is called Rimba. How are you? I am fine, thanks."] * 9, 400).save(str(tokenizer))
    result = launched("tests.helpers.shared_steps", corpora, two, tokenizer)
    assert result.returncode == 0, result.stderr[-3000:]
    gradients(corpora, one, tokenizer)
    return one, two, result.stdout


@pytest.mark.slow
def test_two_processes_have_the_gradients_of_one(both: tuple[Path, Path, str]) -> None:
    one, two, _ = both
    for step in range(STEPS):
        expected, found = (load_file(directory / f"{step}.safetensors") for directory in (one, two))
        assert expected.keys() == found.keys()
        assert len(expected) > 40
        for name, tensor in expected.items():
            least = 2e-5 * max(float(tensor.abs().max()), 1e-3)
            torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=least, msg=f"{name}, step {step}")


@pytest.mark.slow
def test_the_run_of_two_processes_is_written_once(both: tuple[Path, Path, str]) -> None:
    _, two, said = both
    run = two / "run"
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [record["step"] for record in records] == [4, STEPS], "each validation once"
    assert said.count("Calibrating") == 1
    assert json.loads((run / "last" / "run.json").read_text(encoding="utf-8"))["step"] == STEPS
    assert len(list((run / "last").glob("random_states_*"))) == 2, "each process' own dropout resumes where it was"
    assert load_checkpoint(run).parameters > 100_000


def test_more_processes_than_rows_are_told_so(tmp_path: Path) -> None:
    config = settings()
    accelerator = make_accelerator(config, tmp_path)
    with pytest.raises(VardaError, match=r"4 processes .* --dialogue-rows is 3"):
        Gradients(None, None, config, accelerator, ProcessGroup(0, 4))  # type: ignore[arg-type]


@pytest.mark.parametrize(("count", "processes"), [(1, 1), (7, 3), (64, 8), (2, 5)])
def test_shares_are_all_of_it_and_each_once(count: int, processes: int) -> None:
    parts = [ProcessGroup(process, processes).part(count) for process in range(processes)]
    assert [number for part in parts for number in range(part.start, part.stop)] == list(range(count))
    assert max(p.stop - p.start for p in parts) - min(p.stop - p.start for p in parts) <= 1
