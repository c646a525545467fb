"""What a person's line does to the memory, decided when it has been read and before it is answered; changes nothing.

For models with a MemoryLayer. The end of the line searches the memory, and so do its words; of each statement found,
learned decisions say whether it answers the line and whether the line ends it. The reply is conditioned on the status
that follows, and reads what was found to answer, so that reply and act agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from varda_chat.memory.records import NewStatement
from varda_chat.models.addressing import Address
from varda_chat.models.chat_format import NOTE_STATEMENTS
from varda_chat.models.configuration import INTENTS, STATUSES
from varda_chat.models.results import SearchResults

NEAR = 48
"""Vectors looked at for each of what a line asks for and what it would end: several a statement."""
AS_SURE = 1.0
"""A statement stands beside the one that most surely answers only where its log-odds are so little less: a reply is
more often right with one statement before it than with three."""
TELLS = 0.5
"""A line that tells or corrects something with a greater probability is kept, by its likeliest word if by none."""

ALSO_TELLS = 0.1
"""Of a question too is stored what is worth storing, where with a greater probability it tells something: "My name is
Jo, what's yours?"."""

MAY_ASK = 0.1
"""A line that is a question with so little probability counts as one where a statement that answers it is found."""

SURELY_ASKS = 0.6
"""With a greater probability a line asks for what the person told: a question about the world rarely seems to."""

RERANKED = 5
"""Statements, at most, that are read once more beside the line."""

RERANKED_TO_DELETE = 8
"""The same of a line that would end one: it has to be the right one, and there are few such lines."""

BY_WORDS = 3
"""Statements, at most, that are read beside the line since they share words with it, where the others are not these."""

BY_WORDS_IN_SEARCH = 5
"""The same of a search that is no turn."""

WORDS_WEIGHT = 0.3
"""What such a search adds to a statement's log-odds for each point of BM25: a word that few statements have brings
about two."""

