"""MemoryLayer: queries, reads and writes an associative memory in the middle of any decoder; knows no architecture.

Addressing has two parts in one vector. The statement part says what a statement, or a question, is about; it is made
from the means of the statement, its turn and the turn before. The token part says which of a statement's tokens is
wanted. Both are linear maps of the states of several lower layers, so that a frozen base can be taught to search.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization as init

from varda_chat.models.addressing import Address, Roles, rows_at
from varda_chat.models.configuration import INTENTS, STATUSES, MemoryConfig
from varda_chat.models.decision_heads import Decision, PairDecision
from varda_chat.models.pooling import segment_mean_pool
from varda_chat.models.results import MASKED_SCORE

PAIR_EXTRA = 4 + len(INTENTS)
"""Numbers that a pair decision sees beside the two states."""
NEAR_SLOPE, NEAR_ENOUGH = 24.0, 0.45
"""Where a pair decision begins: with the sigmoid of the slope times what the cosine is above enough."""


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
        end = rows_at(features, last.gather(1, statements + 1)) * (statements >= 0).unsqueeze(-1)
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
