"""An adapter merged with its base: by the numbers of peft, named by its weights, refused where it does not fit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaForCausalLM

from tests.helpers import tiny_bases
from varda_chat.errors import CheckpointError
from varda_chat.models import model_cache
from varda_chat.models.adapters import complete_checkpoint, find_merged, merged_checkpoint
from varda_chat.models.bases import Base
from varda_chat.models.checkpoint import fingerprint_of_file
from varda_chat.models.model_cache import MANIFEST, directories, entries, verify


@pytest.fixture
def adapter(local: tuple[Base, Path], tmp_path: Path) -> Path:
    tiny_bases.save_adapter(tmp_path / "adapter", local[0])
    return tmp_path / "adapter"


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # asked by peft
def test_the_merge_is_peft_s(local: tuple[Base, Path], tmp_path: Path) -> None:
    """Its own files, and its own merge, in float32."""
    peft = pytest.importorskip("peft")
    model = LlamaForCausalLM.from_pretrained(local[1], dtype=torch.float32)
    for number, extra in enumerate(({}, {"use_rslora": True})):
        adapter = tmp_path / f"adapter-{number}"
        tiny_bases.save_adapter(adapter, local[0])
        settings = peft.LoraConfig(r=4, lora_alpha=12, target_modules=["q_proj", "v_proj", "gate_proj"], **extra)
        wrapped = peft.get_peft_model(model, settings)
        torch.manual_seed(1)
        for name, parameter in wrapped.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter, std=0.2)
        wrapped.save_pretrained(adapter)
        expected = {name: each.to(torch.bfloat16) for name, each in peft_merged(peft, local[1], adapter).items()}
        model = wrapped.unload()
        merged = load_file(merged_checkpoint(adapter, local[1]) / "model.safetensors")
        changed = 0
        before = load_file(local[1] / "model.safetensors")
        for name, weight in before.items():
            assert merged[name].dtype == torch.bfloat16
            assert torch.equal(merged[name], expected[name]), name
            changed += not torch.equal(weight, merged[name])
        assert changed == 3 * tiny_bases.LAYERS


def peft_merged(peft: object, base_dir: Path, adapter: Path) -> dict[str, torch.Tensor]:
    model = LlamaForCausalLM.from_pretrained(base_dir, dtype=torch.float32)
    merged = peft.PeftModel.from_pretrained(model, adapter).merge_and_unload()  # type: ignore[attr-defined]
    state: dict[str, torch.Tensor] = merged.state_dict()
    return state


def test_a_merged_checkpoint_is_a_whole_one(local: tuple[Base, Path], adapter: Path) -> None:
    steps: list[str] = []
    directory = merged_checkpoint(adapter, local[1], steps.append)
    verify(directory)
    assert steps == ["Merging adapter with tiny ..."]
    config = json.loads((directory / "config.json").read_text())
    assert "base" not in config
    assert config["varda_base"]["sha256"] == local[0].sha256
    assert (directory / "tokenizer.json").read_bytes() == (local[1] / "tokenizer.json").read_bytes()
    weights = load_file(directory / "model.safetensors")
    memory = load_file(adapter / "memory.safetensors")
    assert all(torch.equal(weights[name], each) and weights[name].dtype == each.dtype for name, each in memory.items())
    model, report = LlamaForCausalLM.from_pretrained(directory, output_loading_info=True)
    assert not report["missing_keys"]
    assert set(report["unexpected_keys"]) == set(memory)  # the class of this test has no memory
    assert model.config.hidden_size == tiny_bases.WIDTH
    steps.clear()
    assert merged_checkpoint(adapter, local[1], steps.append) == directory
    assert complete_checkpoint(adapter, local[1]) == complete_checkpoint(adapter) == directory  # no base needed now
    assert complete_checkpoint(directory) == directory
    assert steps == []


def test_the_adapter_s_own_files_come_before_the_base_s(local: tuple[Base, Path], adapter: Path) -> None:
    (adapter / "tokenizer_config.json").write_text("{}")
    (adapter / "README.md").write_text("# Mine\n")
    directory = merged_checkpoint(adapter, local[1])
    assert (directory / "tokenizer_config.json").read_text() == "{}"
    assert (directory / "README.md").read_text() == "# Mine\n"


def test_a_merged_checkpoint_is_named_by_the_digest_of_its_weights(
    local: tuple[Base, Path], adapter: Path, tmp_path: Path
) -> None:
    merged = merged_checkpoint(adapter, local[1])
    recorded = model_cache.sha256_of(merged / "model.safetensors")[:16]
    assert fingerprint_of_file(merged) == recorded
    # a copy without a manifest is named by its weights, as any directory is
    copy = tmp_path / "copy"
    shutil.copytree(merged, copy)
    (copy / MANIFEST).unlink()
    assert fingerprint_of_file(copy) not in ("", recorded)


def test_a_changed_adapter_is_merged_again_and_the_old_merge_goes(local: tuple[Base, Path], adapter: Path) -> None:
    first = merged_checkpoint(adapter, local[1])
    other = shutil.copytree(adapter, adapter.parent / "other")
    kept = merged_checkpoint(other, local[1])
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": 3}))
    assert find_merged(adapter, local[0]) is None
    second = merged_checkpoint(adapter, local[1])
    assert not first.exists()
    assert set(directories()) == {second, kept}


def test_what_does_not_fit_is_refused(local: tuple[Base, Path], adapter: Path, tmp_path: Path) -> None:
    lora, settings = adapter / "adapter_model.safetensors", adapter / "adapter_config.json"
    tensors, config = load_file(lora), json.loads(settings.read_text())

    def refused(match: str) -> None:
        with pytest.raises(CheckpointError, match=match):
            merged_checkpoint(adapter, local[1])
        assert entries() == []

    for extra, match in (
        ({"use_dora": True}, "uses use_dora"),
        ({"bias": "all"}, "without biases"),
        ({"rank_pattern": {"q": 2}}, "rank_pattern"),
        ({"lora_alpha": None}, "no lora_alpha"),
    ):
        settings.write_text(json.dumps(config | extra))
        refused(match)
    settings.write_text(json.dumps(config))
    name = next(iter(tensors))
    stranger = "base_model.model.model.layers.9.mlp.down_proj"
    for changed, match in (
        ({"base_model.model.lm_head.weight": torch.ones(2, 2)}, "is no LoRA weight"),
        ({name: torch.ones(3, 3)}, "do not fit|does not fit"),
        ({f"{stranger}.lora_{half}.weight": torch.ones(2, 2) for half in "AB"}, "does not have"),
        ({f"{stranger}.lora_A.weight": torch.ones(2, 2)}, "two halves"),
    ):
        save_file(tensors | changed, lora)
        refused(match)
    lora.write_bytes(b"{")
    refused("cannot be read")
    save_file(tensors, lora)
    (adapter / "memory.safetensors").unlink()
    refused(r"memory\.safetensors cannot be read")
    with pytest.raises(CheckpointError, match="is a complete model"):
        merged_checkpoint(local[1], local[1])
    tiny_bases.save_base(tmp_path / "other", seed=1)
    with pytest.raises(CheckpointError, match="is not the tiny that is needed"):
        merged_checkpoint(adapter, tmp_path / "other")
