"""The guide names only commands and flags that there are."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from tests.helpers.paths import ROOT
from training.adapter.__main__ import main as adapter
from training.adapter.rerank_command import main as rerank
from training.adapter.speech_command import main as more_speech
from training.benchmarks.training import main as bench_train
from training.cli import evaluate, train
from training.cli.evaluate_command import OTHERS
from training.config import PRESETS
from training.data.sources.catalogue import find

GUIDE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
COMMANDS = [
    line.strip()
    for block in re.findall(r"```\n(.*?)```", GUIDE, re.DOTALL)
    for line in block.splitlines()
    if re.match(r"(accelerate launch .*)?(\.venv/bin/)?varda-(train|eval) ", line.strip())
]


def flags(command: click.Command) -> set[str]:
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    return {name for option in options for name in (*option.opts, *option.secondary_opts)}


def test_there_are_commands_to_check() -> None:
    assert len(COMMANDS) > 12


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_guide_can_be_given(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = re.split(r"\s{2,}", line)[0].split()  # what follows after two blanks explains it
    program = next(n for n, word in enumerate(words) if word.endswith(("varda-train", "varda-eval")))
    name, arguments = words[program].rpartition("/")[2], words[program + 1 :]
    for file in (Path(word) for word in arguments if word.endswith((".json", ".jsonl"))):  # an earlier command wrote it
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    command: click.Command = evaluate if name == "varda-eval" else train
    assert isinstance(train, click.Group)
    if name == "varda-train" and arguments[0] in train.commands:
        command, arguments = train.commands[arguments[0]], arguments[1:]
    Path("runs/mini").mkdir(parents=True)
    context = command.make_context(name, list(arguments), resilient_parsing=False)  # parses, runs nothing
    given = context.params
    assert given.get("preset", "mini") in PRESETS
    for dataset in (*given.get("datasets", ()), *given.get("sources", ())):
        assert dataset.startswith("hub:") or "/" in dataset or "." in dataset or find(dataset), dataset


def test_every_flag_in_the_text_exists() -> None:
    others = {"--help", "--num_processes", "--multi_gpu", "--cpu", "--logdir", "--checkpoint", "--version"}
    known = flags(evaluate) | flags(train) | flags(bench_train) | flags(adapter) | others
    for command in (*OTHERS.values(), rerank, more_speech):
        known |= flags(command)
    assert isinstance(train, click.Group)
    for command in train.commands.values():
        known |= flags(command)
    named = set(re.findall(r"(?<![\w-])--[a-z][\w-]+", GUIDE))
    assert named
    assert named <= known, named - known
