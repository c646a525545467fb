"""Messages as tokens: sentences, offsets, hostile text."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from varda_chat.model.chat_format import ChatFormat, sentence_spans


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("My dog is called Rimba. My cat is Tom!", ["My dog is called Rimba.", "My cat is Tom!"]),
        ("Hi Dr. Smith! ok", ["Hi Dr. Smith!", "ok"]),
        ("My doctor is J. R. Hart. Bye", ["My doctor is J. R. Hart.", "Bye"]),
        ("one\ntwo\n\nthree", ["one", "two", "three"]),
        ("It costs 3.50 now. Really?!  Yes", ["It costs 3.50 now.", "Really?!", "Yes"]),
        ("", []),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    assert [text[start:end].strip() for start, end in sentence_spans(text)] == sentences


@given(st.text(max_size=200))
def test_spans_cover_any_text_in_order(text: str) -> None:
    spans = sentence_spans(text)
    assert all(before[1] == after[0] for before, after in zip(spans, spans[1:], strict=False))
    assert not spans or (spans[0][0], spans[-1][1]) == (0, len(text))


def test_pasted_punctuation_is_fast() -> None:
    started = time.perf_counter()
    sentence_spans("!" * 200_000)
    assert time.perf_counter() - started < 5


@given(st.text(max_size=120))
def test_any_text_is_encoded_between_role_and_end(text: str) -> None:
    from tests.conftest import TEXTS
    from training.data.tokenizer import train_tokenizer

    if not hasattr(test_any_text_is_encoded_between_role_and_end, "chat"):
        chat = ChatFormat(train_tokenizer(TEXTS, 300))
        test_any_text_is_encoded_between_role_and_end.chat = chat  # type: ignore[attr-defined]
    chat = test_any_text_is_encoded_between_role_and_end.chat  # type: ignore[attr-defined]
    message = chat.encode("user", text)
    assert len(message.ids) == len(message.sentence) == len(message.offsets)
    assert (message.ids[0], message.ids[-1]) == (chat.user_id, chat.end_id)
    assert not set(message.ids[1:-1]) & chat.special_ids
    assert all(-1 <= s < len(message.sentences) for s in message.sentence)
