"""Fact episodes: several sessions in which facts are told, corrected, forgotten and asked for between lines of real
small talk, as labelled token arrays."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from training.data.relation_families import Relation, render
from training.data.relations import RELATIONS
from training.data.values import Split, draw
from varda_chat.model.chat_format import ChatFormat, EncodedMessage

NONE, NULL = -1, -2
"""Target statement of a token that is not supervised; of one that should find nothing."""
ALIVE = 1 << 30
"""The turn that ends a statement that no turn ends."""
STATEMENTS = 16
"""Statements an episode can hold."""

SPOKEN_VALUE, DECISION, USER_TOKEN, TOLD_VALUE = 4.0, 4.0, 0.3, 0.0
"""Weights of the language-model loss, beside 1 for other reply tokens: the value in an answer and what follows it; the
first tokens of a reply to a question, where it is decided whether the answer is known; a user's token; a told value,
which nobody can predict."""
DECISION_TOKENS = 4

Exchange = tuple[str, str]
"""A user's line and its answer."""


@dataclass
class EpisodeArrays:
    """One episode, or a stack of them along a first axis. S sessions, T tokens; padding at the end of each session.

    ids (S, T) int64; valid (S, T) bool; turn (S, T) int32, counted through the episode, -1 for padding.
    target_weight (S, T): language-model weight of predicting token t + 1 at t.
    target_statement (S, T): statement whose vector, of token t + 1, a query at t should find; NULL, NONE.
    probe (S, T) bool: any vector of the target statement will do, whatever its token.
    store_label (S, T) int8: 1 store, 0 not, -1 nothing known. store_weight (S, T): weight of that label.
    statement (S, T): statement of a token to be stored, else NONE.
    told (STATEMENTS,) turn in which a statement was made, -1 for none; dead (STATEMENTS,) turn that ended it, or
    ALIVE; forgotten (STATEMENTS,) bool: what it is about was to be forgotten, not corrected.
    """

    ids: NDArray[np.int64]
    valid: NDArray[np.bool_]
    turn: NDArray[np.int32]
    target_weight: NDArray[np.float32]
    target_statement: NDArray[np.int32]
    probe: NDArray[np.bool_]
    store_label: NDArray[np.int8]
    store_weight: NDArray[np.float32]
    statement: NDArray[np.int32]
    told: NDArray[np.int32]
    dead: NDArray[np.int32]
    forgotten: NDArray[np.bool_]

    @classmethod
    def empty(cls, sessions: int, length: int, pad_id: int) -> EpisodeArrays:
        shape = (sessions, length)
        return cls(
            ids=np.full(shape, pad_id, np.int64),
            valid=np.zeros(shape, np.bool_),
            turn=np.full(shape, -1, np.int32),
            target_weight=np.zeros(shape, np.float32),
            target_statement=np.full(shape, NONE, np.int32),
            probe=np.zeros(shape, np.bool_),
            store_label=np.full(shape, -1, np.int8),
            store_weight=np.zeros(shape, np.float32),
            statement=np.full(shape, NONE, np.int32),
            told=np.full(STATEMENTS, -1, np.int32),
            dead=np.full(STATEMENTS, ALIVE, np.int32),
            forgotten=np.zeros(STATEMENTS, np.bool_),
        )

    @classmethod
    def stack(cls, episodes: Sequence[EpisodeArrays]) -> EpisodeArrays:
        return cls(**{name: np.stack([getattr(e, name) for e in episodes]) for name in cls.__dataclass_fields__})

    def part(self, start: int, end: int) -> EpisodeArrays:
        """Episodes ``start`` to ``end`` of a stack."""
        return EpisodeArrays(**{name: getattr(self, name)[start:end] for name in self.__dataclass_fields__})


@dataclass
class _Span:
    """Characters of a message with something to learn: a told value (of ``statement``), or a spoken one."""

    start: int
    end: int
    statement: int
    told: bool


@dataclass
class _Message:
    role: str
    text: str
    spans: list[_Span] = field(default_factory=list)
    probe: int = NONE  # what the message's first states should find: a statement, NULL, or nothing in particular


