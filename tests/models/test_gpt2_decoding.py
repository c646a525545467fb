"""The GPT-2 form in training, in beams, in padded batches, and the bundled checkpoint's fixed logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers.models.gpt2.modeling_gpt2 import GPT2Block

from tests.helpers.tiny_decoders import ChainedMemory, check_tuples, checkpoint_layers
from tests.helpers.tiny_gpt2 import tiny_model
from varda_chat.config.paths import bundled_checkpoint
from varda_chat.models import SearchResults, VardaGPTAssociative
from varda_chat.models.chat_format import ChatFormat

CLOSE: Any = {"atol": 1e-4, "rtol": 1e-4}
PARTS = ("logits", "query", "read_weights", "store_decision", "storable_vector")


@pytest.fixture(scope="module")
def model(chat_format: ChatFormat) -> Any:
    """A model of three blocks whose every part does something."""
    model = tiny_model(chat_format, n_layer=3, memory_layer=1, store_layer=1, query_decay=0.7)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.add_(0.15 * torch.randn(parameter.shape, generator=generator))
            assert torch.isfinite(parameter).all(), name
    return model


@pytest.fixture(scope="module")
def ids() -> Tensor:
    return torch.randint(10, 22, (2, 16), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def memory() -> ChainedMemory:
    return ChainedMemory.of(9)


def test_each_block_is_built_once(chat_format: ChatFormat, monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    original = GPT2Block.__init__

    def counted(self: Any, *args: Any, **kwargs: Any) -> None:
        built.append(self)
        original(self, *args, **kwargs)

    monkeypatch.setattr(GPT2Block, "__init__", counted)
    model = tiny_model(chat_format, n_layer=4)
    assert len(built) == len(model.transformer.h) == model.config.n_layer == 4


@pytest.mark.parametrize("memory_layer", [0, 1, 3])
def test_gradient_checkpointing_reads_the_memory_once(chat_format: ChatFormat, ids: Tensor, memory_layer: int) -> None:
    gradients, searches = [], []
    for checkpointing in (False, True):
        model = tiny_model(chat_format, n_layer=3, memory_layer=memory_layer).train()
        memory = ChainedMemory.of(9)
        if checkpointing:
            checkpoint_layers(model)
        model(ids, memory=memory, labels=ids, use_cache=False).loss.backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
        searches.append(len(memory.searches))
    assert searches == [1, 1]
    assert gradients[0].keys() == gradients[1].keys()
    assert "memory_reader.fc_query.weight" in gradients[0]
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-6, rtol=1e-3, msg=name)


@pytest.mark.parametrize("beams", [1, 3])
def test_generating_with_a_cache_equals_without(
    model: VardaGPTAssociative, ids: Tensor, memory: ChainedMemory, beams: int
) -> None:
    with_cache, without = (
        model.generate(
            ids, attention_mask=torch.ones_like(ids), memory=memory, num_beams=beams, num_return_sequences=beams,
            do_sample=False, max_new_tokens=16, min_new_tokens=16, use_cache=use_cache, return_dict_in_generate=True,
            output_scores=True,
        )
        for use_cache in (True, False)
    )  # fmt: skip
    assert torch.equal(with_cache.sequences, without.sequences)
    torch.testing.assert_close(torch.stack(with_cache.scores), torch.stack(without.scores), **CLOSE)


@pytest.mark.parametrize(
    ("change", "rows"),
    [
        (lambda cache: cache.batch_repeat_interleave(2), [0, 0, 1, 1]),
        (lambda cache: cache.batch_select_indices(torch.tensor([1])), [1]),
        (lambda cache: cache.reorder_cache(torch.tensor([1, 0])), [1, 0]),
        (lambda cache: cache.crop(-3), [0, 1]),
    ],
    ids=["repeat", "select", "reorder", "crop"],
)
def test_the_memory_follows_the_cache(
    model: VardaGPTAssociative, ids: Tensor, memory: ChainedMemory, change: Any, rows: list[int]
) -> None:
    with torch.no_grad():
        first = model(ids[:, :7], memory=memory, use_cache=True)
        cache = model(ids[:, 7:12], memory=memory, past_key_values=first.past_key_values).past_key_values
        change(cache)
        read = cache.get_seq_length()
        more = ids[rows, 12:].flip(1)
        part = model(more, past_key_values=cache, memory=memory)
        whole = model(torch.cat([ids[rows, :read], more], dim=1), memory=memory)
    for name in PARTS:
        torch.testing.assert_close(getattr(part, name), getattr(whole, name)[:, read:], **CLOSE, msg=name)


@pytest.mark.parametrize("cached", [False, True])
def test_left_padded_rows_are_as_if_alone(
    model: VardaGPTAssociative, ids: Tensor, memory: ChainedMemory, cached: bool
) -> None:
    padded, mask = ids.clone(), torch.ones_like(ids)
    padded[0, :5], mask[0, :5] = 7, 0
    with torch.no_grad():
        if cached:
            first = model(padded[:, :9], attention_mask=mask[:, :9], memory=memory, use_cache=True)
            together = model(
                padded[:, 9:], attention_mask=mask, memory=memory, past_key_values=first.past_key_values
            )  # fmt: skip
        else:
            together = model(padded, attention_mask=mask, memory=memory)
        for row, start in ((0, 5), (1, 0)):
            alone = model(ids[row : row + 1, start:], memory=memory)
            shown = min(ids.shape[1] - start, together.logits.shape[1])
            for name in PARTS:
                torch.testing.assert_close(
                    getattr(together, name)[row, -shown:], getattr(alone, name)[0, -shown:], **CLOSE, msg=name
                )


def test_padded_prompts_are_continued_as_if_alone(
    model: VardaGPTAssociative, ids: Tensor, memory: ChainedMemory
) -> None:
    padded, mask = ids.clone(), torch.ones_like(ids)
    padded[0, :5], mask[0, :5] = 7, 0
    settings: dict[str, Any] = {"memory": memory, "do_sample": False, "max_new_tokens": 8, "min_new_tokens": 8}
    together = model.generate(padded, attention_mask=mask, **settings)
    alone = model.generate(ids[:1, 5:], attention_mask=torch.ones(1, 11, dtype=torch.long), **settings)
    assert together[0, -8:].tolist() == alone[0, -8:].tolist()


def test_a_tuple_comes_where_no_dict_is_wanted(
    model: VardaGPTAssociative, ids: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_tuples(model, ids, monkeypatch)


def test_the_loss_is_divided_by_what_the_trainer_says(model: VardaGPTAssociative, ids: Tensor) -> None:
    labels = ids.masked_fill(torch.arange(ids.shape[1]) % 2 == 0, -100)
    with torch.no_grad():
        mean = model(ids, labels=labels).loss
        counted = model(ids, labels=labels, num_items_in_batch=torch.tensor(7)).loss
    torch.testing.assert_close(counted * 7, mean * (labels[:, 1:] >= 0).sum())


# the bundled checkpoint

MINI_PROMPT = [0, 385, 296, 361, 950, 648, 33, 2, 1, 864, 950, 296, 648]
"""<|user|> What is my dog called?<|end|><|assistant|> Your dog is called"""
MINI_VECTOR = [0.014937, 0.157674, -0.00213, -0.024901]
MINI_QUERY = [0.030816, 0.167032, 0.027202, -0.03295]
MINI_LOGITS = {
    False: [-4.198239, -3.462322, -1.914801, -4.628298, -1.602572, -3.557597, -4.066203, -2.469167],
    True: [-8.974142, -8.08277, -7.276119, -7.912942, -4.319271, -10.733035, -9.381343, -9.817087],
}
"""As of the code that it was trained with: without a memory, and with one of the prompt's own queries."""


