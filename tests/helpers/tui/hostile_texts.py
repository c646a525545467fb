"""Hostile texts, the worst that were found, and what must be true of any screen that shows them."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from textual.pilot import Pilot

PARTS = st.sampled_from(
    [
        "[/]", "[/x]", "[red]", "[@click=app.quit]", "[b]x[/b]", "[link=file:///etc]", "\\[", "[[", "]", "$accent",
        "\x1b[2J", "\x1b]52;c;aGk=\x07", "\x1b]8;;http://x\x1b\\", "\x9b31m", "\x1bP", "\x07", "\x00", "\x7f", "\r",
        "\u202e", "\u2066", "\u200b", "\ufeff", "\ud800", "\U000e0041", "\ufffd", "e\u0301" * 20, "👩\u200d👩\u200d👧",
        "# ", "```", "~~~\n", "| a | b |\n|--|--|\n| [/c] | d |\n", "- [ ] x\n", "> ", "1. ", "***", "<b>x</b>",
        "[x](javascript:1)", "![i](y)", "<http://x>", "&lt;", "\n\n", "\t", "words ", "ぁ" * 50, "x" * 300, "مرحبا",
        "{}",
    ]
)  # fmt: skip
TEXTS = st.lists(st.one_of(PARTS, st.text(max_size=12)), max_size=14).map("".join)
FORBIDDEN = {*map(chr, (*range(0x20), *range(0x7F, 0xA0))), *"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"}


def check(pilot: Pilot[None]) -> None:
    """No control code is on the screen, and no link or action that a text made for itself."""
    for strip in pilot.app.screen._compositor.render_strips():
        for segment in strip:
            assert not FORBIDDEN & set(segment.text), segment
            if segment.style is not None:
                assert segment.style.link is None
                act = (segment.style.meta or {}).get("@click", "")
                assert act == "" or act.startswith("link("), act  # a link of Markdown's, which is only copied


@given(TEXTS, TEXTS, TEXTS)
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
def fuzz(one: str, two: str, three: str) -> None:
    """Collected by ``examples``: hypothesis makes the texts, the app runs once for all of them."""
    _FOUND.append((one, two, three))


_FOUND: list[tuple[str, str, str]] = []


def examples() -> list[tuple[str, str, str]]:
    """Triples of hostile texts."""
    _FOUND.clear()
    fuzz()
    return list(_FOUND)
