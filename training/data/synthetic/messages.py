"""Messages of fact episodes: tellings, questions and answers, with the places of their values."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from training.data.episodes import NONE
from training.data.synthetic.noise import hasty
from training.data.synthetic.templates import render
from training.data.synthetic.wordings import WORDINGS


@dataclass
class Span:
    """Characters of a message with something to learn: a told value (of ``statement``), or a spoken one."""

    start: int
    end: int
    statement: int
    told: bool


@dataclass
class Message:
    """probe: what the message's first states should find: a statement, NULL, or nothing in particular."""

    role: str
    text: str
    spans: list[Span] = field(default_factory=list)
    probe: int = NONE


Parts = list[tuple[str, int]]
"""Pieces of a text, each with the statement whose value it is, or NONE."""


def user_message(rng: random.Random, parts: Sequence[tuple[str, int]]) -> Message:
    """A user's message of ``parts``; some are typed in haste."""
    style = hasty(rng) if rng.random() < 0.25 else None
    message = Message("user", "")
    for text, statement in parts:
        if style and statement == NONE:
            text = style(text)
        start = len(message.text)
        message.text += text
        if statement != NONE:
            message.spans.append(Span(start, len(message.text), statement, told=True))
    return message


def statement_parts(template: str, value: str, statement: int) -> Parts:
    """The ``template`` filled with ``value``, in parts."""
    text = render(template, value)
    start = find(text, value)
    end = start + len(value)
    return [(text[:start], NONE), (text[start:end], statement), (text[end:], NONE)]


def telling(rng: random.Random, template: str, value: str, statement: int) -> Message:
    """A user's message that tells ``value`` by ``template``, some with words before or behind."""
    parts = statement_parts(template, value, statement)
    if rng.random() < 0.25:
        parts.insert(0, (rng.choice(WORDINGS["lead"]), NONE))
    if rng.random() < 0.15 and parts[-1][0][-1:] in (".", "!"):
        parts.append((rng.choice(WORDINGS["tail"]), NONE))
    return user_message(rng, parts)


def typed(rng: random.Random, value: str) -> str:
    """A value as a user types it: now and then in small letters."""
    return value.lower() if rng.random() < 0.08 else value


def spoken(text: str, value: str, statement: int, behind: int = 0) -> Span:
    """Where ``value`` stands in a reply, after position ``behind``."""
    start = behind + find(text[behind:], value)
    return Span(start, start + len(value), statement, told=False)


def find(text: str, value: str) -> int:
    """Where ``value`` starts in ``text``, however it is capitalised there; raises ValueError if it is not there."""
    start = text.find(value)
    if start < 0:
        start = text.lower().find(value.lower())
    if start < 0:
        raise ValueError(f"{value!r} is not in {text!r}")
    return start
