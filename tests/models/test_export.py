"""An exported checkpoint loads where only torch and transformers are, and is the same model there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from packaging.requirements import Requirement

from tests.helpers.tiny_chatml import chatml_tokenizer, memory_settings, with_template
from tests.helpers.tiny_decoders import KINDS, decoder_settings
from varda_chat.cli.main import main
from varda_chat.config.paths import bundled_checkpoint
from varda_chat.models.chat_format import ChatMLFormat
from varda_chat.models.checkpoint import load_checkpoint
from varda_chat.models.export import export

IDS = [[5, 6, 7, 8, 9]]
LOAD = f"""
import importlib.util, sys
assert not any(importlib.util.find_spec(name) for name in ("varda_chat", "faiss", "textual"))
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
directory, logits = sys.argv[1:]
model = AutoModelForCausalLM.from_pretrained(directory, trust_remote_code=True).eval()
assert type(AutoConfig.from_pretrained(directory, trust_remote_code=True)) is not None
ids = torch.tensor({IDS})
with torch.inference_mode():
    torch.save(model(ids).logits, logits)
out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=3, do_sample=False)
assert AutoTokenizer.from_pretrained(directory).decode(out[0])
model.save_pretrained(logits + ".again")
"""


def needed_by(*names: str) -> set[str]:
    """The distributions of that name, and all that they need, in this environment."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name.lower() in found:
            continue
        try:
            needs = distribution(name).requires or []
        except PackageNotFoundError:  # for another platform
            continue
        found.add(name.lower())
        requirements = map(Requirement, needs)
        waiting += [each.name for each in requirements if each.marker is None or each.marker.evaluate({"extra": ""})]
    return found


@pytest.fixture(scope="module")
def only_transformers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of libraries that has torch and transformers, and what they need."""
    directory = tmp_path_factory.mktemp("libraries")
    for name in needed_by("torch", "transformers"):
        for file in distribution(name).files or ():
            top = file.parts[0]
            source = Path(str(distribution(name).locate_file(top)))
            if top not in ("..", "__pycache__") and source.exists() and not (directory / top).exists():
                (directory / top).symlink_to(source)
    return directory


def loaded_elsewhere(directory: Path, libraries: Path, tmp_path: Path) -> torch.Tensor:
    """The logits of the model in ``directory``, as a process that has only those libraries computes them."""
    environment = {
        "PYTHONPATH": str(libraries), "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1",
        "PATH": os.environ["PATH"], "HOME": str(tmp_path),
    }  # fmt: skip
    logits = tmp_path / "logits.pt"
    # -S: without this environment's own site-packages
    done = subprocess.run(
        [sys.executable, "-S", "-c", LOAD, str(directory), str(logits)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: torch.Tensor = torch.load(logits)
    return found


def own_logits(directory: Path) -> torch.Tensor:
    model: Any = load_checkpoint(directory).model
    with torch.inference_mode():
        found: torch.Tensor = model(torch.tensor(IDS)).logits
    return found


def test_mini_loads_with_torch_and_transformers_alone(only_transformers: Path, tmp_path: Path) -> None:
    target = tmp_path / "mini"
    result = CliRunner().invoke(main, ["models", "export", "mini", str(target), "--json"])
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert {"config.json", "model.safetensors", "modeling.py", "README.md"} <= set(answer["files"])
    elsewhere = loaded_elsewhere(target, only_transformers, tmp_path)
    torch.testing.assert_close(elsewhere, own_logits(bundled_checkpoint()), rtol=0, atol=1e-4)
    assert load_checkpoint(target).fingerprint == load_checkpoint(bundled_checkpoint()).fingerprint, (
        "and chats as before"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_decoders_with_a_memory_layer_do_too(kind: str, only_transformers: Path, tmp_path: Path) -> None:
    chat = ChatMLFormat(chatml_tokenizer())
    _, _, config_class, model_class = KINDS[kind]
    settings = decoder_settings() | {
        "vocab_size": chat.tokenizer.get_vocab_size(), "eos_token_id": chat.end_id, "pad_token_id": chat.end_id,
    }  # fmt: skip
    torch.manual_seed(0)
    model_class(config_class(**settings, memory=memory_settings(chat))).save_pretrained(tmp_path / "model")
    with_template(chat.tokenizer).save_pretrained(tmp_path / "model")
    export(tmp_path / "model", tmp_path / "exported")
    elsewhere = loaded_elsewhere(tmp_path / "exported", only_transformers, tmp_path)
    torch.testing.assert_close(elsewhere.float(), own_logits(tmp_path / "model").float(), rtol=0.05, atol=0.05)


def test_what_is_not_ours_and_where_something_lies_is_refused(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("x")
    full = CliRunner().invoke(main, ["models", "export", "mini", str(tmp_path / "full")])
    assert full.exit_code == 1
    assert "is not an empty directory" in full.stderr
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"model_type": "gpt2"}')
    other = CliRunner().invoke(main, ["models", "export", str(tmp_path / "other"), str(tmp_path / "target")])
    assert other.exit_code == 1
    assert "no model of ours" in other.stderr
    assert not (tmp_path / "target").exists()
