"""The chat's decoding loop writes the tokens that ``generate`` of transformers writes, greedily and drawn by a seed."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache, GenerationConfig, LogitsProcessor, LogitsProcessorList

from tests.helpers.tiny_chatml import chatml_model, chatml_tokenizer
from tests.helpers.tiny_decoders import ChainedMemory
from tests.helpers.tiny_gpt2 import tiny_model
from varda_chat.config.defaults import GenerationSettings
from varda_chat.models.chat_format import ChatFormat, ChatMLFormat
from varda_chat.models.decoding import decode
from varda_chat.models.generation import NoLoops
from varda_chat.models.memory_cache import MemoryCache
from varda_chat.models.one_token import OneToken

CHATML = ChatMLFormat(chatml_tokenizer())
SETTINGS = [
    GenerationSettings(temperature=0.0, max_new_tokens=24),
    GenerationSettings(temperature=0.7, top_p=0.9, max_new_tokens=24),
    GenerationSettings(temperature=1.0, top_p=1.0, max_new_tokens=24),
]


class Banning(LogitsProcessor):
    """What ``decode`` forbids, as ``generate`` takes it."""

    def __init__(self, start: int, banned: Sequence[int], loops: NoLoops) -> None:
        self.start, self.banned, self.loops = start, banned, loops

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        scores = scores.clone()
        scores[:, [*self.banned, *self.loops.banned(input_ids[0, self.start :].tolist())]] = -torch.inf
        return scores


def by_generate(model: Any, prompt: list[int], chat: ChatFormat, settings: GenerationSettings, memory: Any) -> Any:
    ids = torch.tensor([prompt])
    drawn = {"do_sample": True, "temperature": settings.temperature, "top_p": settings.top_p, "top_k": 0}
    output = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        past_key_values=DynamicCache(config=model.config),
        generation_config=GenerationConfig(
            max_new_tokens=settings.max_new_tokens,
            eos_token_id=chat.end_id,
            pad_token_id=chat.end_id,
            bos_token_id=chat.end_id,
            **(drawn if settings.temperature else {"do_sample": False}),
        ),
        logits_processor=LogitsProcessorList([Banning(len(prompt), chat.banned, NoLoops(3))]),
        memory=memory,
    )
    return output[0, len(prompt) :].tolist()


def by_decode(model: Any, prompt: list[int], chat: ChatFormat, settings: GenerationSettings, memory: Any) -> list[int]:
    loops = NoLoops(3)
    return decode(
        model, prompt, MemoryCache(config=model.config), settings, limit=settings.max_new_tokens, end_id=chat.end_id,
        forbidden=lambda reply, _: [*chat.banned, *loops.banned(reply)], memory=memory,
    )  # fmt: skip


@pytest.mark.parametrize("settings", SETTINGS, ids=["greedy", "nucleus", "all"])
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("with_memory", [False, True])
def test_a_llama_writes_what_generate_writes(settings: GenerationSettings, seed: int, with_memory: bool) -> None:
    torch.manual_seed(seed)
    model = chatml_model(CHATML)
    memory = ChainedMemory.of(9) if with_memory else None
    line = CHATML.encode("user", "My dog is called Rimba. What is my dog called?")
    prompt = [*CHATML.opening, *line.ids, *CHATML.reply_prompt]
    written = []
    for way in (by_generate, by_decode):
        torch.manual_seed(seed)
        written.append(way(model, prompt, CHATML, settings, memory))
    assert written[0] == written[1]


@pytest.mark.parametrize("settings", SETTINGS, ids=["greedy", "nucleus", "all"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_gpt2_writes_what_generate_writes(chat_format: ChatFormat, settings: GenerationSettings, seed: int) -> None:
    torch.manual_seed(seed)
    model = tiny_model(chat_format)
    prompt = [*chat_format.encode("user", "What is my dog called?").ids, chat_format.assistant_id]
    written = []
    for way in (by_generate, by_decode):
        torch.manual_seed(seed)
        written.append(way(model, prompt, chat_format, settings, None))
    assert written[0] == written[1]


@pytest.mark.parametrize("settings", SETTINGS)
def test_where_nothing_may_follow_it_ends(settings: GenerationSettings) -> None:
    model = chatml_model(CHATML)
    everything = range(model.config.vocab_size)
    reply = decode(
        model, [*CHATML.opening, *CHATML.reply_prompt], MemoryCache(config=model.config), settings, limit=24,
        end_id=CHATML.end_id, forbidden=lambda reply, _: everything if len(reply) == 2 else (CHATML.end_id,),
    )  # fmt: skip
    assert len(reply) == 3
    assert reply[-1] == CHATML.end_id


def test_a_stop_ends_it_after_the_token_at_hand() -> None:
    stop = threading.Event()
    said: list[int] = []

    def hear(token: int) -> None:
        said.append(token)
        if len(said) == 3:
            stop.set()

    model = chatml_model(CHATML)
    reply = decode(
        model, [*CHATML.opening, *CHATML.reply_prompt], MemoryCache(config=model.config), SETTINGS[0], limit=24,
        end_id=-1, forbidden=lambda reply, _: (), on_token=hear, stop=stop,
    )  # fmt: skip
    assert reply == said
    assert len(reply) == 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_short_way_of_one_token_is_the_long_one(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    model = chatml_model(CHATML).to(dtype)
    ids = torch.tensor([[*CHATML.opening, *CHATML.encode("user", "My dog is called Rimba.").ids]])
    taken: list[int] = []
    short = OneToken.__call__

    def noted(self: OneToken, *given: Any) -> Tensor:
        taken.append(1)
        return short(self, *given)

    monkeypatch.setattr(OneToken, "__call__", noted)
    with torch.inference_mode():
        states = []
        for cache in (MemoryCache(config=model.config), DynamicCache(config=model.config)):
            model.model(ids, past_key_values=cache, use_cache=True)
            each = [model.model(torch.tensor([[place]]), past_key_values=cache, use_cache=True) for place in (7, 9, 11)]
            states.append(torch.cat([output.last_hidden_state for output in each], dim=1))
    assert len(taken) == 3
    nearly = 0.0 if dtype is torch.bfloat16 else 1e-5
    torch.testing.assert_close(states[0], states[1], rtol=nearly, atol=nearly)


def test_a_cache_with_room_holds_what_one_without_holds() -> None:
    model = chatml_model(CHATML)
    kept = []
    with torch.no_grad():
        for cache in (MemoryCache(config=model.config), DynamicCache(config=model.config)):
            for change in (9, 1, -4, 3, 300, -299, 2):
                if change < 0:
                    cache.crop(change)
                else:
                    model.model(torch.arange(3, 3 + change).clamp_max(40).unsqueeze(0), past_key_values=cache)
            kept.append([(layer.keys, layer.values) for layer in cache.layers])
    for ours, plain in zip(*kept, strict=True):
        torch.testing.assert_close(ours, plain)


def test_the_short_way_of_one_token_is_the_long_one_for_gpt2(chat_format: ChatFormat) -> None:
    model = tiny_model(chat_format).eval()
    memory = ChainedMemory.of(9, dim=model.config.memory_dim)
    ids = torch.tensor([chat_format.encode("user", "My dog is called Rimba.").ids])
    with torch.inference_mode():
        logits = []
        for cache in (MemoryCache(config=model.config), DynamicCache(config=model.config)):
            model(ids, past_key_values=cache, use_cache=True, memory=memory)
            each = [
                model(torch.tensor([[place]]), past_key_values=cache, use_cache=True, memory=memory).logits
                for place in (7, 9, 11)
            ]
            logits.append(torch.cat(each, dim=1))
    torch.testing.assert_close(logits[0], logits[1], atol=1e-6, rtol=1e-6)
