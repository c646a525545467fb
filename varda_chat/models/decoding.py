"""Decoding one sequence token by token: the tokens that ``generate`` of transformers gives, without its machinery.

``generate`` prepares inputs, masks, processors and stopping criteria for every token and any batch; a chat writes one
reply, and needs a pass, a choice and an end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import TopPLogitsWarper

from varda_chat.config.defaults import GenerationSettings

GREEDY_BELOW = 1e-3
"""A temperature below this is greedy decoding: dividing by it would overflow."""

Forbidden = Callable[[list[int], Any], Sequence[int]]
"""Token ids that may not come next, by the reply so far and the model's output at its end."""


@torch.no_grad()
def decode(
    model: Any,
    prompt: Sequence[int],
    cache: Any,
    settings: GenerationSettings,
    *,
    limit: int,
    end_id: int,
    forbidden: Forbidden,
    on_token: Callable[[int], None] | None = None,
    stop: threading.Event | None = None,
    **given: Any,
) -> list[int]:
    """The tokens that follow ``prompt``, ``end_id`` among them where it comes within ``limit``.

    Args:
        cache: holds the beginning of ``prompt``, or nothing; at the end, all but the last token.
        on_token: gets each token as it is chosen.
        stop: once set, ends the reply after the token at hand.
        given: to the model, with each pass.
    """
    reply: list[int] = []
    ids = list(prompt[cache.get_seq_length() :])
    while True:
        new = torch.tensor([ids], device=model.device)
        output = model(new, past_key_values=cache, use_cache=True, logits_to_keep=1, **given)
        scores = output.logits[:, -1].to(torch.float32, copy=True)
        scores[:, list(forbidden(reply, output))] = -torch.inf
        token = choose(scores, settings) if bool(scores.isfinite().any()) else end_id  # nothing else may follow
        reply.append(token)
        if on_token is not None:
            on_token(token)
        if token == end_id or len(reply) >= limit or (stop is not None and stop.is_set()):
            return reply
        ids = [token]


def choose(scores: Tensor, settings: GenerationSettings) -> int:
    """A token by its ``scores`` (1, V), which are changed: the likeliest, or one drawn from the nucleus."""
    if settings.temperature < GREEDY_BELOW:
        return int(scores.argmax())
    if settings.temperature != 1.0:
        scores = scores / settings.temperature
    if settings.top_p < 1.0:
        scores = TopPLogitsWarper(settings.top_p)(None, scores)
    return int(torch.multinomial(scores.softmax(dim=-1), num_samples=1))
