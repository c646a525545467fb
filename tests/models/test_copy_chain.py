"""What was stored after a copied token becomes a result: chains, cached as uncached, in chat as in training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.tiny_gpt2 import tiny_model
from training.episodes.memory import EpisodeMemory
from varda_chat.memory import MemoryStore, NewStatement, NewVector, TurnChanges
from varda_chat.models import SearchResults
from varda_chat.models.chat_format import ChatFormat
from varda_chat.models.copy_chain import chain_successors

DIM = 16


@dataclass
class OneResult:
    """A memory of vectors (N, D), tokens (N,) and statements (N,), whose search always finds ``found`` (seq,) ids."""

    vectors: torch.Tensor
    tokens: torch.Tensor
    statements: torch.Tensor
    found: torch.Tensor

    def search(self, query: torch.Tensor, k: int) -> SearchResults:
        ids = self.found.view(1, -1, 1)[:, : query.shape[1]]
        vectors = self.vectors[ids]
        return SearchResults(ids, (query.unsqueeze(2) - vectors).pow(2).sum(-1), vectors, self.tokens[ids])

    def successors(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        last = len(self.tokens) - 1
        same = self.statements[ids.clamp(0, last)] == self.statements[(ids + 1).clamp(0, last)]
        after = (ids + 1).masked_fill((ids < 0) | (ids >= last) | ~same, -1)
        return after, self.tokens[after.clamp_min(0)].masked_fill(after < 0, -1)

    def vectors_of(self, ids: torch.Tensor) -> tuple[torch.Tensor, None]:
        return self.vectors[ids.clamp_min(0)] * (ids >= 0).unsqueeze(-1), None


def a_memory(found: list[int]) -> OneResult:
    vectors = torch.nn.functional.normalize(torch.randn(6, DIM, generator=torch.Generator().manual_seed(3)), dim=-1)
    return OneResult(
        vectors, torch.tensor([11, 12, 13, 21, 22, 23]), torch.tensor([0, 0, 0, 1, 1, 1]), torch.tensor(found)
    )


def test_a_chain_is_followed_to_the_end_of_its_statement() -> None:
    memory = a_memory([0, 5, 5, 5, 5])
    query = torch.zeros(1, 5, DIM)
    # vector 0's token is said, then 1's, then 2's, which is the last of its statement
    tokens = torch.tensor([[9, 11, 12, 13, 9]])
    results, continued, state = chain_successors(memory.search(query, 1), query, tokens, None, memory)
    assert results.ids.flatten().tolist() == [0, 1, 2, 5, 5]
    assert continued.flatten().tolist() == [False, True, True, False, False]
    assert results.token_ids.flatten().tolist() == [11, 12, 13, 23, 23]
    torch.testing.assert_close(results.vectors[0, 2, 0], memory.vectors[2])
    assert state.ids.tolist() == [[[-1, 0], [1, 5], [2, 5], [-1, 5], [-1, 5]]]


def test_what_was_not_said_is_not_followed() -> None:
    memory = a_memory([0, 3, 4])
    query = torch.zeros(1, 3, DIM)
    results, continued, _ = chain_successors(memory.search(query, 1), query, torch.tensor([[9, 12, 22]]), None, memory)
    assert not continued.any()
    assert results.ids.flatten().tolist() == [0, 3, 4]


def test_cached_decoding_follows_as_uncached_does(chat_format: ChatFormat) -> None:
    model = tiny_model(chat_format, num_search_results=1)
    ids = torch.tensor([[9, 11, 12, 13, 9, 21, 22, 8]])
    found = [0, 5, 5, 4, 3, 2, 2, 1]
    with torch.no_grad():
        whole = model(ids, memory=a_memory(found))
        cache, parts = None, []
        for place in range(ids.shape[1]):
            step = model(
                ids[:, place : place + 1], memory=a_memory(found[place:]), past_key_values=cache, use_cache=True
            )
            cache = step.past_key_values
            parts.append(step)
    torch.testing.assert_close(torch.cat([p.logits for p in parts], 1), whole.logits, atol=1e-4, rtol=1e-4)
    stepwise = torch.cat([p.search_results.ids for p in parts], 1)
    assert stepwise.tolist() == whole.search_results.ids.tolist()
    assert whole.search_results.ids.flatten().tolist() == [0, 1, 2, 4, 3, 4, 5, 1]


@pytest.mark.parametrize("gates", [[3.0] * 8, [3.0, -3.0, 3.0, 3.0, -3.0, 3.0, 3.0, 3.0]])
def test_training_and_chat_agree_on_what_comes_next(tmp_path: Path, gates: list[float]) -> None:
    tokens = torch.tensor([[5, 6, 7, 8, 9, 10, 11, 12]])
    sentences = [0, 0, 0, -1, 1, 1, 2, 2]
    vectors = torch.nn.functional.normalize(torch.randn(1, 8, DIM), dim=-1)
    episode = EpisodeMemory(
        tokens,
        torch.ones(1, 8, 8, dtype=torch.bool),
        sessions=1,
        statements=torch.tensor([sentences]),
        hard_gates=True,
    ).over(vectors, torch.tensor(gates).view(1, 8, 1))
    kept = [i for i in range(8) if gates[i] > 0 and sentences[i] >= 0]
    with MemoryStore.open(tmp_path, embedding_dim=DIM, fingerprint="f") as store:
        stores = tuple(
            NewStatement(
                f"text {s}", "user",
                tuple(NewVector(vectors[0, i].numpy(), int(tokens[0, i]), "t", 1.0) for i in kept if sentences[i] == s),
            )
            for s in (0, 1, 2)
        )  # fmt: skip
        store.apply(TurnChanges(stores=stores), session="s")
        numbers = {place: number + 1 for number, place in enumerate(kept)}
        for place in kept:
            after, token = episode.successors(torch.tensor([[[place]]]))
            wanted, wanted_token = store.successors(np.array([[[numbers[place]]]]))
            assert token.item() == wanted_token.item()
            assert numbers.get(int(after), -1) == wanted.item()
            if int(after) >= 0:
                np.testing.assert_allclose(store.vectors_of(wanted)[0][0, 0, 0], vectors[0, int(after)], rtol=1e-6)
    nothing = torch.tensor([[[-1]]])
    assert episode.successors(nothing)[0].tolist() == [[[-1]]]