ReadBeside = Callable[[Sequence[int]], list[tuple[float, float]]]
"""For each of these statements, read beside the line: the probabilities that it answers, and that the line ends it."""
StatementIds = Callable[[torch.Tensor], np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Candidate:
    """A statement near a line: the probability that it answers the line, and that the line ends it; its tokens that
    are stored, as far as they are near; its BM25 score for the line's words, 0 where it is not among the first."""

    statement: int
    answers: float
    ends: float
    tokens: frozenset[int] = frozenset()
    words: float = 0.0


@dataclass(frozen=True)
class Decisions:
    """stores: what the line adds; deletes: statements that leave; candidates: those that were looked at; status: index
    into STATUSES; intents: probability of each of INTENTS; found: statements that may answer the line, the surest
    first; reads: their vectors, None for nothing."""

    stores: tuple[NewStatement, ...]
    deletes: frozenset[int]
    candidates: tuple[Candidate, ...]
    status: int
    intents: tuple[float, ...]
    found: tuple[Candidate, ...]
    reads: FoundMemory | None

    @property
    def status_name(self) -> str:
        return STATUSES[self.status]

    @property
    def nothing(self) -> Decisions:
        """The same of a line that concerns no memory."""
        status = STATUSES.index("nothing")
        return replace(self, stores=(), deletes=frozenset(), status=status, found=(), reads=None)

    @property
    def admits(self) -> bool | None:
        """Whether the reply has to admit that it does not know: where the line surely asks for what was told, and
        nothing was found; not where something was; None where the model may say either."""
        if self.status_name == "recalled":
            return False
        sure = self.status_name == "unknown" and self.intents[INTENTS.index("ask")] > SURELY_ASKS
        return True if sure else None


class FoundMemory:
    """The vectors of a few statements, as the memory that a reply reads: ids (n,), vectors (n, dim), token_ids (n,).
    What follows a copied token is looked up in the whole memory."""

    def __init__(self, ids: Tensor, vectors: Tensor, token_ids: Tensor, whole: Any) -> None:
        self._ids, self._vectors, self._tokens, self._whole = ids, vectors.float(), token_ids, whole

    @property
    def size(self) -> int:
        """Vectors that can be read."""
        return len(self._ids)

    def search(self, query: Tensor, k: int) -> SearchResults:
        """The ``k`` nearest of them to each query (batch, seq, dim); see SearchResults."""
        similarity = query.float() @ self._vectors.T
        best = similarity.topk(min(k, self.size), dim=-1)
        missing = k - best.indices.shape[-1]
        pad = torch.nn.functional.pad
        distances = (2.0 - 2.0 * best.values).clamp_min(0.0)
        return SearchResults(
            ids=pad(self._ids[best.indices], (0, missing), value=-1),
            distances=pad(distances, (0, missing), value=torch.inf),
            vectors=pad(self._vectors[best.indices], (0, 0, 0, missing)),
            token_ids=pad(self._tokens[best.indices], (0, missing), value=-1),
        )

    def successors(self, ids: Tensor) -> Any:
        """As the memory's own."""
        return self._whole.successors(ids)

    def vectors_of(self, ids: Tensor) -> Any:
        """As the memory's own."""
        return self._whole.vectors_of(ids)


@dataclass(frozen=True)
class _Near:
    """Vectors near a line: ids (n,), vectors (n, dim), tokens (n,), their statements, and both decisions (n,); BM25
    scores of statements."""

    ids: Tensor
    vectors: Tensor
    tokens: Tensor
    statements: list[int]
    answers: list[float]
    ends: list[float]
    words: dict[int, float]

    def candidates(self) -> tuple[Candidate, ...]:
        """Statement by statement, those that answer best first."""
        best: dict[int, Candidate] = {}
        each = zip(self.statements, self.answers, self.ends, self.tokens.tolist(), strict=True)
        for statement, answers, ends, token in each:
            known = best.get(statement, Candidate(statement, 0.0, 0.0, words=self.words.get(statement, 0.0)))
            best[statement] = replace(
                known,
                answers=max(answers, known.answers),
                ends=max(ends, known.ends),
                tokens=known.tokens | {token},
            )
        return tuple(sorted(best.values(), key=lambda each: -each.answers))

    def memory_of(self, statements: Sequence[int], whole: Any) -> FoundMemory:
        kept = [place for place, statement in enumerate(self.statements) if statement in set(statements)]
        order = sorted(kept, key=lambda place: int(self.ids[place]))
        return FoundMemory(self.ids[order], self.vectors[order], self.tokens[order], whole)


def decide(
    model: Any,
    output: Any,
    end: int,
    stores: tuple[NewStatement, ...],
    least: tuple[NewStatement, ...],
    memory: Any,
    statement_ids: StatementIds,
    *,
    may_write: bool,
    read_beside: ReadBeside | None = None,
    words: str = "",
) -> Decisions:
    """Decide on the line whose end token is at position ``end`` of the pass ``output``.

    Args:
        stores: what is worth storing of the line (see ``telling.storable``).
        least: what is kept where that is nothing and the line tells something all the same.
        memory: the searched memory, None where it holds nothing.
        may_write: False in a session that stores nothing.
        read_beside: the model's reranker, for those it finds; None where it has none.
        words: the line as text. Statements that share words with it are read beside it too, by the reranker alone.
    """
    layer, config = model.memory_layer, model.config.memory
    address = _at(output.address, end)
    intents = _intents(layer, address)
    chance = dict(zip(INTENTS, intents, strict=True))
    also_tells = _also_tells(chance, stores)
    stores = _worth_storing(chance, stores, least, config)
    near = None if memory is None else _near(layer, address, memory, statement_ids, words if read_beside else "")
    candidates = () if near is None else near.candidates()
    likeliest = max(chance, key=lambda intent: chance[intent])
    changes = chance["correct"] + chance["forget"] > config.change_threshold
    requests = changes and likeliest == "forget"
    if requests and chance["forget"] <= config.request_threshold:
        requests = changes = False
    answers_above, ends_above = config.recall_threshold, config.delete_threshold
    asks = chance["ask"] > config.ask_threshold
    may_ask = asks or (read_beside is not None and likeliest == "other" and chance["ask"] > MAY_ASK)
    if read_beside is not None and candidates and (changes or may_ask):
        by_ends = changes and likeliest != "ask"
        wants = likeliest if requests or likeliest == "ask" else None
        candidates = _reranked(candidates, read_beside, config.rerank_search_weight, wants, by_ends=by_ends)
        answers_above = config.rerank_answer_threshold
        # a correction leaves a new statement behind, a request to forget nothing
        ends_above = config.rerank_forget_threshold if requests else config.rerank_end_threshold
    # a line means one statement, and what resembles it stays
    meant = max(candidates, key=lambda each: each.ends, default=None)
    goes = changes and meant is not None and meant.ends > ends_above
    deletes = frozenset([meant.statement] if meant is not None and goes else [])
    answers = tuple(each for each in candidates if each.answers > answers_above)[:NOTE_STATEMENTS]
    answers = tuple(each for each in answers if _log_odds(each.answers) > _log_odds(answers[0].answers) - AS_SURE)
    found: tuple[Candidate, ...] = ()
    if requests:
        status, stores = ("deleted" if deletes else "nothing_to_delete"), ()
    elif deletes and stores and likeliest != "ask":
        status = "replaced"
    elif may_ask and answers:
        status, stores, found = "recalled", (stores if also_tells else ()), answers
    elif asks and not also_tells:
        status, stores = "unknown", ()
    elif not stores:
        status = "nothing"
    else:
        status = "stored"
    if status not in ("deleted", "replaced"):
        deletes = frozenset()
    if not may_write and status in ("stored", "replaced", "deleted"):
        status = "incognito"
    reads = near.memory_of([each.statement for each in found], memory) if near is not None and found else None
    return Decisions(stores, deletes, candidates, STATUSES.index(status), intents, found, reads)


def stored_outside_a_turn(
    intents: Sequence[float], stores: tuple[NewStatement, ...], least: tuple[NewStatement, ...], config: Any
) -> tuple[NewStatement, ...]:
    """What is kept of a user's line that nobody has just said, by its ``intents``; ``stores``, ``least``: see
    ``decide``. Of a question about what was told and of a request to forget, nothing is."""
    chance = dict(zip(INTENTS, intents, strict=True))
    asks = chance["ask"] > config.ask_threshold and not _also_tells(chance, stores)
    if asks or max(chance, key=lambda intent: chance[intent]) == "forget":
        return ()
    return _worth_storing(chance, stores, least, config)


def intents_at(layer: Any, address: Address, place: int) -> tuple[float, ...]:
    """The probability of each of INTENTS for the line that ends at ``place`` of a pass with these addresses."""
    return _intents(layer, _at(address, place))


def _intents(layer: Any, address: Address) -> tuple[float, ...]:
    return tuple(layer.intent_logits(address).softmax(-1).tolist())


def _at(address: Address, place: int) -> Address:
    return address.map(lambda part: part[0, place])


def _also_tells(chance: dict[str, float], stores: tuple[NewStatement, ...]) -> bool:
    return bool(stores) and chance["tell"] + chance["correct"] > ALSO_TELLS


def _worth_storing(
    chance: dict[str, float], stores: tuple[NewStatement, ...], least: tuple[NewStatement, ...], config: Any
) -> tuple[NewStatement, ...]:
    if chance["other"] > config.other_threshold:
        return ()
    return stores or (least if chance["tell"] + chance["correct"] > TELLS else ())


def _reranked(
    candidates: Sequence[Candidate], read_beside: ReadBeside, search_weight: float, wants: str | None, *, by_ends: bool
) -> tuple[Candidate, ...]:
    """The likeliest of ``candidates``, judged by reading them beside the line and, with ``search_weight``, by what the
    search says of them, in log-odds; no other comes about.

    ``wants``: "ask" for a line that most likely asks, "forget" for a request. Reading may then take the one for the
    other ("You haven't forgotten my birthday, have you?"): it says that the statement is meant all the same.
    """
    order = sorted(candidates, key=lambda each: -(each.ends if by_ends else each.answers))
    first = RERANKED_TO_DELETE if by_ends else RERANKED
    by_words = sorted((each for each in candidates if each.words), key=lambda each: -each.words)[:BY_WORDS]
    near = [*order[:first], *(each for each in by_words if each not in order[:first])]
    judged = read_beside([each.statement for each in near])

    def both(read: float, searched: float) -> float:
        return 1 / (1 + math.exp(-_together(read, _log_odds(searched), search_weight)))

    read = []
    for each, (answers, ends) in zip(near, judged, strict=True):
        meant = min(answers + ends, 1.0)
        answers, ends = (meant if wants == "ask" else answers), (meant if wants == "forget" else ends)
        read.append(replace(each, answers=both(answers, each.answers), ends=both(ends, each.ends)))
    return tuple(sorted(read, key=lambda each: -each.answers))


def _together(read: float, searched: float, search_weight: float) -> float:
    """Log-odds from the probability that reading gives and the log-odds that the search does."""
    surest = _log_odds(1.0)
    return _log_odds(read) + search_weight * min(max(searched, -surest), surest)


def _log_odds(chance: float) -> float:
    kept = min(max(chance, 1e-7), 1 - 1e-7)
    return math.log(kept / (1 - kept))


def _near(layer: Any, address: Address, memory: Any, statement_ids: StatementIds, words: str) -> _Near:
    """What is near the line, by what it asks for, by what it would end, and by its ``words``."""
    asked = torch.nn.functional.pad(layer.query_address(address), (0, layer.config.token_dim))
    results = memory.search(torch.stack([layer.deletable_vector(address), asked]).unsqueeze(0), NEAR)
    worded = memory.search_words(words, BY_WORDS)
    ids = torch.cat([results.ids.flatten(), torch.from_numpy(worded.ids).to(results.ids)])
    vectors = torch.cat([results.vectors.flatten(0, 2), torch.from_numpy(worded.vectors).to(results.vectors)])
    tokens = torch.cat([results.token_ids.flatten(), torch.from_numpy(worded.token_ids).to(results.token_ids)])
    different, first = np.unique(ids.cpu().numpy(), return_index=True)
    kept = torch.from_numpy(first[different >= 0])
    found, vectors = ids[kept], vectors[kept].float()
    return _Near(
        ids=found,
        vectors=vectors,
        tokens=tokens[kept],
        statements=statement_ids(found).tolist(),
        answers=torch.sigmoid(layer.answer_logits(address, vectors)).tolist(),
        ends=torch.sigmoid(layer.delete_logits(address, vectors)).tolist(),
        words=_word_scores(worded, statement_ids),
    )


def _word_scores(worded: Any, statement_ids: StatementIds) -> dict[int, float]:
    """The BM25 score of each statement in the results of ``search_words``, the best first."""
    statements = statement_ids(torch.from_numpy(worded.ids)).tolist()
    return dict(zip(statements, (-worded.distances).tolist(), strict=True))


@torch.inference_mode()
def matches_at_end(
    model: Any, ids: Sequence[int], footer: int, memory: Any, statement_ids: StatementIds, limit: int,
    read_beside: ReadBeside | None = None, words: str = "",
) -> dict[int, float]:  # fmt: skip
    """For each of at least ``limit`` statements (where there are as many) near the line that ends the context ``ids``
    with ``footer`` tokens: its share among them and the no-match slot. ``read_beside``: the model's reranker, for the
    first of them and those that share ``words``."""
    room = model.config.n_positions
    done = model.lower_pass(torch.tensor([list(ids)[-room:]], device=model.device))
    layer = model.memory_layer
    address = _at(done.address, -footer)
    query = torch.nn.functional.pad(layer.query_address(address), (0, layer.config.token_dim))
    wanted = 4 * limit
    while True:
        results = memory.search(query.view(1, 1, -1), wanted)
        statements = statement_ids(results.ids[0, 0]).tolist()
        if len({each for each in statements if each >= 0}) >= limit or -1 in statements or wanted >= memory.size:
            break
        wanted *= 4
    # as in chat: what is near is ranked by whether it answers the line; the no-match slot has the logit 0
    vectors, scores = results.vectors[0, 0].float(), dict[int, float]()
    if read_beside is not None:
        worded = memory.search_words(words, BY_WORDS_IN_SEARCH)
        vectors = torch.cat([vectors, torch.from_numpy(worded.vectors).to(vectors)])
        statements += statement_ids(torch.from_numpy(worded.ids)).tolist()
        scores = _word_scores(worded, statement_ids)
    there = torch.tensor(statements) >= 0
    answers = layer.answer_logits(address, vectors, there).tolist()
    best: dict[int, float] = {}
    for statement, logit in zip(statements, answers, strict=True):
        if statement >= 0:
            best[statement] = max(best.get(statement, logit), logit)
    if read_beside is not None and best:
        _read_first(best, scores, read_beside, model.config.memory)
    shares = torch.tensor([*best.values(), 0.0]).softmax(-1)
    return dict(zip(best, shares[:-1].tolist(), strict=True))


def _read_first(logits: dict[int, float], words: dict[int, float], read_beside: ReadBeside, config: Any) -> None:
    """Judge the RERANKED likeliest and those of ``words`` (BM25 scores) as in chat, with the logit 0 at its threshold;
    the others come behind."""
    first = sorted(logits, key=lambda each: -logits[each])[:RERANKED]
    first += [each for each in words if each not in first]
    threshold = _log_odds(config.rerank_answer_threshold)
    judged = {
        each: _together(answers, logits[each], config.rerank_search_weight)
        + WORDS_WEIGHT * words.get(each, 0.0)
        - threshold
        for each, (answers, _) in zip(first, read_beside(first), strict=True)
    }
    behind = min(judged.values()) - max(logits.values())
    logits.update({each: judged.get(each, logit + behind) for each, logit in logits.items()})
