"""What an answer owes to the memories it was recalled from: it is decoded again without them, greedily.

Nothing is changed by that. A memory that is masked is not found: nothing is read of it, it does not stand in the note
before the reply, and the turns that told or named it are not in the window, as if it had been forgotten.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any, cast

from varda_chat.memory.records import SearchResults, Statement, TurnApplied, TurnChanges
from varda_chat.session.turn import Remembered, Turn

if TYPE_CHECKING:
    import torch

    from varda_chat.memory import MemoryStore
    from varda_chat.models.chat_format import ChatFormat
    from varda_chat.session.session import ChatSession

MASKED = 6
"""At most so many memories are masked, those with the largest shares."""
Span = tuple[int, int]


@dataclass(frozen=True)
class Without:
    """The answer without ``masked``; with all memories where that is empty.

    changed: the characters of ``reply`` whose tokens are not those of the answer with all memories. lost: the
    characters of that answer whose tokens ``reply`` does not have. tokens: how many tokens ``reply`` has, and
    changed_tokens of them are others.
    """

    masked: tuple[Remembered, ...]
    reply: str
    changed: tuple[Span, ...] = ()
    lost: tuple[Span, ...] = ()
    tokens: int = 0
    changed_tokens: int = 0

    @property
    def same(self) -> bool:
        """Whether it is the same answer, token by token."""
        return not self.changed and not self.lost

    def to_json(self) -> dict[str, Any]:
        """As ``--why --json`` prints it."""
        return {
            "without": [{"id": each.id, "text": each.text} for each in self.masked],
            "reply": self.reply,
            "same": self.same,
            "changed": [list(span) for span in self.changed],
            "lost": [list(span) for span in self.lost],
            "tokens": self.tokens,
            "changed_tokens": self.changed_tokens,
        }


class MaskedStore:
    """``store``, in which the statements ``masked`` are not found and nothing is changed. ``used`` collects the
    statements whose words are asked for: those in a reply's note, and those recalled."""

    read_only = False

    def __init__(self, store: MemoryStore, masked: Collection[int] = ()) -> None:
        self._store = store
        self.used: set[int] = set()
        self.mask(masked)

    def mask(self, masked: Collection[int]) -> None:
        """Let these, and no others, not be found from here on."""
        self._masked = sorted(masked)
        self._hidden = sum(len(self._store.reader.tokens(each)) for each in self._masked)
        self.used.clear()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    @property
    def size(self) -> int:
        """Vectors that can be found."""
        return self._store.size - self._hidden

    def search(self, query: torch.Tensor, k: int) -> Any:
        """The ``k`` nearest of the vectors that are not masked; see SearchResults."""
        import torch

        found = self._store.search(query, k + self._hidden)
        if not self._masked:
            return found
        statements = torch.from_numpy(self._store.statement_ids(found.ids.cpu().numpy())).to(found.ids.device)
        masked = torch.isin(statements, torch.tensor(self._masked, dtype=statements.dtype, device=statements.device))
        # all masked vectors are among the results or fewer than k others are there: the first k left are the nearest
        first = masked.long().argsort(dim=-1, stable=True)[..., :k]
        hidden = masked.gather(-1, first)
        return replace(
            found,
            ids=found.ids.gather(-1, first).masked_fill(hidden, -1),
            distances=found.distances.gather(-1, first).masked_fill(hidden, torch.inf),
            vectors=found.vectors.gather(
                -2, first.unsqueeze(-1).expand(*first.shape, found.vectors.shape[-1])
            ).masked_fill(hidden.unsqueeze(-1), 0.0),
            token_ids=found.token_ids.gather(-1, first).masked_fill(hidden, -1),
        )

    def search_words(self, text: str, k: int) -> Any:
        """As the store's own, for the statements that are not masked."""
        found = self._store.search_words(text, k + len(self._masked))
        statements = self._store.statement_ids(found.ids).tolist()
        first = list(dict.fromkeys(each for each in statements if each not in self._masked))[:k]
        kept = [place for place, each in enumerate(statements) if each in first]
        return SearchResults(*(part[kept] for part in (found.ids, found.distances, found.vectors, found.token_ids)))

    def statement(self, statement_id: int) -> Any:
        """As the store's own."""
        self.used.add(statement_id)
        return self._store.statement(statement_id)

    def antecedents(self, statement_id: int) -> tuple[Statement, ...]:
        """As the store's own, as if those that are masked had been forgotten."""
        found = self._store.antecedents(statement_id)
        hidden = [place for place, each in enumerate(found, 1) if each.id in self._masked]
        return found[max(hidden, default=0) :]

    def apply(self, changes: TurnChanges, *, session: str) -> TurnApplied:
        """Nothing is changed."""
        return TurnApplied((), (), self.size)


