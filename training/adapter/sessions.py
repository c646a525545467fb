"""Labelled sessions for a model with an adapter: a person tells, asks, corrects and forgets between other talk.

Each turn has an intent and a status beside the arrays of fact episodes: what the person's line wants of the memory, and
what has been decided when it was read. A reply always says what its status says.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from training.adapter.labels import DrawnTurn, Session
from training.adapter.lines import Exchange, Lines, stratified
from training.adapter.session_writer import SessionWriter
from training.data.episodes import NONE, NULL, STATEMENTS
from training.data.synthetic.episode_builder import EpisodeBuilder, _Episode, _Fact
from training.data.synthetic.messages import Message, Span, spoken, telling, typed, user_message
from training.data.synthetic.relations import ALL_RELATIONS, relatives
from training.data.synthetic.templates import Relation, draw_ask, draw_correct, draw_forget, draw_tell, render
from training.data.synthetic.values import Split
from training.data.synthetic.written import fixed_value
from varda_chat.models.chat_format import NOTE_STATEMENTS, ChatFormat

MISSED: Final = 0.07
"""Share of questions for a known fact whose statement is not among those found."""
ASTRAY: Final = 0.55
"""Share of questions for what was never told that find other statements."""
BESIDE: Final = (0.45, 0.3, 0.25)
"""Shares of notes with none, one and two other statements beside the one asked for."""
KEPT: Final = 0.25
"""Share of a dialogue's lines, other than questions, that are stored."""
MISTAKEN: Final = 0.08
"""Share of lines that ask nothing of the memory and are taken for a question, with statements and without, each."""


class SessionBuilder(EpisodeBuilder):
    """Draws sessions for one chat format.

    lines: what is said between facts. real: real (user, assistant) lines, whose replies are not learned.
    facts: hand-written facts, drawn as often as the relations made of templates.
    """

    def __init__(
        self, chat: ChatFormat, lines: Lines, real: Sequence[tuple[str, str]], facts: Sequence[Relation],
        *, max_facts: int = 9, split: Split = "train", relations: Sequence[Relation] = ALL_RELATIONS,
    ) -> None:  # fmt: skip
        super().__init__(chat, [], max_facts=max_facts, split=split, relations=relations)
        self.lines, self.real, self.facts = lines, real, list(facts)
        self.talkative = 1.0
        self.by_kind: dict[str, list[Exchange]] = {}
        for exchange in lines.exchanges:
            self.by_kind.setdefault(exchange.kind, []).append(exchange)
        topics = sorted({r.topic for r in (*ALL_RELATIONS, *relations, *self.facts)})
        self.number = {topic: number for number, topic in enumerate(topics)}

    def draw(self, rng: random.Random, sessions: int, length: int) -> Session:
        """``sessions`` sessions of ``length`` tokens; the same state of ``rng`` gives the same."""
        person = _Person(self, rng, sessions, length)
        for session in range(sessions):
            person.fill(session)
        return person.session

    def draw_people(self, name: str, people: Iterable[int], sessions: int, length: int) -> list[Session]:
        """Each of ``people``, numbers, in sessions of their own; the same ``name`` gives the same."""
        return [self.draw(random.Random(f"{name}/{person}"), sessions, length) for person in people]


