"""Model cards as a hub reads them: the shipped ones, those that training writes, and what results add to them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
from click.testing import CliRunner
from huggingface_hub import EvalResult, ModelCard

from tests.helpers.cards import CREDITS, PERPLEXITY, benchmark, written
from tests.helpers.hub import serving
from tests.helpers.hub_rules import CheckingHub, problems
from tests.helpers.paths import ROOT
from training.cli import train
from training.evaluation.recall.report import recall_json
from training.model_card_metadata import dataset_ids
from varda_chat.config.paths import shipped_checkpoints
from varda_chat.models.chat_format import ChatFormat

MEASURED = ROOT / "docs" / "figures" / "measured.json"


@pytest.fixture
def checking(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """``ModelCard.validate`` asks a hub of our own on this machine, which knows the hub's rules."""
    with serving(CheckingHub) as (address, _):
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        yield


def figures(card: Any) -> dict[tuple[str | None, str | None], float]:
    results: list[EvalResult] = card.data.eval_results or []
    return {(each.dataset_config, each.metric_name): each.metric_value for each in results}


@pytest.mark.parametrize("directory", shipped_checkpoints().values(), ids=lambda directory: directory.name)
def test_a_shipped_card_names_its_licence_its_data_and_its_figures(directory: Path, checking: None) -> None:
    card: Any = ModelCard.load(directory / "README.md")
    card.validate()
    data = card.data
    assert data.license_link
    assert data.license_link.startswith("https://") or (directory / data.license_link).is_file()
    table = re.findall(
        r"^\| (\w+) \| (.+?) \| (.+?) \|$", card.text.split("## Data")[1].split("\n## ")[0], re.MULTILINE
    )
    named = [name for name, *_ in table if name != "corpus"]
    assert len(named) >= 10
    assert data.datasets == dataset_ids(named)
    if data.license_link == "LICENSE":
        licence = (directory / "LICENSE").read_text("utf-8")
        assert all(attribution in licence for name, _, attribution in table if name in named)
    assert "accuracy" in data.metrics
    for (_, name), value in figures(card).items():
        right, total = map(int, re.findall(r"\((\d+) of (\d+)\)$", str(name))[0])
        assert value == pytest.approx(right / total, abs=1e-4)
    measured = json.loads(MEASURED.read_text("utf-8"))["models"].get(directory.name, {}).get("recall")
    if measured is not None:
        expected = {
            (tier, f"{task}: {measure} ({score['right']} of {score['total']})"): score["share"]
            for task, measures in measured["tasks"].items()
            for measure, scores in measures.items()
            for tier, score in scores.items()
            if score["total"]
        }
        assert figures(card) == expected, f"run varda-train card {directory} {MEASURED}"


def test_a_card_of_training_has_the_figures_of_the_benchmark(
    chat_format: ChatFormat, tmp_path: Path, checking: None
) -> None:
    card = written(tmp_path, chat_format, benchmark())
    card.validate()
    assert card.data.model_name == "Varda (nano)"
    assert figures(card) == {
        ("seen", "recall: value named (8 of 10)"): 0.8,
        ("held-out", "recall: value named (6 of 10)"): 0.6,
        ("seen", "update: new value, not the old (1 of 2)"): 0.5,
    }
    assert (card.data.license, card.data.license_link) == ("other", "LICENSE")
    licence = (tmp_path / "LICENSE").read_text("utf-8")
    assert all(f"- {name}: {terms}. {who}" in licence for name, terms, who in CREDITS)
    assert card.data.datasets[:2] == ["msc", "google/Synthetic-Persona-Chat"]
    assert card.text.lstrip().startswith("# Varda (nano)\n")


def test_a_card_counts_the_steps_that_were_made_and_all_batches_of_a_step(
    chat_format: ChatFormat, tmp_path: Path
) -> None:
    written(tmp_path, chat_format, benchmark())
    card = " ".join((tmp_path / "README.md").read_text("utf-8").split())
    assert "10,000 steps (4.0 passes over 100 documents, 10 M tokens in all, 50% of them fact episodes)" in card


def test_a_card_of_text_has_what_its_text_is_called(chat_format: ChatFormat, tmp_path: Path, checking: None) -> None:
    credits = (
        ("hub:someone/a-set/en", "mit", "Hugging Face hub"),
        ("my own: diary 1", "none", ""),
        ("wikitext-2", "CC", "-"),
    )
    card = written(tmp_path, chat_format, None, credits)
    card.validate()
    assert card.data.datasets == ["someone/a-set", "my-own-diary-1", "Salesforce/wikitext"]
    assert card.data.eval_results is None
    assert card.data.metrics == ["perplexity"]


def test_results_of_varda_eval_take_the_place_of_earlier_ones(
    chat_format: ChatFormat, tmp_path: Path, checking: None
) -> None:
    card = written(tmp_path, chat_format, benchmark())
    text = card.text
    later = recall_json(benchmark())
    later["tasks"] = {
        task: {measure: {"seen": scores["seen"]} for measure, scores in measures.items()}
        for task, measures in later["tasks"].items()
    }
    later["tasks"]["recall"]["value named"]["seen"] |= {"right": 9, "share": 0.9}
    (tmp_path / "recall.json").write_text(json.dumps(later))
    (tmp_path / "perplexity.json").write_text(json.dumps(PERPLEXITY))
    result = CliRunner().invoke(
        train, ["card", str(tmp_path), str(tmp_path / "recall.json"), str(tmp_path / "perplexity.json")]
    )
    assert result.exit_code == 0, result.output
    card = ModelCard.load(tmp_path / "README.md")
    card.validate()
    assert card.text == text
    assert figures(card) == {
        ("held-out", "recall: value named (6 of 10)"): 0.6,
        ("seen", "recall: value named (9 of 10)"): 0.9,
        ("seen", "update: new value, not the old (1 of 2)"): 0.5,
        (None, "memory: perplexity a word"): 41.2346,
        (None, "no memory: perplexity a word"): 41.2346,
        (None, "memory: next token right"): 0.375,
        (None, "no memory: next token right"): 0.375,
    }
    assert card.data.metrics == ["accuracy", "perplexity"]


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{",
        '{"models": {}}',
        '{"models": []}',
        '{"systems": []}',
        '{"tasks": {}}',
        '{"readers": 3, "sources": [1]}',
    ],
)
def test_what_is_no_result_is_refused_and_changes_nothing(
    content: str, chat_format: ChatFormat, tmp_path: Path
) -> None:
    written(tmp_path, chat_format, benchmark())
    before = (tmp_path / "README.md").read_bytes()
    (tmp_path / "other.json").write_text(content)
    result = CliRunner().invoke(train, ["card", str(tmp_path), str(tmp_path / "other.json")])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert len(result.stderr.splitlines()) == 1
    assert (tmp_path / "README.md").read_bytes() == before


def test_the_rules_find_what_is_wrong() -> None:
    """So that a card that passes them has been looked at."""
    assert problems("# No metadata\n") == ["no metadata"]
    wrong = "---\nlanguage: en\nlicense: other\ndatasets: [a b]\nmodel-index:\n- name: x\n  results:\n  - task: {}\n"
    wrong += "    dataset: {type: 'a b', name: x}\n    metrics: [{type: accuracy}]\n---\n\n"
    assert [each.split(":")[0] for each in problems(wrong)] == [
        "license_name",
        "license_link",
        "datasets",
        "task.type",
        "dataset.type",
        "metric",
    ]
