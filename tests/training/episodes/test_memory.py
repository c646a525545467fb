"""The memory of training and the memory of chat give the same answers on the same vectors."""

from __future__ import annotations

import pytest
import torch

from training.episodes.memory import EpisodeMemory
from varda_chat.memory import AssociativeMemory

EPISODES, SESSIONS, LENGTH, DIM = 2, 3, 7, 8


@pytest.mark.parametrize("k", [1, 3, 30])
@pytest.mark.parametrize("negatives", [0, 5])
def test_in_batch_memory_equals_faiss(k: int, negatives: int) -> None:
    generator = torch.Generator().manual_seed(k + negatives)
    total = SESSIONS * LENGTH
    vectors = torch.nn.functional.normalize(torch.randn(EPISODES * SESSIONS, LENGTH, DIM, generator=generator), dim=-1)
    logits = torch.randn(EPISODES * SESSIONS, LENGTH, 1, generator=generator)
    query = torch.nn.functional.normalize(torch.randn(EPISODES * SESSIONS, LENGTH, DIM, generator=generator), dim=-1)
    extra = torch.nn.functional.normalize(torch.randn(negatives, DIM, generator=generator), dim=-1)
    turn = torch.arange(SESSIONS).repeat_interleave(LENGTH).expand(EPISODES, -1)
    memory = EpisodeMemory(
        tokens=torch.arange(total).expand(EPISODES, -1),
        visible=turn.unsqueeze(1) < turn.unsqueeze(2),
        sessions=SESSIONS,
        negatives=extra if negatives else None,
        negative_tokens=torch.arange(negatives) + 100 if negatives else None,
        hard_gates=True,
    ).over(vectors, logits)
    found = memory.search(query, k)
    flat, open_gate = vectors.view(EPISODES, total, DIM), logits.view(EPISODES, total) > 0
    for episode in range(EPISODES):
        for session in range(SESSIONS):
            index = AssociativeMemory(memory_size=100, embedding_dim=DIM)
            ids = [i for i in range(session * LENGTH) if open_gate[episode, i]]
            held = torch.cat([flat[episode, ids], extra])
            numbers = ids + [total + i for i in range(negatives)]
            if numbers:
                index.add(held, ids=torch.tensor(numbers))
            row = episode * SESSIONS + session
            wanted = index.search(query[row], k)
            torch.testing.assert_close(found.ids[row], wanted.ids)
            torch.testing.assert_close(found.vectors[row], wanted.vectors)
            torch.testing.assert_close(found.distances[row], wanted.distances, atol=1e-5, rtol=1e-5)
    assert found.log_gates is not None
    assert (found.log_gates[found.ids >= 0] == 0).all()


def test_gates_and_vectors_get_gradients_even_when_stores_are_hard() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(2, 4, DIM), dim=-1).requires_grad_()
    logits = torch.full((2, 4, 1), 2.0, requires_grad=True)
    turn = torch.tensor([[0] * 4 + [1] * 4])
    memory = EpisodeMemory(
        torch.zeros(1, 8, dtype=torch.long), turn.unsqueeze(1) < turn.unsqueeze(2), sessions=2, hard_gates=True
    ).over(vectors, logits)
    results = memory.search(vectors.detach(), 2)
    assert results.log_gates is not None
    (results.vectors.sum() + results.log_gates[results.ids >= 0].sum()).backward()
    assert logits.grad is not None
    assert logits.grad[0].abs().sum() > 0
    assert logits.grad[1].abs().sum() == 0
    assert vectors.grad is not None
    assert vectors.grad[0].abs().sum() > 0
