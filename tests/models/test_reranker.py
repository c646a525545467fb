"""The reranker reads pairs through maps of its own, whatever stands behind them, and leaves the model as it is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.helpers.tiny_chatml import chatml_configuration, chatml_tokenizer
from varda_chat.models.chat_format import ChatMLFormat
from varda_chat.models.llama import VardaLlamaAssociative
from varda_chat.session.state import BESIDE, SessionState

CHAT = ChatMLFormat(chatml_tokenizer())


@pytest.fixture
def model() -> Any:
    torch.manual_seed(0)
    return VardaLlamaAssociative(chatml_configuration(CHAT, rerank_rank=2)).eval()


def pair(line: str, statement: str) -> list[int]:
    return [*CHAT.encode("user", line).ids, *CHAT.note("recalled", (statement,)), *CHAT.reply_prompt]


PAIRS = [
    pair("What is my dog called?", "My dog is called Rimba."),
    pair("Where do I live?", "I live in Lisbon by the sea."),
]


@torch.no_grad()
def test_pairs_are_judged_alike_alone_and_together(model: Any) -> None:
    for each in model.reranker.maps.values():
        each.up.normal_()
    together = model.reranker(model, PAIRS)
    alone = torch.cat([model.reranker(model, [each]) for each in PAIRS])
    assert together.shape == (2, 2)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_its_maps_add_nothing_at_first_and_only_while_it_reads(model: Any) -> None:
    ids = torch.tensor([PAIRS[0]])
    plain = model.lower_pass(ids).features
    first = model.reranker(model, PAIRS[:1])
    torch.testing.assert_close(first, model.reranker.decision(plain[:, -1]))
    for each in model.reranker.maps.values():
        each.up.normal_()
    assert not torch.allclose(model.reranker(model, PAIRS[:1]), first)
    torch.testing.assert_close(model.lower_pass(ids).features, plain)


def test_it_learns_through_its_own_maps_alone(model: Any) -> None:
    model.requires_grad_(False)
    model.reranker.requires_grad_(True)
    model.reranker(model, PAIRS).sum().backward()
    assert all(bool(each.up.grad.any()) for each in model.reranker.maps.values())
    assert all(p.grad is None for name, p in model.named_parameters() if not name.startswith("reranker."))


def test_a_model_without_one_has_no_weights_for_it(model: Any) -> None:
    config = model.config
    config.memory.rerank_rank = 0
    assert VardaLlamaAssociative(config).reranker is None


def test_a_statement_is_read_beside_the_end_of_a_long_line() -> None:
    read: list[list[int]] = []

    def reranker(_model: Any, pairs: list[list[int]]) -> torch.Tensor:
        read.extend(pairs)
        return torch.zeros(len(pairs), 2)

    model = SimpleNamespace(reranker=reranker)
    texts, alone = (lambda ids: ["My dog is called Rimba." for _ in ids]), (lambda _id: ())
    store = SimpleNamespace(texts=texts, antecedents=alone)
    checkpoint = SimpleNamespace(model=model, chat=CHAT)
    state = SessionState(checkpoint, store, recording=None, generation=None)  # type: ignore[arg-type]
    short, long = CHAT.encode("user", "What is my dog called?"), CHAT.encode("user", "word " * 900 + "my dog?")
    for line in (short, long):
        judge = state.reads_beside(line)
        assert judge is not None
        assert judge([3, 4]) == [(0.5, 0.5)] * 2
    behind = [*CHAT.note("recalled", ("My dog is called Rimba.",)), *CHAT.reply_prompt]
    assert read[0] == [*short.ids, *behind]
    assert len(read[2]) == BESIDE + len(behind) < len(long.ids)
    assert read[2][: long.header] == long.ids[: long.header]
    assert read[2][long.header : -len(behind)] == long.ids[long.header - BESIDE :]
