"""ReplyWriter: a session is read once, in pieces as at once, and read again where its past has changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch

from tests.helpers.tiny_chatml import chatml_model, chatml_tokenizer
from tests.helpers.tiny_decoders import ChainedMemory
from varda_chat.config.defaults import GenerationSettings
from varda_chat.models.abstentions import BEGINNINGS
from varda_chat.models.chat_format import ChatMLFormat, statement_numbers
from varda_chat.models.configuration import STATUSES
from varda_chat.models.reply import ReplyWriter, message_of_reply

CHAT = ChatMLFormat(chatml_tokenizer())
GREEDY = GenerationSettings(temperature=0.0, max_new_tokens=10)
CLOSE: Any = {"atol": 1e-4, "rtol": 1e-4}
RECALLED = STATUSES.index("recalled")


@pytest.fixture(scope="module")
def model() -> Any:
    return chatml_model(CHAT)


@pytest.fixture
def memory() -> ChainedMemory:
    return ChainedMemory.of(9)


@contextmanager
def tokens_read(model: Any) -> Iterator[list[int]]:
    """The lengths of the passes within."""
    lengths: list[int] = []
    hook = model.register_forward_pre_hook(
        lambda _module, args, kwargs: lengths.append((args[0] if args else kwargs["input_ids"]).shape[1]),
        with_kwargs=True,
    )
    try:
        yield lengths
    finally:
        hook.remove()


def context(*texts: str) -> tuple[list[int], list[int]]:
    """Token ids and statement numbers of a session of user and reply in turn."""
    messages = [CHAT.encode(("user", "assistant")[place % 2], text) for place, text in enumerate(texts)]
    ids = [*CHAT.opening, *(token for message in messages for token in message.ids)]
    return ids, [-1] * len(CHAT.opening) + statement_numbers(messages)


def test_reading_in_pieces_equals_reading_at_once(model: Any, memory: ChainedMemory) -> None:
    texts = ("My dog is called Rimba. I live in Lisbon.", "Hello there!", "What is my dog called?")
    ids, statements = context(*texts)
    with torch.no_grad():
        whole, start = ReplyWriter(model, CHAT).read(ids, memory, statements)
        assert start == 0
        writer, known = ReplyWriter(model, CHAT), 0
        for count in (1, 2, 3):
            length = len(context(*texts[:count])[0])
            with tokens_read(model) as read:
                part, start = writer.read(ids[:length], memory, statements[:length])
            assert start == known
            assert read == [length - known]
            for name in ("query", "storable_vector", "store_decision", "no_match", "read_weights"):
                torch.testing.assert_close(getattr(part, name), getattr(whole, name)[:, known:length], **CLOSE)
            known = length
    torch.testing.assert_close(part.logits, whole.logits, **CLOSE)


def test_a_reply_after_pieces_is_the_reply_after_the_whole(model: Any, memory: ChainedMemory) -> None:
    ids, statements = context("My dog is called Rimba.", "Hello there!", "What is my dog called?")
    half = len(context("My dog is called Rimba.")[0])
    replies = []
    for pieces in ((len(ids),), (half, len(ids))):
        writer = ReplyWriter(model, CHAT)
        with torch.inference_mode():
            for length in pieces:
                writer.read(ids[:length], None, statements[:length])
            replies.append(writer.write(RECALLED, memory, GREEDY))
    assert replies[0].ids == replies[1].ids
    assert replies[0].shares is not None and replies[1].shares is not None
    torch.testing.assert_close(replies[0].shares, replies[1].shares, **CLOSE)


def test_a_turn_costs_its_own_tokens_alone(model: Any, memory: ChainedMemory) -> None:
    ids, statements = context("My dog is called Rimba.")
    writer = ReplyWriter(model, CHAT)
    with torch.inference_mode(), tokens_read(model) as read:
        writer.read(ids, None, statements)
        written = writer.write(RECALLED, memory, GREEDY)
        assert read[:2] == [len(ids), len(CHAT.reply_prompt)]
        assert read[2:] == [1] * (len(read) - 2)
        before = sum(read)
        _, reply = message_of_reply(CHAT, written.ids)
        longer = [*ids, *reply.ids, *CHAT.encode("user", "What is my dog called?").ids]
        output, known = writer.read(longer, None, [-1] * len(longer))
    # the reply's last token was chosen and not yet read
    assert known == before
    assert sum(read) == len(longer)
    with torch.inference_mode():
        fresh, _ = ReplyWriter(model, CHAT).read(longer, None, [-1] * len(longer))
    assert output.query.shape[1] == len(longer) - known
    assert fresh.query.shape[1] == len(longer)


@pytest.mark.parametrize("change", ["another past", "a shorter past", "the same again"])
def test_a_changed_past_is_read_again(model: Any, memory: ChainedMemory, change: str) -> None:
    ids, statements = context("My dog is called Rimba.", "Hello there!", "What is my dog called?")
    others = {
        "another past": context("I live in Lisbon.", "Hello there!", "What is my dog called?"),
        "a shorter past": context("My dog is called Rimba."),
        "the same again": (ids, statements),
    }
    wanted, numbers = others[change]
    writer = ReplyWriter(model, CHAT)
    with torch.inference_mode():
        writer.read(ids, memory, statements)
        with tokens_read(model) as read:
            output, known = writer.read(wanted, memory, numbers)
        expected, _ = ReplyWriter(model, CHAT).read(wanted, memory, numbers)
    assert (known, read) == (0, [len(wanted)])
    torch.testing.assert_close(output.logits, expected.logits, **CLOSE)
    torch.testing.assert_close(output.query, expected.query, **CLOSE)


def test_what_was_read_is_told_token_by_token(model: Any, memory: ChainedMemory) -> None:
    ids, statements = context("What is my dog called?")
    writer = ReplyWriter(model, CHAT)
    with torch.inference_mode():
        writer.read(ids, None, statements)
        written = writer.write(RECALLED, memory, GREEDY)
        unread = ReplyWriter(model, CHAT)
        unread.read(ids, None, statements)
        plain = unread.write(RECALLED, None, GREEDY)
    assert written.result_ids is not None and written.shares is not None
    assert written.result_ids.shape == written.shares.shape == (len(written.ids), 3)
    assert bool((written.shares >= 0).all()) and bool((written.shares.sum(-1) <= 1).all())
    assert (plain.result_ids, plain.shares) == (None, None)
    assert not set(written.ids) & CHAT.special_ids


def test_what_has_to_be_admitted_may_be_admitted_again(model: Any) -> None:
    earlier = [CHAT.encode("assistant", each) for each in BEGINNINGS]
    ids, statements = context("What is my dog called?")
    writer = ReplyWriter(model, CHAT)
    with torch.no_grad():
        writer.read(ids, None, statements)
        said = [each.ids[each.header : -each.footer] for each in earlier]
        longer = replace(GREEDY, max_new_tokens=40)
        written = writer.write(STATUSES.index("unknown"), None, longer, earlier=said, admits=True)
    assert CHAT.decode(written.ids).strip().startswith(BEGINNINGS)


def test_a_prompt_that_fills_the_window_is_refused(model: Any) -> None:
    ids, _ = context("word " * 300)
    writer = ReplyWriter(model, CHAT)
    with torch.inference_mode():
        room = model.config.n_positions - 1
        writer.read(ids[:room], None, [-1] * room)
        with pytest.raises(ValueError, match="leaves no room"):
            writer.write(0, None, GREEDY)


@pytest.mark.parametrize("text", ["Your dog is called Rimba.", "  Olá, José 🐕!  ", "日本", ""])
def test_a_replys_tokens_know_their_characters(text: str) -> None:
    ids = CHAT.tokenizer.encode(" " + text, add_special_tokens=False).ids
    found, message = message_of_reply(CHAT, ids)
    assert found == text.strip()
    assert message.ids == [*CHAT.reply_prompt, *ids, *CHAT.footer]
    assert len(message.ids) == len(message.offsets) == len(message.sentence) == len(message.word)
    assert (message.header, message.footer) == (len(CHAT.reply_prompt), len(CHAT.footer))
    spans = message.offsets[message.header : len(message.ids) - message.footer]
    assert "".join(found[start:end] for start, end in spans) == found
    assert all(before[1] == after[0] for before, after in pairwise(spans))
    assert set(message.sentence) == {-1}


def test_each_word_of_a_reply_has_its_own_characters() -> None:
    ids = CHAT.tokenizer.encode(" Your dog is called Rimba.", add_special_tokens=False).ids
    text, message = message_of_reply(CHAT, ids)
    for token, (start, end) in zip(ids, message.offsets[message.header :], strict=False):
        assert text[start:end] == (CHAT.decode([token]) if start else CHAT.decode([token]).lstrip())


def test_after_a_reply_that_was_broken_off_the_session_is_read_again(model: Any) -> None:
    def fail(_piece: str) -> None:
        raise OSError("the screen is gone")

    writer = ReplyWriter(model, CHAT)
    first, statements = context("My dog is called Rimba.")
    more, more_statements = context("My dog is called Rimba.", "Hello there!", "What is my dog called?")
    with torch.no_grad():
        writer.read(first, None, statements)
        with pytest.raises(OSError, match="screen is gone"):
            writer.write(0, None, GREEDY, on_text=fail)
        with tokens_read(model) as lengths:
            found, known = writer.read(more, None, more_statements)
        expected, _ = ReplyWriter(model, CHAT).read(more, None, more_statements)
    assert (known, lengths) == (0, [len(more)])
    torch.testing.assert_close(found.logits, expected.logits, **CLOSE)
