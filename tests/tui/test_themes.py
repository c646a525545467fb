"""Our own themes are legible: every colour of words, on every ground they stand on, by WCAG 2.2 (AA)."""

from __future__ import annotations

import pytest
from textual.color import Color
from textual.theme import Theme

from varda_chat.tui.themes import VARDA_DARK, VARDA_LIGHT

WORDS, EDGES = 4.5, 3.0
"""The least contrast of words (1.4.3), and of the edge of what has the focus (1.4.11)."""
COLOURS = ("foreground", "text-muted", "quiet", "primary", "secondary", "accent", "success", "warning", "error")
GROUNDS = ("background", "surface", "panel", "boost")
OURS = pytest.mark.parametrize("theme", [VARDA_DARK, VARDA_LIGHT], ids=lambda theme: theme.name)


def colour(theme: Theme, name: str) -> Color:
    """A colour of ``theme``, which we give ourselves."""
    found = theme.variables.get(name) or getattr(theme, name.replace("-", "_"))
    return Color.parse(found)


def contrast(one: Color, other: Color) -> float:
    """The contrast ratio of WCAG, 1 to 21."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(of: Color) -> float:
    """The relative luminance of WCAG, 0 to 1."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in of.normalized]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_measure_is_that_of_the_standard() -> None:
    assert contrast(Color.parse("#fff"), Color.parse("#000")) == pytest.approx(21.0)
    assert contrast(Color.parse("#777"), Color.parse("#fff")) == pytest.approx(4.48, abs=0.01)


@OURS
def test_words_can_be_read_on_every_ground(theme: Theme) -> None:
    measured = {
        f"{word} on {ground}": contrast(colour(theme, word), colour(theme, ground))
        for word in COLOURS
        for ground in GROUNDS
    }
    cursors = (("block-cursor-foreground", "block-cursor-background"), ("background", "accent"))
    measured |= {f"{word} on {on}": contrast(colour(theme, word), colour(theme, on)) for word, on in cursors}
    assert {what: ratio for what, ratio in measured.items() if ratio < WORDS} == {}


@OURS
def test_marked_words_can_be_read(theme: Theme) -> None:
    marks, share = theme.variables["screen-selection-background"].split()
    for ground in GROUNDS:
        marked = colour(theme, ground).blend(Color.parse(marks), float(share.rstrip("%")) / 100)
        assert contrast(colour(theme, "foreground"), marked) >= WORDS


@OURS
def test_what_has_the_focus_has_an_edge_that_can_be_seen(theme: Theme) -> None:
    for ground in ("background", "panel"):
        assert contrast(colour(theme, "border"), colour(theme, ground)) >= EDGES
