"""The training benchmark measures what it says: the ancestor's design finds and stores; figures come as JSON."""

from __future__ import annotations

import json

import pytest
import torch
from click.testing import CliRunner

from tests.helpers.tiny_gpt2 import tiny_model
from training.benchmarks import training as training_speed
from training.benchmarks.ancestor import CLUSTERS, AncestorLoop
from training.benchmarks.ratios import Speed
from varda_chat.memory import AssociativeMemory
from varda_chat.models.chat_format import ChatFormat


def test_the_ancestors_design_reads_and_stores_one_by_one(chat_format: ChatFormat) -> None:
    model = tiny_model(chat_format, memory_dim=32)
    memory = AssociativeMemory(embedding_dim=32)
    vectors = torch.nn.functional.normalize(torch.randn(50, 32, generator=torch.Generator().manual_seed(0)), dim=1)
    memory.add(vectors)
    loop = AncestorLoop(model, memory)
    found = loop.search(vectors[:4])
    assert found.shape == (4, 3 * 32)
    assert torch.allclose(found[:, :32], vectors[:4]), "each is its own nearest"
    assert loop.index.nlist == CLUSTERS
    loop.refresh(6)
    with torch.inference_mode():
        assert loop.forward(torch.tensor([3, 4, 5, 6, 7, 8])).shape == (6, model.config.vocab_size)
    assert loop.index.ntotal == 56
    loop.refresh(0)
    assert loop.index.ntotal == 50


def test_figures_come_as_a_table_and_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 2, "memory_dim": 32, "vocab_size": 300}
    monkeypatch.setattr(training_speed, "ANCESTOR", training_speed.ANCESTOR | sizes)
    monkeypatch.setattr(training_speed, "MEMORY", 100)
    flags = ["--preset", "nano", "--length", "32", "--repeats", "1"]
    result = CliRunner().invoke(training_speed.main, [*flags, "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [each["work"].split()[0] for each in found["training"]] == ["training", "training,"]
    assert len(found["forward"]) == 4
    for each in (*found["training"], *found["forward"]):
        assert each["plain"] > 0
        assert each["ratio"] == pytest.approx(each["ours"] / each["plain"])
    table = training_speed.speed_table(training_speed.Found("nano", (Speed("x", 2.0, 1.0),), (), (0.1, 0.2), 1))
    assert table.row_count == 1
