"""Sums are worked out where a line asks for one, and nothing else is taken for a sum."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from varda_chat.session.sums import worked_out


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("What's 8 plus 5?", "That's 13."),
        ("what is 14 times 38", "That's 532."),
        ("3 + 4", "That's 7."),
        ("12 x 12", "That's 144."),
        ("7 × 8 =", "That's 56."),
        ("20 - 6 = ?", "That's 14."),
        ("How much is a quarter of 60?", "That's 15."),
        ("how much is 15% of 80", "That's 12."),
        ("what is 30 percent of 90, please?", "That's 27."),
        ("Hey Varda, what's 100 divided by 7?", "That's about 14.2857."),
        ("calculate (2 + 3) * 4", "That's 20."),
        ("what's 9 squared", "That's 81."),
        ("Could you work out 1,250 + 2,750?", "That's 4,000."),
        ("what is 5 minus 12?", "That's -7."),
        ("0.1 + 0.2", "That's 0.3."),
        ("what's 5 divided by 0?", "Nothing can be divided by zero."),
        ("twice 45?", "That's 90."),
        ("2 ^ 10", "That's 1,024."),
    ],
)
def test_a_sum_is_worked_out(line: str, reply: str) -> None:
    assert worked_out(line) == reply


@pytest.mark.parametrize(
    "line",
    [
        "42", "What is 42?", "2026-01-01", "we lost 4-1", "what is 24/7?", "what's 9/11", "7 - 5", "20 / 10",
        "call me on 555 - 0199", "my flat is 3 + kitchen", "what is love", "half of it", "how much is that?",
        "what's 3 plus a friend", "I am 34", "12:30", "+49 170 1234567", "()", "1 + ", "what is 2 ** 9999",
        "9 ** 9 ** 9", "what is " + "1 + " * 40 + "1", "()()", "what's 1 + 1 and who is Bob?", "__import__('os')",
        "5 +", "1000000000000000 * 10", "", " ", "((((((1 + 1", "0777 + 1", "1.2.3 + 4",
    ],
)  # fmt: skip
def test_nothing_else_is_a_sum(line: str) -> None:
    assert worked_out(line) is None


@given(st.text(alphabet="0123456789 +-*/().x%=?whatisof", max_size=90))
def test_no_line_breaks_it(line: str) -> None:
    reply = worked_out(line)
    assert reply is None or reply.startswith(("That's ", "Nothing can"))
