"""``varda-train push``, to a hub on this machine: what arrives there, and what is refused."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.helpers.cards import benchmark, written
from tests.helpers.hub import Hub, serving
from tests.helpers.hub_rules import CheckingHub
from tests.helpers.paths import ROOT
from training.cli import train
from varda_chat.config.paths import shipped_checkpoints
from varda_chat.models.chat_format import ChatFormat
from varda_chat.models.checkpoint import load_checkpoint

TOKEN = "hf_of_somebody"  # noqa: S105 - of the hub on this machine


@pytest.fixture
def hub() -> Iterator[tuple[str, type[Hub]]]:
    with serving(CheckingHub) as found:
        yield found


@pytest.fixture
def checkpoint(tiny_checkpoint: Path, chat_format: ChatFormat, tmp_path: Path) -> Path:
    """A checkpoint as training leaves it: with its card, its licence and the state of its run."""
    directory = tmp_path / "varda"
    shutil.copytree(tiny_checkpoint, directory)
    written(directory, chat_format, benchmark())
    (directory / "last").mkdir()
    (directory / "last" / "optimizer.pt").write_bytes(b"large")
    (directory / "metrics.jsonl").write_text("{}\n")
    return directory


def push(address: str, tmp_path: Path, *arguments: str, token: str = TOKEN, **more: str) -> Any:
    environment = {
        "HF_ENDPOINT": address, "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": token, "HOME": str(tmp_path),
        "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1",
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "training", "push", *arguments],
        capture_output=True,
        text=True,
        timeout=200,
        env=environment | more,
        check=False,
    )


def arrived(seen: type[Hub], directory: Path) -> Path:
    """The files of the only commit, written to ``directory``."""
    (commit,) = seen.commits
    directory.mkdir()
    for line in commit:
        value: Any = line["value"]
        if line["key"] == "file":
            (directory / value["path"]).write_bytes(base64.b64decode(value["content"]))
    return directory


def test_what_arrives_is_the_model_with_its_code_card_and_licence(
    checkpoint: Path, hub: tuple[str, type[Hub]], tmp_path: Path
) -> None:
    address, seen = hub
    done = push(address, tmp_path, str(checkpoint), "someone/varda", "--private", "--message", "The first")
    assert done.returncode == 0, done.stderr
    assert f"{address}/someone/varda/commit/1" in done.stdout
    assert seen.commits[0][0]["value"]["summary"] == "The first"  # type: ignore[index]
    there = arrived(seen, tmp_path / "there")
    names = {each.name for each in there.iterdir()}
    assert names >= {"config.json", "model.safetensors", "tokenizer.json", "modeling.py", "README.md", "LICENSE"}
    assert names.isdisjoint({"optimizer.pt", "metrics.jsonl"})
    for name in ("model.safetensors", "tokenizer.json", "README.md", "LICENSE"):
        assert (there / name).read_bytes() == (checkpoint / name).read_bytes()
    assert "AutoModelForCausalLM" in json.loads((there / "config.json").read_text())["auto_map"]
    assert load_checkpoint(there).fingerprint == load_checkpoint(checkpoint).fingerprint


def test_an_adapter_goes_as_it_is(hub: tuple[str, type[Hub]], tmp_path: Path) -> None:
    adapter = shipped_checkpoints()["default"]
    done = push(hub[0], tmp_path, str(adapter), "someone/varda")
    assert done.returncode == 0, done.stderr
    there = arrived(hub[1], tmp_path / "there")
    assert {each.name for each in there.iterdir()} == {each.name for each in adapter.iterdir() if each.is_file()}
    assert all(each.read_bytes() == (adapter / each.name).read_bytes() for each in there.iterdir())


@pytest.mark.parametrize(
    ("token", "more", "said"),
    [
        ("hf_of_nobody", {}, "HF_TOKEN"),
        (TOKEN, {"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE"),
        (TOKEN, {"HF_ENDPOINT": "http://127.0.0.1:9"}, "cannot be reached"),
    ],
    ids=["token", "offline", "unreachable"],
)
def test_a_hub_that_does_not_take_it_is_one_line(
    token: str, more: dict[str, str], said: str, checkpoint: Path, hub: tuple[str, type[Hub]], tmp_path: Path
) -> None:
    done = push(hub[0], tmp_path, str(checkpoint), "someone/varda", token=token, **more)
    assert done.returncode == 1
    (line,) = [each for each in done.stderr.splitlines() if each.startswith("Error: ")]
    assert said in line
    assert "Traceback" not in done.stderr
    assert hub[1].commits == []


def test_metadata_that_the_hub_refuses_is_named(checkpoint: Path, hub: tuple[str, type[Hub]], tmp_path: Path) -> None:
    card = checkpoint / "README.md"
    card.write_text(card.read_text().replace("language: en", "language: English, mostly"))
    done = push(hub[0], tmp_path, str(checkpoint), "someone/varda")
    assert done.returncode == 1
    assert "language" in done.stderr.splitlines()[-1]
    assert hub[1].commits == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda directory: (directory / "model.safetensors").unlink(), "model.safetensors is missing"),
        (lambda directory: (directory / "README.md").unlink(), "no model card"),
        (lambda directory: (directory / "README.md").write_text("# Mine\n"), "names no license"),
        (lambda directory: (directory / "README.md").write_text("---\nlicense: other\n---\n"), "license_name"),
        (lambda directory: (directory / "README.md").write_text("---\n[1\n---\n"), "cannot be read"),
        (lambda directory: (directory / "LICENSE").unlink(), "license file that is missing"),
        (lambda directory: (directory / "config.json").unlink(), "config.json"),
    ],
    ids=["weights", "card", "license", "name", "yaml", "file", "config"],
)
def test_what_is_not_ready_is_not_pushed(change: Any, said: str, checkpoint: Path) -> None:
    change(checkpoint)
    result = CliRunner().invoke(train, ["push", str(checkpoint), "someone/varda"])
    assert result.exit_code == 1
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_name_that_no_repository_has_is_refused(checkpoint: Path) -> None:
    result = CliRunner().invoke(train, ["push", str(checkpoint), "some/one/varda"])
    assert result.exit_code == 1
    assert "OWNER/NAME" in result.stderr