def influence(session: ChatSession, turn: Turn, stop: threading.Event | None = None) -> Iterator[Without]:
    """Answer the message of ``turn`` again, in the window that it was answered in and over the memory as it is now:
    first with all memories but those that the turn itself stored, then without each of those that the answer was
    recalled from, then without all of them. Ends early once ``stop`` is set. Raises VardaError where the window is not
    known any more.
    """
    window = session.context.before(turn)
    store = MaskedStore(session.memory.store)
    again = session.beside(cast("MemoryStore", store), replace(session.generation, temperature=0.0, seed=None))
    own = frozenset(each.id for each in turn.stored)

    def reply(masked: frozenset[int]) -> str | None:
        store.mask(sorted(own | masked))
        again.context.follow_messages(window, without=masked)
        answered = again.reply(turn.prompt, stop=stop)
        return None if answered.stopped else answered.reply

    whole = reply(frozenset())
    if whole is None:
        return
    memories = _memories(session, turn, store.used)
    yield Without((), whole)
    each_alone = [(each,) for each in memories]
    for masked in [*each_alone, *([memories] if len(memories) > 1 else [])]:
        text = reply(frozenset(each.id for each in masked))
        if text is None:
            return
        yield compared(session.checkpoint.chat, whole, text, masked)


def _memories(session: ChatSession, turn: Turn, used: Collection[int]) -> tuple[Remembered, ...]:
    """What the answer was recalled from and what stood before it, as far as it is still in memory, the largest share
    first."""
    live = {each.id: each.text for each in session.memory.statements()}
    ids = [*(each.id for each in sorted(turn.recalled, key=lambda each: -each.weight)), *sorted(used)]
    return tuple(Remembered(each, live[each]) for each in dict.fromkeys(ids) if each in live)[:MASKED]


def compared(chat: ChatFormat, whole: str, reply: str, masked: Sequence[Remembered]) -> Without:
    """``reply``, with the tokens in which it differs from ``whole``."""
    before, after = _tokens(chat, whole), _tokens(chat, reply)
    matcher = SequenceMatcher(None, [token for token, _ in before], [token for token, _ in after], autojunk=False)
    changed: list[Span] = []
    lost: list[Span] = []
    changed_tokens = 0
    for kind, first, last, start, end in matcher.get_opcodes():
        if kind == "equal":
            continue
        changed_tokens += end - start
        if end > start:
            changed.append(_span(reply, after[start:end]))
        if last > first:
            lost.append(_span(whole, before[first:last]))
    return Without(tuple(masked), reply, tuple(changed), tuple(lost), len(after), changed_tokens)


def _span(text: str, tokens: Sequence[tuple[int, Span]]) -> Span:
    """The characters of ``tokens`` in ``text``, without the space that the first may begin with."""
    start, end = tokens[0][1][0], tokens[-1][1][1]
    return end - len(text[start:end].lstrip()), end


def _tokens(chat: ChatFormat, text: str) -> list[tuple[int, Span]]:
    """The tokens of a reply, each with its characters."""
    message = chat.encode("assistant", text)
    part = slice(message.header, len(message.ids) - message.footer)
    return list(zip(message.ids[part], message.offsets[part], strict=True))
