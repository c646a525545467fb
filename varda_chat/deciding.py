"""What a person's line does to the memory, decided when it has been read and before it is answered; changes nothing.

For models with a MemoryLayer. The reply is conditioned on the status decided here, so that reply and act agree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from varda_chat.memory.records import NewStatement
from varda_chat.model.memory_config import INTENTS, STATUSES
from varda_chat.model.memory_layer import Address

NEAR = 24
"""Vectors looked at for statements that a line may make obsolete: several a statement."""
KEPT_IN_SIGHT = 0.05
"""A statement with at least this share of what the end of a question reads is reported as a match."""

StatementIds = Callable[[torch.Tensor], np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Decisions:
    """stores: what the line adds; deletes: statement -> probability, those that leave; candidates: the same of all that
    were looked at; status: index into STATUSES; intents: probability of each of INTENTS; match: statement -> share of
    what the end of the line reads; the rest to 1 is the no-match slot's."""

    stores: tuple[NewStatement, ...]
    deletes: dict[int, float]
    candidates: dict[int, float]
    status: int
    intents: tuple[float, ...]
    match: dict[int, float]

    @property
    def status_name(self) -> str:
        return STATUSES[self.status]


def decide(
    model: Any,
    output: Any,
    end: int,
    stores: tuple[NewStatement, ...],
    memory: Any,
    statement_ids: StatementIds,
    *,
    may_write: bool,
) -> Decisions:
    """Decide on the line whose end token is at position ``end`` of the pass ``output``.

    Args:
        stores: what the store gates would keep of the line.
        memory: the searched memory, None where it holds nothing.
        may_write: False in a session that stores nothing.
    """
    layer, config = model.memory_layer, model.config.memory
    address = Address(*(each[0, end] for each in (output.address.mean, output.address.end, output.address.previous)))
    intents = layer.intent_logits(address).softmax(-1)
    chance = dict(zip(INTENTS, intents.tolist(), strict=True))
    match = _match(output, end, statement_ids)
    candidates = {} if memory is None else _candidates(layer, address, memory, statement_ids)
    wants_change = chance["correct"] + chance["forget"]
    deletes = {
        statement: p
        for statement, p in candidates.items()
        if p > config.delete_threshold and wants_change > config.change_threshold
    }
    found = sum(match.values())
    if deletes and stores:
        status = "replaced"
    elif deletes:
        status = "deleted"
    elif chance["forget"] > config.change_threshold:
        status, stores = "nothing_to_delete", ()
    elif chance["ask"] > config.ask_threshold:
        status, stores = ("recalled" if found > config.recall_threshold else "unknown"), ()
    elif chance["other"] > config.other_threshold:
        status, stores = "nothing", ()
    else:
        status = "stored" if stores else "nothing"
    if chance["forget"] > chance["correct"] and deletes:
        status, stores = "deleted", ()
    if not may_write and status in ("stored", "replaced", "deleted"):
        status = "incognito"
    return Decisions(
        stores=tuple(stores), deletes=deletes, candidates=candidates, status=STATUSES.index(status),
        intents=tuple(intents.tolist()), match=match,
    )  # fmt: skip


def _match(output: Any, end: int, statement_ids: StatementIds) -> dict[int, float]:
    if output.search_results is None or output.read_weights is None:
        return {}
    statements = statement_ids(output.search_results.ids[0, end])
    shares: dict[int, float] = {}
    for statement, weight in zip(statements.tolist(), output.read_weights[0, end].tolist(), strict=True):
        if statement >= 0 and weight > 0:
            shares[statement] = shares.get(statement, 0.0) + weight
    return {s: w for s, w in shares.items() if w >= KEPT_IN_SIGHT}


def _candidates(layer: Any, address: Address, memory: Any, statement_ids: StatementIds) -> dict[int, float]:
    """Delete probability of each statement near the line, by what it asks for and by what it would make obsolete."""
    asked = torch.nn.functional.pad(layer.query_address(address), (0, layer.config.token_dim))
    queries = torch.stack([layer.deletable_vector(address), asked]).unsqueeze(0)
    results = memory.search(queries, NEAR)
    ids = results.ids.flatten()
    vectors = results.vectors.flatten(0, 2).float()
    logits = layer.delete_logits(address, vectors.unsqueeze(0)).flatten()
    probabilities: dict[int, float] = {}
    for statement, logit, there in zip(
        statement_ids(ids).tolist(), torch.sigmoid(logits).tolist(), (ids >= 0).tolist(), strict=True
    ):
        if there and statement >= 0:
            probabilities[statement] = max(probabilities.get(statement, 0.0), logit)
    return probabilities


@torch.inference_mode()
def matches_at_end(
    model: Any, ids: Sequence[int], footer: int, memory: Any, statement_ids: StatementIds, limit: int
) -> dict[int, float]:
    """For each of at least ``limit`` statements (where there are as many) near the line that ends the context ``ids``
    with ``footer`` tokens: its share among them and the no-match slot."""
    room = model.config.n_positions
    done = model.lower_pass(torch.tensor([list(ids)[-room:]], device=model.device))
    end = -footer
    layer = model.memory_layer
    query = done.query[:, end].unsqueeze(1)
    wanted = 4 * limit
    while True:
        results = memory.search(query, wanted)
        statements = statement_ids(results.ids[0, 0]).tolist()
        if len({each for each in statements if each >= 0}) >= limit or -1 in statements or wanted >= memory.size:
            break
        wanted *= 4
    similarity = results.vectors[0, 0].float() @ query[0, 0]
    scores = torch.cat([layer.scores(similarity, None), done.no_match[0, end]])
    scores[:-1][results.ids[0, 0] < 0] = -1e4
    shares: dict[int, float] = {}
    for statement, share in zip(statements, scores.softmax(-1)[:-1].tolist(), strict=True):
        if statement >= 0:
            shares[statement] = shares.get(statement, 0.0) + share
    return shares