@dataclass
class FixedMemory:
    """Vectors (N, D) with the tokens 100, 101, ..."""

    vectors: Tensor

    def search(self, query: Tensor, k: int) -> SearchResults:
        distances, ids = torch.cdist(query, self.vectors.unsqueeze(0)).pow(2).topk(k, largest=False)
        return SearchResults(ids, distances, self.vectors[ids], ids + 100)


def test_the_bundled_checkpoint_has_the_logits_that_it_was_trained_to() -> None:
    mini = VardaGPTAssociative.from_pretrained(bundled_checkpoint()).eval()
    ids = torch.tensor([MINI_PROMPT])
    statements = torch.zeros_like(ids)
    statements[:, 0] = -1
    with torch.no_grad():
        plain = mini(ids, statements=statements)
        reading = mini(ids, memory=FixedMemory(plain.query[0, 7:]), statements=statements)
    for output, with_memory in ((plain, False), (reading, True)):
        for found, expected in (
            (output.logits[0, -1, 90:3000:400], MINI_LOGITS[with_memory]),
            (output.storable_vector[0, -1, :4], MINI_VECTOR),
            (output.query[0, -1, :4], MINI_QUERY),
        ):
            torch.testing.assert_close(found, torch.tensor(expected), atol=1e-4, rtol=1e-4)
