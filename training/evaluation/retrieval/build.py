"""Builds a retrieval set for development: ``varda-eval build-retrieval --data-dir DIR OUT``.

Conversations are the sessions of the pairs of people in ``msc.valid`` that are held out from training. Questions are
made by templates from the user's persona facts; the evidence is every turn of the user that states such a fact, found
by its words. Each pair gives two conversations, one for each speaker as the user; they share a group, so the bootstrap
resamples them together. Up to three questions per conversation are unanswerable: their topic never comes up.

Everything is automatic and somewhat noisy, and most questions repeat words of the fact, which favors BM25. Use the set
to choose between settings of one system, not for figures that are reported.
"""

from __future__ import annotations

import json
import lzma
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.data.sources.corpora import Dialogue, is_validation
from varda_chat.errors import DataError

SOURCE = "msc.valid"
MOST_UNANSWERABLE = 3
SHARE_STATED = 0.6
"""A turn states a fact when it contains at least this share of the fact's content words."""

_JOBS = (
    "teacher|nurse|student|manager|engineer|doctor|artist|writer|lawyer|driver|cook|chef|musician|programmer|accountant"
    "|farmer|mechanic|librarian|vet|waiter|waitress|designer"
)
_RELATIVES = "husband|wife|mom|mother|dad|father|brother|sister|son|daughter|girlfriend|boyfriend|friend"
TEMPLATES: tuple[tuple[str, str, str], ...] = (
    (r"my favou?rite ([\w ]+?) (?:is|are) ", "What is my favorite {0}?", "favorite"),
    (r"my name is ", "What is my name?", "name"),
    (r"my ([\w' -]+?) (?:is|was|are|were) (?:named|called) ", "What is my {0} called?", "name"),
    (rf"my ({_RELATIVES})s?\b", "What do you know about my {0}?", "family"),
    (r"i have ([\w-]+) (kids|children|sons|daughters|brothers|sisters|siblings|dogs|cats|pets|jobs)\b",
     "How many {1} do I have?", "number"),
    (r"i (?:live|am living|moved) (?:in|to|near|on) ", "Where do I live?", "place"),
    (r"i (?:grew up|was born|was raised) ", "Where did I grow up?", "place"),
    (r"i (?:am|come) (?:originally )?from ", "Where am I from?", "place"),
    (r"i (?:work|worked|am working) ", "Where do I work?", "work"),
    (rf"i am (?:an? )(?:[\w-]+ ){{0,2}}(?:{_JOBS})\b", "What do I do for a living?", "work"),
    (r"i stud(?:y|ied) |i am studying ", "What did I study?", "work"),
    (r"i am allergic ", "What am I allergic to?", "health"),
    (r"i am (?:afraid|scared) ", "What am I afraid of?", "health"),
    (r"i am (?:married|single|divorced|engaged)\b", "Am I married?", "family"),
    (r"i (drive|collect|speak|teach|drink|cook|bake|grow) ", "What do I {0}?", "activity"),
    (r"i (?:want|would like|hope|plan|am going|am planning) to (\w+) (.+)", "Am I going to {0} {1}?", "yes or no"),
    (r"i (?:really )?(like|love|enjoy|hate|dislike|have|own|play|watch|read|eat|need|go|use|make) (.+)",
     "Do I {0} {1}?", "yes or no"),
    (r"i (?:do not|don't) (\w+) (.+)", "Do I {0} {1}?", "yes or no"),
    (r"i am (.+)", "Am I {0}?", "yes or no"),
    (r"my ([\w' -]+?) (?:is|are|was|were) ", "What do you know about my {0}?", "possession"),
)  # fmt: skip
"""Pattern on a persona fact in lower case, the question for it, its category. The first that fits is taken; facts with
the same question share it."""

UNANSWERABLE: tuple[tuple[str, str], ...] = (
    ("What am I allergic to?", "allerg"),
    ("What instrument do I play?", "guitar|piano|violin|drum|instrument|band"),
    ("What is my sister called?", "sister"),
    ("When is my birthday?", "birthday|born"),
    ("What car do I drive?", "car|truck|drive"),
    ("What is my shoe size?", "shoe"),
    ("Who is my dentist?", "dentist|teeth"),
    ("What language am I learning?", "language|french|spanish|german"),
    ("What is my cat called?", "cat|kitten"),
    ("Which team do I support?", "team|football|soccer|baseball"),
    ("What am I afraid of?", "afraid|scared|fear"),
    ("What is my boss called?", "boss|manager"),
)
"""Questions and what may not occur anywhere for them to be unanswerable."""

_STOP = frozenset(
    """
    a about also am an and any are as at be been being but by can did do does don't enjoy for from had has have he
    her his i i'm i've in is it it's its just like likes love many me more much my not of on or our really she so
    some than that the their then there they this to too very want was we were what when where which who will with
    would you your
    """.split()  # noqa: SIM905 - a list of words reads better as text
)


