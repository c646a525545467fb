"""Pairs of a telling and a question about it, in groups of what is easily mixed up, as token arrays."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from training.data.episodes import NONE
from training.data.synthetic.episode_builder import EpisodeBuilder
from training.data.synthetic.messages import find, telling, typed, user_message
from training.data.synthetic.relations import relatives
from training.data.synthetic.templates import Relation, draw_ask, draw_correct, draw_forget, draw_tell, render
from training.data.synthetic.values import draw
from training.data.synthetic.wordings import WORDINGS
from varda_chat.models.chat_format import EncodedMessage, statement_numbers

Drawn = TypeVar("Drawn", bound=Sized)

GROUP = 4
"""Pairs of a group: about one thing and its relatives."""
MISHEARD = 0.25
"""Share of turns whose reply takes a correction for a telling, or a telling for a correction: what is deleted must not
hang on the reply alone."""
LENGTH, TRIES = 64, 8
"""Tokens of a row. What is longer is drawn again; so many times at most, for tokenizers that make many of few words."""


@dataclass
class PairArrays:
    """P pairs, L tokens; padding at the end of each row.

    told, asked (P, L) int64: a session in which the fact is told, and one that ends in the middle of its answer, before
    the value. sentence (P, L) int64: of ``told``, as ``statement_numbers`` counts, -1 for none. value (P, L) bool: the
    value's tokens in ``told``; first (P, L) bool: its first one. ends (P, 2): places in ``asked``, of the reply's role
    token and of the token before the value. topic (P,): what the pair is about; group (P,): number of its group.
    turn (N, L) int64: turns that come later, each near to a group, turn_group (N,); over (N, L) bool: their tokens.
    deletes (N,) bool: the turn withdraws or corrects what the group's first pair told; the others end nothing.
    """

    told: NDArray[np.int64]
    asked: NDArray[np.int64]
    sentence: NDArray[np.int64]
    value: NDArray[np.bool_]
    first: NDArray[np.bool_]
    ends: NDArray[np.int64]
    topic: NDArray[np.int64]
    group: NDArray[np.int64]
    turn: NDArray[np.int64]
    over: NDArray[np.bool_]
    turn_group: NDArray[np.int64]
    deletes: NDArray[np.bool_]


@dataclass
class _Pair:
    """A pair's rows before padding; named as in PairArrays, the two places of ``ends`` and those of ``value``."""

    told: list[int]
    sentence: list[int]
    value: list[int]
    asked: list[int]
    ends: tuple[int, int]

    def __len__(self) -> int:
        return max(len(self.told), len(self.asked))


def build_pairs(builder: EpisodeBuilder, rng: random.Random, count: int) -> PairArrays:
    """``count`` pairs, or as many as there are things to tell, no two about one; the same ``rng`` state gives the same
    pairs."""
    count = min(count, len({relation.topic for relation in builder.relations}))
    relations = _drawn(builder, rng, count)
    pairs = [_short(partial(_pair, builder, rng, relation)) for relation in relations]
    firsts = relations[::GROUP]
    taken = {relation.topic for relation in relations}
    endings = [_short(partial(_ending, builder, rng, relation)) for relation in firsts]
    others = [_short(partial(_other_turn, builder, rng, relation, taken)) for relation in firsts]
    turns = endings + others
    width = max(len(row) for pair in pairs for row in (pair.told, pair.asked))
    width = max(width, *map(len, turns))
    end = builder.chat.end_id
    value = np.zeros((count, width), np.bool_)
    first = np.zeros((count, width), np.bool_)
    for row, pair in enumerate(pairs):
        value[row, pair.value] = True
        first[row, pair.value[0]] = True
    over = np.arange(width) < np.array([[len(turn)] for turn in turns])
    return PairArrays(
        told=_padded([pair.told for pair in pairs], width, end),
        asked=_padded([pair.asked for pair in pairs], width, end),
        sentence=_padded([pair.sentence for pair in pairs], width, -1),
        value=value,
        first=first,
        ends=np.array([pair.ends for pair in pairs]),
        topic=np.array([builder.number[relation.topic] for relation in relations]),
        group=np.arange(count) // GROUP,
        turn=_padded(turns, width, end),
        over=over,
        turn_group=np.tile(np.arange(len(firsts)), 2),
        deletes=np.arange(len(turns)) < len(endings),
    )


def _padded(rows: Sequence[list[int]], width: int, filler: int) -> NDArray[np.int64]:
    return np.array([row + [filler] * (width - len(row)) for row in rows], np.int64)


def _short(draw_one: Callable[[], Drawn]) -> Drawn:
    """Something drawn that is no longer than LENGTH, or the last of many tries."""
    for _ in range(TRIES):
        drawn = draw_one()
        if len(drawn) <= LENGTH:
            break
    return drawn


