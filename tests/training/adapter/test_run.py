"""Adapters: sessions and their labels, steps on a tiny base, saves, and the merge with LoRA."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from tests.helpers.tiny_chatml import chatml_tokenizer, with_template
from training.adapter.assemble import add_lora, load_adapter, merged, save_adapter, with_memory
from training.adapter.config import AdapterConfig
from training.adapter.data import AdapterData
from training.adapter.decisions import PARTS, turn_ends
from training.adapter.labels import INTENT, STATUS, Session
from training.adapter.lines import FOLDER, Exchange, load_lines
from training.adapter.read_sessions import lower_pass, read_sessions
from training.adapter.run import READING, AdapterTrainer, prepare
from training.adapter.sessions import SessionBuilder
from training.adapter.speech import SpeechConfig, SpeechTrainer
from training.data.synthetic.relations import ALL_RELATIONS
from varda_chat.errors import DataError
from varda_chat.models.chat_format import NOTE_STATEMENTS, NOTES, ChatMLFormat
from varda_chat.models.configuration import INTENTS, STATUSES

CHAT = ChatMLFormat(chatml_tokenizer())
REAL = [("Do you like rain?", "I do, when I'm inside."), ("What's new today?", "Not much, and with you?")]
LENGTH = 320
CONFIG = AdapterConfig(
    people=1, read_people=3, memory_people=1, sessions=2, length=LENGTH, lines=12, real_lines=2, line_steps=2,
    line_batch=12, memory_steps=1, decision_steps=2, reading_steps=2, speech_steps=2, warmup_steps=1, distractors=1,
    ring=64, seed=2,
)  # fmt: skip


def a_builder() -> SessionBuilder:
    greeting, idiom = (
        Exchange("social/greeting", "Hello!", "Hi!"),
        Exchange("spared/idiom", "Forget it.", "All right."),
    )
    dialogue = (
        ("user", "I slept badly."),
        ("assistant", "Oh no."),
        ("user", "Never mind."),
        ("assistant", "Rest well."),
    )
    lines = replace(load_lines(validation=False), exchanges=(greeting, idiom), dialogues=(dialogue,))
    return SessionBuilder(CHAT, lines, REAL, [], relations=ALL_RELATIONS[:12])


@pytest.fixture(scope="module")
def builder() -> SessionBuilder:
    return a_builder()


@pytest.fixture(scope="module")
def sessions(builder: SessionBuilder) -> list[Session]:
    return [builder.draw(random.Random(seed), 2, LENGTH) for seed in range(12)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama with its tokenizer, in Hugging Face layout."""
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=CHAT.tokenizer.get_vocab_size(), hidden_size=32, intermediate_size=48, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=True,
        bos_token_id=1, eos_token_id=CHAT.end_id, pad_token_id=CHAT.end_id,
    )  # fmt: skip
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    with_template(CHAT.tokenizer).save_pretrained(folder)
    return folder


def teacher(texts: list[str]) -> Tensor:
    """Similarities of some kind: words in common."""
    vectors = torch.zeros(len(texts), 64)
    for row, text in enumerate(texts):
        for word in text.lower().split():
            vectors[row, sum(map(ord, word)) % 64] += 1.0
    return torch.nn.functional.normalize(vectors + 1e-3, dim=-1)


@pytest.fixture
def new_trainer(base: Path, builder: SessionBuilder, tmp_path: Path) -> Callable[[], AdapterTrainer]:
    def make() -> AdapterTrainer:
        torch.manual_seed(CONFIG.seed)
        chat, model = with_memory(base, {"memory_dim": 16, "token_dim": 4, "num_search_results": 3, "hidden_dim": 8})
        add_lora(model, 4, 4)
        data = AdapterData(builder, builder, REAL, [text for pair in REAL for text in pair])
        trainer = AdapterTrainer(
            model, chat, data, CONFIG, tmp_path, {"name": "tiny", "revision": "", "sha256": ""}, lambda _: None
        )
        trainer.standardise()
        trainer.read_lines(teacher)
        trainer.read_people()
        return trainer

    return make


