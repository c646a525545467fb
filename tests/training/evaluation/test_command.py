"""``varda-eval``: what its commands print and write, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from rich.console import Console

from tests.helpers.tiny_chatml import chatml_tokenizer
from training.cli import evaluate, evaluate_command
from training.cli.measures import show_result
from training.evaluation.figures.plots import check_chart
from training.evaluation.recall.benchmark import Plan, measure
from varda_chat.errors import VardaError
from varda_chat.models.chat_format import ChatMLFormat
from varda_chat.models.checkpoint import Checkpoint

pytestmark = pytest.mark.usefixtures("short_replies")


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["recall", "--tasks", "recall,remember"], 1, "'remember'"),
        (["recall", "--tiers", "spoken"], 1, "'spoken'"),
        (["recall", "--tiers", "seen,seen"], 1, "twice"),
        (["recall", "--controls", "bm25"], 1, "text-search"),
        (["recall", "--tasks", ","], 1, "at least one task"),
        (["recall", "--distractors", "many"], 1, "whole numbers"),
        (["recall", "--distractors", "-5"], 1, "from 0"),
        (["recall", "--distractors", ""], 1, "from 0"),
        (["recall", "--facts", "0"], 2, "facts"),
        (["recall", "--chart", "chart.pdf"], 1, ".svg"),
        (["recall", "--chart", "no-such-directory/chart.svg"], 2, "no directory"),
        (["recall", "--json", "no-such-directory/recall.json"], 2, "no directory"),
        (["spared", "--exchanges", "no-such-directory/spared.md"], 2, "no directory"),
        (["recall", "--tasks", "update", "--chart", "chart.svg"], 1, "--chart"),
        (["recall", "--data-dir", "no-such-directory"], 1, "no directory"),
        (["dialogue"], 2, "--data-dir"),
        (["perplexity"], 2, "dialogue"),
        (["recall"], 1, "no checkpoint folder"),
    ],
)  # fmt: skip
def test_bad_flags_get_one_line_before_anything_is_measured(arguments: list[str], code: int, word: str) -> None:
    result = CliRunner().invoke(evaluate, ["./no-checkpoint-here", *arguments])
    assert result.exit_code == code, result.output
    assert word in result.output
    assert "Traceback" not in result.output
    if code == 1:
        assert len(result.output.strip().splitlines()) == 1


def test_a_missing_library_is_named_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, checkpoint: Checkpoint
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "bm25s", None)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(VardaError, match=r"varda-chat\[bench\]"):
        measure(checkpoint, Plan(facts=1, controls=("text-search",)))
    with pytest.raises(VardaError, match=r"varda-chat\[bench\]"):
        check_chart(Path("chart.svg"))


@pytest.fixture
def run_command(tiny_checkpoint: Path) -> Callable[..., str]:
    def run(*arguments: str) -> str:
        result = CliRunner().invoke(evaluate, [str(tiny_checkpoint), *arguments])
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


def test_what_was_measured_is_printed_where_its_file_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = {"json": tmp_path / "removed since" / "r.json"}
    with pytest.raises(OSError, match="removed since"):
        show_result({}, [], flags, Console(), ("hours of work",))
    assert "hours of work" in capsys.readouterr().out


def test_perplexity_of_a_model_that_is_no_gpt2_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = SimpleNamespace(to_dict=dict)
    chat = ChatMLFormat(chatml_tokenizer())
    llama = SimpleNamespace(name="tiny", fingerprint="", chat=chat, model=SimpleNamespace(config=config))
    monkeypatch.setattr(evaluate_command, "_load", lambda _: llama)
    monkeypatch.setenv("VARDA_CHAT_HOME", str(tmp_path / "home"))
    (tmp_path / "text.txt").write_text("It rains. " * 5000)
    result = CliRunner().invoke(evaluate, ["tiny", "perplexity", "--dataset", str(tmp_path / "text.txt")])
    assert result.exit_code == 1
    assert "varda-eval tiny dialogue --data-dir DIR" in result.output
    assert len(result.output.strip().splitlines()) == 1


def test_recall_command(run_command: Callable[..., str], corpora: Path, tmp_path: Path) -> None:
    arguments = ("recall", "--facts", "2", "--per_person", "1", "--tasks", "never_told,recall", "--tiers", "seen",
                 "--controls", "text-search,no-memory")  # fmt: skip
    chart = tmp_path / "chart.svg"
    report = json.loads(run_command(*arguments, "--distractors", "0,10", "--data-dir", str(corpora), "--json",
                                    "--chart", str(chart)))  # fmt: skip
    assert list(report["conditions"]) == ["memory", "no-memory", "text-search"]
    assert list(report["tasks"]) == ["recall", "never-told"]
    assert chart.read_text(encoding="utf-8").startswith("<?xml")
    text = run_command(*arguments, "--show", "1")
    assert "never told" in text
    assert "Distractors are left out" in text


def test_dialogue_and_exchanges_commands(run_command: Callable[..., str], corpora: Path, tiny_checkpoint: Path) -> None:
    found = json.loads(run_command("dialogue", "--data-dir", str(corpora), "--twin", str(tiny_checkpoint), "--json"))
    assert found[0]["corpus"] == "msc"
    assert "memory / twin" in found[0]["ratios"]
    assert "msc" in run_command("dialogue", "--data-dir", str(corpora))
    assert "Conversation 1, session 1" in run_command("exchanges", "--count", "3", "--seed", "7")
    assert len(json.loads(run_command("exchanges", "--count", "3", "--json"))["exchanges"]) == 3
