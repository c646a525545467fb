"""Checkpoints that were altered are refused in a line that names the file and the field."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.helpers.hostile import empty_checkpoint, one_line, program


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return empty_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("admission_token_id", 1e9), ("admission_token_id", 100), ("memory_size", 1e30), ("memory_size", "many"),
        ("n_layer", 100_000), ("n_layer", 2), ("n_layer", -1), ("n_layer", None), ("n_embd", 10**9), ("n_head", 0),
        ("n_positions", 10**6), ("vocab_size", 10**30), ("query_decay", "x"), ("store_threshold", float("nan")),
        ("score_scale", 10**400), ("num_search_results", 10**6), ("memory_dim", True),
    ],
)  # fmt: skip
def test_a_checkpoint_that_cannot_be_names_file_and_field(checkpoint: Path, field: str, value: object) -> None:
    from varda_chat.errors import CheckpointError
    from varda_chat.models.limits import check_weights, checked_config

    config = json.loads((checkpoint / "config.json").read_text())
    check_weights(checkpoint, checked_config(checkpoint))
    (checkpoint / "config.json").write_text(json.dumps(config | {field: value}))
    with pytest.raises(CheckpointError, match=rf"config\.json: {field} is ") as caught:
        check_weights(checkpoint, checked_config(checkpoint))
    assert len(str(caught.value)) < 500 and "\n" not in str(caught.value)


def test_a_checkpoint_nested_too_deeply_or_pickled_or_a_pipe_is_refused(checkpoint: Path) -> None:
    from varda_chat.errors import CheckpointError
    from varda_chat.models.limits import check_weights, checked_config

    config = checked_config(checkpoint)
    (checkpoint / "config.json").write_text("[" * 100_000)
    with pytest.raises(CheckpointError, match=r"config\.json is nested too deeply"):
        checked_config(checkpoint)
    (checkpoint / "model.safetensors").rename(checkpoint / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"no model\.safetensors"):
        check_weights(checkpoint, config)
    os.mkfifo(checkpoint / "model.safetensors")
    with pytest.raises(CheckpointError, match="not a regular file"):
        checked_config(checkpoint)


@pytest.mark.parametrize(("field", "value"), [("n_layer", 100_000), ("memory_size", 1e30)])
def test_the_chat_refuses_such_a_checkpoint_in_a_line(checkpoint: Path, field: str, value: object) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(config | {field: value}))
    result = program("--checkpoint", checkpoint, "-p", "Hi")
    assert result.returncode == 1
    assert f"config.json: {field} is " in one_line(result)
