"""Training for real, on a tiny model: the loss falls, recall rises above the control, resumed equals uninterrupted."""

from __future__ import annotations

import json
import lzma
import random
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from rich.console import Console
from safetensors.torch import load_file

from tests.helpers.tiny_training import tiny
from training.cli import evaluate, train
from training.data.dialogue_rows import DialogueRows, MultiSessions, persona_dialogues, tokenise
from training.data.episodes import EpisodeArrays
from training.data.mixture import Data
from training.data.preprocess.tokenizer import train_tokenizer
from training.data.synthetic.episode_builder import EpisodeBuilder
from training.data.synthetic.relations import RELATIONS, fact_texts
from training.run import build
from training.trainer import Trainer
from varda_chat.errors import DataError
from varda_chat.models import VardaGPTAssociative, VardaGPTConfig
from varda_chat.models.chat_format import ChatFormat
from varda_chat.models.checkpoint import load_checkpoint

QUIET = Console(quiet=True)


def test_resumed_equals_uninterrupted(corpora: Path, tmp_path: Path) -> None:
    build(tiny(), corpora, tmp_path / "whole", QUIET, recall_facts=1)
    # the same run, stopped after three of its six steps
    config = tiny()
    with pytest.MonkeyPatch.context() as patch:
        save = Trainer.save

        def stop_after_save(self: Trainer) -> None:
            save(self)
            raise KeyboardInterrupt

        patch.setattr(Trainer, "save", stop_after_save)
        with pytest.raises(KeyboardInterrupt):
            build(config, corpora, tmp_path / "parts", QUIET)
    build(config, corpora, tmp_path / "parts", QUIET, resume=True, recall_facts=1)
    whole, parts = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    for name, tensor in whole.items():
        torch.testing.assert_close(tensor, parts[name], atol=0, rtol=0, msg=name)


def test_a_run_whose_corpora_changed_is_not_resumed(
    corpora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed, out = tmp_path / "corpora", tmp_path / "out"
    shutil.copytree(corpora, changed)

    def stopped(self: Trainer) -> None:
        self.save()
        raise RuntimeError("stopped")

    monkeypatch.setattr(Trainer, "run", stopped)
    for resume in (False, True):
        with pytest.raises(RuntimeError, match="stopped"):
            build(tiny(), changed, out, QUIET, resume=resume)
    (changed / "spc.valid.jsonl.xz").write_bytes((corpora / "personachat.valid.jsonl.xz").read_bytes())
    with pytest.raises(DataError, match="changed since this run began"):
        build(tiny(), changed, out, QUIET, resume=True)


def test_command_builds_a_checkpoint_that_chats_and_is_measured(corpora: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["--preset", "nano", "--data_dir", str(corpora), "--output-dir", str(out), "--max_steps", "2",
                 "--fact-episodes", "1", "--dialogue-rows", "1", "--mixed-precision", "no",
                 "--recall-facts", "1"]  # fmt: skip
    result = CliRunner().invoke(train, arguments)
    assert result.exit_code == 0, result.output
    assert "validation loss" in result.output
    names = {path.name for path in out.iterdir()}
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "Seed 0, 2 steps" in card
    assert "AutoModelForCausalLM" in card and "10,000 vectors, flat, 0" in card
    assert "| licence |" in card and "| msc |" in card
    assert names >= {"README.md", "config.json", "model.safetensors", "tokenizer.json", "generation_config.json"}
    assert load_checkpoint(out).parameters > 100_000
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert records[-1]["validation"]["loss"] > 0
    again = CliRunner().invoke(train, arguments)
    assert again.exit_code == 1
    assert "--resume" in again.output
    more = [*arguments, "--output-dir", str(tmp_path / "more"), "--finetune-from", str(out)]
    assert CliRunner().invoke(train, more).exit_code == 0
    assert (tmp_path / "more" / "tokenizer.json").read_text() == (out / "tokenizer.json").read_text()
    small = ["--facts", "2", "--per-person", "1", "--tasks", "recall", "--tiers", "seen", "--controls", "none"]
    measured = CliRunner().invoke(evaluate, [str(out), "recall", *small, "--json"])
    assert measured.exit_code == 0, measured.output
    assert json.loads(measured.stdout)["conditions"]["memory"]["seen"]["total"] == 2


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["--preset", "huge"], 2, "huge"),
        ([], 2, "--data-dir"),
        (["--data-dir", "/no/such/directory"], 1, "missing"),
        (["--data-dir", "/no/such/directory", "--output-dir", "/tmp/no-run-here", "--resume"], 1, "resume"),
        (["--learning-rate", "0"], 2, "learning-rate"),
    ],
)
def test_bad_training_flags_get_one_line(arguments: list[str], code: int, word: str) -> None:
    result = CliRunner().invoke(train, arguments)
    assert result.exit_code == code
    assert word in result.output
    assert "Traceback" not in result.output


