"""Which sentences of a person's line are worth storing: those of the store gates, those that tell something by
themselves, and what these lean on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from varda_chat.memory.antecedents import FEW_WORDS, MOST_BEFORE, leans
from varda_chat.models.configuration import INTENTS
from varda_chat.session.decisions import intents_at
from varda_chat.session.remembering import read_messages, statements_to_store

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from varda_chat.memory.records import NewStatement
    from varda_chat.models.chat_format import ChatFormat, EncodedMessage

TELLS_ALONE = 0.5
"""A sentence that, said alone, tells or corrects something with a greater probability is kept too."""


def storable(
    model: Any, chat: ChatFormat, output: Any, message: EncodedMessage, start: int
) -> tuple[tuple[NewStatement, ...], tuple[NewStatement, ...]]:
    """What is worth storing of a user's ``message`` at position ``start`` of the pass ``output``; and what is kept
    where that is nothing and the line tells something all the same."""
    threshold, sentences = model.config.store_threshold, message.sentences
    stores = statements_to_store(output, message, start, chat, threshold)
    chance = _intents(model, output, start + len(message.ids) - message.footer)
    if len(sentences) > 1 and chance["other"] <= model.config.memory.other_threshold:
        kept = {each.text for each in stores}
        telling = {i for i, text in enumerate(sentences) if text in kept or _tells(model, chat, text)}
        telling |= _leant_on(sentences, telling)
        stores = statements_to_store(output, message, start, chat, threshold, of_these=telling)
    least = () if stores else statements_to_store(output, message, start, chat, None)
    return tuple(stores), tuple(least)


def _tells(model: Any, chat: ChatFormat, sentence: str) -> bool:
    """Whether ``sentence``, said alone, tells or corrects something."""
    message = chat.encode("user", sentence)
    output = read_messages(model, [message], opening=chat.opening)
    chance = _intents(model, output, len(message.ids) - message.footer)
    return chance["tell"] + chance["correct"] > TELLS_ALONE


def _intents(model: Any, output: Any, end: int) -> dict[str, float]:
    return dict(zip(INTENTS, intents_at(model.memory_layer, output.address, end), strict=True))


def _leant_on(sentences: Sequence[str], telling: Collection[int]) -> set[int]:
    """The ``sentences`` without which those of ``telling`` do not say who or what they are about."""
    found: set[int] = set()
    for place in telling:
        for _ in range(MOST_BEFORE):
            earlier = place - 1
            if not leans(sentences[place]) or earlier < 0 or len(sentences[earlier].split()) <= FEW_WORDS:
                break
            found.add(earlier)
            place = earlier
    return found
