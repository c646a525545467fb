"""Economy: what the telling of facts cost in memory, against the script's labels of what was worth storing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.evaluation.recall.reading import kept_by_chat, read_session
from training.evaluation.recall.tasks import Tier
from training.evaluation.recall.telling import Person, open_store
from training.evaluation.scoring import Score, span_of
from varda_chat.models.checkpoint import Checkpoint


@dataclass(frozen=True)
class Economy:
    """Sums over the people of one tier, after their facts were told and before anything was asked.

    user_tokens: that were said, without role and end tokens; of them ``stored``, of these ``stored_in_value`` inside
        the words of a value and ``stored_in_fact`` anywhere in a message that tells a fact (the others are small talk).
    facts_stored: facts of which a token of the value was stored.
    vectors: in memory in the end; ``reply_vectors`` of them from the model's own replies.
    vector_bytes: of the vectors themselves. file_bytes: of all files in the profile directories, and ``empty_bytes`` as
        many empty memories have: SQLite's pages and the index's header.
    deleted: statements that left although nothing was corrected or to be forgotten, of ``statements`` ever stored.
    """

    tier: Tier
    facts: int
    facts_stored: int
    user_tokens: int
    stored: int
    stored_in_value: int
    stored_in_fact: int
    vectors: int
    reply_vectors: int
    vector_bytes: int
    file_bytes: int
    empty_bytes: int
    statements: int
    deleted: int

    @property
    def recall(self) -> Score:
        """Facts of which a token of the value was stored, of those told; the statement may be kept by another word."""
        return Score(self.facts_stored, self.facts)

    @property
    def precision(self) -> Score:
        """Stored tokens that lie in a value."""
        return Score(self.stored_in_value, self.stored)

    @property
    def precision_of_facts(self) -> Score:
        """Stored tokens that lie in a message telling a fact."""
        return Score(self.stored_in_fact, self.stored)

    @property
    def share_stored(self) -> Score:
        """User tokens stored, of those said."""
        return Score(self.stored, self.user_tokens)

    @property
    def vectors_a_fact(self) -> float:
        return self.vectors / self.facts if self.facts else 0.0

    @property
    def bytes_a_fact(self) -> float:
        """Growth of the files over an empty memory, a fact told."""
        return (self.file_bytes - self.empty_bytes) / self.facts if self.facts else 0.0


def measure_economy(checkpoint: Checkpoint, tier: Tier, people: Sequence[Person], scratch: Path) -> Economy:
    """The economy of people whose facts have just been told. ``scratch``: a directory for an empty memory."""
    threshold = checkpoint.model.config.store_threshold
    facts = facts_stored = user_tokens = stored = in_value = in_fact = 0
    vectors = file_bytes = statements = deleted = reply_vectors = 0
    for person in people:
        for session in person.sessions:
            tokens = read_session(checkpoint, [(turn.prompt, turn.reply) for _, turn in session])
            for number, (line, turn) in enumerate(session):
                mine = [token for token in tokens if token.message == number]
                kept = kept_by_chat(mine, threshold)
                spans = [span for value in line.values if (span := span_of(turn.prompt, value))]
                hits = [t for t in kept if any(t.offset[0] < end and start < t.offset[1] for start, end in spans)]
                user_tokens += len(mine)
                stored += len(kept)
                in_value += len(hits)
                in_fact += len(kept) if line.values else 0
                facts += bool(line.values)
                facts_stored += bool(hits)
                statements += len(turn.stored)
                deleted += len(turn.deleted)
        with open_store(checkpoint, person.directory, read_only=True) as store:
            vectors += store.size
            reply_vectors += sum(s.vector_count for s in store.statements() if s.role == "assistant")
        file_bytes += directory_bytes(person.directory)
    with open_store(checkpoint, scratch / "empty"):
        pass
    return Economy(
        tier=tier, facts=facts, facts_stored=facts_stored, user_tokens=user_tokens, stored=stored,
        stored_in_value=in_value, stored_in_fact=in_fact, vectors=vectors, reply_vectors=reply_vectors,
        vector_bytes=vectors * checkpoint.model.config.memory_dim * 4, file_bytes=file_bytes,
        empty_bytes=directory_bytes(scratch / "empty") * len(people), statements=statements, deleted=deleted,
    )  # fmt: skip


def directory_bytes(directory: Path) -> int:
    """Bytes of all files in a profile's directory: database, index, lock."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
