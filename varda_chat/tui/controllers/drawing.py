"""What ``/set`` does, on the screen and line by line."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from varda_chat.config.settings import check_drawn, drawing, drawn_typed, setting_typed

if TYPE_CHECKING:
    from varda_chat.config.defaults import GenerationSettings


def change_drawing(now: GenerationSettings, text: str) -> tuple[GenerationSettings, str]:
    """How answers are drawn after what is typed behind ``/set``, and the line that says so. Raises VardaError, which
    names what can be set, and to what."""
    name, value = setting_typed(text)
    if not name:
        return now, f"Now: {drawing(now)}. /set NAME VALUE changes one for this session."
    check_drawn(name)
    if not value:
        return now, f"{name} is {getattr(now, name):.10g}."
    changed = replace(now, **{name: drawn_typed(name, value)})
    return changed, f"{name} is {getattr(changed, name):.10g} in this session."
