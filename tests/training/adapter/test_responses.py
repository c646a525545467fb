"""The stage of known replies: vectors by which same lines meet, steps that lower the loss, runs that resume."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from tests.helpers.tiny_chatml import chatml_model, chatml_tokenizer
from training.adapter import responses
from training.adapter.rerank_command import add_reranker
from training.adapter.responses import (
    ResponseConfig,
    ResponseTrainer,
    WordingOffers,
    add_selector,
    learn_vectors,
    read_lines,
)
from training.data.synthetic.known_replies import Offers, Wordings
from varda_chat.models.chat_format import ChatMLFormat
from varda_chat.models.known_replies import KnownReply

CHAT = ChatMLFormat(chatml_tokenizer())
WORDINGS = (
    Wordings(("Good morning!", "morning", "a good morning to you"), "Good morning! Slept well?"),
    Wordings(("I am tired.", "so sleepy today", "worn out"), "A day to go slowly, then."),
    Wordings(("Tell me a joke.", "make me laugh", "something funny please"), "I would, but I'm all out of wood."),
    Wordings(("Bye!", "see you", "I'm off"), "Until next time."),
)
KNOWN = [KnownReply(line, each.reply) for each in WORDINGS for line in each.lines]
REPLIES = {each.line: each.reply for each in KNOWN}
OFFERS = [
    Offers("Hey, good morning", ((KNOWN[0], True), (KNOWN[3], False))),
    Offers("I could sleep all day", ((KNOWN[3], True), (KNOWN[6], False))),
    Offers("goodbye then", ((KNOWN[9], True), (KNOWN[0], False))),
]


def a_model(config: ResponseConfig) -> Any:
    model = chatml_model(CHAT)
    torch.manual_seed(0)
    add_reranker(model, 2)
    add_selector(model, config, len(KNOWN))
    return model


@pytest.fixture(autouse=True)
def few_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong offers are drawn from all lines but the two nearest."""
    monkeypatch.setattr(responses, "NEAREST", 2)


def unit_vectors(count: int) -> torch.Tensor:
    return F.normalize(torch.randn(count, 6), dim=-1)


def a_trainer(output: Path, steps: int = 4) -> ResponseTrainer:
    config = ResponseConfig(rank=2, dim=8, lines=4, worded=2, max_steps=steps, warmup_steps=1, save_every=2)
    torch.manual_seed(0)
    worded = WordingOffers(WORDINGS, KNOWN, unit_vectors(len(KNOWN)))
    return ResponseTrainer(a_model(config), CHAT, OFFERS, OFFERS[:1], worded, config, output, lambda _: None)


def test_a_selectors_decision_begins_as_the_rerankers() -> None:
    model = a_model(ResponseConfig(rank=2, dim=8))
    pair = [[*CHAT.encode("user", "hi").ids, *CHAT.note("recalled", ("Hello.",)), *CHAT.reply_prompt]]
    with torch.no_grad():
        torch.testing.assert_close(model.response_selector(model, pair), model.reranker(model, pair)[:, 0])


def test_lines_that_mean_the_same_come_nearest() -> None:
    config = ResponseConfig(rank=2, dim=8, line_steps=300, line_rate=1e-2)
    model = a_model(config)
    selector = model.response_selector
    lines = [each.line for each in KNOWN]
    features = read_lines(model, CHAT, lines)
    same = [list(range(3 * place, 3 * place + 3)) for place in range(len(WORDINGS))]
    teacher = torch.eye(len(WORDINGS)).repeat_interleave(3, dim=0)
    learn_vectors(selector, features, teacher, same, config, lambda _: None)
    with torch.no_grad():
        vectors = selector.vectors_of(features)
    likeness = (vectors @ vectors.T).fill_diagonal_(-1)
    assert sum(int(likeness[place].argmax()) // 3 == place // 3 for place in range(len(lines))) >= 10
    assert not selector.fc_line.weight.requires_grad


def test_wrong_offers_have_other_replies() -> None:
    worded = WordingOffers(WORDINGS, KNOWN, unit_vectors(len(KNOWN)))
    rng = random.Random(0)
    for _ in range(40):
        drawn = worded.draw(rng)
        (right, fits), *wrong = drawn.offers
        assert fits and right.reply == REPLIES[drawn.line] and len(wrong) == 2
        assert all(not also and other.reply != right.reply for other, also in wrong)


def test_a_line_that_is_not_known_is_not_drawn() -> None:
    unknown = Wordings((*WORDINGS[0].lines, "a line without a vector"), WORDINGS[0].reply)
    worded = WordingOffers([unknown, Wordings(("neither", "nor"), "No.")], KNOWN, torch.eye(len(KNOWN)))
    rng = random.Random(0)
    assert {worded.draw(rng).line for _ in range(60)} <= set(REPLIES)


def test_a_selector_goes_on_from_the_one_before() -> None:
    model = a_model(ResponseConfig(rank=2, dim=8))
    old = model.response_selector
    for each in old.maps.values():
        torch.nn.init.normal_(each.up)
    pair = [[*CHAT.encode("user", "hi").ids, *CHAT.note("recalled", ("Hello.",)), *CHAT.reply_prompt]]
    with torch.no_grad():
        before = old(model, pair)
        add_selector(model, ResponseConfig(rank=2, dim=8), 99)
        torch.testing.assert_close(model.response_selector(model, pair), before)
    assert len(model.response_selector.known) == model.config.memory.response_lines == 99


def test_steps_lower_the_loss_of_a_batch(tmp_path: Path) -> None:
    trainer = a_trainer(tmp_path, steps=60)
    fits = torch.tensor([float(right) for each in OFFERS for _, right in each.offers])

    def lost() -> float:
        with torch.no_grad():
            return F.binary_cross_entropy_with_logits(trainer.logits(OFFERS), fits).item()

    before = lost()
    while trainer.step < 40:
        trainer.train_step()
    assert lost() < before


def test_every_judged_line_is_seen_before_any_is_seen_again(tmp_path: Path) -> None:
    trainer = a_trainer(tmp_path)
    seen = []
    for trainer.step in range(3):  # three steps of two judged lines, and three lines
        seen += [each.line for each in trainer.batch()[2:]]
    assert sorted(seen[:3]) == sorted(seen[3:]) == sorted(each.line for each in OFFERS)


def test_a_resumed_run_goes_on_as_the_uninterrupted_one(tmp_path: Path) -> None:
    whole = a_trainer(tmp_path / "whole")
    whole.run()
    first = a_trainer(tmp_path / "parts")
    first.say = _stop
    with pytest.raises(KeyboardInterrupt):
        first.run()
    second = a_trainer(tmp_path / "parts")
    assert second.resume() and second.step == 2
    second.run()
    for one, other in zip(whole.parameters, second.parameters, strict=True):
        torch.testing.assert_close(one, other)


def _stop(_: str) -> None:
    raise KeyboardInterrupt
