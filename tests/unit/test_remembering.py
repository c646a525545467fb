"""What a turn deletes: by its probability, and only what is meant about as clearly as the clearest."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.conftest import tiny_model
from varda_chat.model import SearchResults
from varda_chat.model.chat_format import ChatFormat
from varda_chat.model.modeling import VardaGPTOutput
from varda_chat.remembering import deletions


def an_output(logits: list[list[float]], statements: list[list[int]]) -> VardaGPTOutput:
    """A turn of tokens whose deletable vectors are the candidates themselves."""
    ids = torch.tensor([statements])
    vectors = torch.ones(*ids.shape, 4) / 2
    return VardaGPTOutput(
        deletable_vector=torch.ones(1, ids.shape[1], 4) / 2,
        delete_decision=torch.tensor([logits]),
        delete_results=SearchResults(ids, torch.zeros(ids.shape), vectors),
    )


@pytest.mark.parametrize(
    ("share", "gone"),
    [(0.0, {1, 2}), (0.5, {1, 2}), (0.8, {1})],
)
def test_what_resembles_the_one_meant_stays(chat_format: ChatFormat, share: float, gone: set[int]) -> None:
    model = tiny_model(chat_format, delete_threshold=0.5, delete_share=share)
    # over two tokens, statement 1 is deleted with 0.98, 2 with 0.90, and 3 with 0.09
    output = an_output([[2.0, 0.8, -3.0], [2.0, 0.8, -3.0]], [[1, 2, 3], [1, 2, 3]])
    found = deletions(model, output, 0, lambda ids: ids.numpy().astype(np.int64))
    assert set(found) == gone
    assert found[1] > 0.9


def test_evidence_gathers_over_the_tokens_of_a_turn(chat_format: ChatFormat) -> None:
    model = tiny_model(chat_format, delete_threshold=0.6)
    once = an_output([[0.0]], [[7]])
    thrice = an_output([[0.0], [0.0], [0.0]], [[7], [7], [7]])
    assert deletions(model, once, 0, lambda ids: ids.numpy()) == {}
    assert set(deletions(model, thrice, 0, lambda ids: ids.numpy())) == {7}
    assert deletions(model, an_output([[0.0]], [[-1]]), 0, lambda ids: ids.numpy()) == {}
