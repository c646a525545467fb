"""Hand-written lines that tell several things, most of which lean on one before: what each is read with later."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.data.synthetic.wordings import HERE
from training.data.synthetic.written import part_of
from training.tables import check_keys, read_table, texts
from varda_chat.memory.antecedents import MOST_BEFORE, in_context, leans, leant_on
from varda_chat.models.chat_format import sentence_spans

KEYS = ("line", "told", "near")
TOLD_KEYS = ("text", "leans", "value", "ask", "answer", "end", "end_kind", "forget")


@dataclass(frozen=True)
class Told:
    """One thing that a line tells. read: it behind those that it leans on, as the model reads it; value: what a right
    answer holds, of ``text`` or of what that leans on; ask: questions for it; answer: a reply to the first; end: a line
    that ends it and nothing else that is told, end_kind: "correct" or "forget"; forget: a plain request."""

    text: str
    read: str
    value: str
    ask: tuple[str, ...]
    answer: str
    end: str
    end_kind: str
    forget: str

    def holds_value(self, read: str) -> bool:
        """Whether ``read`` says what is asked for."""
        return self.value.lower() in read.lower()


@dataclass(frozen=True)
class Telling:
    """A line, what it tells, and questions in like words that nothing in it answers."""

    line: str
    told: tuple[Told, ...]
    near: tuple[str, ...]


def load_tellings(*, validation: bool, directory: Path = HERE) -> tuple[Telling, ...]:
    """The training part, or the held-out one. Raises DataError naming file and line of a bad entry."""
    rows = read_table(directory / "leaning.jsonl", _telling)
    return tuple(row for _, row in part_of(rows, validation=validation))


def _telling(entry: dict[str, Any]) -> Telling:
    check_keys(entry, KEYS)
    line, told = str(entry["line"]), sorted(entry["told"], key=lambda each: entry["line"].find(each["text"]))
    for each in told:
        check_keys(each, TOLD_KEYS)
        if each["text"] not in line or each["leans"] not in line:
            raise ValueError(f"{each['text']!r}: it and what it leans on must be words of the line")
        if each["end_kind"] not in ("correct", "forget"):
            raise ValueError(f"{each['end']!r}: the end_kind must be correct or forget")
    spans = sentence_spans(line)
    sentences = [line[start:end].strip() for start, end in spans]
    places = [_sentence_of(line, spans, each) for each in told]
    stored = {*places, *leant_on(sentences, places)}
    read = {place: in_context(_before(sentences, stored, place), sentences[place]) for place in places}
    return Telling(
        line,
        tuple(
            Told(
                sentences[place], read[place], each["value"], texts(each, "ask"), each["answer"], each["end"],
                each["end_kind"], each["forget"],
            )
            for place, each in zip(places, told, strict=True)
        ),
        texts(entry, "near"),
    )  # fmt: skip


def _sentence_of(line: str, spans: Sequence[tuple[int, int]], told: dict[str, Any]) -> int:
    """The place of the sentence that tells it: of those that it is a part of, the one that holds the value, if any."""
    start = line.find(told["text"])
    overlapping = [place for place, (a, b) in enumerate(spans) if a < start + len(told["text"]) and b > start]
    return next((each for each in overlapping if told["value"] in line[slice(*spans[each])]), overlapping[0])


def _before(sentences: Sequence[str], stored: Collection[int], place: int) -> list[str]:
    """Those of ``sentences`` that the one at ``place`` is read behind: of those that are stored, the ones right before
    it."""
    kept: list[str] = []
    while len(kept) < MOST_BEFORE and leans(sentences[place]) and place - 1 in stored:
        place -= 1
        kept.insert(0, sentences[place])
    return kept
