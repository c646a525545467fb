"""Adapters saved and merged: a small one from a large one, and the merge with LoRA."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file

from training.adapter.assemble import load_adapter, merged, rewrite_adapter, save_adapter
from training.adapter.labels import Session
from training.adapter.run import AdapterTrainer
from varda_chat.models.adapters import LORA, MEMORY


def test_a_small_adapter_gives_the_large_ones_parts_rounded(
    new_trainer: Callable[[], AdapterTrainer], tmp_path: Path
) -> None:
    model = new_trainer().model
    before = {name: p.detach().clone() for name, p in model.named_parameters() if name.startswith("memory_layer.")}
    save_adapter(model, tmp_path / "small", base={"name": "tiny", "revision": "", "sha256": ""})
    load_adapter(model, tmp_path / "small")
    for name, parameter in model.named_parameters():
        if name in before:
            torch.testing.assert_close(parameter, before[name], atol=1e-4, rtol=2e-3)
    sizes = [p.numel() for p in before.values() if p.ndim > 1]
    assert (tmp_path / "small" / "memory.safetensors").stat().st_size < 2 * sum(sizes) + 40_000


def test_the_merged_model_says_what_the_model_with_lora_says(
    new_trainer: Callable[[], AdapterTrainer], sessions: list[Session]
) -> None:
    model = new_trainer().model.eval()
    ids = torch.from_numpy(sessions[0].arrays.ids[:1, :120]).long()
    with torch.no_grad():
        plain = model(ids).logits.float()
        for name, parameter in model.named_parameters():
            if ".lora_B." in name:
                parameter.normal_(std=0.3)
        adapted = model(ids).logits.float()
        whole = merged(model)
        found = whole(ids).logits.float()
    moved = (adapted - plain).abs().max()
    assert (found - adapted).abs().max() < 0.1 * moved
    assert not any("lora" in name for name in whole.state_dict())
    for name, tensor in whole.memory_layer.state_dict().items():
        assert torch.equal(tensor, model.memory_layer.state_dict()[name]), name


def test_an_adapter_is_rewritten_with_some_parts_and_settings_and_all_else_kept(
    new_trainer: Callable[[], AdapterTrainer], tmp_path: Path
) -> None:
    model = new_trainer().model
    source, output = tmp_path / "source", tmp_path / "output"
    save_adapter(model, source, base={"name": "tiny", "revision": "", "sha256": ""})
    name = "memory_layer.fc_intent.fc_out.weight"
    old = load_file(source / MEMORY)
    rewrite_adapter(source, output, {name: torch.ones(old[name].shape)}, {"request_threshold": 0.6})
    new = load_file(output / MEMORY)
    assert new.keys() == old.keys() and new[name].dtype is torch.float16
    assert torch.equal(new[name], torch.ones_like(new[name]))
    assert all(torch.equal(new[each], old[each]) for each in old if each != name)
    before, after = (json.loads((directory / "config.json").read_text("utf-8")) for directory in (source, output))
    assert after["memory"].pop("request_threshold") == 0.6
    before["memory"].pop("request_threshold", None)
    assert after == before
    assert (output / LORA).read_bytes() == (source / LORA).read_bytes()