def _drawn(builder: EpisodeBuilder, rng: random.Random, count: int) -> list[Relation]:
    """Relations in groups: one and some of its relatives, filled up with any."""
    pool = list(builder.relations)
    taken: set[str] = set()
    drawn: list[Relation] = []

    def take(candidates: Sequence[Relation], most: int) -> None:
        for relation in rng.sample(list(candidates), len(candidates)):
            if most > 0 and relation.topic not in taken:
                taken.add(relation.topic)
                drawn.append(relation)
                most -= 1

    while len(drawn) < count:
        room = min(GROUP, count - len(drawn))
        before = len(drawn)
        take([rng.choice(pool)], 1)
        if len(drawn) > before:
            take([r for r in relatives(drawn[-1].name) if r.name in builder.names], room - 1)
        take(rng.sample(pool, min(len(pool), 4 * GROUP)), room - (len(drawn) - before))
    return drawn


def _pair(builder: EpisodeBuilder, rng: random.Random, relation: Relation) -> _Pair:
    chat = builder.chat
    value = typed(rng, draw(relation.kind, builder.split, rng))
    template = draw_correct(relation, rng) if rng.random() < 0.2 else draw_tell(relation, rng)
    message = telling(rng, template, value, 0)
    told = [*_before(builder, rng), chat.encode("user", message.text)]
    question = user_message(rng, [(draw_ask(relation, rng), NONE)])
    asked = [*_before(builder, rng), chat.encode("user", question.text)]
    answer = render(rng.choice(relation.answer), value)
    at = find(answer, value)
    reply = chat.encode("assistant", answer)
    until = next(i for i, (start, end) in enumerate(reply.offsets) if start != end and end > at)
    told_ids, asked_ids = ([token for m in messages for token in m.ids] for messages in (told, asked))
    (span,) = message.spans
    start = len(told_ids) - len(told[-1].ids)
    inside = [
        start + i
        for i, (left, right) in enumerate(told[-1].offsets)
        if left != right and right > span.start and left < span.end
    ]
    return _Pair(
        told=told_ids,
        sentence=statement_numbers(told),
        value=inside,
        asked=asked_ids + reply.ids[:until],
        ends=(len(asked_ids), len(asked_ids) + until - 1),
    )


def _ending(builder: EpisodeBuilder, rng: random.Random, relation: Relation) -> list[int]:
    """A turn that withdraws or corrects what was told."""
    replies: tuple[str, ...]
    if rng.random() < 0.5:
        message, replies = user_message(rng, [(draw_forget(relation, rng), NONE)]), WORDINGS["forgotten"]
    else:
        value = typed(rng, draw(relation.kind, builder.split, rng))
        message, replies = telling(rng, draw_correct(relation, rng), value, 0), WORDINGS["corrected"]
    return _encoded(builder, rng, message.text, relation.acknowledge if rng.random() < MISHEARD else replies)


def _other_turn(builder: EpisodeBuilder, rng: random.Random, relation: Relation, taken: set[str]) -> list[int]:
    """A turn that ends nothing of what was told: it asks for it, or tells something else, or is small talk."""
    kind = rng.random()
    if kind < 0.15:
        user, reply = rng.choice(builder.exchanges)
        return _encoded(builder, rng, user, (reply,))
    if kind < 0.5:
        value = draw(relation.kind, builder.split, rng)
        question = user_message(rng, [(draw_ask(relation, rng), NONE)])
        replies = (render(rng.choice(relation.answer), value), rng.choice(relation.unknown))
        return _encoded(builder, rng, question.text, replies)
    near = [r for r in relatives(relation.name) if r.topic not in taken and r.name in builder.names]
    free = [r for r in builder.relations if r.topic not in taken] or [relation]
    other = rng.choice(near) if near and rng.random() < 0.6 else rng.choice(free)
    value = typed(rng, draw(other.kind, builder.split, rng))
    message = telling(rng, draw_tell(other, rng), value, 0)
    return _encoded(builder, rng, message.text, WORDINGS["corrected"] if rng.random() < MISHEARD else other.acknowledge)


def _encoded(builder: EpisodeBuilder, rng: random.Random, user: str, replies: Sequence[str]) -> list[int]:
    turn = [builder.chat.encode("user", user), builder.chat.encode("assistant", rng.choice(replies))]
    return [token for m in turn for token in m.ids]


def _before(builder: EpisodeBuilder, rng: random.Random) -> list[EncodedMessage]:
    """What was said before in the session: often nothing, else a line of small talk and its answer."""
    if rng.random() < 0.75:
        return []
    user, reply = rng.choice(builder.exchanges)
    messages = [builder.chat.encode("user", user), builder.chat.encode("assistant", reply)]
    return messages if sum(len(m.ids) for m in messages) <= LENGTH // 3 else []
