"""Messages as tokens: sentences, offsets, hostile text."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from varda_chat.models.chat_format import ChatFormat, sentence_spans


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("My dog is called Rimba. My cat is Tom!", ["My dog is called Rimba.", "My cat is Tom!"]),
        ("Hi Dr. Smith! ok", ["Hi Dr. Smith!", "ok"]),
        ("My doctor is J. R. Hart. Bye", ["My doctor is J. R. Hart.", "Bye"]),
        ("one\ntwo\n\nthree", ["one", "two", "three"]),
        ("It costs 3.50 now. Really?!  Yes", ["It costs 3.50 now.", "Really?!", "Yes"]),
        ("", []),
        ("My dog is called Rimba and my cat is Tom.", ["My dog is called Rimba", "and my cat is Tom."]),
        (
            "I live in Oslo, but my sister lives in Rome; my gran is in Bonn",
            ["I live in Oslo,", "but my sister lives in Rome;", "my gran is in Bonn"],
        ),
        ("My dog and my cat are asleep on the sofa.", ["My dog and my cat are asleep on the sofa."]),
        ("I love my dog and my cat.", ["I love my dog and my cat."]),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    assert [text[start:end].strip() for start, end in sentence_spans(text)] == sentences


@given(st.text(max_size=200))
def test_spans_cover_any_text_in_order(text: str) -> None:
    spans = sentence_spans(text)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(spans))
    assert not spans or (spans[0][0], spans[-1][1]) == (0, len(text))


@pytest.mark.timeout(60)
def test_pasted_punctuation_takes_no_minutes() -> None:
    """A pattern that looks back over a run of stops would take ten."""
    assert sentence_spans("!" * 200_000) == [(0, 200_000)]


@given(text=st.text(max_size=120))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_encoded_between_role_and_end(chat_format: ChatFormat, text: str) -> None:
    message = chat_format.encode("user", text)
    assert len(message.ids) == len(message.sentence) == len(message.offsets)
    assert (message.ids[0], message.ids[-1]) == (chat_format.user_id, chat_format.end_id)
    assert not set(message.ids[1:-1]) & chat_format.special_ids
    assert all(-1 <= s < len(message.sentences) for s in message.sentence)


def test_words_and_marks_are_numbered(chat_format: ChatFormat) -> None:
    text = "my sister-in-law's Tefliten at 6:05, 3.5% of 日本!"
    message = chat_format.encode("user", text)
    words: dict[int, tuple[int, int]] = {}
    for number, (start, end) in zip(message.word[1:-1], message.offsets[1:-1], strict=True):
        words[number] = (min(start, words.get(number, (start, 0))[0]), end)
    said = [text[start:end].strip() for _, (start, end) in sorted(words.items())]
    assert "".join(said) == text.replace(" ", "")
    assert {"my", "sister-in-law", "Tefliten", "at", "6:05", ",", "3.5", "%", "of", "日本", "!"} <= set(said)
    assert message.word[0] == message.word[-1] == -1
