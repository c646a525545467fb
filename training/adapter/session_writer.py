"""SessionWriter: writes drawn turns into a session's arrays, with the labels of every token and turn."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

import numpy as np

from training.adapter.labels import INTENT, STATUS, UNLABELLED, DrawnTurn, Session, TurnLabel
from training.data.episodes import NONE
from training.data.synthetic.messages import Message
from varda_chat.models.chat_format import ChatFormat, EncodedMessage

VALUE_WEIGHT: Final = 3.0
"""Weight of predicting a value's tokens, beside 1 for other reply tokens; a user's tokens have none."""
STORE_NEGATIVE: Final = 0.15
"""Weight of "do not store" on a token that holds no value, beside 1 for those that do."""
REAL_STORE_NEGATIVE: Final = 0.02
"""The same in real lines, which may hold facts that nobody labelled."""
UNTOLD: Final = 0.08
"""Share of replies that are not told what was decided."""


class SessionWriter:
    """Writes into ``session``. texts: of each statement stored, the sentence that told it."""

    def __init__(self, session: Session, chat: ChatFormat, rng: random.Random) -> None:
        self.session, self.chat, self.rng = session, chat, rng
        self.texts: dict[int, str] = {}

    def open(self, session: int) -> int:
        """Write the tokens that ``session`` begins with; returns how many there are."""
        opening = self.chat.opening
        self.session.arrays.ids[session, : len(opening)] = opening
        self.session.arrays.valid[session, : len(opening)] = True
        return len(opening)

    def encoded(self, drawn: DrawnTurn) -> list[EncodedMessage]:
        """The turn's line and its reply, the latter behind its note."""
        line, reply = (self.chat.encode(m.role, m.text) for m in drawn.messages)
        return [line, reply if drawn.real else reply.led_by(self.chat.note(drawn.status, drawn.found))]

    def write(self, turn: int, session: int, at: int, drawn: DrawnTurn, codes: Sequence[EncodedMessage]) -> None:
        """Write turn number ``turn`` into ``session``, from token ``at`` on: ``codes``, its line and its reply."""
        question = codes[0]
        end = at + len(question.ids) - question.footer
        intent = UNLABELLED if drawn.intent is None else INTENT[drawn.intent]
        label = TurnLabel(
            session, end, turn, intent, STATUS[drawn.status], drawn.target, drawn.real or not drawn.labelled
        )
        self.session.turns.append(label)
        place = at
        for message, code in zip(drawn.messages, codes, strict=True):
            self._write_message(turn, session, place, message, code, drawn)
            place += len(code.ids)
        note = codes[1].header - len(self.chat.reply_prompt)
        reply = slice(at + len(question.ids) + note, place)
        # now and then nothing is told, so that the model also answers without a decision
        untold = drawn.real or self.rng.random() < UNTOLD
        self.session.status[session, reply] = UNLABELLED if untold else STATUS[drawn.status]

    def _write_message(
        self, turn: int, session: int, at: int, message: Message, code: EncodedMessage, drawn: DrawnTurn
    ) -> None:
        arrays, n = self.session.arrays, len(code.ids)
        here = slice(at, at + n)
        arrays.ids[session, here] = code.ids
        arrays.valid[session, here] = True
        arrays.turn[session, here] = turn
        sentence = np.array(code.sentence, np.int32)
        first = arrays.sentence[session].max() + 1
        arrays.sentence[session, here] = np.where(sentence >= 0, first + sentence, -1)
        if message.role == "user":
            text = slice(at + code.header, at + n - code.footer)
            arrays.store_label[session, text] = 0
            unlabelled = drawn.real or not drawn.labelled
            arrays.store_weight[session, text] = REAL_STORE_NEGATIVE if unlabelled else STORE_NEGATIVE
        reply = message.role == "assistant" and not drawn.real
        weight = np.full(n, 1.0 if reply else 0.0, np.float32)
        weight[: code.header] = 0.0
        weight[n - code.footer + 1 :] = 0.0
        target = np.full(n, NONE, np.int32)
        for span in message.spans:
            for i, (start, stop) in enumerate(code.offsets):
                if stop <= span.start or start >= span.end or start == stop:
                    continue
                if span.told:
                    arrays.store_label[session, at + i] = 1
                    arrays.store_weight[session, at + i] = 1.0
                    if drawn.stores:
                        arrays.statement[session, at + i] = span.statement
                        self.texts[span.statement] = code.sentences[code.sentence[i]]
                else:
                    weight[i] = VALUE_WEIGHT
                    weight[i + 1] = max(weight[i + 1], 2.0)
                    target[i] = span.statement
        # a token's weight and target belong to the state that predicts it: the one before
        before = slice(at - 1, at + n - 1)
        arrays.target_weight[session, before] = np.maximum(arrays.target_weight[session, before], weight)
        arrays.target_statement[session, before] = np.where(
            target != NONE, target, arrays.target_statement[session, before]
        )
