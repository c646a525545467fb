"""Properties of the model: no memory is GPT-2, cached is uncached, saved is loaded, rows do not see each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from tests.helpers.tiny_gpt2 import tiny_model
from varda_chat.memory import AssociativeMemory
from varda_chat.models import SearchResults, VardaGPTAssociative, VardaGPTConfig
from varda_chat.models.building import RareDecision
from varda_chat.models.chat_format import ChatFormat
from varda_chat.models.copy_chain import mix_copy_distribution
from varda_chat.models.pooling import running_means, segment_mean_pool
from varda_chat.models.results import EmptyMemory


@dataclass
class RowMemory:
    """Each batch row's own exact memory: vectors (B, N, D) with tokens (B, N)."""

    vectors: torch.Tensor
    tokens: torch.Tensor

    def search(self, query: torch.Tensor, k: int) -> SearchResults:
        count = min(k, self.vectors.shape[1])
        distances, ids = torch.cdist(query, self.vectors).pow(2).topk(count, largest=False)
        rows = torch.arange(len(query))[:, None, None]
        pad = torch.nn.functional.pad
        missing = k - count
        return SearchResults(
            ids=pad(ids, (0, missing), value=-1),
            distances=pad(distances, (0, missing), value=torch.inf),
            vectors=pad(self.vectors[rows, ids], (0, 0, 0, missing)),
            token_ids=pad(self.tokens[rows, ids], (0, missing), value=-1),
        )


def a_memory(size: int, *, batch: int = 1, dim: int = 16, seed: int = 1) -> RowMemory:
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(batch, size, dim, generator=generator)
    tokens = torch.randint(3, 200, (batch, size), generator=generator)
    return RowMemory(torch.nn.functional.normalize(vectors, dim=-1), tokens)


@pytest.fixture(scope="module")
def model(chat_format: ChatFormat) -> VardaGPTAssociative:
    return tiny_model(chat_format)


@pytest.fixture
def ids() -> torch.Tensor:
    return torch.randint(3, 200, (2, 12), generator=torch.Generator().manual_seed(0))


def plain_twin(model: VardaGPTAssociative) -> GPT2LMHeadModel:
    config = model.config
    names = ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head")
    twin = GPT2LMHeadModel(GPT2Config(**{n: getattr(config, n) for n in names}, bos_token_id=2, eos_token_id=2)).eval()
    missing = twin.load_state_dict(model.state_dict(), strict=False).missing_keys
    assert not missing, "every weight of GPT-2 has its name in ours"
    return twin


@pytest.mark.parametrize("memory", [None, a_memory(0, batch=2)], ids=["no memory", "empty memory"])
def test_without_results_it_is_plain_gpt2(
    model: VardaGPTAssociative, ids: torch.Tensor, memory: RowMemory | None
) -> None:
    with torch.no_grad():
        ours, theirs = model(ids, memory=memory).logits, plain_twin(model)(ids).logits
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_a_memory_changes_the_answer_and_copies_its_tokens(model: VardaGPTAssociative, ids: torch.Tensor) -> None:
    with torch.no_grad():
        plain = model(ids).logits.softmax(-1)
        output = model(ids, memory=a_memory(5, batch=2))
    mixed = output.logits.softmax(-1)
    assert (mixed - plain).abs().max() > 1e-3
    torch.testing.assert_close(mixed.sum(-1), torch.ones(2, 12), atol=1e-4, rtol=1e-4)
    copied = output.search_results.token_ids[0, 3, 0]
    assert mixed[0, 3, copied] > plain[0, 3, copied]


