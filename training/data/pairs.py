"""Pairs of a telling and a question about it, in groups of what is easily mixed up, as token arrays."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data.episodes import EpisodeBuilder
from training.data.messages import NONE, telling, typed, user_message
from training.data.relation_families import Relation, draw_ask, draw_correct, draw_tell, render
from training.data.relations import relatives
from training.data.values import draw
from varda_chat.model.chat_format import EncodedMessage, statement_numbers

GROUP = 4
"""Pairs of a group: about one thing and its relatives."""
LENGTH = 64
"""Tokens of a side; what does not fit is drawn again."""


@dataclass
class PairArrays:
    """P pairs, L tokens; padding at the end of each row.

    told, asked (P, L) int64: a session in which the fact is told, and one that ends in the middle of its answer, before
    the value. sentence (P, L) int32: of ``told``, as ``statement_numbers`` counts, -1 for none. value (P, L) bool: the
    value's tokens in ``told``; first (P, L) bool: its first one. ends (P, 2): places in ``asked``, of the reply's role
    token and of the token before the value. topic (P,): what the pair is about; group (P,): number of its group.
    """

    told: NDArray[np.int64]
    asked: NDArray[np.int64]
    sentence: NDArray[np.int32]
    value: NDArray[np.bool_]
    first: NDArray[np.bool_]
    ends: NDArray[np.int64]
    topic: NDArray[np.int32]
    group: NDArray[np.int32]

    def trimmed(self) -> PairArrays:
        """Without the columns that are padding in every row."""
        width = 1 + max(int(self.ends.max()), int(np.nonzero(self.sentence >= 0)[1].max()))
        cut = {
            name: array[:, :width] if array.shape[1:] == self.told.shape[1:] else array
            for name, array in vars(self).items()
        }
        return PairArrays(**cut)


def build_pairs(builder: EpisodeBuilder, rng: random.Random, count: int) -> PairArrays:
    """``count`` pairs, or as many as there are things to tell, no two about one; the same ``rng`` state gives the same
    pairs."""
    count = min(count, len({relation.topic for relation in builder.relations}))
    shape = (count, LENGTH)
    arrays = PairArrays(
        told=np.full(shape, builder.chat.end_id, np.int64),
        asked=np.full(shape, builder.chat.end_id, np.int64),
        sentence=np.full(shape, -1, np.int32),
        value=np.zeros(shape, np.bool_),
        first=np.zeros(shape, np.bool_),
        ends=np.zeros((count, 2), np.int64),
        topic=np.zeros(count, np.int32),
        group=np.arange(count, dtype=np.int32) // GROUP,
    )
    for row, relation in enumerate(_drawn(builder, rng, count)):
        while not _write(arrays, row, builder, rng, relation):
            pass
    return arrays.trimmed()


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


def _write(arrays: PairArrays, row: int, builder: EpisodeBuilder, rng: random.Random, relation: Relation) -> bool:
    """Draw the pair's texts into ``row``; False, with nothing written, when they do not fit."""
    chat = builder.chat
    value = typed(rng, draw(relation.kind, builder.split, rng))
    template = draw_correct(relation, rng) if rng.random() < 0.2 else draw_tell(relation, rng)
    message = telling(rng, template, value, 0)
    told = [*_before(builder, rng), chat.encode("user", message.text)]
    question = user_message(rng, [(draw_ask(relation, rng), NONE)])
    answer = render(rng.choice(relation.answer), value)
    at = answer.lower().find(value.lower())
    asked = [*_before(builder, rng), chat.encode("user", question.text)]
    told_ids = [token for m in told for token in m.ids]
    asked_ids = [token for m in asked for token in m.ids]
    reply = chat.encode("assistant", answer)
    until = next(i for i, (start, end) in enumerate(reply.offsets) if start != end and end > at)
    if max(len(told_ids), len(asked_ids) + until) > arrays.told.shape[1]:
        return False
    arrays.told[row, : len(told_ids)] = told_ids
    arrays.sentence[row, : len(told_ids)] = statement_numbers(told)
    (span,) = message.spans
    start = len(told_ids) - len(told[-1].ids)
    inside = [
        start + i
        for i, (left, right) in enumerate(told[-1].offsets)
        if left != right and right > span.start and left < span.end
    ]
    arrays.value[row, inside] = True
    arrays.first[row, inside[:1]] = True
    arrays.ends[row] = len(asked_ids), len(asked_ids) + until - 1
    asked_ids += reply.ids[:until]
    arrays.asked[row, : len(asked_ids)] = asked_ids
    arrays.topic[row] = builder.number[relation.topic]
    return True


def _before(builder: EpisodeBuilder, rng: random.Random) -> list[EncodedMessage]:
    """What was said before in the session: often nothing, else a line of small talk and its answer."""
    if rng.random() < 0.75:
        return []
    user, reply = rng.choice(builder.exchanges)
    messages = [builder.chat.encode("user", user), builder.chat.encode("assistant", reply)]
    return messages if sum(len(m.ids) for m in messages) <= LENGTH // 3 else []
