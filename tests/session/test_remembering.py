"""What a turn deletes: by its probability, and only what is meant about as clearly as the clearest."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.helpers.tiny_gpt2 import tiny_model
from varda_chat.models import SearchResults
from varda_chat.models.chat_format import ChatFormat
from varda_chat.models.gpt2 import VardaGPTOutput
from varda_chat.session.decisions import Candidate
from varda_chat.session.remembering import deletions, statements_to_store, with_words


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


def test_a_word_is_stored_whole(chat_format: ChatFormat) -> None:
    message = chat_format.encode("user", "I am Tefliten, since 6:05.")
    count = len(message.ids)
    pieces = [i for i in range(count) if message.word[i] == 2]
    assert len(pieces) > 1  # the name is more than one token
    logits = torch.full((1, count, 1), -5.0)
    logits[0, pieces[-1]] = 5.0
    output = VardaGPTOutput(store_decision=logits, storable_vector=torch.randn(1, count, 8))
    (statement,) = statements_to_store(output, message, 0, chat_format, 0.5)
    assert [vector.token_id for vector in statement.vectors] == [message.ids[i] for i in pieces]
    assert statement.vectors[0].strength < 0.5 < statement.vectors[-1].strength


def test_a_reply_has_its_words_from_what_was_found_unless_the_line_said_them() -> None:
    dog, cat = (
        Candidate(7, answers=0.9, ends=0.0, tokens=frozenset([1, 2])),
        Candidate(8, answers=0.4, ends=0.0, tokens=frozenset([2, 3])),
    )
    assert with_words([], [1, 2, 3, 4], [3], [dog, cat]) == [{7: 0.9}, {7: 0.9, 8: 0.4}, {}, {}]
    copied = [{9: 0.2}, {7: 0.95}]
    assert with_words(copied, [1, 2], [], [dog]) == [{9: 0.2, 7: 0.9}, {7: 0.95}]
    assert copied == [{9: 0.2}, {7: 0.95}]
