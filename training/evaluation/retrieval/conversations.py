"""Conversations with questions for ``retrieval``: three layouts, one shape.

Our own layout is JSONL, one conversation per line: ``{"turns": [{"id", "speaker", "text"}], "questions": [{"question",
"evidence": [turn ids], "category"}]}``. Optional: ``id`` and ``group`` of the conversation (conversations of one group
are resampled together), ``id`` of a question. A question without evidence is unanswerable.

LoCoMo (https://github.com/snap-research/locomo, data/locomo10.json) and BEAM
(https://github.com/mohammadtavakoli78/BEAM, a directory such as chats/100K) are read as published. They are
not bundled, for their licences: download them yourself. In LoCoMo each text begins with its speaker's name, since
the questions use it.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from varda_chat.errors import DataError

Role = Literal["user", "assistant"]

LOCOMO_CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}
UNANSWERABLE = ("adversarial", "abstention", "unanswerable")
"""Categories whose questions have no answer in the conversation, whatever evidence they name."""


@dataclass(frozen=True)
class Said:
    """One turn. ``text`` is what every system indexes."""

    id: str
    role: Role
    text: str


@dataclass(frozen=True)
class Question:
    """A question and the ids of the turns that answer it; none where it is unanswerable."""

    id: str
    text: str
    evidence: tuple[str, ...]
    category: str

    @property
    def answerable(self) -> bool:
        return bool(self.evidence)


@dataclass(frozen=True)
class Conversation:
    """``group``: the unit of the bootstrap; conversations that are not independent of each other share one."""

    id: str
    group: str
    turns: tuple[Said, ...]
    questions: tuple[Question, ...]


def read_conversations(path: Path) -> tuple[Conversation, ...]:
    """The conversations in a LoCoMo ``.json`` file, a BEAM directory or our own ``.jsonl``. Raises DataError where
    there are none or one is malformed."""
    if path.is_dir():
        found = tuple(_beam(path))
    elif path.suffix == ".jsonl":
        found = tuple(_own(path))
    elif path.suffix == ".json":
        found = tuple(_locomo(path))
    else:
        raise DataError(f"{path}: expected LoCoMo's .json file, a BEAM directory or a .jsonl file.")
    if not found:
        raise DataError(f"{path}: there are no conversations with questions here.")
    return found


def with_questions(conversations: Sequence[Conversation], count: int, seed: int) -> tuple[Conversation, ...]:
    """Each conversation with ``count`` of its questions, drawn by ``seed``; with all where it has no more."""
    return tuple(
        replace(each, questions=tuple(random.Random(seed).sample(each.questions, min(count, len(each.questions)))))
        for each in conversations
    )


def _own(path: Path) -> Iterator[Conversation]:
    number = 0
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            record = json.loads(line)
            identity = str(record.get("id", number))
            first = record["turns"][0]["speaker"]
            turns = [
                Said(str(turn["id"]), _role(turn["speaker"], first), str(turn["text"])) for turn in record["turns"]
            ]
            questions = [
                (str(each.get("id", i)), str(each["question"]), list(each["evidence"]), str(each["category"]))
                for i, each in enumerate(record["questions"])
            ]
            yield _conversation(identity, str(record.get("group", identity)), turns, questions)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise DataError(f"{path}, line {number}: not a conversation ({type(error).__name__}: {error}).") from error


def _locomo(path: Path) -> Iterator[Conversation]:
    try:
        for number, record in enumerate(json.loads(path.read_text(encoding="utf-8")), 1):
            said, identity = record["conversation"], str(record.get("sample_id", number))
            sessions = sorted((key for key in said if re.fullmatch(r"session_\d+", key)), key=lambda key: int(key[8:]))
            turns = [
                Said(
                    str(turn["dia_id"]), _role(turn["speaker"], said["speaker_a"]), f"{turn['speaker']}: {turn['text']}"
                )
                for key in sessions
                for turn in said[key]
            ]
            questions = [
                (str(i), str(each["question"]), _dialogue_ids(each.get("evidence") or ()),
                 LOCOMO_CATEGORIES.get(each["category"], str(each["category"])))
                for i, each in enumerate(record["qa"])
            ]  # fmt: skip
            yield _conversation(identity, identity, turns, questions)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: not LoCoMo's layout ({type(error).__name__}: {error}).") from error


def _dialogue_ids(evidence: Sequence[Any]) -> list[str]:
    """Turn ids of LoCoMo's evidence, in which several sometimes share a string ("D8:6; D9:17")."""
    return [
        f"D{int(session)}:{int(turn)}"
        for each in evidence
        for session, turn in re.findall(r"D:?(\d+):(\d+)", str(each))
    ]


def _beam(directory: Path) -> Iterator[Conversation]:
    for place in [directory, *sorted(directory.iterdir(), key=lambda each: (len(each.name), each.name))]:
        chat, probes = place / "chat.json", place / "probing_questions" / "probing_questions.json"
        if not (chat.is_file() and probes.is_file()):
            continue
        try:
            batches = json.loads(chat.read_text(encoding="utf-8"))
            turns = [
                Said(str(turn["id"]), _role(turn["role"], "user"), str(turn["content"]))
                for batch in batches for group in batch["turns"] for turn in group
            ]  # fmt: skip
            questions = [
                (f"{ability}-{i}", str(each["question"]), _numbers(each.get("source_chat_ids")), str(ability))
                for ability, asked in json.loads(probes.read_text(encoding="utf-8")).items()
                for i, each in enumerate(asked)
            ]
            yield _conversation(place.name, place.name, turns, questions)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{place}: not BEAM's layout ({type(error).__name__}: {error}).") from error


def _numbers(value: Any) -> list[str]:
    """The ids in BEAM's ``source_chat_ids``: a number, a list, or lists under the names of their parts."""
    if isinstance(value, dict):
        return [each for part in value.values() for each in _numbers(part)]
    if isinstance(value, list):
        return [each for part in value for each in _numbers(part)]
    return [] if value is None else [str(value)]


def _role(speaker: str, user: str) -> Role:
    if speaker in ("user", "assistant"):
        return "user" if speaker == "user" else "assistant"
    return "user" if speaker == user else "assistant"


def _conversation(
    identity: str, group: str, turns: Sequence[Said], asked: Sequence[tuple[str, str, list[Any], str]]
) -> Conversation:
    """A conversation without empty turns; turns that repeat an id get one of their own, evidence that names no turn is
    dropped, and with all of its evidence the question."""
    ids: set[str] = set()
    kept: list[Said] = []
    for turn in turns:
        identifier = turn.id if turn.id not in ids else f"{turn.id}#{len(kept)}"
        ids.add(identifier)
        if turn.text.strip():
            kept.append(Said(identifier, turn.role, turn.text))
    known = {turn.id for turn in kept}
    questions = []
    for question, text, named, category in asked:
        evidence = tuple(dict.fromkeys(str(each) for each in named if str(each) in known))
        if category in UNANSWERABLE:
            questions.append(Question(question, text, (), category))
        elif evidence:
            questions.append(Question(question, text, evidence, category))
        elif not named:
            questions.append(Question(question, text, (), "unanswerable"))
    return Conversation(identity, group, tuple(kept), tuple(questions))