@dataclass(frozen=True)
class Turn:
    """A turn of one session; ``id`` is "session:number"."""

    id: str
    speaker: str
    text: str


@dataclass(frozen=True)
class Session:
    """One session of a pair of people: what is known of each of them, and its turns."""

    number: int
    facts: dict[str, list[str]]
    turns: list[tuple[str, str]]


def build(data_dir: Path, seed: int = 0) -> list[dict[str, Any]]:
    """The records of the set, in the layout that ``conversations`` documents. Raises DataError where the corpus is
    missing, damaged, or without its sessions' numbers and personas."""
    path = data_dir / f"{SOURCE}.jsonl.xz"
    if not path.exists():
        raise DataError(f"{path} is missing. Give the directory that contains it with --data-dir.")
    pairs: dict[str, list[Session]] = {}
    number = 0
    try:
        with lzma.open(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):  # noqa: B007 - the handlers below name it
                record = json.loads(line)
                if is_validation(Dialogue("msc", str(record["id"]), ())):
                    pairs.setdefault(str(record["id"]).rsplit("_", 1)[-1], []).append(_session(record))
    except (EOFError, lzma.LZMAError) as error:
        raise DataError(f"{path} is damaged after line {number} ({error}). Fetch it again.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}, line {number}: not a session with its number and personas ({type(error).__name__}: {error}). "
            "Remove the file and fetch it again: varda-train prepare msc."
        ) from error
    found = []
    for pair, sessions in sorted(pairs.items()):
        sessions.sort(key=lambda session: session.number)
        for user in ("user", "assistant"):
            conversation = _conversation(f"msc-{pair}", sessions, user, seed)
            if conversation["questions"]:
                found.append(conversation)
    return found


def write(data_dir: Path, out: Path, seed: int = 0) -> tuple[int, int]:
    """Write the set to ``out``; the numbers of conversations and questions."""
    records = build(data_dir, seed)
    if not records:
        raise DataError(f"{data_dir}: no conversation of {SOURCE} is held out.")
    lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    out.write_text("".join(lines), encoding="utf-8")
    return len(records), sum(len(record["questions"]) for record in records)


def questions_about(facts: Iterable[str]) -> dict[str, tuple[str, list[str]]]:
    """Questions for persona facts: text -> (category, the facts that it asks for). Facts without a template are left
    out."""
    found: dict[str, tuple[str, list[str]]] = {}
    for fact in dict.fromkeys(sentence for each in facts for sentence in _sentences(each)):
        plain = fact.casefold().replace("i'm ", "i am ").replace("i've ", "i have ").rstrip(".!")
        for pattern, question, category in TEMPLATES:
            if match := re.match(pattern, plain):
                found.setdefault(question.format(*match.groups()), (category, []))[1].append(fact)
                break
    return found


def states(turn: str, fact: str) -> bool:
    """Whether ``turn`` contains most content words of ``fact``."""
    wanted = _content(fact)
    return bool(wanted) and len(wanted & _content(turn)) >= max(min(2, len(wanted)), SHARE_STATED * len(wanted))


def _session(record: Any) -> Session:
    return Session(
        int(record["session"]),
        {who: list(record["personas"][who]) for who in ("user", "assistant")},
        [(turn["speaker"], turn["text"]) for turn in record["turns"]],
    )


def _conversation(group: str, sessions: Sequence[Session], user: str, seed: int) -> dict[str, Any]:
    turns = [
        Turn(f"{session.number}:{i}", "user" if speaker == user else "assistant", text)
        for session in sessions
        for i, (speaker, text) in enumerate(session.turns)
    ]
    said = [turn for turn in turns if turn.speaker == "user"]
    questions = []
    facts = [fact for session in sessions for fact in session.facts[user]]
    for question, (category, stated) in questions_about(facts).items():
        evidence = [turn.id for turn in said if any(states(turn.text, fact) for fact in stated)]
        if evidence:
            questions.append({"question": question, "evidence": evidence, "category": category})
    everything = " ".join([*(turn.text for turn in turns), *facts]).casefold()
    missing = [question for question, words in UNANSWERABLE if not re.search(rf"\b(?:{words})", everything)]
    random.Random(f"{seed}/{group}/{user}").shuffle(missing)
    if questions:
        questions += [
            {"question": each, "evidence": [], "category": "unanswerable"} for each in missing[:MOST_UNANSWERABLE]
        ]
    return {
        "id": f"{group}-{user}",
        "group": group,
        "turns": [{"id": turn.id, "speaker": turn.speaker, "text": turn.text} for turn in turns],
        "questions": questions,
    }


def _sentences(text: str) -> list[str]:
    return [part.strip() for part in re.split(r"(?<=[.!?])\s+", text) if part.strip()]


def _content(text: str) -> set[str]:
    """The content words of a text, without common endings."""
    words = re.findall(r"[a-z0-9']+", text.casefold())
    return {re.sub(r"(?:ing|ed|es|s)$", "", word) if len(word) > 4 else word for word in words if word not in _STOP}
