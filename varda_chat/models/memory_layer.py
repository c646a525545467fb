"""MemoryLayer: queries, reads and writes an associative memory in the middle of any decoder; knows no architecture.

Addressing has two parts in one vector. The statement part says what a statement, or a question, is about; it is made
from the means of the statement, its turn and the turn before. The token part says which of a statement's tokens is
wanted. Both are linear maps of the states of several lower layers, so that a frozen base can be taught to search.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization as init

from varda_chat.models.configuration import INTENTS, STATUSES, MemoryConfig
from varda_chat.models.copy_chain import ChainedMemory, CopyState, chain_successors
from varda_chat.models.memory_cache import MemoryState
from varda_chat.models.pooling import segment_mean_pool
from varda_chat.models.results import MASKED_SCORE, BatchMemory, SearchResults, without_padding

NO_ROLE, USER, ASSISTANT = 0, 1, 2
PAIR_EXTRA = 4 + len(INTENTS)
"""Numbers that a pair decision sees beside the two states."""
NEAR_SLOPE, NEAR_ENOUGH = 24.0, 0.45
"""Where a pair decision begins: with the sigmoid of the slope times what the cosine is above enough."""


@dataclass(frozen=True)
class Roles:
    """Who says each token, (B, T) each. role long: NO_ROLE, USER or ASSISTANT; text bool: a token of the message's text
    or its end, not of its header; header bool: of a reply's header; turn_start long: where the user's message of this
    turn begins, -1 before the first; turn long: number of the turn, -1 before the first."""

    role: Tensor
    text: Tensor
    header: Tensor
    turn_start: Tensor
    turn: Tensor

    @property
    def user_text(self) -> Tensor:
        return (self.role == USER) & self.text


def roles_of(ids: Tensor, config: MemoryConfig) -> Roles:
    """Read the turns off the chat template's own tokens; ids (B, T). A start token has no role yet: the role word
    behind it tells what it starts, and no token depends on a later one."""
    length = ids.shape[1]
    place = torch.arange(length, device=ids.device).expand_as(ids)
    starts = torch.where(ids == config.start_token_id, place, -1).cummax(dim=1).values
    word = ids.gather(1, (starts + 1).clamp(0, length - 1))
    known = (starts >= 0) & (place > starts)
    role = torch.where(known & (word == config.user_token_id), USER, NO_ROLE)
    role = torch.where(known & (word == config.assistant_token_id), ASSISTANT, role)
    width = torch.where(role == USER, config.user_header, config.assistant_header)
    before = F.pad(torch.where(ids == config.end_token_id, place, -1).cummax(dim=1).values, (1, 0), value=-1)[:, :-1]
    open_ = before < starts
    in_header = place < starts + width
    user_starts = torch.where((place == starts + 1) & (role == USER), place, -1)
    return Roles(
        role=role,
        text=(role != NO_ROLE) & open_ & ~in_header,
        header=(role == ASSISTANT) & in_header,
        turn_start=user_starts.cummax(dim=1).values,
        turn=(user_starts >= 0).long().cumsum(dim=1) - 1,
    )


@dataclass(frozen=True)
class Address:
    """What a token's query is made of, (B, T, F) each: the mean of its turn's user text so far, the state at the last
    of it, and the mean of the turn before."""

    mean: Tensor
    end: Tensor
    previous: Tensor


def addresses(features: Tensor, roles: Roles) -> Address:
    """The address context of every token of whole sequences (B, T, F): it grows while the user's message is read and
    stays while the reply is written."""
    length = features.shape[1]
    place = torch.arange(length, device=features.device).expand(features.shape[:2])
    mine = roles.user_text
    sums = (features * mine.unsqueeze(-1)).cumsum(dim=1)
    counts = mine.long().cumsum(dim=1)
    before = (roles.turn_start - 1).clamp_min(0)
    has_before = (roles.turn_start > 0).unsqueeze(-1)
    base = _rows(sums, before) * has_before
    base_count = counts.gather(1, before) * has_before.squeeze(-1)
    started = (roles.turn_start >= 0).unsqueeze(-1)
    mean = (sums - base) / (counts - base_count).clamp_min(1).unsqueeze(-1) * started
    ends = torch.where(mine, place, -1).cummax(dim=1).values
    # no text of this turn yet: nothing
    there = (ends >= roles.turn_start) & (ends >= 0)
    end = _rows(features, ends.clamp_min(0)) * there.unsqueeze(-1)
    previous = _rows(mean, before) * has_before
    return Address(mean, end, previous)


def _rows(values: Tensor, places: Tensor) -> Tensor:
    """values (B, T, F) at places (B, S): (B, S, F)."""
    return values.gather(1, places.unsqueeze(-1).expand(-1, -1, values.shape[-1]))


class Decision(nn.Module):
    """A decision with one hidden layer: (…, width) -> (…, outputs)."""

    def __init__(self, width: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.fc_in = nn.Linear(width, hidden)
        self.fc_out = nn.Linear(hidden, outputs)

    def forward(self, state: Tensor) -> Tensor:
        out: Tensor = self.fc_out(F.gelu(self.fc_in(state)))
        return out


class PairDecision(nn.Module):
    """A decision on a line and a statement: whether the one answers, or ends, the other.

    It begins as a threshold on how near the two are, and learns what nearness does not tell.
    """

    def __init__(self, turn_width: int, statement_width: int, hidden: int, extra: int) -> None:
        super().__init__()
        self.fc_turn = nn.Linear(turn_width, hidden)
        self.fc_statement = nn.Linear(statement_width, hidden)
        self.decision = Decision(3 * hidden + extra, hidden, 1)
        self.fc_near = nn.Linear(extra, 1)

    def forward(self, turn: Tensor, statements: Tensor, extra: Tensor) -> Tensor:
        """Logits (…, n) of turns (…, turn_width) and statements (…, n, statement_width); extra (…, n, extra)."""
        of_statement = self.fc_statement(statements)
        of_turn = self.fc_turn(turn).unsqueeze(-2).expand_as(of_statement)
        pair = torch.cat([of_turn, of_statement, of_turn * of_statement, extra], dim=-1)
        logits: Tensor = self.decision(pair) + self.fc_near(extra)
        return logits.squeeze(-1)


class MemoryLayer(nn.Module):
    """The parts between the residual stream and the memory.

    width: of the residual stream. All parts compute in float32, whatever the decoder's dtype.
    """

    def __init__(self, config: MemoryConfig, width: int) -> None:
        super().__init__()
        assert config.feature_layers is not None
        self.config, self.width = config, width
        features, k, dim = width * len(config.feature_layers), config.num_search_results, config.memory_dim
        statement_dim = dim - config.token_dim
        self.fc_query = nn.Linear(2 * features, statement_dim)
        self.fc_query_token = nn.Linear(2 * features, config.token_dim)
        self.fc_query_share = nn.Linear(features, 1)
        self.fc_storable_vector = nn.Linear(2 * features, statement_dim)
        self.fc_storable_token = nn.Linear(2 * features, config.token_dim)
        self.fc_store_decision = Decision(3 * features, config.hidden_dim, 1)
        self.fc_deletable_vector = nn.Linear(2 * features, statement_dim)
        self.fc_delete_decision = PairDecision(2 * features, statement_dim, config.hidden_dim, PAIR_EXTRA)
        self.fc_answer_decision = PairDecision(2 * features, statement_dim, config.hidden_dim, PAIR_EXTRA)
        self.fc_intent = Decision(3 * features, config.hidden_dim, len(INTENTS))
        self.fc = nn.Linear(k * dim, width)
        self.fc_token = nn.Linear(width, width, bias=False)
        self.no_match_proj = nn.Linear(2 * features, 1)
        self.no_match_token = nn.Linear(features, 1)
        self.no_match_status = nn.Embedding(len(STATUSES), 1)
        self.status = nn.Embedding(len(STATUSES), width)
        # a few dimensions of a pretrained layer's states dwarf all others: each is standardised, once and for all
        self.feature_mean = nn.Parameter(torch.empty(features), requires_grad=False)
        self.feature_scale = nn.Parameter(torch.empty(features), requires_grad=False)
        # weights of the turn and the turn before it in a statement's address, and of the turn before in a query's
        self.turn_weights = nn.Parameter(torch.empty(3))
        self.log_scale = nn.Parameter(torch.empty(()))
        self.no_match_score = nn.Parameter(torch.empty(()))
        self.chain_score = nn.Parameter(torch.empty(()))

    @torch.no_grad()
    def init_weights(self) -> None:
        """Initial values of what is not a plain linear map (from_pretrained builds on the meta device, so that these
        are not set in ``__init__``)."""
        config = self.config
        init.constant_(self.log_scale, math.log(config.score_scale))
        init.constant_(self.no_match_score, config.no_match_similarity)
        init.constant_(self.chain_score, config.chain_similarity)
        init.constant_(self.turn_weights, 0.1)
        init.zeros_(self.feature_mean)
        init.ones_(self.feature_scale)
        init.constant_(self.fc_query_share.bias, math.log(config.token_share / (1 - config.token_share)))
        for zero in (self.fc_query_share.weight, self.no_match_proj.weight, self.no_match_token.weight,
                     self.no_match_proj.bias, self.no_match_token.bias, self.no_match_status.weight,
                     self.status.weight, self.fc.bias):  # fmt: skip
            init.zeros_(zero)
        for each in (self.fc_query, self.fc_query_token, self.fc_storable_vector, self.fc_storable_token,
                     self.fc_deletable_vector):  # fmt: skip
            init.normal_(each.weight, std=each.in_features**-0.5)
        init.normal_(self.fc.weight, std=0.02)
        init.zeros_(self.fc_token.weight)
        pairs = (self.fc_delete_decision, self.fc_answer_decision)
        for decision in (self.fc_store_decision, self.fc_intent, *(pair.decision for pair in pairs)):
            init.normal_(decision.fc_in.weight, std=decision.fc_in.in_features**-0.5)
        for pair in pairs:
            init.normal_(pair.fc_turn.weight, std=pair.fc_turn.in_features**-0.5)
            init.normal_(pair.fc_statement.weight, std=pair.fc_statement.in_features**-0.5)
            init.zeros_(pair.decision.fc_out.weight)
            init.zeros_(pair.decision.fc_out.bias)
            init.zeros_(pair.fc_near.weight)
            init.constant_(pair.fc_near.weight[:, :1], NEAR_SLOPE)
            init.constant_(pair.fc_near.bias, -NEAR_SLOPE * NEAR_ENOUGH)
        init.constant_(self.fc_store_decision.fc_out.bias, -1.0)

    # queries

    def features(self, taps: list[Tensor]) -> Tensor:
        """(B, T, F) of the normalised states (B, T, width) of the feature layers."""
        return (torch.cat(taps, dim=-1) - self.feature_mean) * self.feature_scale

    @torch.no_grad()
    def standardise(self, features: Tensor) -> None:
        """Set mean and scale from ``features`` (n, F) of typical tokens, computed with mean 0 and scale 1."""
        self.feature_mean.copy_(features.mean(dim=0))
        self.feature_scale.copy_(1.0 / features.std(dim=0).clamp_min(1e-3))

    def query(self, features: Tensor, before: Tensor, address: Address) -> Tensor:
        """Unit queries (B, T, memory_dim) of tokens with ``features`` and those of the token before (B, T, F)."""
        about = self.query_address(address)
        token = F.normalize(self.fc_query_token(torch.cat([features, before], dim=-1)), dim=-1)
        share = torch.sigmoid(self.fc_query_share(features))
        return torch.cat([(1 - share).sqrt() * about, share.sqrt() * token], dim=-1)

    def query_address(self, address: Address) -> Tensor:
        """What a line is about, as a question asks for it: unit vectors (…, statement_dim)."""
        return F.normalize(self.fc_query(self.turn_state(address)), dim=-1)

    def turn_state(self, address: Address) -> Tensor:
        """(…, 2 F): the turn's mean with some of the turn before, and the state at its end."""
        return torch.cat([address.mean + self.turn_weights[2] * address.previous, address.end], dim=-1)

    # writing

    def write(
        self, features: Tensor, before: Tensor, statements: Tensor, roles: Roles, address: Address
    ) -> tuple[Tensor, Tensor]:
        """What the tokens would store.

        Args:
            features, before: states of the tokens and of those before them, (B, T, F).
            statements: (B, T) long, number of the statement of its row that each token belongs to, -1 for none.

        Returns storable vectors (B, T, memory_dim), unit length, and store logits (B, T, 1).
        """
        mean = segment_mean_pool(features, statements)
        state = self._statement_state(features, mean, statements, roles, address)
        about = F.normalize(self.fc_storable_vector(state), dim=-1)
        token = F.normalize(self.fc_storable_token(torch.cat([features, before], dim=-1)), dim=-1)
        share = self.config.token_share
        vectors = torch.cat([math.sqrt(1 - share) * about, math.sqrt(share) * token], dim=-1)
        return vectors, self.fc_store_decision(torch.cat([features, before, mean], dim=-1))

    def _statement_state(
        self, features: Tensor, mean: Tensor, statements: Tensor, roles: Roles, address: Address
    ) -> Tensor:
        """(B, T, 2 F): the statement's mean with some of its turn's and the turn before's, and the state at its end."""
        rows, length = statements.shape
        in_turn = (statements >= 0) & roles.user_text
        by_turn = segment_mean_pool(features, torch.where(in_turn, roles.turn, -1))
        groups = int(statements.max()) + 2 if length else 1
        place = torch.arange(length, device=features.device).expand(rows, length)
        last = torch.zeros(rows, groups, dtype=torch.long, device=features.device)
        last = last.scatter_reduce(1, statements + 1, place, "amax")
        end = _rows(features, last.gather(1, statements + 1)) * (statements >= 0).unsqueeze(-1)
        mixed = mean + self.turn_weights[0] * by_turn + self.turn_weights[1] * address.previous
        return torch.cat([mixed, end], dim=-1)

    # reading

    def scores(self, similarity: Tensor, log_gates: Tensor | None) -> Tensor:
        """Scores before the softmax: scale * q.v + log gate."""
        scores = self.log_scale.exp() * similarity
        return scores if log_gates is None else scores + log_gates

    def no_match_scores(self, features: Tensor, address: Address, status: Tensor | None) -> Tensor:
        """Score of the no-match slot, (…, 1), on the scale of the others; ``status`` (…,) long, -1 for none."""
        similarity = self.no_match_score + self.no_match_proj(self.turn_state(address)) + self.no_match_token(features)
        if status is not None:
            similarity = similarity + self.no_match_status(status.clamp_min(0)) * (status >= 0).unsqueeze(-1)
        return self.log_scale.exp() * similarity

    def weights(self, query: Tensor, results: Any, no_match: Tensor, continued: Tensor | None) -> Tensor:
        """Read weights (B, T, k) of ``results``; the rest to 1 is the no-match slot's. ``continued``: (B, T, k) bool,
        those that continue a copied token."""
        similarity = torch.einsum("btd,btkd->btk", query, results.vectors.float())
        if continued is not None:
            similarity = similarity + self.chain_score * continued
        found = results.ids >= 0
        scores = self.scores(similarity, results.log_gates).masked_fill(~found, MASKED_SCORE)
        return torch.cat([scores, no_match], dim=-1).softmax(dim=-1)[..., :-1] * found

    def read(self, results: Any, weights: Tensor, embed: nn.Module) -> Tensor:
        """What is added to the residual stream, (B, T, width): the weighted results through ``fc``, and their tokens'
        embeddings through ``fc_token``; 0 where nothing was found."""
        vectors = results.vectors.float() * weights.unsqueeze(-1) * math.sqrt(self.config.memory_dim)
        added = self.fc(vectors.flatten(-2))
        if results.token_ids is not None:
            with torch.no_grad():
                tokens = embed(results.token_ids.clamp_min(0)).float()
                tokens = F.rms_norm(tokens, tokens.shape[-1:])
            added = added + self.fc_token((tokens * weights.unsqueeze(-1)).sum(dim=-2))
        return added * (results.ids >= 0).any(dim=-1, keepdim=True)

    # decisions about the turn

    def intent_logits(self, address: Address) -> Tensor:
        """(…, len(INTENTS)): what the line wants of the memory."""
        logits: Tensor = self.fc_intent(torch.cat([self.turn_state(address), address.previous], dim=-1))
        return logits

    def deletable_vector(self, address: Address) -> Tensor:
        """Unit vectors (…, memory_dim), near the statements that the line makes obsolete; no token part."""
        about = F.normalize(self.fc_deletable_vector(self.turn_state(address)), dim=-1)
        return F.pad(about, (0, self.config.token_dim))

    def delete_logits(self, address: Address, vectors: Tensor, there: Tensor | None = None) -> Tensor:
        """Delete decisions (…, n) of lines on statements with ``vectors`` (…, n, memory_dim). ``there``: (…, n) bool,
        those in memory, with which a statement is compared; None for all."""
        about = self._about(vectors)
        logits: Tensor = self.fc_delete_decision(self.turn_state(address), about, self._extra(address, about, there))
        return logits

    def answer_logits(self, address: Address, vectors: Tensor, there: Tensor | None = None) -> Tensor:
        """Whether statements with ``vectors`` (…, n, memory_dim) answer the lines: (…, n); ``there`` as above."""
        about = self._about(vectors)
        logits: Tensor = self.fc_answer_decision(self.turn_state(address), about, self._extra(address, about, there))
        return logits

    def _about(self, vectors: Tensor) -> Tensor:
        """The statement part of vectors, unit length."""
        return F.normalize(vectors[..., : self.config.memory_dim - self.config.token_dim].float(), dim=-1)

    def _extra(self, address: Address, about: Tensor, there: Tensor | None) -> Tensor:
        """(…, n, PAIR_EXTRA): how near each statement is to what the line asks for, and how much less than the nearest;
        the same for what the line would end; and what the line wants."""
        columns = []
        wanted = self.deletable_vector(address)[..., : about.shape[-1]]
        for query in (self.query_address(address), wanted):
            near = (query.unsqueeze(-2) * about).sum(-1)
            seen = near if there is None else near.masked_fill(~there, -1.0)
            columns += [near, near - seen.amax(dim=-1, keepdim=True)]
        intent = self.intent_logits(address).softmax(dim=-1).unsqueeze(-2).expand(*about.shape[:-1], -1)
        return torch.cat([torch.stack(columns, dim=-1), intent], dim=-1)


