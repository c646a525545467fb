"""Replies that may be said by heart, from all hand-written lines that nothing stands before, and judgements of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from training.data.synthetic.wordings import HERE
from training.data.synthetic.written import part_of
from training.tables import check_keys, read_table, texts
from varda_chat.models.claims import makes_claims
from varda_chat.models.known_replies import KnownReply

LONGEST: Final = 140
"""Characters of a line that is known."""
_OF_MEMORY = re.compile(
    r"\b(?:find|found) (?:nothing|anything|no)\b|\bnothing (?:so far|yet)\b"
    r"|\byou (?:(?:have not|haven't) )?(?:told|mentioned)\b"
    r"|\b(?:in my memory|this chat|last time|tell me again|say it once more)\b",
    re.IGNORECASE,
)
"""Says what memory holds or does not hold, which nobody knows of a line that was not asked about yet."""


@dataclass(frozen=True)
class Wordings:
    """Lines that mean the same, or that the same reply fits, and that reply."""

    lines: tuple[str, ...]
    reply: str


@dataclass(frozen=True)
class Offers:
    """A line, and known replies with whether each fits it."""

    line: str
    offers: tuple[tuple[KnownReply, bool], ...]


def load_wordings(directory: Path = HERE) -> tuple[Wordings, ...]:
    """The replies that were written for several lines. Raises DataError naming file and line of a bad entry."""
    return read_table(directory / "wording_replies.jsonl", _wordings)


def load_offers(*, validation: bool, directory: Path = HERE) -> tuple[Offers, ...]:
    """The judged replies of the training part, or of the held-out one. Raises DataError likewise."""
    rows = read_table(directory / "fitting.jsonl", _offers)
    return tuple(each for _, each in part_of(rows, validation=validation))


def load_known(exchanges: tuple[str, ...], dialogues: tuple[str, ...], preferences: tuple[str, ...],
               directory: Path = HERE) -> tuple[KnownReply, ...]:  # fmt: skip
    """Every line that is known, once, with its reply: those with several wordings, and what stands first in these
    tables."""
    found = [KnownReply(line, each.reply) for each in load_wordings(directory) for line in each.lines]
    for name in exchanges:
        found += read_table(directory / f"{name}.jsonl", lambda entry: KnownReply(entry["user"], entry["reply"]))
    for name in dialogues:
        first = read_table(directory / f"{name}.jsonl", lambda entry: entry["turns"][:2])
        found += [KnownReply(line, reply) for (_, line), (_, reply) in first]
    for name in preferences:
        for entry in read_table(directory / f"{name}.jsonl", dict):
            if not entry.get("said") and not entry.get("found") and entry["status"] in ("nothing", "stored"):
                found.append(KnownReply(entry["user"], entry["better"][-1]))
    once: dict[str, KnownReply] = {}
    for each in found:
        if len(each.line) <= LONGEST and not speaks_of_memory(each.reply):
            once.setdefault(_plain(each.line), each)
    return tuple(once.values())


def speaks_of_memory(reply: str) -> bool:
    """Whether ``reply`` says that something will be remembered, was deleted, or is or is not known of the person."""
    return makes_claims(reply, "nothing") or _OF_MEMORY.search(reply) is not None


def _plain(line: str) -> str:
    return "".join(each for each in line.lower() if each.isalnum() or each == " ").strip()


def _wordings(entry: dict[str, Any]) -> Wordings:
    check_keys(entry, ("lines", "reply"))
    lines = texts(entry, "lines")
    if len(lines) < 2 or not str(entry["reply"]).strip():
        raise ValueError(f"{entry['reply']!r}: two lines and a reply are needed")
    return Wordings(lines, str(entry["reply"]))


def _offers(entry: dict[str, Any]) -> Offers:
    check_keys(entry, ("line", "offers"))
    offers = tuple((KnownReply(str(near), str(reply)), bool(fits)) for near, reply, fits in entry["offers"])
    if not offers:
        raise ValueError(f"{entry['line']!r}: no reply is offered")
    return Offers(str(entry["line"]), offers)
