"""Real dialogue as labelled arrays: tokenised once, packed into rows of one session each, reshuffled every epoch."""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.episodes import EpisodeArrays, Exchange
from training.data.recurring import Places, label_recurring
from training.data.sources.corpora import CORPORA, Dialogue
from training.data.synthetic.persona import IDENTITY
from varda_chat.models.chat_format import ChatFormat, statement_numbers

PERSONA = "varda"
MULTI_SESSION_CORPUS = "msc"
_STORE_NEGATIVE = 0.02
"""Weight of "do not store" on ordinary talk: real lines may hold facts that nobody labelled."""
_WORD_MARK = "\u0120"
"""What byte-level BPE writes for the blank in front of a word."""
_RARE = 3e-4
"""A token is rare when it is a smaller share of all tokens than this."""


@dataclass(frozen=True)
class TokenisedDialogue:
    """ids (n,); the user turn and the sentence that each token belongs to (n,), counted from 0, no sentence -1;
    ``weight`` as its corpus'."""

    ids: NDArray[np.uint16 | np.uint32]
    turn: NDArray[np.int16 | np.int32]
    sentence: NDArray[np.int16 | np.int32]
    weight: float
    about_people: bool


def persona_dialogues(seed: int, count: int = 1500) -> list[Dialogue]:
    """Short dialogues in which Varda says who she is."""
    rng = random.Random(seed)
    dialogues = []
    for number in range(count):
        turns: list[tuple[str, str]] = []
        for questions, answers in rng.sample(IDENTITY, rng.randint(1, 4)):
            turns += [("user", rng.choice(questions)), ("assistant", rng.choice(answers))]
        dialogues.append(Dialogue(PERSONA, str(number), tuple(turns)))
    return dialogues


def exchanges(dialogues: Iterable[Dialogue], longest: int = 140) -> list[Exchange]:
    """Short (user, assistant) lines of dialogues, to stand between facts."""
    found = []
    for dialogue in dialogues:
        for (role, text), (_, reply) in zip(dialogue.turns, dialogue.turns[1:], strict=False):
            if role == "user" and len(text) + len(reply) <= longest:
                found.append((text, reply))
    return found


def tokenise(dialogues: Iterable[Dialogue], chat: ChatFormat) -> list[TokenisedDialogue]:
    """Encode dialogues; a turn is a user's message and its answer."""
    by_name = {corpus.name: corpus for corpus in CORPORA}
    tokenised = []
    for dialogue in dialogues:
        ids: list[int] = []
        turn: list[int] = []
        current = -1
        codes = [chat.encode(role, text) for role, text in dialogue.turns]
        for code in codes:
            current += code.role == "user"
            ids += code.ids
            turn += [current] * len(code.ids)
        corpus = by_name.get(dialogue.corpus)
        tokenised.append(
            TokenisedDialogue(
                np.array(ids, np.uint16),
                np.array(turn, np.int16),
                np.array(statement_numbers(codes), np.int16),
                weight=corpus.weight if corpus else 1.0,
                about_people=bool(corpus and corpus.about_people),
            )
        )
    return tokenised


def _first_of(sentence: NDArray[np.int16 | np.int32]) -> int:
    """The first number in a piece of a dialogue's sentence numbers, 0 where it has none."""
    named = sentence[sentence >= 0]
    return int(named[0]) if len(named) else 0