@dataclass
class Pass:
    """What one forward pass does with the memory: the layers show it their hidden states, and it fills in the rest.

    memory: what to search, or a maker of it (BatchMemory); ids (B, T); statements (B, T) or None; status (B,) or (B, T)
    long or None; state: the cache's, or None; real (B, T) bool: no padding, None where all are.
    """

    layer: MemoryLayer
    embed: nn.Module
    memory: Any
    ids: Tensor
    statements: Tensor | None
    status: Tensor | None
    state: MemoryState | None
    real: Tensor | None = None
    stop_below: bool = False
    taps: list[Tensor] | None = None
    features: Tensor | None = None
    roles: Roles | None = None
    address: Address | None = None
    query: Tensor | None = None
    vectors: Tensor | None = None
    store_logits: Tensor | None = None
    results: SearchResults | None = None
    weights: Tensor | None = None
    no_match: Tensor | None = None

    def apply_memory(self, index: int, hidden: Tensor) -> Tensor:
        """Tap, search and read where it is this layer's turn, with the hidden states (B, T, width) after ``index``
        decoder layers; returns the states for the next layer."""
        config = self.layer.config
        assert config.feature_layers is not None
        if index in config.feature_layers:
            self.taps = [*(self.taps or []), F.rms_norm(hidden.float(), hidden.shape[-1:])]
        if index == config.memory_layer:
            with torch.autocast(hidden.device.type, enabled=False):
                hidden = self._apply(hidden)
            if self.stop_below:
                raise StopBelow
        return hidden

    def read_from(self, taps: list[Tensor]) -> None:
        """Fill in what the lower layers give, from their states of an earlier pass, (B, T, …) each."""
        self.taps = taps
        self._apply(torch.zeros(()))

    def _apply(self, hidden: Tensor) -> Tensor:
        assert self.taps is not None
        layer, new = self.layer, self.ids.shape[1]
        self.features = layer.features(self.taps)
        if self.real is not None:  # to a token behind padding, as to a first one, nothing comes before
            self.features = self.features * self.real.unsqueeze(-1)
        before, ids, features = self._with_history()
        self.roles, self.address = self._address(ids, features, new)
        if self.statements is not None:
            self.vectors, self.store_logits = layer.write(
                self.features, before, self.statements, self.roles, self.address
            )
        if isinstance(self.memory, BatchMemory):
            assert self.vectors is not None and self.store_logits is not None
            self.memory = self.memory.over(self.vectors, self.store_logits)
        self.query = layer.query(self.features, before, self.address)
        reply = self.roles.role == ASSISTANT
        status = self.status
        if status is not None:
            if status.ndim == 1:
                status = status.unsqueeze(1).expand(-1, new)
            status = status.masked_fill(~reply, -1)
        self.no_match = layer.no_match_scores(self.features, self.address, status)
        copy_state: CopyState | None = None
        if self.memory is not None:
            found = without_padding(self.memory.search(self.query, layer.config.num_search_results), self.real)
            continued = None
            if isinstance(self.memory, ChainedMemory) and found.token_ids is not None:
                earlier = None if self.state is None else self.state.last_copy_state
                found, continued, copy_state = _continue_copies(found, self.query, self.ids, earlier, self.memory)
            self.results = found
            self.weights = layer.weights(self.query, found, self.no_match, continued)
            hidden = hidden + (layer.read(found, self.weights, self.embed) * reply.unsqueeze(-1)).to(hidden.dtype)
        if status is not None:
            told = self.roles.header & (status >= 0)
            hidden = hidden + (layer.status(status.clamp_min(0)) * told.unsqueeze(-1)).to(hidden.dtype)
        if self.state is not None:
            self.state.append(copy_state, ids=self.ids, features=self.features.detach())
            self.state.context = (self.roles, self.address)
        return hidden

    def _with_history(self) -> tuple[Tensor, Tensor, Tensor]:
        """The features of the token before each; and ids and features of all tokens that the turn depends on."""
        assert self.features is not None
        last = None if self.state is None else self.state.last("features")
        if self.state is None or last is None:
            first = torch.zeros_like(self.features[:, :1])
            return torch.cat([first, self.features[:, :-1]], dim=1), self.ids, self.features
        before = torch.cat([last, self.features[:, :-1]], dim=1)
        if self.state.context is not None and self._is_reply():
            return before, self.ids, self.features  # the turn is summarised already
        ids, features = self.state.all("ids"), self.state.all("features")
        return before, torch.cat([ids, self.ids], dim=1), torch.cat([features, self.features], dim=1)

    def _is_reply(self) -> bool:
        """Whether the new tokens continue the reply at hand, so that nothing of the turn changes."""
        assert self.state is not None
        roles, _ = self.state.context
        config = self.layer.config
        same = bool((roles.role[:, -1] == ASSISTANT).all()) and not bool(roles.header[:, -1].any())
        return same and not bool((self.ids == config.start_token_id).any())

    def _address(self, ids: Tensor, features: Tensor, new: int) -> tuple[Roles, Address]:
        if self.state is not None and self.state.context is not None and ids.shape[1] == new and len(self.state):
            roles, address = self.state.context
            shape = (-1, new)
            # what follows the reply's end is no text
            before = self.state.last("ids")
            assert before is not None
            ends = torch.cat([before, ids[:, :-1]], dim=1) == self.layer.config.end_token_id
            last = Roles(
                roles.role[:, -1:].expand(shape), roles.text[:, -1:] & ~ends.cummax(dim=1).values,
                torch.zeros_like(ids, dtype=torch.bool), roles.turn_start[:, -1:].expand(shape),
                roles.turn[:, -1:].expand(shape),
            )  # fmt: skip
            of_turn = (each[:, -1:].expand(-1, new, -1) for each in (address.mean, address.end, address.previous))
            return last, Address(*of_turn)
        roles = roles_of(ids, self.layer.config)
        address = addresses(features, roles)
        if ids.shape[1] > new:
            roles = Roles(*(getattr(roles, name)[:, -new:] for name in Roles.__dataclass_fields__))
            address = Address(*(getattr(address, name)[:, -new:] for name in Address.__dataclass_fields__))
        return roles, address


def _continue_copies(results: Any, query: Tensor, ids: Tensor, earlier: CopyState | None, memory: ChainedMemory) -> Any:
    """``chain_successors``, with an earlier state of another width (of a step without results) made to fit."""
    if earlier is not None:
        missing = results.ids.shape[-1] + 1 - earlier.ids.shape[-1]
        if missing > 0:
            earlier = CopyState(*(F.pad(each, (0, missing), value=-1) for each in earlier))
    return chain_successors(results, query, ids, earlier, memory)


class StopBelow(Exception):  # noqa: N818 (a signal, not an error)
    """Ends a pass at the memory layer, where only the lower layers are wanted."""