class _Person(_Episode):
    """A person's sessions under construction."""

    builder: SessionBuilder

    def __init__(self, builder: SessionBuilder, rng: random.Random, sessions: int, length: int) -> None:
        super().__init__(builder, rng, sessions, length)
        self.session = Session(self.arrays, np.full((sessions, length), -1, np.int8))
        self.writer = SessionWriter(self.session, builder.chat, rng)
        self.talk: list[tuple[str, str]] = []
        self.talker = rng.random()  # how much this person just talks
        self.values: dict[str, str] = {}

    def _draw_relations(self) -> list[Relation]:
        facts = self.rng.sample(self.builder.facts, min(len(self.builder.facts), self.wanted))
        mixed = [*super()._draw_relations(), *facts]
        self.rng.shuffle(mixed)
        one_each = {relation.topic: relation for relation in mixed}
        return list(one_each.values())

    def _relatives(self, relation: Relation) -> list[Relation]:
        if fixed_value(relation) is not None:
            return (
                [other for other in self.fresh if other.topic != relation.topic][:4] if hasattr(self, "fresh") else []
            )
        return [other for other in relatives(relation.name) if other.name in self.builder.names]

    # filling

    def fill(self, session: int) -> None:
        used, failures = self.writer.open(session), 0
        self.talk = []
        while failures < 3:
            drawn = self._draw(session)
            encoded = self.writer.encoded(drawn)
            size = sum(len(e.ids) for e in encoded)
            if used + size > self.length:
                failures += 1
                self.talk = []
                continue
            self.writer.write(self.turn, session, used, drawn, encoded)
            used += size
            drawn.commit()
            self.turn += 1

    def _draw(self, session: int) -> DrawnTurn:
        rng, first, last = self.rng, session == 0, session == self.sessions - 1
        if self.talk:
            (_, user), (_, reply) = self.talk[0], self.talk[1]
            self.talk = self.talk[2:]
            return self._of_dialogue(user, reply)
        options: list[tuple[float, Callable[[], DrawnTurn]]] = [
            (self.builder.talkative * (1.8 + 1.5 * self.talker), self._exchange),
            (self.builder.talkative * 0.3, self._dialogue),
            (self.builder.talkative * 1.0, self._noted),
            (0.1, self._real),
        ]  # fmt: skip
        room = STATEMENTS - self.statements
        if self.fresh and len(self.facts) < self.wanted and room > 1 and not last:
            options.append((4.0 if first else 2.0, self._told))
            if room > 2:
                options.append((0.5 if first else 0.3, self._told_two))
            options.append((0.15, self._told_incognito))
        known = self._known()
        if known:
            options.append(((0.8 if first else 3.5), self._asked))
            if room > 1:
                options.append((1.0, self._corrected))
            options += [(0.8, self._withdrawn), (0.08, self._asked_overview)]
        elif not self.facts:
            options.append((0.05, self._asked_overview))
        options.append((0.5 if first else 1.6, self._asked_unknown))
        if room > 1 and not last:
            options.append((0.25, self._corrected_unknown))
        options.append((0.25, self._withdrawn_unknown))
        draw_one = rng.choices([o for _, o in options], [w for w, _ in options])[0]
        return draw_one()

    # kinds of turns

    def _said(self, kind: str) -> str:
        return self.rng.choice(self.builder.lines.replies[kind])

    def _other(self, user: str, reply: str, real: bool = False) -> DrawnTurn:
        messages = [Message("user", user), Message("assistant", reply)]
        return DrawnTurn(
            messages, lambda: None, None if real else "other", "nothing", NONE if real else NULL, real=real
        )

    def _exchange(self) -> DrawnTurn:
        line = stratified(self.rng, self.builder.lines.exchanges, self.builder.by_kind)
        drawn, chance = self._other(line.user, line.reply), self.rng.random()
        if chance > 2 * MISTAKEN:
            return drawn
        found = self._others(None, self.rng.randint(1, NOTE_STATEMENTS)) if chance < MISTAKEN else ()
        return replace(drawn, status="recalled" if found else "unknown", found=found)

    def _noted(self) -> DrawnTurn:
        """A hand-written line with the statements that it finds."""
        line = self.rng.choice(self.builder.lines.noted)
        messages = [Message("user", line.user), Message("assistant", line.reply)]
        status = "recalled" if line.found else "unknown"
        intent = "ask" if line.asks else None
        return DrawnTurn(messages, lambda: None, intent, status, NONE, found=line.found)

    def _dialogue(self) -> DrawnTurn:
        turns = list(self.rng.choice(self.builder.lines.dialogues))
        self.talk = turns[2:]
        return self._of_dialogue(turns[0][1], turns[1][1])

    def _of_dialogue(self, user: str, reply: str) -> DrawnTurn:
        """A turn whose facts nobody labelled. A question may be answered from the dialogue itself, so that a reply does
        not deny what the context window holds because memory does not hold it; a line may be stored and be answered
        like any other."""
        if "?" in user[-2:]:
            status = "unknown" if self.rng.random() < 0.5 else "nothing"
        else:
            status = "stored" if self.rng.random() < KEPT else "nothing"
        messages = [Message("user", user), Message("assistant", reply)]
        return DrawnTurn(messages, lambda: None, None, status, NONE, labelled=False)

    def _real(self) -> DrawnTurn:
        user, reply = self.rng.choice(self.builder.real)
        return self._other(user, reply, real=True)

    def _value(self, relation: Relation) -> str:
        fixed = fixed_value(relation)
        if fixed is not None:
            return fixed[1] if relation.topic in self.facts else fixed[0]
        return super()._value(relation)

    def _told_value(self, relation: Relation) -> str:
        return self._value(relation) if fixed_value(relation) else typed(self.rng, self._value(relation))

    def _tell_message(self, relation: Relation, template: str, value: str, statement: int) -> Message:
        if fixed_value(relation) is not None:
            return _told_as_written(template, value, statement)
        return telling(self.rng, template, value, statement)

    def _told(self) -> DrawnTurn:
        relation = self.fresh.pop()
        value = self._told_value(relation)
        message = self._tell_message(relation, draw_tell(relation, self.rng), value, self.statements)
        reply = Message("assistant", self.rng.choice(relation.acknowledge))
        return DrawnTurn([message, reply], lambda: self._note(relation, value), "tell", "stored", NULL)

    def _told_two(self) -> DrawnTurn:
        with_clauses = [r for r in self.fresh if r.clauses.say]
        if len(with_clauses) < 2:
            return self._told()
        pair = self.rng.sample(with_clauses, 2)
        for relation in pair:
            self.fresh.remove(relation)
        self.fresh += pair
        messages, commit = super()._tell_two()
        return DrawnTurn(messages, commit, "tell", "stored", NULL)

    def _told_incognito(self) -> DrawnTurn:
        relation = self.rng.choice(self.fresh)
        value = self._told_value(relation)
        message = self._tell_message(relation, draw_tell(relation, self.rng), value, self.statements)
        reply = Message("assistant", self._said("incognito"))
        return DrawnTurn([message, reply], lambda: self._touch(relation), "tell", "incognito", NULL, stores=False)

    def _others(self, relation: Relation | None, count: int) -> tuple[str, ...]:
        """Statements that do not answer a question for ``relation``, those about something like it first."""
        topic = None if relation is None else relation.topic
        near = {r.topic for r in self._relatives(relation)} if relation is not None else set()
        known = [f for f in self._known() if f.relation.topic != topic]
        self.rng.shuffle(known)
        if self.rng.random() < 0.7:
            known.sort(key=lambda f: f.relation.topic not in near)
        return tuple(self.writer.texts[f.statement] for f in known[:count])

    def _answered(self, fact: _Fact, question: str) -> DrawnTurn:
        asked = user_message(self.rng, [(question, NONE)])
        if self.rng.random() < MISSED:
            found = self._others(fact.relation, self.rng.randint(0, NOTE_STATEMENTS))
            reply = Message("assistant", self.rng.choice(fact.relation.unknown))
            return DrawnTurn(
                [asked, reply], lambda: None, "ask", "recalled" if found else "unknown", fact.statement, found=found
            )
        text = render(self.rng.choice(fact.relation.answer), fact.value)
        answer = Message("assistant", text, [spoken(text, fact.value, fact.statement)])

        def commit() -> None:
            fact.asked += 1

        return DrawnTurn([asked, answer], commit, "ask", "recalled", fact.statement, found=self._found(fact))

    def _found(self, fact: _Fact) -> tuple[str, ...]:
        """What a question for ``fact`` finds: its statement, first as a rule, and others."""
        beside = self.rng.choices(range(len(BESIDE)), BESIDE)[0]
        found = list(self._others(fact.relation, beside))
        place = 0 if self.rng.random() < 0.6 else self.rng.randint(0, len(found))
        return (*found[:place], self.writer.texts[fact.statement], *found[place:])

    def _asked(self) -> DrawnTurn:
        fact = self._one_known()
        return self._answered(fact, draw_ask(fact.relation, self.rng))

    def _asked_overview(self) -> DrawnTurn:
        rng, known = self.rng, self._known()
        question = user_message(rng, [(self._said("overview"), NONE)])
        if not known:
            reply = Message("assistant", self._said("nothing_yet"))
            return DrawnTurn([question, reply], lambda: None, "ask", "unknown", NULL)
        fact = rng.choice(known)
        text = render(rng.choice(fact.relation.answer), fact.value)
        answer = Message("assistant", text, [spoken(text, fact.value, fact.statement)])
        return DrawnTurn([question, answer], lambda: None, "ask", "recalled", NONE, found=self._found(fact))

    def _asked_unknown(self) -> DrawnTurn:
        known = set(self.facts)
        near = [r for f in self._known() for r in self._relatives(f.relation) if r.topic not in known]
        pools = [(2.0, list(self.gone.values())), (3.0, near), (2.0, [r for r in self.fresh if r.topic not in known])]
        pools = [(weight, pool) for weight, pool in pools if pool]
        if not pools:
            return self._exchange()
        relation = self.rng.choice(self.rng.choices([p for _, p in pools], [w for w, _ in pools])[0])
        question = user_message(self.rng, [(draw_ask(relation, self.rng), NONE)])
        reply = Message("assistant", self.rng.choice(relation.unknown))
        count = self.rng.randint(1, NOTE_STATEMENTS) if self.rng.random() < ASTRAY else 0
        found = self._others(relation, count)
        status = "recalled" if found else "unknown"
        return DrawnTurn([question, reply], lambda: self._touch(relation), "ask", status, NULL, found=found)

    def _corrected(self) -> DrawnTurn:
        fact = self._one_known()
        relation = fact.relation
        if not relation.correct or (fixed_value(relation) and fact.outdated):
            return self._asked()
        value = self._told_value(relation)
        template = self.rng.choice(relation.correct) if fixed_value(relation) else draw_correct(relation, self.rng)
        message = self._tell_message(relation, template, value, self.statements)
        reply = Message("assistant", self._said("corrected"))

        def commit() -> None:
            self.arrays.deleted_turn[fact.statement] = self.turn
            self._note(relation, value, (*fact.outdated, fact.statement))

        return DrawnTurn([message, reply], commit, "correct", "replaced", fact.statement)

    def _corrected_unknown(self) -> DrawnTurn:
        """A correction of what memory does not hold is told like anything else."""
        candidates = [r for r in self.fresh if r.correct and r.topic not in self.facts and fixed_value(r) is None]
        if not candidates:
            return self._exchange()
        relation = self.rng.choice(candidates)
        self.fresh.remove(relation)
        value = self._told_value(relation)
        message = telling(self.rng, draw_correct(relation, self.rng), value, self.statements)
        reply = Message("assistant", self.rng.choice(relation.acknowledge))
        return DrawnTurn([message, reply], lambda: self._note(relation, value), "correct", "stored", NULL)

    def _forget_line(self, relation: Relation) -> Message:
        text = self.rng.choice(relation.forget) if fixed_value(relation) else draw_forget(relation, self.rng)
        return user_message(self.rng, [(text, NONE)])

    def _withdrawn(self) -> DrawnTurn:
        fact = self._one_known()
        reply = Message("assistant", self._said("forgotten"))

        def commit() -> None:
            self.arrays.deleted_turn[fact.statement] = self.turn
            self.arrays.forgotten[[*fact.outdated, fact.statement]] = True
            self.gone[fact.relation.topic] = self.facts.pop(fact.relation.topic).relation

        messages = [self._forget_line(fact.relation), reply]
        return DrawnTurn(messages, commit, "forget", "deleted", fact.statement)

    def _withdrawn_unknown(self) -> DrawnTurn:
        pool = [r for r in self.fresh if r.topic not in self.facts]
        if not pool:
            return self._exchange()
        relation = self.rng.choice(pool)
        reply = Message("assistant", self._said("nothing_to_delete"))
        messages = [self._forget_line(relation), reply]
        return DrawnTurn(messages, lambda: self._touch(relation), "forget", "nothing_to_delete", NULL)


def _told_as_written(template: str, value: str, statement: int) -> Message:
    """A hand-written telling, as it is."""
    start = template.index("{value}")
    text = template.replace("{value}", value)
    return Message("user", text, [Span(start, start + len(value), statement, told=True)])