# lines


def test_the_hand_written_lines_are_read_and_told_apart() -> None:
    lines, held = load_lines(validation=False), load_lines(validation=True)
    for ours, theirs in (
        (lines.exchanges, held.exchanges),
        (lines.dialogues, held.dialogues),
        (lines.noted, held.noted),
    ):
        assert len(ours) > 15 * len(theirs) > 0
        assert not set(ours) & set(theirs)
    assert all(len(dialogue) % 2 == 0 for dialogue in lines.dialogues)
    assert {each.asks for each in lines.noted} == {True, False}
    assert max(len(each.found) for each in lines.noted) == NOTE_STATEMENTS


@pytest.mark.parametrize("turns", [[], [["user", "Hi."]], [["varda", "Hi."], ["user", "Hi."]]])
def test_a_dialogue_out_of_turn_is_refused(turns: list[list[str]], tmp_path: Path) -> None:
    for path in FOLDER.glob("*.jsonl"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "dialogues.jsonl").write_text(json.dumps({"turns": turns}) + "\n")
    with pytest.raises(DataError, match=r"dialogues\.jsonl, line 1: "):
        load_lines(validation=True, folder=tmp_path)


# sessions


def test_the_same_seed_gives_the_same_sessions(builder: SessionBuilder, sessions: list[Session]) -> None:
    for seed, first in enumerate(sessions[:4]):
        again = builder.draw(random.Random(seed), 2, LENGTH)
        for name, array in vars(first.arrays).items():
            np.testing.assert_array_equal(array, getattr(again.arrays, name), err_msg=name)
        np.testing.assert_array_equal(first.status, again.status)
        assert first.turns == again.turns
    assert not np.array_equal(sessions[0].arrays.ids, sessions[1].arrays.ids)


def test_each_turn_is_labelled_at_the_end_of_the_users_message(sessions: list[Session]) -> None:
    seen: set[str] = set()
    for session in sessions:
        for turn in session.turns:
            ids = session.arrays.ids[turn.session].tolist()
            assert ids[turn.end] == CHAT.end_id
            start = max(i for i in range(turn.end) if ids[i] == CHAT.headers["user"][0])
            assert ids[start : start + len(CHAT.headers["user"])] == CHAT.headers["user"]
            reply = turn.end + len(CHAT.footer)
            if ids[reply + 1] != CHAT.assistant_id:
                note = CHAT.decode(ids[reply : ids.index(CHAT.end_id, reply)])
                assert note.startswith("memory\n" + NOTES[STATUSES[turn.status]])
                reply = ids.index(CHAT.end_id, reply) + len(CHAT.footer)
            elif not turn.real:
                assert STATUSES[turn.status] == "nothing"
            assert ids[reply : reply + len(CHAT.reply_prompt)] == CHAT.reply_prompt
            end = ids.index(CHAT.end_id, reply)
            status = session.status[turn.session]
            assert set(status[reply : end + 1].tolist()) <= {-1, turn.status}
            assert set(status[start:reply].tolist()) == {-1}
            if turn.intent >= 0:
                seen.add(f"{INTENTS[turn.intent]} {STATUSES[turn.status]}")
    assert {"tell stored", "ask recalled", "other nothing"} <= seen


def test_a_question_finds_the_sentence_that_told_the_fact(sessions: list[Session]) -> None:
    found = missed = 0
    for session in sessions:
        arrays = session.arrays
        for turn in session.turns:
            if turn.target < 0 or STATUSES[turn.status] != "recalled":
                continue
            ids = arrays.ids[turn.session].tolist()
            start = turn.end + len(CHAT.footer)
            note = CHAT.decode(ids[start : ids.index(CHAT.end_id, start)])
            told = CHAT.decode([int(t) for t in arrays.ids[arrays.statement == turn.target]])
            answered = (arrays.target_statement[turn.session] == turn.target).nonzero()[0]
            said = any(start < place < start + 200 for place in answered)
            assert (told.strip() in note) or not said
            found, missed = found + said, missed + (told.strip() not in note)
    assert found > 5 and found > missed


