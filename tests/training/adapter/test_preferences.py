"""Preferences: replies in one row are scored as each alone; steps prefer the better ones; a run resumes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from tests.helpers.tiny_chatml import chatml_model, chatml_tokenizer
from training.adapter.assemble import add_lora
from training.adapter.preferences import Preference, PreferenceConfig, PreferenceTrainer, Tree, load_preferences
from varda_chat.errors import DataError
from varda_chat.models.chat_format import ChatMLFormat
from varda_chat.models.configuration import STATUSES

CHAT = ChatMLFormat(chatml_tokenizer())
TOLD = Preference(
    (("hello", "Hello there.", "nothing"),), (), "my dog is called Rimba", "stored",
    ("I will remember that.", "Nice name!"), ("A dog is a long way.", "Rimba Rimba Rimba", "Bye."),
)  # fmt: skip
ASKED = Preference((), ("my dog is called Rimba",), "what is my dog called?", "recalled", ("Rimba.",), ())
OTHER = Preference((), (), "the bus was late", "nothing", ("Oh no.",), ("The bus is a bus of the bus.",))


def a_trainer(output: Path, steps: int = 4) -> PreferenceTrainer:
    model = chatml_model(CHAT)
    torch.manual_seed(0)
    add_lora(model, 2, 4)
    config = PreferenceConfig(trees=2, max_steps=steps, warmup_steps=1, save_every=2, rate=1e-2)
    trainer = PreferenceTrainer(model, CHAT, (TOLD, ASKED, OTHER), (OTHER,), config, output, lambda _: None)
    trainer.read()
    return trainer


def test_a_reply_among_others_has_the_likelihood_that_it_has_alone(tmp_path: Path) -> None:
    trainer = a_trainer(tmp_path)
    tree = Tree.of(CHAT, TOLD)
    number = STATUSES.index("stored")
    for reply, scored in zip((*TOLD.better, *TOLD.worse), trainer.before[trainer.trees[0]], strict=True):
        alone = Tree.of(CHAT, Preference(TOLD.said, (), TOLD.user, TOLD.status, (reply,), ()))
        with torch.no_grad():
            status = alone.status.unsqueeze(0)
            logits = trainer.model(alone.ids.unsqueeze(0), status=status, use_cache=False).logits[0].float()
        places = alone.scored[0]
        lost = F.cross_entropy(logits[places], alone.ids[places + 1], reduction="sum")
        assert scored[0].item() == pytest.approx(-lost.item(), rel=2e-2)
        assert scored[1].item() == len(places)
        assert alone.ids[places[-1] + 1] == CHAT.end_id
        assert number in alone.status
    assert len(tree.scored) == 5


def test_steps_prefer_the_better_replies_and_change_nothing_below_the_memory(tmp_path: Path) -> None:
    trainer = a_trainer(tmp_path, steps=30)
    frozen = {name: p.clone() for name, p in trainer.model.named_parameters() if not p.requires_grad}
    first = trainer.losses(trainer.trees)
    assert first["right"] == 0
    assert first["preference"].item() == pytest.approx(0.693, abs=1e-3)
    while trainer.step < 20:
        trainer.train_step()
    last = trainer.losses(trainer.trees)
    assert last["right"] == 1
    assert last["likelihood"] < first["likelihood"]
    for name, parameter in trainer.model.named_parameters():
        assert parameter.requires_grad or torch.equal(parameter, frozen[name])


def test_a_resumed_run_goes_on_as_the_uninterrupted_one(tmp_path: Path) -> None:
    whole = a_trainer(tmp_path / "whole")
    whole.run()
    first = a_trainer(tmp_path / "parts")
    for _ in range(2):
        first.train_step()
    first.save()
    second = a_trainer(tmp_path / "parts")
    assert second.resume()
    second.run()
    for one, other in zip(whole.parameters, second.parameters, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"status": "happy"}, "unknown status 'happy'"),
        ({"better": []}, "a better reply is needed"),
        ({"worse": ["Good."]}, "none that is a worse one too"),
        ({"best": "Good."}, "unknown key 'best'"),
        ({"said": [["hi", "Hello."]]}, "not enough values"),
    ],
)
def test_a_bad_entry_is_named_by_its_line(tmp_path: Path, change: dict[str, object], problem: str) -> None:
    entry = {"said": [], "user": "hi", "status": "nothing", "better": ["Good."], "worse": ["Bad."]} | change
    (tmp_path / "preferences.jsonl").write_text(json.dumps(entry), encoding="utf-8")
    with pytest.raises(DataError, match=rf"line 1: .*{problem}"):
        load_preferences(["preferences"], validation=False, directory=tmp_path)
