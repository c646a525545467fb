"""Training an adapter on a tiny base: what each step changes, and a run that resumes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.helpers.adapters import CONFIG, LENGTH, REAL, changed, parameters, teacher, total
from training.adapter import speech
from training.adapter.assemble import load_lora, with_memory
from training.adapter.data import AdapterData
from training.adapter.decisions import PARTS, turn_ends
from training.adapter.read_sessions import lower_pass, read_sessions
from training.adapter.run import READING, AdapterTrainer, prepare
from training.adapter.sessions import SessionBuilder
from training.adapter.speech import SpeechConfig, SpeechTrainer


def test_steps_lower_the_loss_on_a_batch(
    new_trainer: Callable[[], AdapterTrainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = new_trainer()
    batch, states = trainer.read.batch([0])
    monkeypatch.setattr(trainer, "batch", lambda *_: batch)
    monkeypatch.setattr(trainer.read, "batch", lambda _: (batch, states))
    lines = trainer.line_losses
    monkeypatch.setattr(trainer, "line_losses", lambda _step: lines(0))
    before, at_first = total(trainer, batch, reading=False), parameters(trainer)
    trainer.train_step()
    assert total(trainer, batch, reading=False) < before
    moved = changed(trainer, at_first)
    assert "memory_layer.fc_storable_vector.weight" in moved
    assert not any(".lora_" in name for name in moved)
    between, second = total(trainer, batch, reading=True), parameters(trainer)
    trainer.train_step()
    trainer.train_step()
    assert total(trainer, batch, reading=True) < between
    assert trainer.step == 3
    moved = changed(trainer, second)
    above = trainer.model.config.memory.memory_layer
    assert any(".lora_B." in name for name in moved)
    assert all(
        name.startswith(READING) or f".layers.{above}." in name or int(name.split(".")[2]) > above for name in moved
    )
    assert all(".lora_" in name for name in moved if not name.startswith(READING))


def test_speech_after_reading_changes_lora_above_the_memory_alone(
    new_trainer: Callable[[], AdapterTrainer],
) -> None:
    trainer = new_trainer()
    trainer.step = CONFIG.memory_steps + CONFIG.reading_steps
    before = parameters(trainer)
    trainer.learn_speech()
    moved = changed(trainer, before)
    above = trainer.model.config.memory.memory_layer
    assert any(".lora_B." in name for name in moved)
    assert all(".lora_" in name and int(name.partition(".layers.")[2].split(".")[0]) >= above for name in moved)


def test_sessions_read_once_give_what_the_model_gives(
    new_trainer: Callable[[], AdapterTrainer], builder: SessionBuilder
) -> None:
    trainer = new_trainer()
    read = read_sessions(trainer.model, builder, 3, 2, LENGTH, "here", lambda _: None)
    batch, states = read.batch([2, 0])
    direct, cached = lower_pass(trainer.model, batch), lower_pass(trainer.model, batch, states)
    for name in ("vectors", "store_logits", "query", "no_match"):
        torch.testing.assert_close(getattr(cached, name), getattr(direct, name), atol=5e-3, rtol=5e-3)


def test_decisions_change_nothing_but_their_own_parts(new_trainer: Callable[[], AdapterTrainer]) -> None:
    trainer = new_trainer()
    ends = turn_ends(trainer.model, trainer.read)
    assert bool((ends.answers & ends.alive == ends.answers).all())
    assert bool(ends.answers.any())
    before = parameters(trainer)
    trainer.learn_decisions()
    moved = changed(trainer, before)
    assert moved and all(name.startswith(tuple(f"memory_layer.{part}." for part in PARTS)) for name in moved)


def test_speech_is_learned_in_every_layer_resumes_and_carries_the_memory(
    base: Path, builder: SessionBuilder, tmp_path: Path
) -> None:
    config = SpeechConfig(
        people=1,
        length=LENGTH,
        max_steps=3,
        warmup_steps=1,
        lora_rate=1e-2,
        rank=3,
        alpha=6,
        save_every=2,
        held_people=1,
    )
    said: list[str] = []

    def new(directory: str) -> SpeechTrainer:
        return SpeechTrainer(base, builder, builder, config, tmp_path / directory, said.append)

    whole, parted = new("whole"), new("parted")
    at_first = whole.held_out()
    whole.run()
    assert whole.held_out() < at_first
    assert any("held out" in line for line in said)
    parted.train_step()
    parted.train_step()
    parted.save()
    resumed = new("parted")
    assert resumed.resume()
    resumed.run()
    for mine, theirs in zip(whole.parameters, resumed.parameters, strict=True):
        assert torch.equal(mine, theirs)
    layers = json.loads((tmp_path / "whole" / "adapter_config.json").read_text())
    assert layers["layers_to_transform"] == [0, 1, 2, 3]
    assert (layers["r"], layers["lora_alpha"]) == (3, 6)

    chat, model = with_memory(base, {"memory_dim": 16, "token_dim": 4, "num_search_results": 3, "hidden_dim": 8})
    data = AdapterData(builder, builder, REAL, [text for pair in REAL for text in pair])
    named = {"name": "tiny", "revision": "", "sha256": ""}

    def prepared() -> AdapterTrainer:
        return prepare(
            tmp_path / "whole", data, chat, model, tmp_path / "memory", CONFIG, base_name=named,
            encoder=teacher, say=said.append,
        )  # fmt: skip

    trainer = prepared()
    ids = torch.from_numpy(trainer.read.sessions[0].arrays.ids[:1, :60]).long()
    with torch.no_grad():
        ours, theirs = model(ids).logits, whole.model(ids).logits
    torch.testing.assert_close(ours, theirs, atol=2e-2, rtol=2e-2)
    trainer.run()
    assert trainer.decided
    assert trainer.step == CONFIG.memory_steps + CONFIG.reading_steps + CONFIG.speech_steps


def test_a_resumed_run_goes_on_as_the_uninterrupted_one(new_trainer: Callable[[], AdapterTrainer]) -> None:
    first = new_trainer()
    first.train_step()
    first.train_step()
    first.save()
    second = new_trainer()
    assert second.resume()
    assert second.step == 2
    figures = [each.train_step() for each in (first, second)]
    assert figures[0] == figures[1]
    state = second.model.state_dict()
    for name, tensor in first.model.state_dict().items():
        assert torch.equal(tensor, state[name]), name


def test_a_kill_between_the_two_renames_of_a_save_loses_nothing(new_trainer: Callable[[], AdapterTrainer]) -> None:
    first = new_trainer()
    first.train_step()
    first.save()
    (first.output / "last").rename(first.output / "old")
    second = new_trainer()
    assert second.resume()
    assert second.step == 1
    second.save()
    assert new_trainer().resume()
    assert not (first.output / "old").exists()


@pytest.mark.parametrize("cache", ["lines.pt", "sessions.pt"])
def test_what_is_read_is_kept_whole_or_not_at_all(
    cache: str, new_trainer: Callable[[], AdapterTrainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = torch.save

    def full_disk(value: object, path: Path) -> None:
        if path.name.startswith(cache):
            path.write_bytes(b"a half")
            raise OSError("no space left")
        whole(value, path)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full_disk)
        with pytest.raises(OSError, match="no space left"):
            new_trainer()
    assert (new_trainer().output / cache).exists()


@pytest.mark.parametrize("killed_in", ["save_lora", "save_state"])
def test_a_kill_in_the_last_save_of_speech_leaves_no_older_lora(
    killed_in: str, base: Path, builder: SessionBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = SpeechConfig(people=1, length=LENGTH, max_steps=2, warmup_steps=1, rank=3, save_every=1, held_people=1)

    def new() -> SpeechTrainer:
        return SpeechTrainer(base, builder, builder, config, tmp_path / "speech", lambda _: None)

    def kill(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    first = new()
    first.train_step()
    first.save()
    first.train_step()
    with monkeypatch.context() as patch:
        patch.setattr(speech, killed_in, kill)
        with pytest.raises(KeyboardInterrupt):
            first.save()
    second = new()
    second.resume()
    second.run()
    learned = [each.detach().clone() for each in second.parameters]
    load_lora(second.model, tmp_path / "speech")
    assert second.step == 2
    assert all(torch.equal(*pair) for pair in zip(second.parameters, learned, strict=True))
