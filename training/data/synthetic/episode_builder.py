"""Fact episodes: several sessions in which facts are told, corrected, forgotten and asked for between lines of real
small talk, as labelled token arrays."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from training.data.episodes import NONE, NULL, STATEMENTS, TOPICS, EpisodeArrays, Exchange
from training.data.synthetic.messages import Message, Parts, Span, spoken, statement_parts, telling, typed, user_message
from training.data.synthetic.relations import ALL_RELATIONS, relatives
from training.data.synthetic.templates import (
    Relation,
    draw_ask,
    draw_correct,
    draw_forget,
    draw_tell,
    render,
)
from training.data.synthetic.values import Split, draw
from training.data.synthetic.wordings import WORDINGS
from varda_chat.models.chat_format import ChatFormat, EncodedMessage

WAYS = 24
"""Ways of telling from which on a relation is drawn no more often."""
SPOKEN_VALUE, DECISION, USER_TOKEN, TOLD_VALUE = 4.0, 4.0, 0.3, 0.0
"""Weights of the language-model loss, beside 1 for other reply tokens: the value in an answer and what follows it; the
first tokens of a reply to a question, where it is decided whether the answer is known; a user's token; a told value,
which nobody can predict."""
DECISION_TOKENS = 4


@dataclass
class _Fact:
    relation: Relation
    value: str
    statement: int
    turn: int
    outdated: tuple[int, ...] = ()  # statements of the same relation that it corrected
    asked: int = 0


_Turn = tuple[list[Message], Callable[[], None]]
"""A turn's messages, and what to note down once they have found room."""


class EpisodeBuilder:
    """Draws fact episodes for one tokenizer.

    Args:
        exchanges: real (user, assistant) lines to put between the facts.
        max_facts: most facts told in an episode, corrections not counted.
        split: which values are drawn; training never sees a "test" value.
    """

    def __init__(
        self,
        chat: ChatFormat,
        exchanges: Sequence[Exchange],
        *,
        max_facts: int = 8,
        split: Split = "train",
        relations: Sequence[Relation] = ALL_RELATIONS,
    ) -> None:
        self.chat = chat
        self.exchanges = exchanges
        self.max_facts = max_facts
        self.split: Split = split
        self.relations = relations
        self.names = {relation.name for relation in relations}
        topics = sorted({relation.topic for relation in (*ALL_RELATIONS, *relations)})
        self.number = {topic: number for number, topic in enumerate(topics)}

    def build(self, rng: random.Random, sessions: int, length: int) -> EpisodeArrays:
        """One episode of ``sessions`` sessions of ``length`` tokens; the same ``rng`` state gives the same episode."""
        episode = _Episode(self, rng, sessions, length)
        for session in range(sessions):
            episode.fill(session)
        return episode.arrays


