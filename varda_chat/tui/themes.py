"""Varda's own colours: a night sky with one gold star, and the same by daylight on paper."""

from __future__ import annotations

from textual.color import Color
from textual.theme import BUILTIN_THEMES, Theme

from varda_chat.config.defaults import DEFAULT_THEME
from varda_chat.errors import VardaError

VARDA_DARK = Theme(
    name=DEFAULT_THEME,
    dark=True,
    primary="#8fa8ff",
    secondary="#9d8cf0",
    accent="#f3c677",
    success="#86d9a5",
    warning="#f2b27a",
    error="#f48b93",
    foreground="#d9deea",
    background="#0d1017",
    surface="#171c28",
    panel="#11151f",
    boost="#1d2331",
    variables={
        "quiet": "#818ba3",
        "line": "#262d3d",
        "text-muted": "#a2abc0",
        "border": "#5b6cab",
        "border-blurred": "#262d3d",
        "input-cursor-background": "#f3c677",
        "input-cursor-foreground": "#0d1017",
        "input-selection-background": "#8fa8ff 35%",
        "screen-selection-background": "#8fa8ff 35%",
        "scrollbar": "#2b3346",
        "scrollbar-hover": "#3d4863",
        "scrollbar-active": "#8fa8ff",
        "scrollbar-background": "#0d1017",
        "scrollbar-background-hover": "#0d1017",
        "scrollbar-background-active": "#0d1017",
        "link-color": "#8fa8ff",
        "block-cursor-background": "#3a4a86",
        "block-cursor-foreground": "#f4f6fc",
    },
)

VARDA_LIGHT = Theme(
    name="varda-light",
    dark=False,
    primary="#3d55c4",
    secondary="#6b4fc0",
    accent="#8c5a08",
    success="#1c7344",
    warning="#9a520f",
    error="#b32b3d",
    foreground="#262b38",
    background="#fcfbf8",
    surface="#efeee8",
    panel="#f5f4ef",
    boost="#e8e6de",
    variables={
        "quiet": "#60667a",
        "line": "#dcd9cf",
        "text-muted": "#4f5666",
        "border": "#7789d8",
        "border-blurred": "#d3d0c5",
        "input-cursor-background": "#8c5a08",
        "input-cursor-foreground": "#fcfbf8",
        "input-selection-background": "#3d55c4 25%",
        "screen-selection-background": "#3d55c4 25%",
        "scrollbar": "#d3d0c5",
        "scrollbar-hover": "#bbb7a9",
        "scrollbar-active": "#3d55c4",
        "scrollbar-background": "#fcfbf8",
        "scrollbar-background-hover": "#fcfbf8",
        "scrollbar-background-active": "#fcfbf8",
        "link-color": "#3d55c4",
        "block-cursor-background": "#3d55c4",
        "block-cursor-foreground": "#fcfbf8",
    },
)

KNOWN = tuple(sorted((*BUILTIN_THEMES, VARDA_DARK.name, VARDA_LIGHT.name)))
"""The names of all themes there are."""

_QUIET, _LINE = 0.6, 0.18


def checked_theme(name: str) -> str:
    """``name``, if there is such a theme; raises VardaError where there is none."""
    if name not in KNOWN:
        raise VardaError(f"There is no theme {name!r}; choose one of {', '.join(KNOWN)}.")
    return name


def own_variables(theme: Theme) -> dict[str, str]:
    """Our variables for a theme that is not ours: its own foreground, dimmed."""
    colours = theme.to_color_system().generate()
    foreground, background = Color.parse(colours["foreground"]), Color.parse(colours["background"])
    if theme.ansi or foreground.ansi is not None or background.ansi is not None:
        return {"quiet": "ansi_bright_black", "line": "ansi_bright_black"}
    return {
        "quiet": background.blend(foreground, _QUIET).hex,
        "line": background.blend(foreground, _LINE).hex,
    }
