"""A checkpoint among transformers' own: loaded by AutoModelForCausalLM, generating, saved, and pushed to a hub."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

import varda_chat
from tests.helpers.hub import Hub, serving
from varda_chat.models import VardaGPTAssociative


def test_one_call_is_enough_for_the_auto_classes(tiny_checkpoint: Path) -> None:
    """In a process of its own, which has imported nothing else of ours."""
    script = f"""
import varda_chat
varda_chat.register_models()
from transformers import AutoModelForCausalLM, AutoConfig
import torch
model = AutoModelForCausalLM.from_pretrained({str(tiny_checkpoint)!r})
ids = torch.tensor([[3, 4, 5]])
out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=4, do_sample=False)
print(type(model).__name__, AutoConfig.from_pretrained({str(tiny_checkpoint)!r}).model_type, len(out[0]) > 3)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-3:] == ["VardaGPTAssociative", "varda_gpt", "True"]


def test_it_is_no_matter_what_of_transformers_comes_first(tiny_checkpoint: Path) -> None:
    register = "import varda_chat; varda_chat.register_models()"
    for before, after in (
        (register, "from transformers import GPT2LMHeadModel, AutoModelForCausalLM"),
        ("from transformers import AutoModelForCausalLM, AutoConfig", register),
        (register, f"{register}; from transformers import AutoModelForCausalLM"),
    ):
        script = f"{before}\n{after}\nAutoModelForCausalLM.from_pretrained({str(tiny_checkpoint)!r})"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr


def test_importing_varda_chat_stays_cheap_and_changes_nothing() -> None:
    script = """
import sys
before = list(sys.meta_path)
import varda_chat
assert sys.meta_path == before
print([name for name in ("torch", "transformers", "faiss") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout


def test_saved_and_loaded_again_it_is_the_same(tiny_checkpoint: Path, tmp_path: Path) -> None:
    assert varda_chat.VardaGPTAssociative is VardaGPTAssociative
    model = AutoModelForCausalLM.from_pretrained(tiny_checkpoint).eval()
    model.save_pretrained(tmp_path / "again")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "again").eval()
    assert isinstance(again, VardaGPTAssociative)
    ids = torch.tensor([[3, 4, 5, 6]])
    with torch.inference_mode():
        assert torch.equal(model(ids).logits, again(ids).logits)
    assert AutoConfig.from_pretrained(tmp_path / "again").memory_size == model.config.memory_size == 10_000


@pytest.fixture
def hub() -> Iterator[tuple[str, type[Hub]]]:
    with serving(Hub) as found:
        yield found


def test_it_is_pushed_to_a_hub(tiny_checkpoint: Path, hub: tuple[str, type[Hub]], tmp_path: Path) -> None:
    """By transformers' own ``push_to_hub``, in a process whose hub is ours."""
    address, seen = hub
    script = f"""
import varda_chat
varda_chat.register_models()
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained({str(tiny_checkpoint)!r})
print(model.push_to_hub("someone/varda", token="hf_of_nobody"))
"""
    environment = {
        "HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HOME": str(tmp_path),
        "PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(varda_chat.__file__).parents[1]), "NO_PROXY": "127.0.0.1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, env=environment, check=False
    )
    assert done.returncode == 0, f"{done.stderr[-2000:]}\n{seen.asked}"
    (commit,) = seen.commits
    pushed = {line["value"]["path"] for line in commit if line["key"] == "file"}  # type: ignore[index]
    assert pushed >= {"config.json", "model.safetensors", "generation_config.json"}
