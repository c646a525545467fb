"""Packed linear maps give the same results bit for bit, and what changes a weight is never overlooked."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from tests.helpers.tiny_chatml import chatml_model, chatml_tokenizer
from varda_chat.models import packed
from varda_chat.models.chat_format import ChatMLFormat
from varda_chat.models.memory_cache import MemoryCache
from varda_chat.models.packed import PackedLinear, pack

CHATML = ChatMLFormat(chatml_tokenizer())
needs_packing = pytest.mark.skipif(not packed._gains(), reason="this processor gains nothing by packing")


def model_of_two_copies() -> tuple[Any, Any]:
    """A model in bfloat16, plain and packed."""
    plain = chatml_model(CHATML).to(torch.bfloat16).eval()
    ours = copy.deepcopy(plain)
    pack(ours)
    return plain, ours


@needs_packing
@pytest.mark.parametrize("tokens", [1, 7, 64])
@pytest.mark.parametrize("shape", [(576, 192), (192, 576), (1536, 576), (5, 3)])
def test_a_product_is_the_same(shape: tuple[int, int], tokens: int) -> None:
    linear = nn.Linear(shape[1], shape[0], bias=False, dtype=torch.bfloat16)
    given = torch.randn(2, tokens, shape[1], dtype=torch.bfloat16)
    with torch.no_grad():
        assert torch.equal(PackedLinear(linear)(given), linear(given))


@needs_packing
def test_a_packed_model_says_what_the_plain_one_says() -> None:
    plain, ours = model_of_two_copies()
    assert any(isinstance(each, PackedLinear) for each in ours.modules())
    ids = torch.tensor([[*CHATML.opening, *CHATML.encode("user", "My dog is called Rimba.").ids]])
    states = []
    for model in (plain, ours):
        with torch.inference_mode():
            cache = MemoryCache(config=model.config)
            read = model.model(ids, past_key_values=cache, use_cache=True).last_hidden_state
            one = model.model(torch.tensor([[7]]), past_key_values=cache, use_cache=True).last_hidden_state
            states.append(torch.cat([read, one], dim=1))
    assert torch.equal(*states)


@needs_packing
def test_a_weight_that_changes_is_read_again() -> None:
    ours = PackedLinear(nn.Linear(8, 4, bias=False, dtype=torch.bfloat16))
    given = torch.randn(1, 8, dtype=torch.bfloat16)
    with torch.no_grad():
        ours.weight.zero_()
        assert torch.equal(ours(given), torch.zeros(1, 4, dtype=torch.bfloat16))
        ours.weight.data = torch.ones_like(ours.weight)
        assert torch.equal(ours(given), given.sum().expand(1, 4))


@needs_packing
def test_a_packed_model_can_be_trained_copied_and_saved() -> None:
    plain, ours = model_of_two_copies()
    assert ours.state_dict().keys() == plain.state_dict().keys()
    linear = next(each for each in ours.modules() if isinstance(each, PackedLinear))
    linear(torch.ones(1, linear.in_features, dtype=torch.bfloat16)).sum().backward()
    assert linear.weight.grad is not None
    again = copy.deepcopy(linear)
    given = torch.ones(1, linear.in_features, dtype=torch.bfloat16)
    with torch.no_grad():
        assert torch.equal(again(given), linear(given))


@needs_packing
def test_tied_weights_stay_tied() -> None:
    _, ours = model_of_two_copies()
    if ours.config.tie_word_embeddings:
        assert ours.lm_head.weight is ours.model.embed_tokens.weight


def test_other_types_and_processors_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, dtype=torch.bfloat16))
    pack(model)  # one in float32, one with a bias
    monkeypatch.setattr(packed, "_gains", lambda: False)
    other = nn.Sequential(nn.Linear(4, 4, bias=False, dtype=torch.bfloat16))
    pack(other)
    assert not any(isinstance(each, PackedLinear) for each in (*model, *other))