def test_a_value_that_is_said_is_the_value_that_was_told(sessions: list[Session]) -> None:
    compared = 0
    for session in sessions:
        arrays = session.arrays
        for row, targets in enumerate(arrays.target_statement):
            for statement in sorted({int(each) for each in targets if each >= 0}):
                said = CHAT.decode([int(t) for t in arrays.ids[row][1:][targets[:-1] == statement]])
                told = CHAT.decode([int(t) for t in arrays.ids[arrays.statement == statement]])
                first, second = (text.strip().lower().strip(".,!? ") for text in (said, told))
                assert first and second
                assert second in first, (said, told)
                compared += 1
    assert compared > 5


def test_only_the_users_tokens_are_stored_and_only_replies_are_learned(sessions: list[Session]) -> None:
    for session in sessions:
        arrays = session.arrays
        for row, ids in enumerate(arrays.ids):
            role = 0
            for place, token in enumerate(ids.tolist()):
                if not arrays.valid[row, place]:
                    break
                if token == CHAT.headers["user"][0]:
                    role = int(ids[place + 1])
                if arrays.store_label[row, place] == 1:
                    assert role == CHAT.user_id
                if place and arrays.target_weight[row, place - 1] > 0:
                    assert role == CHAT.assistant_id
        told = arrays.statement >= 0
        assert (arrays.store_label[told] == 1).all()


def test_intents_and_statuses_are_those_of_the_model() -> None:
    assert list(INTENT) == list(INTENTS)
    assert list(STATUS) == list(STATUSES)


# training


def total(trainer: AdapterTrainer, batch: Any, *, reading: bool) -> float:
    with torch.no_grad():
        terms, _ = trainer.losses(batch, 0, reading=reading)
        terms |= {} if reading else trainer.line_losses(0)
        return float(sum(trainer.config.weights[name] * float(term) for name, term in terms.items()))


def parameters(trainer: AdapterTrainer) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in trainer.model.named_parameters()}


def changed(trainer: AdapterTrainer, before: dict[str, Tensor]) -> set[str]:
    return {name for name, p in trainer.model.named_parameters() if not torch.equal(p, before[name])}


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

    def new(folder: str) -> SpeechTrainer:
        return SpeechTrainer(base, builder, builder, config, tmp_path / folder, said.append)

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


def test_a_small_adapter_gives_the_large_ones_parts_rounded(
    new_trainer: Callable[[], AdapterTrainer], tmp_path: Path
) -> None:
    model = new_trainer().model
    before = {name: p.detach().clone() for name, p in model.named_parameters() if name.startswith("memory_layer.")}
    save_adapter(model, tmp_path / "small", base={"name": "tiny", "revision": "", "sha256": ""})
    load_adapter(model, tmp_path / "small")
    for name, parameter in model.named_parameters():
        if name in before:
            torch.testing.assert_close(parameter, before[name], atol=1e-4, rtol=2e-3)
    sizes = [p.numel() for p in before.values() if p.ndim > 1]
    assert (tmp_path / "small" / "memory.safetensors").stat().st_size < 2 * sum(sizes) + 40_000


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


def test_the_merged_model_says_what_the_model_with_lora_says(
    new_trainer: Callable[[], AdapterTrainer], sessions: list[Session]
) -> None:
    model = new_trainer().model.eval()
    ids = torch.from_numpy(sessions[0].arrays.ids[:1, :120]).long()
    with torch.no_grad():
        plain = model(ids).logits.float()
        for name, parameter in model.named_parameters():
            if ".lora_B." in name:
                parameter.normal_(std=0.3)
        adapted = model(ids).logits.float()
        whole = merged(model)
        found = whole(ids).logits.float()
    moved = (adapted - plain).abs().max()
    assert (found - adapted).abs().max() < 0.1 * moved
    assert not any("lora" in name for name in whole.state_dict())
    for name, tensor in whole.memory_layer.state_dict().items():
        assert torch.equal(tensor, model.memory_layer.state_dict()[name]), name
