"""Linear maps say the same on every processor, and what changes a weight is never overlooked."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.helpers.tiny_chatml import chatml_model, chatml_tokenizer
from varda_chat.models import linear_maps
from varda_chat.models.chat_format import ChatMLFormat
from varda_chat.models.linear_maps import FEW, PackedLinear, WidenedLinear, product, suit
from varda_chat.models.memory_cache import MemoryCache
from varda_chat.models.one_token import OneToken

CHATML = ChatMLFormat(chatml_tokenizer())
needs_packing = pytest.mark.skipif(
    not (linear_maps.multiplies_bfloat16() and linear_maps.packs()), reason="this processor gains nothing by packing"
)


@pytest.fixture
def no_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor without bfloat16 instructions."""
    monkeypatch.setattr(linear_maps, "multiplies_bfloat16", lambda: False)


def model_of_two_copies() -> tuple[Any, Any]:
    """A model in bfloat16, plain and suited to the processor."""
    plain = chatml_model(CHATML).to(torch.bfloat16).eval()
    ours = copy.deepcopy(plain)
    suit(ours)
    return plain, ours


def states_of(model: Any) -> torch.Tensor:
    """The states of a line that is read, and of one token after it."""
    ids = torch.tensor([[*CHATML.opening, *CHATML.encode("user", "My dog is called Rimba.").ids]])
    with torch.inference_mode():
        cache = MemoryCache(config=model.config)
        read = model.model(ids, past_key_values=cache, use_cache=True).last_hidden_state
        one = model.model(torch.tensor([[7]]), past_key_values=cache, use_cache=True).last_hidden_state
        return torch.cat([read, one], dim=1)


@needs_packing
@pytest.mark.parametrize("tokens", [1, 7, 64])
@pytest.mark.parametrize("shape", [(576, 192), (192, 576), (1536, 576), (5, 3)])
def test_a_packed_product_is_the_same(shape: tuple[int, int], tokens: int) -> None:
    linear = nn.Linear(shape[1], shape[0], bias=False, dtype=torch.bfloat16)
    given = torch.randn(2, tokens, shape[1], dtype=torch.bfloat16)
    with torch.no_grad():
        ours, plain = PackedLinear(linear)(given), linear(given)
    if tokens > 32 and torch.cpu._is_amx_tile_supported():  # sums in another order, then rounded to bfloat16
        torch.testing.assert_close(ours, plain, rtol=2**-7, atol=1e-3)
    else:
        assert torch.equal(ours, plain)


@needs_packing
def test_a_packed_model_says_what_the_plain_one_says() -> None:
    plain, ours = model_of_two_copies()
    assert any(isinstance(each, PackedLinear) for each in ours.modules())
    assert torch.equal(states_of(plain), states_of(ours))


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


@pytest.mark.usefixtures("no_bfloat16")
@pytest.mark.parametrize("tokens", [1, FEW - 1, FEW, 64])
def test_a_widened_product_is_the_float32_one_rounded(tokens: int) -> None:
    linear = nn.Linear(576, 192, bias=False, dtype=torch.bfloat16)
    given = torch.randn(tokens, 576, dtype=torch.bfloat16)
    exact = F.linear(given.double(), linear.weight.double())
    with torch.no_grad():
        ours = WidenedLinear(linear)(given)
    assert ours.dtype is torch.bfloat16
    # half a unit in the last of eight places, and float32's own rounding
    assert ((ours - exact).abs() <= exact.abs() * 2**-8 + 1e-5).all()


@pytest.mark.usefixtures("no_bfloat16")
def test_without_bfloat16_instructions_many_tokens_are_computed_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, ours = model_of_two_copies()
    assert any(isinstance(each, WidenedLinear) for each in ours.modules())
    assert OneToken.can_take(ours.model)
    assert ours.state_dict().keys() == plain.state_dict().keys()
    assert torch.allclose(states_of(plain), states_of(ours), atol=0.05)
    types = []

    def linear(state: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        types.append(state.dtype)
        return state @ weight.T

    monkeypatch.setattr("torch.nn.functional.linear", linear)
    for tokens in (1, FEW):
        product(torch.ones(tokens, 4, dtype=torch.bfloat16), torch.ones(3, 4, dtype=torch.bfloat16))
    assert types == [torch.bfloat16, torch.float32]


@pytest.mark.usefixtures("no_bfloat16")
def test_a_widened_map_can_be_trained() -> None:
    linear = nn.Linear(8, 4, bias=False, dtype=torch.bfloat16)
    given = torch.randn(FEW, 8, dtype=torch.bfloat16, requires_grad=True)
    WidenedLinear(linear)(given).float().sum().backward()
    assert given.grad is not None and linear.weight.grad is not None
    assert torch.allclose(given.grad.float(), linear.weight.float().sum(0).expand(FEW, 8), atol=0.02)


def test_tied_weights_stay_tied() -> None:
    _, ours = model_of_two_copies()
    if ours.config.tie_word_embeddings:
        assert ours.lm_head.weight is ours.model.embed_tokens.weight


@pytest.mark.parametrize("has_bfloat16", [True, False])
def test_other_types_are_left_alone(monkeypatch: pytest.MonkeyPatch, has_bfloat16: bool) -> None:
    monkeypatch.setattr(linear_maps, "multiplies_bfloat16", lambda: has_bfloat16)
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, dtype=torch.bfloat16))
    suit(model)  # one in float32, one with a bias
    assert [type(each) for each in model] == [nn.Linear, nn.Linear]


def test_where_torch_cannot_pack_the_plain_maps_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_maps, "multiplies_bfloat16", lambda: True)
    monkeypatch.setattr(linear_maps, "packs", lambda: False)
    model = nn.Sequential(nn.Linear(4, 4, bias=False, dtype=torch.bfloat16))
    suit(model)
    assert type(model[0]) is nn.Linear
