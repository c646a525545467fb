"""Text: made safe to show, idempotently and without a change to ordinary text; and how a count is worded."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from varda_chat.text import counted, numbered, one_line, sanitize, split_unfinished, times, were

NASTY = (
    "\x1b\x07\x9b\x9d\x90\x9c\r\n\t\v\f\x85\x00\x7f[]PX^_\\;0123mHJK?52c"
    "\u200b\u200c\u200d\u200e\u202e\u2066\u2069\u2028\ufe0e\ufe0f\ufeff\u00ad\U000e0041\ud800\udfff"
    "e\u0301\u0327K\u212a\u2126\u1100\u1161\u0646\u06cc\u0915\u094d❤🔥👩🏽💻 "
)
hostile = st.one_of(st.text(alphabet=NASTY, max_size=40), st.text(st.characters(), max_size=40))


@given(hostile)
def test_sanitizing_twice_changes_nothing(text: str) -> None:
    once = sanitize(text)
    assert sanitize(once) == once


@given(hostile)
def test_no_control_code_survives(text: str) -> None:
    for char in sanitize(text):
        category = unicodedata.category(char)
        assert category != "Cs"
        assert category != "Cc" or char in "\n\t"
        assert char not in "\u200b\u200e\u200f\u2028\u2029\ufeff"
        assert not "\u202a" <= char <= "\u202e"
        assert not "\u2060" <= char <= "\u206f"
        assert not "\U000e0000" <= char <= "\U000e0fff"


@given(hostile)
def test_the_result_is_composed_and_can_be_encoded(text: str) -> None:
    clean = sanitize(text)
    assert unicodedata.is_normalized("NFC", clean)
    clean.encode("utf-8")


@given(hostile, st.integers(1, 30))
def test_one_line_is_one_short_clean_line(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert "\n" not in line
    assert "\t" not in line
    assert len(line) <= limit
    assert sanitize(line) == line


@given(hostile)
def test_a_split_loses_nothing(text: str) -> None:
    ready, held = split_unfinished(text)
    assert ready + held == text


@pytest.mark.parametrize(
    ("dirty", "clean"),
    [
        ("plain [bold]text[/bold]\tand\nlines", "plain [bold]text[/bold]\tand\nlines"),
        ("a\x1b[31;1mred\x1b[0m b", "ared b"),
        ("a\x9b2Jb", "ab"),
        ("a\x1b]52;c;aGk=\x07b", "ab"),
        ("a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\b", "alinkb"),
        ("a\x1bPq#0\n1\x1b\\b", "ab"),
        ("a\x1b]0;never ended\nnext line", "a\nnext line"),
        ("a\x1b(0b\x1b7c\x1bcd\x1b", "abcd"),
        ("one\r\ntwo\rthree\u2028four", "one\ntwo\nthree\nfour"),
        ("user\u202egnp.exe", "usergnp.exe"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("tag\U000e0041\U000e0042", "tag"),
        ("a\u200db", "ab"),
        ("e\u0301", "é"),
        ("lone \ud83d", "lone \ufffd"),
        ("👩🏽\u200d💻 ❤\ufe0f\u200d🔥 1\ufe0f⃣", "👩🏽\u200d💻 ❤\ufe0f\u200d🔥 1\ufe0f⃣"),
        ("می\u200cخواهم", "می\u200cخواهم"),
    ],
)
def test_examples(dirty: str, clean: str) -> None:
    assert sanitize(dirty) == clean


def test_a_sequence_cut_by_a_chunk_border_is_held_back() -> None:
    shown, held = "", ""
    for chunk in ["a\x1b", "[3", "1mred\r", "\nb\x1b]52;c;", "aGk=", "\x07c"]:
        ready, held = split_unfinished(held + chunk)
        shown += sanitize(ready)
    assert (shown, held) == ("ared\nbc", "")


@pytest.mark.parametrize("piece", ["\x9d\n", "\x1b]", "\x1b[", "\x1b]\n", "\x90a"])
def test_time_is_linear_on_unfinished_sequences(piece: str) -> None:
    start = time.perf_counter()
    sanitize(piece * 200_000)
    assert time.perf_counter() - start < 5


def test_one_line_wants_room() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        one_line("text", 0)


@pytest.mark.parametrize(
    ("count", "told", "in_a_column", "recalled"),
    [
        (0, "0 memories were", "    0 memories", "never"),
        (1, "1 memory was", "    1 memory  ", "once"),
        (2, "2 memories were", "    2 memories", "2 times"),
        (1284, "1,284 memories were", "1,284 memories", "1,284 times"),
    ],
)
def test_counts(count: int, told: str, in_a_column: str, recalled: str) -> None:
    assert f"{numbered(count, 'memory')} {were(count)}" == told
    assert counted(count, "memory", 5) == in_a_column
    assert times(count) == recalled


def test_other_nouns() -> None:
    assert numbered(2, "statement") == "2 statements"
    assert counted(1, "vector", 3) == "  1 vector "