@pytest.mark.parametrize("memory_layer", [0, 1, 2])
@pytest.mark.parametrize("context", [True, False])
def test_cached_decoding_equals_uncached(
    chat_format: ChatFormat, ids: torch.Tensor, memory_layer: int, context: bool
) -> None:
    model = tiny_model(
        chat_format, memory_layer=memory_layer, store_previous_state=context, query_context=context, query_decay=0.7
    )
    memory = a_memory(7, batch=2)
    with torch.no_grad():
        whole = model(ids, memory=memory, return_deletes=True)
        first = model(ids[:, :5], memory=memory, use_cache=True)
        second = model(ids[:, 5:6], memory=memory, past_key_values=first.past_key_values, use_cache=True)
        third = model(
            ids[:, 6:], memory=memory, past_key_values=second.past_key_values, use_cache=True, return_deletes=True
        )
    for part in ("logits", "storable_vector", "store_decision", "deletable_vector", "query"):
        torch.testing.assert_close(getattr(whole, part)[:, 6:], getattr(third, part), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(whole.logits[:, 5:6], second.logits, atol=1e-4, rtol=1e-4)


def test_a_vector_knows_the_words_after_its_token_within_its_statement_only(
    model: VardaGPTAssociative, ids: torch.Tensor
) -> None:
    statements = torch.tensor([[-1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, -1]]).expand(2, -1)
    changed = ids.clone()
    changed[:, 5] = (changed[:, 5] + 1) % 200 + 3
    with torch.no_grad():
        before, after = (model(i, statements=statements).storable_vector for i in (ids, changed))
        blind = [model(i).storable_vector for i in (ids, changed)]
    assert (before[:, 1:5] - after[:, 1:5]).abs().max() > 1e-4
    torch.testing.assert_close(before[:, 0], after[:, 0])
    torch.testing.assert_close(blind[0][:, :5], blind[1][:, :5])


def test_segment_means_are_those_of_each_rows_statements() -> None:
    state = torch.tensor([[[1.0], [3.0], [8.0], [5.0]], [[2.0], [4.0], [6.0], [7.0]]])
    statements = torch.tensor([[0, 0, -1, 2], [0, 1, 1, 1]])
    wanted = torch.tensor([[[2.0], [2.0], [0.0], [5.0]], [[2.0], [17 / 3], [17 / 3], [17 / 3]]])
    torch.testing.assert_close(segment_mean_pool(state, statements), wanted)
    assert not segment_mean_pool(state, torch.full((2, 4), -1)).any()


def test_running_means_weigh_what_is_older_less() -> None:
    state = torch.tensor([[[1.0], [3.0], [5.0]]])
    means, after = running_means(state, None, 0.5)
    torch.testing.assert_close(means, torch.tensor([[[1.0], [3.5 / 1.5], [6.75 / 1.75]]]))
    further, _ = running_means(torch.tensor([[[2.0]]]), after, 0.5)
    torch.testing.assert_close(further, torch.tensor([[[(6.75 / 2 + 2) / (1.75 / 2 + 1)]]]))


def test_rows_never_see_each_others_memory(model: VardaGPTAssociative, ids: torch.Tensor) -> None:
    one, other = a_memory(5, batch=2, seed=1), a_memory(5, batch=2, seed=2)
    mixed = RowMemory(torch.stack([one.vectors[0], other.vectors[1]]), torch.stack([one.tokens[0], other.tokens[1]]))
    with torch.no_grad():
        before, after = model(ids, memory=one).logits, model(ids, memory=mixed).logits
    torch.testing.assert_close(before[0], after[0])
    assert not torch.allclose(before[1], after[1])


def test_shapes_are_those_of_the_design(model: VardaGPTAssociative, ids: torch.Tensor) -> None:
    with torch.no_grad():
        output = model(ids, memory=a_memory(9, batch=2), return_deletes=True)
    batch, seq, dim, k = 2, 12, 16, 3
    assert output.query.shape == (batch, seq, dim)
    assert output.storable_vector.shape == (batch, seq, dim)
    assert output.store_decision.shape == (batch, seq, 1)
    assert output.deletable_vector.shape == (batch, seq, dim)
    assert output.delete_decision.shape == (batch, seq, k)
    assert output.copy_decision.shape == (batch, seq, 1)
    assert output.search_results.ids.shape == output.read_weights.shape == (batch, seq, k)
    assert output.search_results.vectors.shape == (batch, seq, k, dim)
    assert model.memory_reader.fc.in_features == model.config.n_embd + k * dim


def test_saving_and_loading_is_identity(model: VardaGPTAssociative, ids: torch.Tensor, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert isinstance(loaded, VardaGPTAssociative)
    memory = a_memory(5, batch=2)
    with torch.no_grad():
        torch.testing.assert_close(loaded(ids, memory=memory).logits, model(ids, memory=memory).logits)
    assert loaded.config.memory_layer == model.config.memory_layer == 1


def test_original_arrangement_can_be_switched_on(chat_format: ChatFormat, ids: torch.Tensor) -> None:
    model = tiny_model(
        chat_format, memory_layer=0, store_layer=2, store_previous_state=False, store_statement_state=False,
        query_context=False, copy_results=False, null_result=False, null_by_state=False, read_null=False,
    )  # fmt: skip
    with torch.no_grad():
        output = model(ids, memory=a_memory(5, batch=2))
    assert output.copy_decision is None
    torch.testing.assert_close(output.read_weights.sum(-1), torch.ones(2, 12))


def test_the_no_match_slot_is_read_with_its_weight(model: VardaGPTAssociative) -> None:
    reader, memory = model.memory_reader, a_memory(5, batch=2)
    assert reader.null_read is not None
    hidden = torch.randn(2, 12, 32, generator=torch.Generator().manual_seed(0))
    query, _ = reader.query(hidden)
    results = memory.search(query, model.config.num_search_results)
    weights = reader.weights(hidden, query, results)
    with torch.no_grad():
        before = reader.read(hidden, results, weights)
        reader.null_read.fill_(2.0)
        after = reader.read(hidden, results, weights)
    expected = 2.0 * (1.0 - weights.sum(-1, keepdim=True)).expand_as(before)
    torch.testing.assert_close(after - before, expected, atol=1e-5, rtol=1e-5)


def test_copies_and_deletes_begin_rare_in_new_models_only(chat_format: ChatFormat, tmp_path: Path) -> None:
    new = tiny_model(chat_format)
    decisions = (new.memory_heads.fc_copy_decision, new.memory_heads.fc_delete_decision)
    assert [each is not None and each.bias.item() for each in decisions] == [RareDecision.INITIAL_BIAS] * 2
    with torch.no_grad():
        new.memory_heads.fc_delete_decision.bias.fill_(0.75)
    new.save_pretrained(tmp_path)
    loaded = VardaGPTAssociative.from_pretrained(tmp_path)
    assert loaded.memory_heads.fc_delete_decision.bias.item() == 0.75


def test_fc_starts_as_identity_on_the_residual_stream(model: VardaGPTAssociative) -> None:
    weight = model.memory_reader.fc.weight
    torch.testing.assert_close(weight[:, :32], torch.eye(32))
    assert 0 < weight[:, 32:].abs().max() < 0.2


def test_generate_reads_the_memory(model: VardaGPTAssociative, ids: torch.Tensor) -> None:
    class Counting(RowMemory):
        queries = 0

        def search(self, query: torch.Tensor, k: int) -> SearchResults:
            Counting.queries += query.shape[1]
            return super().search(query, k)

    full = a_memory(5)
    model.generate(
        ids[:1], memory=Counting(full.vectors, full.tokens), max_new_tokens=4, do_sample=False, eos_token_id=None
    )
    assert Counting.queries == 12 + 3


def test_every_part_gets_a_gradient(chat_format: ChatFormat, ids: torch.Tensor) -> None:
    model = tiny_model(chat_format).train()
    loss = model(ids, labels=ids, memory=a_memory(5, batch=2)).loss
    loss.backward()
    for name in ("fc_query.weight", "fc.weight", "log_scale", "null_score", "fc_null.weight"):
        gradient = model.memory_reader.get_parameter(name).grad
        assert gradient is not None
        assert gradient.abs().sum() > 0, name
    assert model.memory_heads.fc_copy_decision.weight.grad.abs().sum() > 0


def test_mixture_with_all_shares_moves_all_probability() -> None:
    logits = torch.zeros(1, 1, 4)
    mixed = mix_copy_distribution(
        logits, torch.tensor([[[20.0]]]), torch.tensor([[[0.75, 0.25]]]), torch.tensor([[[2, 3]]])
    ).softmax(-1)
    torch.testing.assert_close(mixed, torch.tensor([[[0.0, 0.0, 0.75, 0.25]]]), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"memory_layer": 9}, "memory_layer"),
        ({"num_search_results": 0}, "num_search_results"),
        ({"memory_dim": 0}, "memory_dim"),
        ({"query_decay": 1.0}, "query_decay"),
    ],
)
def test_impossible_configurations_are_refused(settings: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        VardaGPTConfig(n_layer=2, **settings)


def test_an_empty_memory_is_read_and_weighs_nothing(model: VardaGPTAssociative, ids: torch.Tensor) -> None:
    with torch.no_grad():
        output = model(ids, memory=EmptyMemory())
    assert output.read_weights.sum(-1).max() < 0.05
    assert (output.search_results.ids[..., 0] == 0).all()
    state = output.unread_state
    nothing = torch.zeros(*state.shape[:-1], 3 * 16)
    read = model.memory_reader.fc(torch.cat([state, nothing], dim=-1))
    assert torch.isfinite(read).all()


def test_a_bare_faiss_memory_can_be_read(model: VardaGPTAssociative, ids: torch.Tensor) -> None:
    index = AssociativeMemory(memory_size=20, embedding_dim=16)
    index.add(a_memory(6).vectors[0])
    with torch.no_grad():
        output = model(ids, memory=index)
        plain = model(ids)
    assert output.search_results.token_ids is None
    assert (output.logits - plain.logits).abs().max() > 1e-4
