"""The cache of a decoder with a memory layer: cached is uncached, cropped, emptied, its rows reordered."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.helpers.chunks import CLOSE, assert_same, in_chunks
from tests.helpers.tiny_decoders import ASSISTANT, PAD, ChainedMemory, as_row, conversation, message, words


@pytest.mark.parametrize("size", [1, 7])
def test_cached_equals_uncached(model: Any, ids: Tensor, memory: ChainedMemory, size: int) -> None:
    length = ids.shape[1]
    sizes = [size] * (length // size) + ([length % size] if length % size else [])
    # another status in each turn
    status = torch.where(torch.arange(length) < length // 2, 1, 6).expand(2, -1)
    with torch.no_grad():
        whole = model(ids, memory=memory, status=status)
        parts = in_chunks(model, ids, sizes, memory=memory, status=status)
    for start, end, part in parts:
        assert_same(whole, part, start, end)


def test_what_is_stored_is_the_same_where_whole_messages_are_read(model: Any, memory: ChainedMemory) -> None:
    messages = conversation()
    ids = torch.tensor([as_row(messages)])
    sizes = [len(each) for each in messages]
    statements = torch.full_like(ids, -1)
    start = 0
    for number, each in enumerate(messages):
        end = start + len(each) - 2
        middle = (start + 3 + end) // 2
        statements[:, start + 3 : middle] = 2 * number
        statements[:, middle:end] = 2 * number + 1
        start += len(each)
    with torch.no_grad():
        whole = model(ids, memory=memory, statements=statements)
        parts = in_chunks(model, ids, sizes, memory=memory, statements=statements)
    for start, end, part in parts:
        assert_same(whole, part, start, end, vectors=True)


@pytest.mark.parametrize("beams", [1, 3])
def test_generating_with_a_cache_equals_without(model: Any, memory: ChainedMemory, beams: int) -> None:
    prompts = torch.tensor([as_row(conversation(seed)[:-1]) + message(ASSISTANT, [], closed=False) for seed in (0, 7)])
    with_cache, without = (
        model.generate(
            prompts, attention_mask=torch.ones_like(prompts), memory=memory, status=torch.tensor([6, 1]),
            num_beams=beams, num_return_sequences=beams, do_sample=False, max_new_tokens=12, min_new_tokens=12,
            pad_token_id=PAD, use_cache=use_cache, return_dict_in_generate=True, output_scores=True,
        )
        for use_cache in (True, False)
    )  # fmt: skip
    assert torch.equal(with_cache.sequences, without.sequences)
    torch.testing.assert_close(torch.stack(with_cache.scores), torch.stack(without.scores), **CLOSE)


@pytest.mark.parametrize("removed", [1, 5, 11])
def test_a_cropped_cache_goes_on_from_where_it_was_cropped(
    model: Any, ids: Tensor, memory: ChainedMemory, removed: int
) -> None:
    kept = ids.shape[1] - removed
    other = torch.tensor([words(removed, 50), words(removed, 51)])
    with torch.no_grad():
        *_, (_, _, last) = in_chunks(model, ids, [20, ids.shape[1] - 22, 2], memory=memory)
        last.past_key_values.crop(-removed)
        part = model(other, past_key_values=last.past_key_values, memory=memory)
        whole = model(torch.cat([ids[:, :kept], other], dim=1), memory=memory)
    assert_same(whole, part, kept, ids.shape[1])


def test_a_cache_can_be_emptied(model: Any, ids: Tensor, memory: ChainedMemory) -> None:
    with torch.no_grad():
        whole = model(ids, memory=memory, use_cache=True)
        cache = whole.past_key_values
        cache.crop(-ids.shape[1])
        again = model(ids, memory=memory, past_key_values=cache)
        assert_same(whole, again, 0, ids.shape[1])
        cache.reset()
        assert len(cache.memory_state) == 0
    empty = type(cache)(config=model.config)
    empty.crop(0)
    assert len(empty.memory_state) == 0


@pytest.mark.parametrize(
    ("change", "rows"),
    [
        (lambda cache: cache.batch_repeat_interleave(2), [0, 0, 1, 1]),
        (lambda cache: cache.batch_select_indices(torch.tensor([1])), [1]),
        (lambda cache: cache.reorder_cache(torch.tensor([1, 0])), [1, 0]),
    ],
    ids=["repeat", "select", "reorder"],
)
def test_the_memory_follows_the_rows_of_the_cache(
    model: Any, ids: Tensor, memory: ChainedMemory, change: Any, rows: list[int]
) -> None:
    split = ids.shape[1] - 4
    more = torch.tensor([words(4, 60 + place) for place in range(len(rows))])
    with torch.no_grad():
        cache = model(ids[:, :split], memory=memory, use_cache=True).past_key_values
        change(cache)
        part = model(more, past_key_values=cache, memory=memory)
        whole = model(torch.cat([ids[rows, :split], more], dim=1), memory=memory)
    assert_same(whole, part, split, ids.shape[1])
