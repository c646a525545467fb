"""Which sentences of a person's line are worth storing: those of the store gates, those that tell something by
themselves, and what these lean on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from varda_chat.memory.antecedents import leant_on
from varda_chat.models.configuration import INTENTS
from varda_chat.session.decisions import intents_at
from varda_chat.session.remembering import read_messages, statements_to_store

if TYPE_CHECKING:
    from varda_chat.memory.records import NewStatement
    from varda_chat.models.chat_format import ChatFormat, EncodedMessage

TELLS_ALONE = 0.5
"""A sentence that, said alone, tells or corrects something with a greater probability is kept too; one that asks for
something or wants it forgotten is not kept for the sake of another."""

MOST_ASKED = 16
"""Sentences of a line, at most, that are read alone: the last ones. Each takes a pass of its own."""


def storable(
    model: Any, chat: ChatFormat, output: Any, message: EncodedMessage, start: int
) -> tuple[tuple[NewStatement, ...], tuple[NewStatement, ...]]:
    """What is worth storing of a user's ``message`` at position ``start`` of the pass ``output``; and what is kept
    where that is nothing and the line tells something all the same."""
    threshold, sentences = model.config.store_threshold, message.sentences
    stores = statements_to_store(output, message, start, chat, threshold)
    if len(sentences) > 1 and _may_tell(model, output, start + len(message.ids) - message.footer):
        kept = {each.text for each in stores}
        there = sorted({place for place in message.sentence if place >= 0})  # of a long line only the end
        telling = {place for place in there if sentences[place] in kept}
        alone = {
            place: _intents_alone(model, chat, sentences[place])
            for place in there[-MOST_ASKED:]
            if place not in telling
        }
        telling |= {place for place, chance in alone.items() if chance["tell"] + chance["correct"] > TELLS_ALONE}
        wanting = {place for place, chance in alone.items() if chance["ask"] + chance["forget"] > TELLS_ALONE}
        telling |= leant_on(sentences, telling).intersection(there) - wanting
        stores = statements_to_store(output, message, start, chat, threshold, of_these=telling)
    least = () if stores else statements_to_store(output, message, start, chat, None)
    return tuple(stores), tuple(least)


def _may_tell(model: Any, output: Any, end: int) -> bool:
    """Whether anything of the line that ends at position ``end`` may be kept."""
    chance = _intents(model, output, end)
    return chance["other"] <= model.config.memory.other_threshold and max(chance, key=chance.__getitem__) != "forget"


def _intents_alone(model: Any, chat: ChatFormat, sentence: str) -> dict[str, float]:
    """What ``sentence`` wants as a line of its own; all 0 where it is longer than the window."""
    message = chat.encode("user", sentence)
    if len(chat.opening) + len(message.ids) > model.config.n_positions:
        return dict.fromkeys(INTENTS, 0.0)
    output = read_messages(model, [message], opening=chat.opening)
    return _intents(model, output, len(message.ids) - message.footer)


def _intents(model: Any, output: Any, end: int) -> dict[str, float]:
    return dict(zip(INTENTS, intents_at(model.memory_layer, output.address, end), strict=True))