@dataclass
class _Fact:
    relation: Relation
    value: str
    statement: int
    turn: int
    outdated: tuple[int, ...] = ()  # statements of the same relation that it corrected
    asked: int = 0


_Turn = tuple[list[_Message], Callable[[], None]]
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
        sessions: int = 4,
        length: int = 96,
        max_facts: int = 6,
        split: Split = "train",
        relations: Sequence[Relation] = RELATIONS,
    ) -> None:
        self.chat = chat
        self.exchanges = exchanges
        self.sessions = sessions
        self.length = length
        self.max_facts = max_facts
        self.split: Split = split
        self.relations = relations

    def build(self, rng: random.Random) -> EpisodeArrays:
        """One episode; the same ``rng`` state gives the same episode."""
        episode = _Episode(self, rng)
        for session in range(self.sessions):
            episode.fill(session)
        return episode.arrays


class _Episode:
    """An episode under construction."""

    def __init__(self, builder: EpisodeBuilder, rng: random.Random) -> None:
        self.builder = builder
        self.rng = rng
        self.arrays = EpisodeArrays.empty(builder.sessions, builder.length, builder.chat.end_id)
        self.facts: dict[str, _Fact] = {}
        self.gone: dict[str, Relation] = {}
        self.statements = 0
        self.turn = 0
        self.wanted = rng.randint(1, builder.max_facts)
        # a family of relations (the pets, the people) in one episode makes them tell each other apart
        self.fresh = rng.sample(list(builder.relations), min(len(builder.relations), builder.max_facts + 6))

    def fill(self, session: int) -> None:
        used, failures = 0, 0
        while failures < 3:
            messages, commit = self._draw_turn(session)
            encoded = [self.builder.chat.encode(m.role, m.text) for m in messages]
            size = sum(len(e.ids) for e in encoded)
            if used + size > self.builder.length:
                failures += 1
                continue
            for message, code in zip(messages, encoded, strict=True):
                self._write(session, used, message, code)
                used += len(code.ids)
            commit()
            self.turn += 1

    def _draw_turn(self, session: int) -> _Turn:
        rng, last = self.rng, session == self.builder.sessions - 1
        options: list[tuple[float, Callable[[], _Turn]]] = [(1.0, self._chat)]
        if self.fresh and len(self.facts) < self.wanted and self.statements < STATEMENTS - 1 and not last:
            options.append((4.0 if session == 0 else 2.0, self._tell))
        asks = [f for f in self.facts.values() if f.turn < self.turn]
        if asks:
            options.append(((1.0 if session == 0 else 3.5), self._ask))
            if self.statements < STATEMENTS - 1:
                options.append((0.8, self._correct))
            options.append((0.6, self._forget))
        options.append((0.35 if session == 0 else 0.8, self._ask_unknown))
        draw_one = rng.choices([o for _, o in options], [w for w, _ in options])[0]
        return draw_one()

    def _chat(self) -> _Turn:
        user, reply = self.rng.choice(self.builder.exchanges)
        return [_Message("user", user), _Message("assistant", reply)], lambda: None

    def _value(self, relation: Relation) -> str:
        taken = {f.value for f in self.facts.values()}
        while True:
            value = draw(relation.kind, self.builder.split, self.rng)
            if value not in taken:
                return value

    def _statement_message(self, template: str, value: str, statement: int) -> _Message:
        text = render(template, value)
        lead = self.rng.choice(_LEADS) if self.rng.random() < 0.25 else ""
        tail = self.rng.choice(_TAILS) if self.rng.random() < 0.15 and text[-1] in ".!" else ""
        start = len(lead) + _find(text, value)
        return _Message("user", lead + text + tail, [_Span(start, start + len(value), statement, told=True)])

    def _tell(self) -> _Turn:
        relation = self.fresh.pop()
        value = self._value(relation)
        template = self.rng.choice(relation.tell)
        if self.rng.random() < 0.1:  # typed in haste
            template, value = template.lower(), value.lower()
        message = self._statement_message(template, value, self.statements)
        reply = _Message("assistant", self.rng.choice(relation.acknowledge))

        def commit() -> None:
            self._note(relation, value)

        return [message, reply], commit

    def _note(self, relation: Relation, value: str, outdated: tuple[int, ...] = ()) -> None:
        self.facts[relation.name] = _Fact(relation, value, self.statements, self.turn, outdated)
        self.arrays.told[self.statements] = self.turn
        self.statements += 1

    def _known(self) -> _Fact:
        facts = [f for f in self.facts.values() if f.turn < self.turn]
        return self.rng.choices(facts, [1.0 if f.asked else 4.0 for f in facts])[0]

    def _ask(self) -> _Turn:
        fact = self._known()
        question = _Message("user", self._question(fact.relation))
        text = render(self.rng.choice(fact.relation.answer), fact.value)
        start = _find(text, fact.value)
        spans = [_Span(start, start + len(fact.value), fact.statement, told=False)]
        answer = _Message("assistant", text, spans, probe=fact.statement)

        def commit() -> None:
            fact.asked += 1

        return [question, answer], commit

    def _question(self, relation: Relation) -> str:
        return self.rng.choice(relation.ask)

    def _ask_unknown(self) -> _Turn:
        relations = [*self.gone.values(), *self.gone.values(), *self.fresh[:6]]
        if not relations:
            return self._chat()
        relation = self.rng.choice(relations)
        reply = _Message("assistant", self.rng.choice(relation.unknown), probe=NULL)
        return [_Message("user", self._question(relation)), reply], lambda: None

    def _correct(self) -> _Turn:
        fact = self._known()
        value = self._value(fact.relation)
        message = self._statement_message(self.rng.choice(fact.relation.correct), value, self.statements)
        reply = _Message("assistant", self.rng.choice(_CORRECTED))

        def commit() -> None:
            self.arrays.dead[fact.statement] = self.turn
            self._note(fact.relation, value, (*fact.outdated, fact.statement))

        return [message, reply], commit

    def _forget(self) -> _Turn:
        fact = self._known()
        message = _Message("user", self.rng.choice(fact.relation.forget))
        reply = _Message("assistant", self.rng.choice(_FORGOTTEN))

        def commit() -> None:
            self.arrays.dead[fact.statement] = self.turn
            self.arrays.forgotten[[*fact.outdated, fact.statement]] = True
            self.gone[fact.relation.name] = self.facts.pop(fact.relation.name).relation

        return [message, reply], commit

    def _write(self, session: int, at: int, message: _Message, code: EncodedMessage) -> None:
        """Put an encoded message into the arrays from position ``at`` on."""
        arrays, n = self.arrays, len(code.ids)
        here = slice(at, at + n)
        arrays.ids[session, here] = code.ids
        arrays.valid[session, here] = True
        arrays.turn[session, here] = self.turn
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
            # the end of the question and the start of the answer, where it is decided what will be said
            for i in (at - 1, at):
                if arrays.target_statement[session, i] == NONE:
                    arrays.target_statement[session, i] = message.probe
                    arrays.probe[session, i] = True


def _find(text: str, value: str) -> int:
    start = text.find(value)
    if start < 0:
        start = text.lower().find(value.lower())
    if start < 0:
        raise ValueError(f"{value!r} is not in {text!r}")
    return start


_LEADS = ("Hi! ", "Hello. ", "Hey, ", "Good morning. ", "By the way, ", "Oh, ", "Well, ", "You know what? ", "Yes. ",
          "Okay. ", "I'm back. ", "Guess what? ", "Thanks. ", "I'm fine, thanks. ", "Listen. ")  # fmt: skip
_TAILS = (" How are you?", " What do you think?", " Isn't that nice?", " Please remember that.", " I love it.",
          " Nice to talk to you.", " Don't forget it!", " I wanted you to know.")  # fmt: skip
_CORRECTED = ("Thanks for telling me, I've changed that.", "Okay, I've updated that.",
              "Got it, I'll remember it that way.", "Thank you for correcting me.", "All right, I've noted the change.",
              "Oh, thanks. I'll keep that in mind now.")  # fmt: skip
_FORGOTTEN = ("Okay, I've forgotten that.", "Done, I won't remember it any more.", "All right, it's gone.",
              "Sure, I have removed that from my memory.", "Okay, I no longer know that.")  # fmt: skip
