"""Checkpoints that cannot be used are refused with a sentence each."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from varda_chat.config.defaults import LOADING_MINI
from varda_chat.errors import CheckpointError
from varda_chat.models import checkpoint
from varda_chat.models.checkpoint import load_checkpoint


@pytest.fixture
def copy(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "copy"))


def test_what_takes_the_default_models_place_is_named_while_it_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(source: Path, on_progress: object = None) -> str:
        if source.name == "default":
            raise CheckpointError("There is no base.")
        return source.name

    monkeypatch.delenv("VARDA_CHAT_MODEL", raising=False)
    monkeypatch.setattr(checkpoint, "load_checkpoint", load)
    told: list[str] = []
    _, note = checkpoint.load_default(told.append)
    assert note == "Using the small model, mini: There is no base."
    assert told == [LOADING_MINI]


def test_loading_twice_gives_the_same_fingerprint(tiny_checkpoint: Path) -> None:
    one, other = load_checkpoint(tiny_checkpoint), load_checkpoint(str(tiny_checkpoint))
    assert one.fingerprint == other.fingerprint
    assert one.name == tiny_checkpoint.name


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("how", ["missing", "garbage", "cut"])
def test_a_file_that_is_not_right(copy: Path, name: str, how: str) -> None:
    path = copy / name
    if how == "missing":
        path.unlink()
    elif how == "garbage":
        path.write_bytes(b"\x00garbage" * 50)
    else:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CheckpointError, match="copy") as caught:
        load_checkpoint(copy)
    assert "\n" not in str(caught.value)


def test_missing_weights_are_not_made_up(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    weights.pop("memory_reader.fc_query.weight")
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="lacks weights"):
        load_checkpoint(copy)


@pytest.mark.parametrize(("key", "value"), [("n_embd", "wide"), ("memory_layer", 77), ("memory_dim", -3)])
def test_a_config_with_wrong_values(copy: Path, key: str, value: object) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {key: value}))
    with pytest.raises(CheckpointError):
        load_checkpoint(copy)


def test_plain_gpt2_is_told_apart(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"model_type": "gpt2"}))
    with pytest.raises(CheckpointError, match="not a varda-chat model"):
        load_checkpoint(copy)


@pytest.mark.parametrize("source", ["/no/such/directory", "nosuchmodel", "~nobody-here/x"])
def test_no_directory(source: str) -> None:
    with pytest.raises(CheckpointError):
        load_checkpoint(source)


def test_a_hub_that_cannot_be_reached_is_said_so() -> None:
    with pytest.raises(CheckpointError, match="hub"):
        load_checkpoint("nobody/nothing")
