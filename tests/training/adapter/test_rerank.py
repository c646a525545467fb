"""The reranker's stage: steps that lower the loss, a run that resumes where it was cut off."""

from __future__ import annotations

import random
from pathlib import Path

import torch
from torch.nn import functional as F

from tests.helpers.tiny_chatml import chatml_model, chatml_tokenizer
from training.adapter.judged import DrawnPairs, batch_of, labels, load_judged
from training.adapter.rerank import RerankConfig, RerankTrainer
from training.adapter.rerank_command import add_reranker, widen_reranker
from varda_chat.models.chat_format import ChatMLFormat

CHAT = ChatMLFormat(chatml_tokenizer())


def a_trainer(drawn: DrawnPairs, output: Path, steps: int = 4) -> RerankTrainer:
    model = chatml_model(CHAT)
    torch.manual_seed(0)
    add_reranker(model, 2)
    config = RerankConfig(pairs=6, max_steps=steps, warmup_steps=1, save_every=2)
    judged = load_judged(validation=True)[:6]
    return RerankTrainer(model, CHAT, judged, judged[:2], drawn, config, output, lambda _: None)


def test_steps_lower_the_loss_of_a_batch(drawn: DrawnPairs, tmp_path: Path) -> None:
    trainer = a_trainer(drawn, tmp_path, steps=60)
    pairs = batch_of(trainer.judged, drawn, 6, 1.0, random.Random(0))

    def lost() -> float:
        with torch.no_grad():
            return F.binary_cross_entropy_with_logits(trainer.logits(pairs), labels(pairs)).item()

    before = lost()
    while trainer.step < 40:
        trainer.train_step()
    assert lost() < before


def test_a_resumed_run_goes_on_as_the_uninterrupted_one(drawn: DrawnPairs, tmp_path: Path) -> None:
    whole = a_trainer(drawn, tmp_path / "whole")
    whole.run()
    first = a_trainer(drawn, tmp_path / "parts")
    for _ in range(2):
        first.train_step()
    first.save()
    second = a_trainer(drawn, tmp_path / "parts")
    assert second.resume()
    second.run()
    for one, other in zip(whole.parameters, second.parameters, strict=True):
        torch.testing.assert_close(one, other)
    assert set(second.held_out()) == {"answer first", "ended first", "right", "wrong"}


@torch.no_grad()
def test_a_wider_reranker_judges_as_before_until_it_is_trained(drawn: DrawnPairs, tmp_path: Path) -> None:
    trainer = a_trainer(drawn, tmp_path)
    for name, each in trainer.reranker.named_parameters():
        if name.endswith("up"):
            torch.nn.init.normal_(each, std=0.1)
    pairs = batch_of(trainer.judged, drawn, 6, 1.0, random.Random(0))
    before = trainer.logits(pairs)
    widen_reranker(trainer.model, 5)
    wider = trainer.model.reranker
    assert wider is not None and wider is not trainer.reranker
    assert trainer.model.config.memory.rerank_rank == 5
    assert {len(each) for name, each in wider.named_parameters() if name.endswith("down")} == {5}
    trainer.reranker = wider
    torch.testing.assert_close(trainer.logits(pairs), before)