class DialogueRows:
    """Rows of ``length`` tokens packed from dialogues; row order and packing are a function of seed and epoch.

    Args:
        dialogues: in RAM, or on disk: then with their ``lengths`` and ``weights``, so that none is read to be packed.
        mixed: shuffle the rows too, where many are of one long document.
    """

    def __init__(
        self, dialogues: Sequence[TokenisedDialogue], length: int, seed: int, pad_id: int, *, mixed: bool = False
    ) -> None:
        self.dialogues = dialogues
        self.lengths: Sequence[int] = getattr(dialogues, "lengths", None) or [len(d.ids) for d in dialogues]
        self.weights: Sequence[float] = getattr(dialogues, "weights", None) or [d.weight for d in dialogues]
        self.mixed = mixed
        self.length = length
        self.seed = seed
        self.pad_id = pad_id
        self._epoch = -1
        self._rows: list[list[tuple[int, int, int]]] = []
        self.rows_per_epoch = len(self._packed(0))

    def row(self, index: int) -> EpisodeArrays:
        """The ``index``-th row, counted over all epochs."""
        epoch, place = divmod(index, self.rows_per_epoch)
        rows = self._packed(epoch)
        return self._arrays(rows[place % len(rows)])

    def _packed(self, epoch: int) -> list[list[tuple[int, int, int]]]:
        """Rows of (dialogue, start, end) pieces."""
        if epoch == self._epoch:
            return self._rows
        rng = random.Random(f"{self.seed}/{epoch}")
        order: list[int] = []
        for number, weight in enumerate(self.weights):
            whole, part = divmod(weight, 1)
            order += [number] * (int(whole) + (rng.random() < part))
        rng.shuffle(order)
        rows: list[list[tuple[int, int, int]]] = [[]]
        room = self.length
        for number in order:
            start, end = 0, self.lengths[number]
            while start < end:
                piece = min(room, end - start)
                rows[-1].append((number, start, start + piece))
                start += piece
                room -= piece
                if room < 16:
                    rows.append([])
                    room = self.length
        if room:
            rows.pop()
        if self.mixed:
            rng.shuffle(rows)
        self._epoch, self._rows = epoch, rows
        return rows

    def _arrays(self, pieces: list[tuple[int, int, int]]) -> EpisodeArrays:
        arrays = EpisodeArrays.empty(1, self.length, self.pad_id)
        at = turn = 0
        for number, start, end in pieces:
            dialogue, n = self.dialogues[number], end - start
            here = slice(at, at + n)
            arrays.ids[0, here] = dialogue.ids[start:end]
            arrays.valid[0, here] = True
            turns = dialogue.turn[start:end]
            arrays.turn[0, here] = turns - turns[0] + turn
            turn = int(arrays.turn[0, at + n - 1]) + 1
            sentence = dialogue.sentence[start:end]
            numbers = sentence - _first_of(sentence) + arrays.sentence.max() + 1
            arrays.sentence[0, here] = np.where(sentence >= 0, numbers, -1)
            if not dialogue.about_people:
                arrays.store_label[0, here] = 0
                arrays.store_weight[0, here] = _STORE_NEGATIVE
            arrays.target_weight[0, at : at + n - 1] = 1.0
            at += n
        return arrays


class MultiSessions:
    """Episodes of consecutive sessions of the same two people. A rare word that an earlier session had, and the one at
    hand not yet, is what the memory should find.

    Args:
        tokenised, dialogues: the same dialogues, both ways.
        counts: (vocabulary,) occurrences of each token in training.
    """

    def __init__(
        self,
        tokenised: Sequence[TokenisedDialogue],
        dialogues: Sequence[Dialogue],
        chat: ChatFormat,
        counts: NDArray[np.int64],
    ) -> None:
        self.pad_id = chat.end_id
        sessions: dict[str, list[tuple[str, TokenisedDialogue]]] = {}
        for dialogue, tokens in zip(dialogues, tokenised, strict=True):
            if dialogue.corpus == MULTI_SESSION_CORPUS:
                session, _, pair = dialogue.id.rpartition("_")
                sessions.setdefault(pair, []).append((session, tokens))
        self.pairs = [[tokens for _, tokens in sorted(found, key=lambda s: s[0])] for found in sessions.values()]
        words = [chat.tokenizer.id_to_token(token) or "" for token in range(len(counts))]
        starts = np.array([len(word) >= 5 and word[0] == _WORD_MARK and word[1:].isalpha() for word in words])
        self.rare = starts & (counts < _RARE * counts.sum())

    def usable(self, length: int) -> bool:
        """Whether there are any, of whatever length."""
        return bool(self.pairs)

    def build(self, rng: random.Random, sessions: int, length: int) -> EpisodeArrays:
        """One episode; whole turns of each session, from a random one on, up to ``length`` tokens."""
        arrays = EpisodeArrays.empty(sessions, length, self.pad_id)
        pair = rng.choice(self.pairs)
        first = rng.randrange(max(1, len(pair) - sessions + 1))
        turn = 0
        for session, dialogue in enumerate(pair[first : first + sessions]):
            starts = np.flatnonzero(np.diff(dialogue.turn, prepend=-1))
            fitting = [start for start in starts.tolist() if start + length <= len(dialogue.ids)]
            start = rng.choice(fitting) if fitting else 0
            n = min(length, len(dialogue.ids) - start)
            arrays.ids[session, :n] = dialogue.ids[start : start + n]
            arrays.valid[session, :n] = True
            arrays.turn[session, :n] = dialogue.turn[start : start + n] - dialogue.turn[start] + turn
            sentence = dialogue.sentence[start : start + n]
            arrays.sentence[session, :n] = np.where(sentence >= 0, sentence - _first_of(sentence), -1)
            arrays.target_weight[session, : n - 1] = 1.0
            turn = int(arrays.turn[session, n - 1]) + 1
        self._label(arrays, rng)
        return arrays

    def _label(self, arrays: EpisodeArrays, rng: random.Random) -> None:
        """Make a statement of each rare word that comes back in a later session."""
        rare = self.rare[arrays.ids] & arrays.valid
        places: dict[Hashable, Places] = {}
        for session, at in np.argwhere(rare).tolist():
            places.setdefault(int(arrays.ids[session, at]), []).append((session, at, 1))
        words: list[Any] = sorted(places.keys())
        rng.shuffle(words)
        label_recurring(arrays, places, words)
