"""A grown model computes what it did before, and learns with its new blocks."""

from __future__ import annotations

import pytest
import torch

from tests.helpers.tiny_gpt2 import tiny_model
from training.growth import deepened, widened, with_fresh_matching
from varda_chat.errors import DataError
from varda_chat.memory import AssociativeMemory
from varda_chat.models import VardaGPTAssociative
from varda_chat.models.chat_format import ChatFormat


def test_new_blocks_change_nothing_at_first(chat_format: ChatFormat) -> None:
    model = tiny_model(chat_format)
    grown = deepened(model, model.config.n_layer + 2).eval()
    ids = torch.randint(0, model.config.vocab_size, (2, 20), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before, after = model(ids), grown(ids)
    torch.testing.assert_close(after.logits, before.logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(after.storable_vector, before.storable_vector, atol=1e-5, rtol=1e-5)
    assert grown.config.memory_layer == model.config.memory_layer + 2
    assert grown.config.store_layer == model.config.store_layer + 2


def test_new_blocks_get_gradients(chat_format: ChatFormat) -> None:
    model = tiny_model(chat_format)
    place = model.config.memory_layer
    grown = deepened(model, model.config.n_layer + 1)
    ids = torch.randint(0, grown.config.vocab_size, (2, 20), generator=torch.Generator().manual_seed(0))
    grown(ids, labels=ids).loss.backward()
    gradient = grown.transformer.h[place].mlp.c_proj.weight.grad
    assert gradient is not None and gradient.abs().sum() > 0


def test_blocks_are_not_taken_away(chat_format: ChatFormat) -> None:
    with pytest.raises(DataError, match="blocks"):
        deepened(tiny_model(chat_format), 1)


def test_longer_vectors_give_nearly_the_same_results(chat_format: ChatFormat) -> None:
    model = tiny_model(
        chat_format,
        store_statement_state=False,
        null_by_state=False,
        read_null=False,
        query_context=False,
        follow_copies=False,
    )
    grown = widened(model, 24).eval()
    ids = torch.randint(0, model.config.vocab_size, (1, 20), generator=torch.Generator().manual_seed(0))
    statements = torch.zeros(1, 20, dtype=torch.long)

    def answer(one: VardaGPTAssociative) -> torch.Tensor:
        memory = AssociativeMemory(memory_size=50, embedding_dim=one.config.memory_dim)
        with torch.inference_mode():
            memory.add(one(ids, statements=statements).storable_vector[0])
            probabilities: torch.Tensor = one(ids, memory=memory).logits.softmax(-1)
            return probabilities

    assert (answer(grown) - answer(model)).abs().max() < 0.02
    assert grown.config.memory_dim == 24
    assert grown.config.store_statement_state
    assert widened(grown, 24) is grown
    with pytest.raises(DataError, match="fewer"):
        widened(grown, 8)


def test_fresh_matching_keeps_the_language_model(chat_format: ChatFormat) -> None:
    model = tiny_model(chat_format).eval()
    old = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    ids = torch.randint(0, model.config.vocab_size, (1, 20), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before = model(ids)
        after = with_fresh_matching(model)(ids)
    torch.testing.assert_close(after.logits, before.logits, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(after.store_decision, before.store_decision)
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, old[name])}
    assert all(name.startswith("memory_") for name in changed)
    assert {"memory_reader.fc_query.weight", "memory_reader.fc_storable_vector.weight"} <= changed
