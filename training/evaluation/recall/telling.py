"""Tells scripts to the real chat, session by session, and asks each question in a session of its own.

Between two sessions the memory is closed and reopened, and nothing else crosses. Decoding is greedy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from training.evaluation.recall.tasks import Line, Script
from training.evaluation.scoring import names_any
from varda_chat.config.defaults import DEFAULT_MEMORY_SIZE, GenerationSettings
from varda_chat.memory import MemoryStore
from varda_chat.models.checkpoint import Checkpoint
from varda_chat.session.session import ChatSession, Turn

GREEDY = GenerationSettings(temperature=0.0, max_new_tokens=48)

MOST_DISTRACTORS = 100_000
CAPACITY = DEFAULT_MEMORY_SIZE + MOST_DISTRACTORS
"""Vectors that a benchmark's memory may hold: nothing is dropped for want of room."""

Step = Callable[[], None]


@dataclass
class Person:
    """A script that has been told: its memory's directory, and what was said in each session."""

    script: Script
    directory: Path
    sessions: list[list[tuple[Line, Turn]]] = field(default_factory=list)
    changes: list[tuple[Line, Turn]] = field(default_factory=list)

    @property
    def told(self) -> list[tuple[Line, Turn]]:
        return [exchange for session in self.sessions for exchange in session]

    def stored_ids(self, values: Sequence[str]) -> set[int]:
        """Ids of the statements stored before the changes that name one of ``values``."""
        return {stored.id for _, turn in self.told for stored in turn.stored if names_any(stored.text, values)}

    def deleted_by_changes(self) -> set[int]:
        return {deleted.id for _, turn in self.changes for deleted in turn.deleted}


def open_store(checkpoint: Checkpoint, directory: Path, *, read_only: bool = False) -> MemoryStore:
    """The memory in ``directory``, of this checkpoint's vectors."""
    return MemoryStore.open(
        directory,
        embedding_dim=checkpoint.model.config.memory_dim,
        fingerprint=checkpoint.fingerprint,
        memory_size=CAPACITY,
        read_only=read_only,
        forgetfulness_factor=0.0,
    )


def tell(checkpoint: Checkpoint, script: Script, directory: Path, on_step: Step) -> Person:
    """Tell the script's sessions, without its changes, to a new memory in ``directory``."""
    person = Person(script, directory)
    for lines in script.sessions:
        person.sessions.append(_session(checkpoint, directory, lines, on_step))
    return person


def tell_changes(checkpoint: Checkpoint, person: Person, on_step: Step) -> None:
    """Tell the corrections and requests to forget, in one more session."""
    if person.script.changes:
        person.changes = _session(checkpoint, person.directory, person.script.changes, on_step)


def _session(checkpoint: Checkpoint, directory: Path, lines: Sequence[Line], on_step: Step) -> list[tuple[Line, Turn]]:
    exchanges = []
    with ChatSession(checkpoint, open_store(checkpoint, directory), generation=GREEDY) as session:
        for line in lines:
            exchanges.append((line, session.reply(line.text)))
            on_step()
    return exchanges


@contextmanager
def questioning(checkpoint: Checkpoint, directory: Path, *, use_memory: bool = True) -> Iterator[Callable[[str], str]]:
    """A function that asks one question, in a session of its own, and returns the reply.

    The memory is read from disk once and is read-only: no answer leaves anything behind for the next question.
    """
    with open_store(checkpoint, directory, read_only=True) as store:

        def ask(question: str) -> str:
            session = ChatSession(checkpoint, store, incognito=True, generation=GREEDY, use_memory=use_memory)
            return session.reply(question).reply

        yield ask
