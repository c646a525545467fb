"""Reads user messages again, without generating: for each of their tokens, the store decision and the vector.

Both depend on the words alone and not on what the memory holds, so what is read here is what the chat stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from training.evaluation.recall.telling import GREEDY
from varda_chat.memory import NewStatement, NewVector
from varda_chat.models.chat_format import EncodedMessage
from varda_chat.models.checkpoint import Checkpoint
from varda_chat.session.remembering import read_messages


@dataclass(frozen=True)
class ReadToken:
    """A token of a user's message: numbers of the message, of its sentence and of its word, the sentence's text, the
    token's (start, end) characters in the message, and what would be stored for it (``vector.strength``: the store
    decision's probability)."""

    message: int
    sentence: int
    word: int
    text: str
    offset: tuple[int, int]
    vector: NewVector


def room(checkpoint: Checkpoint) -> int:
    """Tokens that a prompt may have beside a whole reply, as in chat."""
    positions: int = checkpoint.model.config.n_positions
    return max(positions - GREEDY.max_new_tokens, positions // 2)


@torch.inference_mode()
def read_session(checkpoint: Checkpoint, turns: Sequence[tuple[str, str | None]], first: int = 0) -> list[ReadToken]:
    """The tokens of the user's messages of one session of (message, reply) turns, a reply None where none follows.

    Each message is read, as in chat, with the turns before it that fit into the window; of a message longer than that
    only the end is read. ``first``: the first message's number.
    """
    chat, model = checkpoint.chat, checkpoint.model
    found: list[ReadToken] = []
    history: list[EncodedMessage] = []
    for number, (text, reply) in enumerate(turns, first):
        message = chat.encode("user", text)
        excess = len(message.ids) + 1 - room(checkpoint)
        if excess > 0:
            message = message.part(message.header + excess, len(message.ids))
        while history and sum(len(past.ids) for past in history) + len(message.ids) + 1 > room(checkpoint):
            del history[:2]
        start = sum(len(past.ids) for past in history)
        output = read_messages(model, [*history, message], opening=chat.opening)
        assert output.store_decision is not None and output.storable_vector is not None
        chances = torch.sigmoid(output.store_decision[0, start:, 0]).tolist()
        vectors = output.storable_vector[0, start:].float().cpu().numpy()
        for i, sentence in enumerate(message.sentence):
            if sentence >= 0:
                token = chat.tokenizer.decode([message.ids[i]]).replace("\N{REPLACEMENT CHARACTER}", "")
                vector = NewVector(vectors[i], message.ids[i], token, chances[i])
                said_in = message.sentences[sentence]
                found.append(ReadToken(number, sentence, message.word[i], said_in, message.offsets[i], vector))
        history.append(message)
        history.append(chat.encode("assistant", reply or ""))
    return found


def kept_by_chat(tokens: Sequence[ReadToken], threshold: float) -> list[ReadToken]:
    """Those of ``tokens`` that the chat stores: of the words of which a token's store decision exceeds the
    ``threshold``."""
    words = {(token.message, token.word) for token in tokens if token.vector.strength > threshold}
    return [token for token in tokens if (token.message, token.word) in words]


def as_statements(tokens: Iterable[ReadToken]) -> tuple[NewStatement, ...]:
    """The sentences of ``tokens``, each with the vectors of its tokens among them, in the order of first appearance."""
    by_sentence: dict[tuple[int, int], list[ReadToken]] = {}
    for token in tokens:
        by_sentence.setdefault((token.message, token.sentence), []).append(token)
    return tuple(
        NewStatement(group[0].text, "user", tuple(token.vector for token in group)) for group in by_sentence.values()
    )
