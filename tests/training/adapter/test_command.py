"""The commands that train an adapter: which settings they take, and what they refuse before the first step."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from training.adapter import __main__ as whole
from training.adapter import intents_command, preferences_command, rerank_command, responses_command, speech_command
from training.adapter.__main__ import settings_of
from training.adapter.rerank import RerankConfig
from training.adapter.speech import SpeechConfig
from varda_chat.errors import VardaError


def test_a_setting_counts_for_the_stage_that_it_names() -> None:
    given = ("speech.max_steps=7", "reranker.max_steps=5", "reranker.judged=0.5")
    assert settings_of(given, "speech", SpeechConfig) == SpeechConfig(max_steps=7)
    assert settings_of(given, "reranker", RerankConfig) == RerankConfig(max_steps=5, judged=0.5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("voice.max_steps=7", "begins with none of speech, memory, reranker, intents"),
        ("reranker.colour=7", "not a number that can be set"),
        ("reranker.max_steps=many", "invalid literal"),
    ],
)
def test_a_setting_that_no_stage_has_is_named(text: str, said: str) -> None:
    with pytest.raises(click.BadParameter, match=said):
        settings_of((text,), "reranker", RerankConfig)


def refused(command: click.Command, *arguments: object) -> str:
    """The line with which ``command`` refuses."""
    result = CliRunner().invoke(command, [str(each) for each in arguments])
    assert isinstance(result.exception, SystemExit) and result.exit_code == 1, result.output
    return result.stderr.splitlines()[-1]


def test_a_missing_corpus_is_named_in_a_line(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole, "packaged_encoder", lambda: None)
    monkeypatch.setattr(whole, "resolve_base", lambda *_: base)
    (tmp_path / "data").mkdir()
    line = refused(whole.main, "--data-dir", tmp_path / "data", "--output-dir", tmp_path / "out")
    assert line.startswith("Error: Corpus ") and ".jsonl.xz is missing" in line


def test_a_missing_encoder_is_named_before_anything_is_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing() -> None:
        raise VardaError("A sentence encoder is needed.")

    monkeypatch.setattr(whole, "packaged_encoder", nothing)
    monkeypatch.setattr(whole, "resolve_base", lambda *_: pytest.fail("the base was asked for first"))
    line = refused(whole.main, "--data-dir", tmp_path, "--output-dir", tmp_path / "out")
    assert line == "Error: A sentence encoder is needed."


@pytest.mark.parametrize(
    ("command", "needs_data"),
    [
        (speech_command.main, True),
        (rerank_command.main, False),
        (intents_command.main, True),
        (preferences_command.main, False),
        (responses_command.main, False),
    ],
)
@pytest.mark.parametrize("output", ["run", "run/adapter"])
def test_an_adapter_is_not_written_into_itself(
    command: click.Command, needs_data: bool, output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in (rerank_command, responses_command):
        monkeypatch.setattr(each, "packaged_encoder", lambda: None)
    adapter = tmp_path / "run" / "adapter"
    adapter.mkdir(parents=True)
    data = ("--data-dir", tmp_path) if needs_data else ()
    line = refused(command, "--adapter", adapter, "--output-dir", tmp_path / output, *data)
    assert "would be written into itself" in line
    assert not list(adapter.iterdir())
