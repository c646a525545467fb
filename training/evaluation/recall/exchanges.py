"""Sample exchanges for the model card: chosen by the seed alone, never by how they turned out, and printed unedited.

A conversation is two sessions over one memory: three facts are told among small talk, the memory is written and opened
again, and the facts are asked for among other small talk. Facts have test values and held-out phrasings; small talk is
opening lines of held-out dialogues.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.data.sources.corpora import CORPORA, is_validation, read_dialogues
from training.data.synthetic.relations import RELATIONS
from training.data.synthetic.templates import Relation
from training.evaluation.recall import items as recall_items
from training.evaluation.recall.telling import GREEDY, open_store
from training.evaluation.recall.templates import draw_facts
from training.evaluation.scoring import Score, loops, names_any
from varda_chat.models.checkpoint import Checkpoint
from varda_chat.session.session import ChatSession

FACTS, TALK = 3, 2
"""Facts and lines of small talk in each of the two sessions of a conversation."""
_LONGEST = 100

_Said = tuple[str, tuple[str, ...] | None]
"""A user's line and, of a question for a fact, the spellings of its value."""


@dataclass(frozen=True)
class Exchange:
    """A user's message and the reply. ``right``: of a question for a fact, whether the reply names it; else None."""

    conversation: int
    session: int
    user: str
    reply: str
    right: bool | None

    @property
    def loops(self) -> bool:
        return loops(self.reply)


def sample_exchanges(
    checkpoint: Checkpoint,
    count: int,
    seed: int,
    talk: Sequence[str],
    relations: Sequence[Relation] = RELATIONS,
) -> list[Exchange]:
    """The first ``count`` exchanges of as many conversations as that takes, decoded greedily."""
    rng = random.Random(seed)
    found: list[Exchange] = []
    with tempfile.TemporaryDirectory(prefix="varda-exchanges-") as scratch:
        conversation = 0
        while len(found) < count:
            conversation += 1
            facts = draw_facts(min(FACTS, len(relations)), "held-out", rng, relations)
            told: list[_Said] = [(fact.statement, None) for fact in facts]
            asked: list[_Said] = [(fact.question, fact.spellings) for fact in facts]
            for number, said in enumerate((told, asked), 1):
                for text in rng.sample(list(talk), min(TALK, len(talk))):
                    said.insert(rng.randint(0, len(said)), (text, None))
                store = open_store(checkpoint, Path(scratch) / str(conversation))
                with ChatSession(checkpoint, store, generation=GREEDY) as session:
                    for text, wanted in said[: count - len(found)]:
                        reply = session.reply(text).reply
                        right = None if wanted is None else names_any(reply, wanted)
                        found.append(Exchange(conversation, number, text, reply, right))
    return found


def small_talk(data_dir: Path | None) -> list[str]:
    """Opening lines of held-out dialogues in ``data_dir``; without it, the benchmark's own small talk. Raises DataError
    where a corpus is missing."""
    if data_dir is None:
        return list(recall_items.SMALL_TALK)
    lines = [d.turns[0][1] for c in CORPORA for d in read_dialogues(data_dir, c) if is_validation(d)]
    return sorted({line for line in lines if len(line) <= _LONGEST}) or list(recall_items.SMALL_TALK)


def looping(exchanges: Sequence[Exchange]) -> Score:
    """Replies that say a run of four words twice, of all."""
    return Score.of(exchange.loops for exchange in exchanges)


def recalled(exchanges: Sequence[Exchange]) -> Score:
    """Replies that name the fact asked for, of those asked for one."""
    return Score.of(exchange.right for exchange in exchanges if exchange.right is not None)


def as_markdown(exchanges: Sequence[Exchange]) -> str:
    """The exchanges as tables, one a session, and what was counted."""
    out: list[str] = []
    before = (0, 0)
    for exchange in exchanges:
        if (exchange.conversation, exchange.session) != before:
            before = (exchange.conversation, exchange.session)
            out += ["", f"Conversation {exchange.conversation}, session {exchange.session}", "", "| user | reply |",
                    "| --- | --- |"]  # fmt: skip
        out.append(f"| {_cell(exchange.user)} | {_cell(exchange.reply)} |")
    loop, fact = looping(exchanges), recalled(exchanges)
    out += ["", f"{fact.right} of {fact.total} facts asked for were named; {loop.right} of {loop.total} replies say a "
            "run of four words twice."]  # fmt: skip
    return "\n".join(out).strip()


def _cell(text: str) -> str:
    for mark in ("\\", "|", "*", "_", "`", "<"):
        text = text.replace(mark, "\\" + mark)
    return " ".join(text.split())
