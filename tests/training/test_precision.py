"""A step is computed in bfloat16 where that is fast, else in float32, and the person is told."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.helpers.tiny_training import tiny
from training import precision
from training.launch import launch_notices, make_accelerator
from training.precision import autocast, precision_on

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize("has_bfloat16", [True, False])
def test_only_a_processor_without_bfloat16_is_spared_it(monkeypatch: pytest.MonkeyPatch, has_bfloat16: bool) -> None:
    monkeypatch.setattr(precision, "multiplies_bfloat16", lambda: has_bfloat16)
    assert precision_on(CPU, "bf16") == ("bf16" if has_bfloat16 else "no")
    assert precision_on(GPU, "bf16") == "bf16"
    assert precision_on(CPU, "no") == "no"
    with autocast():
        found = (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
    assert found is (torch.bfloat16 if has_bfloat16 else torch.float32)


def test_a_run_says_that_it_computes_in_float32(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(precision, "multiplies_bfloat16", lambda: False)
    config = tiny(mixed_precision="bf16")
    accelerator = make_accelerator(config, tmp_path, cpu=True)
    assert accelerator.mixed_precision == "no"
    assert any("float32" in line for line in launch_notices(accelerator, config))
