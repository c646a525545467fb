"""Generates one reply: streamed piece by piece, stoppable between tokens, reading a memory as it goes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from varda_chat.config.defaults import GenerationSettings
from varda_chat.models.chat_format import ChatFormat
from varda_chat.models.gpt2 import VardaGPTAssociative, VardaGPTOutput
from varda_chat.models.results import Memory

GREEDY_BELOW = 1e-3
"""A temperature below this is greedy decoding: dividing by it would overflow."""
SAID_NGRAM = 6
"""A reply that recalls nothing says no run of so many tokens that stood in one of the last few replies."""
REPEATED_NGRAM = 4
"""A reply says no run of this many tokens twice: small models fall into loops."""


class StopEvent(StoppingCriteria):
    """Ends generation when the event is set."""

    def __init__(self, event: threading.Event) -> None:
        self.event = event

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        return torch.full((input_ids.shape[0],), self.event.is_set(), dtype=torch.bool, device=input_ids.device)


class NoLoops(LogitsProcessor):
    """Forbids a token that would repeat an n-gram of the reply (not of the prompt: answers may repeat that), or a
    longer one of ``earlier`` replies."""

    def __init__(self, prompt_length: int, n: int = REPEATED_NGRAM, earlier: Sequence[Sequence[int]] = ()) -> None:
        self.prompt_length = prompt_length
        self.n = n
        self.followers: dict[tuple[int, ...], list[int]] = {}
        for reply in earlier:
            for i in range(len(reply) - SAID_NGRAM + 1):
                run = tuple(reply[i : i + SAID_NGRAM])
                self.followers.setdefault(run[:-1], []).append(run[-1])

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        for row in range(input_ids.shape[0]):
            reply = input_ids[row, self.prompt_length :].tolist()
            banned = list(self.followers.get(tuple(reply[-(SAID_NGRAM - 1) :]), ()))
            if len(reply) >= self.n:
                last = reply[-(self.n - 1) :]
                banned += [
                    reply[i + self.n - 1] for i in range(len(reply) - self.n + 1) if reply[i : i + self.n - 1] == last
                ]
            if banned:
                scores = scores.clone()
                scores[row, banned] = -torch.inf
        return scores


class OnlyText(LogitsProcessor):
    """Forbids the role tokens: a reply ends by ``<|end|>`` and does not speak for the user."""

    def __init__(self, banned: Sequence[int]) -> None:
        self.banned = list(banned)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        scores = scores.clone()
        scores[:, self.banned] = -torch.inf
        return scores


class _AbstentionLogitsProcessor(LogitsProcessor):
    """Lets a reply begin with an abstention only where the search found little: the no-match slot's share
    at the end of the prompt exceeds ``threshold``. A hook on the model (``watching``) tells what was read."""

    def __init__(self, prompt_length: int, token: int, threshold: float) -> None:
        self.prompt_length = prompt_length
        self.token = token
        self.threshold = threshold
        self.nothing: Tensor | None = None

    @contextmanager
    def watching(self, model: VardaGPTAssociative) -> Iterator[None]:
        """Notes the no-match slot's share (batch,) at the last token of each pass."""

        def note(_module: Any, _inputs: Any, output: VardaGPTOutput) -> None:
            weights = output.read_weights
            self.nothing = None if weights is None else 1.0 - weights[:, -1].sum(dim=-1)

        hook = model.register_forward_hook(note)
        try:
            yield
        finally:
            hook.remove()

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if input_ids.shape[1] != self.prompt_length or self.nothing is None:
            return scores
        unsure = self.nothing <= self.threshold
        scores = scores.clone()
        scores[unsure, self.token] = -torch.inf
        return scores


class TextStreamer(BaseStreamer):
    """Hands each new piece of text to ``on_text``; holds back bytes that are not yet a whole character."""

    def __init__(self, chat: ChatFormat, on_text: Callable[[str], None]) -> None:
        self.chat = chat
        self.on_text = on_text
        self.ids: list[int] = []
        self.shown = ""
        self.saw_prompt = False

    def put(self, value: Tensor) -> None:
        if not self.saw_prompt:
            self.saw_prompt = True
            return
        self.ids += value.flatten().tolist()
        text = self.chat.decode(self.ids).lstrip()
        if not text.endswith("\N{REPLACEMENT CHARACTER}"):
            self._show(text)

    def end(self) -> None:
        self._show(self.chat.decode(self.ids).strip())

    def _show(self, text: str) -> None:
        if len(text) > len(self.shown) and text.startswith(self.shown):
            piece, self.shown = text[len(self.shown) :], text
            self.on_text(piece)


@torch.inference_mode()
def generate_reply(
    model: VardaGPTAssociative,
    chat: ChatFormat,
    prompt: Sequence[int],
    memory: Memory | None,
    settings: GenerationSettings,
    on_text: Callable[[str], None] | None = None,
    stop: threading.Event | None = None,
) -> list[int]:
    """The reply's tokens to ``prompt`` (which ends with the assistant's role token), without ``<|end|>``.

    Reads ``memory`` at every token. ``on_text`` gets the text in pieces; ``stop``, once set, ends the reply after the
    token at hand.
    """
    room = model.config.n_positions - len(prompt)
    if room < 1:
        raise ValueError(f"the prompt of {len(prompt)} tokens leaves no room for a reply")
    input_ids = torch.tensor([list(prompt)], device=model.device)
    sampling: dict[str, Any] = (
        {"do_sample": True, "temperature": settings.temperature, "top_p": settings.top_p, "top_k": 0}
        if settings.temperature >= GREEDY_BELOW
        else {"do_sample": False}
    )
    processors = [OnlyText(chat.banned), NoLoops(len(prompt))]
    # an empty memory knows nothing, and a reply that says so needs no second thought
    holds_something = memory is not None and getattr(memory, "size", 1) > 0
    with ExitStack() as watches:
        if holds_something and model.config.admission_token_id is not None:
            abstention = _AbstentionLogitsProcessor(
                len(prompt), model.config.admission_token_id, model.config.admission_threshold
            )
            watches.enter_context(abstention.watching(model))
            processors.append(abstention)
        output = model.generate(
            input_ids,
            attention_mask=torch.ones_like(input_ids),
            generation_config=GenerationConfig(
                max_new_tokens=min(settings.max_new_tokens, room),
                eos_token_id=chat.end_id,
                pad_token_id=chat.end_id,
                bos_token_id=chat.end_id,
                **sampling,
            ),
            logits_processor=LogitsProcessorList(processors),
            stopping_criteria=StoppingCriteriaList([StopEvent(stop)] if stop is not None else []),
            streamer=TextStreamer(chat, on_text) if on_text is not None else None,
            memory=memory,
        )
    reply: list[int] = output[0, len(prompt) :].tolist()
    return reply[: reply.index(chat.end_id)] if chat.end_id in reply else reply
