"""Turns one pass of the model over a turn into what was recalled, what is stored and what is deleted. No state."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from varda_chat.memory.records import NewStatement, NewVector
from varda_chat.models.chat_format import statement_numbers
from varda_chat.session.turn import MENTIONED_SHARE, TokenSources

if TYPE_CHECKING:
    from varda_chat.models.addressing import Address
    from varda_chat.models.chat_format import ChatFormat, EncodedMessage
    from varda_chat.models.gpt2 import VardaGPTAssociative, VardaGPTOutput
    from varda_chat.session.decisions import Candidate

StatementIds = Callable[[torch.Tensor], np.ndarray[Any, Any]]


def read_messages(
    model: Any, messages: Sequence[EncodedMessage], memory: Any = None, opening: Sequence[int] = ()
) -> Any:
    """One pass over ``messages`` as one session, from which it is decided what is stored and deleted; tokens beyond the
    window are left out. With a memory, it is read, and deletes are searched for. ``opening``: what the chat's sessions
    begin with; the output is without it."""
    room = model.config.n_positions - len(opening)
    if hasattr(model, "memory_layer"):
        return _lower_pass(model, messages, list(opening), room)
    ids = [token for message in messages for token in message.ids][:room]
    output: VardaGPTOutput = model(
        torch.tensor([ids], device=model.device),
        memory=memory,
        statements=torch.tensor([statement_numbers(messages)[:room]], device=model.device),
        return_deletes=memory is not None,
        use_cache=False,
    )
    return output


@dataclass(frozen=True)
class _Read:
    """What a pass through the lower layers gives of messages: store decisions, vectors and addresses, (1, T, …)."""

    store_decision: torch.Tensor
    storable_vector: torch.Tensor
    address: Address


def _lower_pass(model: Any, messages: Sequence[EncodedMessage], opening: list[int], room: int) -> _Read:
    ids = opening + [token for message in messages for token in message.ids][:room]
    statements = [-1] * len(opening) + statement_numbers(messages)[:room]
    done = model.lower_pass(
        torch.tensor([ids], device=model.device), statements=torch.tensor([statements], device=model.device)
    )
    address = done.address.map(lambda part: part[:, len(opening) :])
    return _Read(done.store_logits[:, len(opening) :], done.vectors[:, len(opening) :], address)


def statements_to_store(
    output: Any,
    message: EncodedMessage,
    start: int,
    chat: ChatFormat,
    threshold: float | None,
    *,
    of_these: Collection[int] = (),
) -> list[NewStatement]:
    """The sentences of ``message`` (at position ``start`` of the pass) with the vectors of the words of which a token's
    store decision exceeds ``threshold``; None takes the one likeliest. ``of_these``: sentences of which the likeliest
    is taken where no other is. A word is stored whole: a copy that is followed from piece to piece would skip what is
    missing."""
    assert output.store_decision is not None and output.storable_vector is not None
    end = min(start + len(message.ids), output.store_decision.shape[1])
    chance = torch.sigmoid(output.store_decision[0, start:end, 0]).tolist()
    words = [i for i in range(end - start) if message.sentence[i] >= 0]
    if threshold is None:
        chosen = sorted(words, key=lambda i: -chance[i])[:1]
    else:
        chosen = [i for i in words if chance[i] > threshold]
    left_out = {message.sentence[i] for i in words}.intersection(of_these) - {message.sentence[i] for i in chosen}
    chosen += [max((i for i in words if message.sentence[i] == each), key=chance.__getitem__) for each in left_out]
    stored = {message.word[i] for i in chosen}
    by_sentence: dict[int, list[int]] = {}
    for i in words:
        if message.word[i] not in stored:
            continue
        by_sentence.setdefault(message.sentence[i], []).append(i)
    return [
        NewStatement(
            text=message.sentences[sentence],
            role=message.role,
            follows=message.sentences[sentence - 1] if sentence - 1 in by_sentence else None,
            vectors=tuple(
                NewVector(
                    vector=output.storable_vector[0, start + i].float().cpu().numpy(),
                    token_id=message.ids[i],
                    token=chat.tokenizer.decode([message.ids[i]]).replace("\N{REPLACEMENT CHARACTER}", ""),
                    strength=chance[i],
                )
                for i in places
            ),
        )
        for sentence, places in by_sentence.items()
    ]


def matches(
    model: Any, chat: ChatFormat, message: EncodedMessage, memory: Any, statement_ids: StatementIds, limit: int = 10,
    read_beside: Any = None, words: str = "",
) -> dict[int, float]:  # fmt: skip
    """For each statement that ``message`` finds: its largest share of what any of its tokens, or the role token of the
    reply to it, reads. A model with a MemoryLayer searches with the end of the message, for ``limit`` statements or
    more where there are as many; ``read_beside``: its reranker, for the first of them and those that share
    ``words``."""
    if hasattr(model, "memory_layer"):
        from varda_chat.session.decisions import matches_at_end

        context = [*chat.opening, *message.ids]
        return matches_at_end(model, context, message.footer, memory, statement_ids, limit, read_beside, words)
    output: VardaGPTOutput = model(
        torch.tensor([[*message.ids, chat.assistant_id]], device=model.device), memory=memory, use_cache=False
    )
    if output.search_results is None or output.read_weights is None:
        return {}
    return largest(by_statement(statement_ids(output.search_results.ids[0]), output.read_weights[0]))


def recalls(output: VardaGPTOutput, start: int, statement_ids: StatementIds) -> dict[int, float]:
    """For each statement read from position ``start`` (the reply's role token) on: its largest share of the
    probability of any token, by copying; where the model does not copy, its largest read weight."""
    return largest(_shares_of_tokens(output, start, statement_ids))


def sources(
    output: VardaGPTOutput, answer: EncodedMessage, start: int, statement_ids: StatementIds
) -> tuple[TokenSources, ...]:
    """For each token of ``answer`` (its role token at position ``start`` of the pass) that statements had a part in,
    their shares of it; as ``recalls``, but token by token."""
    # the row of a token says what the next one is made of; the last word is followed by the end token
    return sources_of(_shares_of_tokens(output, start, statement_ids), answer.offsets[1:-1])


def sources_of(rows: Sequence[dict[int, float]], spans: Sequence[tuple[int, int]]) -> tuple[TokenSources, ...]:
    """For each token, with its characters ``spans``, the statements with a share worth a mention in its row."""
    found = []
    for shares, span in zip(rows, spans, strict=False):
        named = sorted(((each, share) for each, share in shares.items() if share >= MENTIONED_SHARE), key=_by_share)
        if named:
            found.append(TokenSources(*span, tuple(named)))
    return tuple(found)


def _by_share(named: tuple[int, float]) -> float:
    return -named[1]


def _shares_of_tokens(output: VardaGPTOutput, start: int, statement_ids: StatementIds) -> list[dict[int, float]]:
    """For each position from ``start`` on: the share of the next token's probability that each statement gave, by
    copying; where the model does not copy, its read weight."""
    if output.search_results is None or output.read_weights is None:
        return []
    shares = output.read_weights[0, start:]
    if output.copy_decision is not None:
        shares = shares * torch.sigmoid(output.copy_decision[0, start:])
    return by_statement(statement_ids(output.search_results.ids[0, start:]), shares)


def by_statement(statements: np.ndarray[Any, Any], shares: torch.Tensor) -> list[dict[int, float]]:
    """For each row of ``shares`` (T, k): what the vectors of each statement have, summed."""
    rows = []
    for row, row_shares in zip(statements.tolist(), shares.tolist(), strict=True):
        of_token: dict[int, float] = {}
        for statement, share in zip(row, row_shares, strict=True):
            if statement >= 0:
                of_token[statement] = of_token.get(statement, 0.0) + share
        rows.append(of_token)
    return rows


def with_words(
    rows: Sequence[dict[int, float]], reply: Sequence[int], line: Sequence[int], found: Sequence[Candidate]
) -> list[dict[int, float]]:
    """``rows``, the shares of statements in each token of a ``reply``, with those that it took from their words: a
    token that a statement was stored for, and that the ``line`` does not hold, is that statement's as surely as it
    answers the line. A line's own words say nothing about where a reply has them from."""
    said = frozenset(line)
    shares = [dict(row) for row in rows] or [{} for _ in reply]
    for row, token in zip(shares, reply, strict=False):
        for each in found:
            if token in each.tokens - said:
                row[each.statement] = max(row.get(each.statement, 0.0), each.answers)
    return shares


def largest(rows: list[dict[int, float]]) -> dict[int, float]:
    """For each statement: the most that it has in any row."""
    largest: dict[int, float] = {}
    for row in rows:
        for statement, share in row.items():
            largest[statement] = max(largest.get(statement, 0.0), share)
    return largest


def deletions(
    model: VardaGPTAssociative, output: VardaGPTOutput, start: int, statement_ids: StatementIds
) -> dict[int, float]:
    """The statements that the turn, from position ``start`` on, deletes, with their probabilities.

    A token deletes a statement as likely as the likeliest of its vectors; over the turn's tokens the chances of
    staying multiply (1 - prod(1 - p)). What then exceeds ``config.delete_threshold`` goes, unless another statement is
    meant far more clearly (``config.delete_share``).
    """
    if output.delete_results is None or output.delete_decision is None or output.deletable_vector is None:
        return {}
    results = output.delete_results
    cosine = (output.deletable_vector[0, start:].unsqueeze(1) * results.vectors[0, start:]).sum(-1)
    chance = model.delete_probability(output.delete_decision[0, start:], cosine)
    statements = statement_ids(results.ids[0, start:])
    staying: dict[int, float] = {}
    for row, row_chances in zip(statements.tolist(), chance.tolist(), strict=True):
        of_token: dict[int, float] = {}
        for statement, p in zip(row, row_chances, strict=True):
            if statement >= 0:
                of_token[statement] = max(of_token.get(statement, 0.0), p)
        for statement, p in of_token.items():
            staying[statement] = staying.get(statement, 1.0) * (1.0 - p)
    evidence = {statement: -math.log(max(stay, 1e-12)) for statement, stay in staying.items()}
    clearest = max(evidence.values(), default=0.0)
    return {
        statement: 1.0 - staying[statement]
        for statement, found in evidence.items()
        if 1.0 - staying[statement] > model.config.delete_threshold and found >= model.config.delete_share * clearest
    }