def test_a_malformed_corpus_is_named_with_its_line(corpora: Path, tmp_path: Path) -> None:
    for path in corpora.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with lzma.open(tmp_path / "spc.valid.jsonl.xz", "at", encoding="utf-8") as file:
        file.write('{"turns": 3}\n')
    result = CliRunner().invoke(train, ["--data-dir", str(tmp_path), "--output-dir", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "spc.valid.jsonl.xz, line 61" in result.output


def test_loss_falls_and_recall_rises_above_the_control(tmp_path: Path) -> None:
    """Three relations, a hundred-odd steps: enough to see the memory learned, not enough to be good."""
    relations = [r for r in RELATIONS if r.name in ("dog_name", "sister_name", "user_city")]
    assert len(relations) == 3
    chat = ChatFormat(train_tokenizer((" " + text for text in fact_texts(0, 4000)), 768))
    config = replace(
        tiny(max_steps=160, fact_episodes=8, dialogue_rows=1, learning_rate=4e-3, validate_every=1000, save_every=1000,
             warmup_steps=20), layouts=(3,), episode_length=192, row_length=64,
    )  # fmt: skip
    exchanges = [("Hi", "Hello!"), ("Thanks", "You're welcome!")]
    builder = EpisodeBuilder(chat, exchanges, max_facts=2, relations=relations)
    rows = DialogueRows(tokenise(persona_dialogues(0, 50), chat), 64, 0, chat.end_id)
    rng = random.Random(9)
    none = MultiSessions([], [], chat, np.zeros(768, np.int64))
    data = Data(config, chat, builder, none, rows, EpisodeArrays.stack([builder.build(rng, 3, 64) for _ in range(16)]),
                EpisodeArrays.stack([rows.row(0)]))  # fmt: skip
    torch.manual_seed(0)
    model = VardaGPTAssociative(
        VardaGPTConfig(vocab_size=768, n_positions=128, n_embd=64, n_layer=2, n_head=4, memory_dim=32, resid_pdrop=0.0,
                       embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=2, eos_token_id=2, pad_token_id=2)
    )  # fmt: skip
    trainer = Trainer(model, data, config, tmp_path, QUIET)
    before = trainer.validate()
    after = trainer.run()
    assert after.loss < before.loss - 1
    assert after.facts_loss < before.facts_loss - 1
    assert after.values_without < 0.15
    assert after.values_hard > after.values_without + 0.4


def test_two_halves_accumulated_are_one_batch(corpora: Path, tmp_path: Path) -> None:
    """The gradients of two batches that make one step are the mean of each one's."""
    weights = {}
    for parts in (1, 2):
        out = tmp_path / str(parts)
        config = tiny(max_steps=1, warmup_steps=0, gradient_accumulation_steps=parts, save_every=1, validate_every=1)
        build(config, corpora, out, QUIET, recall_facts=1)
        record = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        weights[parts] = load_file(out / "model.safetensors")
        assert record[-1]["step"] == 1
    assert any(not torch.equal(weights[1][name], weights[2][name]) for name in weights[1])


@pytest.mark.slow
def test_patience_ends_a_run_that_gets_no_better_with_its_best_weights(corpora: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    # a learning rate that destroys what was learned: the first validation is the best
    config = tiny(max_steps=40, learning_rate=0.5, warmup_steps=0, patience=2, validate_every=2, save_every=50)
    build(config, corpora, out, QUIET, recall_facts=1)
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    losses = [r["validation"]["loss"] + r["validation"]["facts_loss"] for r in records if "validation" in r]
    assert records[-1]["step"] < 40
    best = load_file(out / "best.safetensors")
    final = load_file(out / "model.safetensors")
    assert len(best.keys() & final.keys()) > 20
    # tied weights bear one name of their two; how well a result must fit is calibrated after training
    for name in (best.keys() & final.keys()) - {"memory_reader.null_score"}:
        torch.testing.assert_close(final[name], best[name])
    assert losses[-1] > min(losses)