class _Episode:
    """An episode under construction."""

    def __init__(self, builder: EpisodeBuilder, rng: random.Random, sessions: int, length: int) -> None:
        self.builder = builder
        self.rng = rng
        self.sessions = sessions
        self.length = length
        self.arrays = EpisodeArrays.empty(sessions, length, builder.chat.end_id)
        self.facts: dict[str, _Fact] = {}
        self.gone: dict[str, Relation] = {}
        self.topics: list[str] = []
        self.statements = 0
        self.turn = 0
        self.wanted = rng.randint(1, builder.max_facts)
        self.fresh = self._draw_relations()

    def _draw_relations(self) -> list[Relation]:
        """Relations to tell, the last one first: half of the episodes have mostly relations that are easily mixed up
        (the pets, the people, one person's job and town)."""
        count = self.builder.max_facts + 6
        pool = list(self.builder.relations)
        # what can be told in more ways is told more often
        keys = {r.name: self.rng.random() ** (WAYS / min(WAYS, len(r.tell))) for r in pool}
        drawn = sorted(pool, key=lambda r: -keys[r.name])[:count]
        self.rng.shuffle(drawn)
        if self.rng.random() < 0.5:
            near = self._relatives(self.rng.choice(pool))
            near = self.rng.sample(near, min(len(near), count * 2 // 3))
            drawn = [*near, *drawn]
        one_each = list({r.topic: r for r in reversed(drawn)}.values())[-count:]
        self.rng.shuffle(one_each)
        return one_each

    def _relatives(self, relation: Relation) -> list[Relation]:
        return [other for other in relatives(relation.name) if other.name in self.builder.names]

    def fill(self, session: int) -> None:
        used, failures = 0, 0
        while failures < 3:
            messages, commit = self._draw_turn(session)
            encoded = [self.builder.chat.encode(m.role, m.text) for m in messages]
            size = sum(len(e.ids) for e in encoded)
            if used + size > self.length:
                failures += 1
                continue
            for message, code in zip(messages, encoded, strict=True):
                self._write(session, used, message, code)
                used += len(code.ids)
            commit()
            self.turn += 1

    def _draw_turn(self, session: int) -> _Turn:
        rng, first, last = self.rng, session == 0, session == self.sessions - 1
        options: list[tuple[float, Callable[[], _Turn]]] = [(1.0, self._chat)]
        room = STATEMENTS - self.statements
        if self.fresh and len(self.facts) < self.wanted and room > 1 and not last:
            options.append((4.0 if first else 2.0, self._tell))
            if len(self.fresh) > 1 and room > 2:
                options.append((0.6 if first else 0.3, self._tell_two))
        known = self._known()
        if known:
            options.append(((1.0 if first else 3.5), self._ask))
            if room > 1:
                options.append((0.8, self._correct))
            options += [(0.6, self._forget), (0.1, self._overview)]
        elif not self.facts:
            options.append((0.04, self._overview))
        if len(known) > 1:
            options.append((0.4, self._ask_two))
        options.append((0.6 if first else 2.0, self._ask_unknown))
        draw_one = rng.choices([o for _, o in options], [w for w, _ in options])[0]
        return draw_one()

    def _chat(self) -> _Turn:
        user, reply = self.rng.choice(self.builder.exchanges)
        return [Message("user", user), Message("assistant", reply)], lambda: None

    def _value(self, relation: Relation) -> str:
        taken = {f.value for f in self.facts.values()}
        while True:
            value = draw(relation.kind, self.builder.split, self.rng)
            if value not in taken:
                return value

    def _told_value(self, relation: Relation) -> str:
        return typed(self.rng, self._value(relation))

    def _tell(self) -> _Turn:
        relation = self.fresh.pop()
        value = self._told_value(relation)
        message = telling(self.rng, draw_tell(relation, self.rng), value, self.statements)
        reply = Message("assistant", self.rng.choice(relation.acknowledge))
        return [message, reply], lambda: self._note(relation, value)

    def _tell_two(self) -> _Turn:
        """Two facts in one sentence, or in two."""
        rng = self.rng
        pair = [self.fresh.pop(), self.fresh.pop()]
        values = [self._told_value(relation) for relation in pair]
        link = rng.choice((" and ", ", and ", ". ", ". Also, ", ", ", " but ", ". And ", "; "))
        parts: Parts = []
        for place, (relation, value) in enumerate(zip(pair, values, strict=True)):
            clause = rng.choice(relation.clauses.say)
            clause = clause[:1].upper() + clause[1:] if place == 0 or link == ". " else clause
            parts += [(link, NONE)] if place else []
            parts += statement_parts(clause, value, self.statements + place)
        message = user_message(rng, [*parts, (".", NONE)])
        reply = Message("assistant", rng.choice(pair[1].acknowledge if rng.random() < 0.5 else WORDINGS["both"]))

        def commit() -> None:
            for relation, value in zip(pair, values, strict=True):
                self._note(relation, value)

        return [message, reply], commit

    def _note(self, relation: Relation, value: str, outdated: tuple[int, ...] = ()) -> None:
        self.facts[relation.topic] = _Fact(relation, value, self.statements, self.turn, outdated)
        self.arrays.created_turn[self.statements] = self.turn
        self.arrays.topic[self.statements] = self.builder.number[relation.topic]
        self.statements += 1
        self._touch(relation)

    def _touch(self, relation: Relation) -> None:
        if relation.topic not in self.topics and len(self.topics) < TOPICS:
            self.arrays.topics[len(self.topics)] = self.builder.number[relation.topic]
            self.topics.append(relation.topic)

    def _known(self) -> list[_Fact]:
        return [f for f in self.facts.values() if f.turn < self.turn]

    def _one_known(self) -> _Fact:
        facts = self._known()
        return self.rng.choices(facts, [1.0 if f.asked else 4.0 for f in facts])[0]

    def _ask(self) -> _Turn:
        fact = self._one_known()
        question = user_message(self.rng, [(draw_ask(fact.relation, self.rng), NONE)])
        text = render(self.rng.choice(fact.relation.answer), fact.value)
        answer = Message("assistant", text, [spoken(text, fact.value, fact.statement)], probe=fact.statement)

        def commit() -> None:
            fact.asked += 1

        return [question, answer], commit

    def _ask_two(self) -> _Turn:
        """Two facts asked for in one question."""
        rng = self.rng
        facts = rng.sample(self._known(), 2)
        asks = [rng.choice(f.relation.clauses.ask) for f in facts]
        abouts = [rng.choice(f.relation.clauses.about) for f in facts]
        question = rng.choice((
            f"{asks[0]} and {asks[1]}?", f"{asks[0]}, and {asks[1]}?", f"Do you know {abouts[0]} and {abouts[1]}?",
            f"Tell me {abouts[0]} and {abouts[1]}.", f"{asks[0]}? And {asks[1]}?",
            f"Do you remember {abouts[0]} and {abouts[1]}?",
        ))  # fmt: skip
        text = ""
        spans: list[Span] = []
        for place, fact in enumerate(facts):
            clause = render(rng.choice(fact.relation.clauses.answer), fact.value)
            text += (" and " if place else "") + (clause if place else clause[:1].upper() + clause[1:])
            spans.append(spoken(text, fact.value, fact.statement, behind=spans[-1].end if spans else 0))
        answer = Message("assistant", text + ".", spans, probe=facts[0].statement)

        def commit() -> None:
            for fact in facts:
                fact.asked += 1

        return [user_message(rng, [(question[:1].upper() + question[1:], NONE)]), answer], commit

    def _overview(self) -> _Turn:
        """Asked what it remembers, it tells a fact or two."""
        rng = self.rng
        question = user_message(rng, [(rng.choice(WORDINGS["overview"]), NONE)])
        known = self._known()
        if not known:
            return [question, Message("assistant", rng.choice(WORDINGS["nothing_yet"]), probe=NULL)], lambda: None
        text = ""
        spans: list[Span] = []
        for place, fact in enumerate(rng.sample(known, min(len(known), rng.choice((1, 2, 2, 3))))):
            clause = render(rng.choice(fact.relation.clauses.answer), fact.value)
            text += "You told me that " + clause if not place else f", and {clause}"
            spans.append(spoken(text, fact.value, fact.statement, behind=spans[-1].end if spans else 0))
        return [question, Message("assistant", text + ".", spans)], lambda: None

    def _ask_unknown(self) -> _Turn:
        """Asked for what was never told, most often for something near to what was, it says so."""
        known = set(self.facts)
        near = [r for f in self._known() for r in self._relatives(f.relation) if r.topic not in known]
        pools = [
            (2.0, list(self.gone.values())),
            (3.0, near),
            (1.0, [r for r in self.fresh[:6] if r.topic not in known]),
        ]
        pools = [(weight, pool) for weight, pool in pools if pool]
        if not pools:
            return self._chat()
        relation = self.rng.choice(self.rng.choices([p for _, p in pools], [w for w, _ in pools])[0])
        reply = Message("assistant", self.rng.choice(relation.unknown), probe=NULL)
        return [user_message(self.rng, [(draw_ask(relation, self.rng), NONE)]), reply], lambda: self._touch(relation)

    def _correct(self) -> _Turn:
        fact = self._one_known()
        value = self._told_value(fact.relation)
        message = telling(self.rng, draw_correct(fact.relation, self.rng), value, self.statements)
        reply = Message("assistant", self.rng.choice(WORDINGS["corrected"]))

        def commit() -> None:
            self.arrays.deleted_turn[fact.statement] = self.turn
            self._note(fact.relation, value, (*fact.outdated, fact.statement))

        return [message, reply], commit

    def _forget(self) -> _Turn:
        fact = self._one_known()
        message = user_message(self.rng, [(draw_forget(fact.relation, self.rng), NONE)])
        reply = Message("assistant", self.rng.choice(WORDINGS["forgotten"]))

        def commit() -> None:
            self.arrays.deleted_turn[fact.statement] = self.turn
            self.arrays.forgotten[[*fact.outdated, fact.statement]] = True
            self.gone[fact.relation.topic] = self.facts.pop(fact.relation.topic).relation

        return [message, reply], commit

    def _write(self, session: int, at: int, message: Message, code: EncodedMessage) -> None:
        """Put an encoded message into the arrays from position ``at`` on."""
        arrays, n = self.arrays, len(code.ids)
        here = slice(at, at + n)
        arrays.ids[session, here] = code.ids
        arrays.valid[session, here] = True
        arrays.turn[session, here] = self.turn
        sentence = np.array(code.sentence, np.int32)
        first = arrays.sentence[session].max() + 1
        arrays.sentence[session, here] = np.where(sentence >= 0, first + sentence, -1)
        arrays.store_label[session, here] = 0
        arrays.store_weight[session, here] = 0.1
        usual = USER_TOKEN if message.role == "user" else 1.0
        weight = np.full(n, usual, np.float32)
        if message.probe != NONE:
            weight[1 : 1 + DECISION_TOKENS] = DECISION
        target = np.full(n, NONE, np.int32)
        for span in message.spans:
            for i, (start, end) in enumerate(code.offsets):
                if end <= span.start or start >= span.end or start == end:
                    continue
                if span.told:
                    weight[i] = TOLD_VALUE
                    arrays.store_label[session, at + i] = 1
                    arrays.store_weight[session, at + i] = 1.0
                    arrays.statement[session, at + i] = span.statement
                else:
                    weight[i : i + 2] = SPOKEN_VALUE  # with the token after it: to stop copying is as hard as to begin
                    target[i] = span.statement
        # a token's weight and target belong to the state that predicts it: the one before
        if at > 0:
            before = slice(at - 1, at + n - 1)
            arrays.target_weight[session, before] = weight
            arrays.target_statement[session, before] = target
        else:
            arrays.target_weight[session, : n - 1] = weight[1:]
            arrays.target_statement[session, : n - 1] = target[1:]
        if message.probe != NONE:
            # from the end of the question on, where it is decided what will be said, until the value is
            for i in range(at - 1, min(at + DECISION_TOKENS, at + n - 1)):
                if arrays.target_statement[session, i] >= 0:
                    break
                arrays.target_statement[session, i] = message.probe
                arrays.probe[session, i] = True
