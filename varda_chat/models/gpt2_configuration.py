"""VardaGPTConfig: GPT-2's configuration plus the shape and the thresholds of the memory."""

from __future__ import annotations

from typing import Any

from transformers import GPT2Config


class VardaGPTConfig(GPT2Config):
    """Configuration of :class:`VardaGPTAssociative`. Everything of ``GPT2Config``, and:

    Args:
        memory_dim: floats in a stored vector.
        num_search_results: results read at every token (k).
        memory_layer: after how many blocks the memory is read, 0 (the input embeddings, the original
            VardaGPT's place) to ``n_layer``; None for the middle.
        store_layer: after how many blocks the state is taken that vectors are written from; None for
            ``memory_layer``. The state is taken before the read, so a vector never depends on the memory.
        store_previous_state: write vectors from the state at the token and the one before it.
        store_statement_state: write vectors also from the mean state of the statement (sentence or clause) that the
            token stands in, so that a vector knows the words after its token too: "... ate my socks, typical goat".
        query_context: search also with a running mean of the states, so that the whole question is in the query as the
            whole statement is in a vector.
        query_decay: what a state weighs in that mean, relative to the one after it.
        copy_results: let the results' own tokens take a share of the next token's probability.
        null_result: let the read weights fall on "nothing fits".
        null_by_state: let the state say how well a result must fit; else one similarity holds for all tokens.
        read_null: read a learned vector with the no-match slot's weight, so that the blocks above see how well nothing
            fits as plainly as they see what does.
        null_similarity: the similarity at which a result fits no better than nothing, at the start of training;
            learned. (A score of its own could not follow the scale of the others: it moves by a learning rate a step.)
        follow_copies: where a token was copied, let the vector stored next in its statement be a result of the next
            step.
        follow_similarity: what that adds to its similarity, at the start of training; learned.
        score_scale: the scale of the match between query and vector at the start of training; learned.
        delete_similarity: cosine between deletable and stored vector at which a delete is half open.
        delete_sharpness: slope of that opening.
        store_threshold: a token is stored where the store decision's probability exceeds this.
        delete_threshold: a statement leaves where its delete probability over a turn exceeds this ...
        delete_share: ... and its evidence, -log(1 - probability), is at least this share of the turn's largest: a
            correction means one thing, and what resembles it shall stay.
        admission_token_id: the token that abstentions of not knowing begin with ("I don't know ..."), None for a model
            that was not trained to admit.
        admission_threshold: with a memory, a reply begins with it only where the no-match slot's share of what is read
            at the end of the question exceeds this. Answers begin in many ways, abstentions in one: the likeliest first
            token alone would deny what is known.
        memory_size: vectors that a new memory of this model holds.
        index_type: the type of index that a new memory is searched with: flat, ivf, compressed or graph.
        num_clusters: into how many clusters ivf and compressed indexes divide it, at most.
        forgetfulness_factor: share (0 to 1) of the unpinned statements that it forgets at random when a session ends.
    """

    model_type = "varda_gpt"

    memory_dim: int = 768
    num_search_results: int = 5
    memory_layer: int | None = None
    store_layer: int | None = None
    store_previous_state: bool = True
    store_statement_state: bool = True
    query_context: bool = True
    query_decay: float = 0.95
    copy_results: bool = True
    null_result: bool = True
    null_by_state: bool = True
    read_null: bool = True
    null_similarity: float = 0.5
    follow_copies: bool = True
    follow_similarity: float = 0.1
    score_scale: float = 10.0
    delete_similarity: float = 0.5
    delete_sharpness: float = 10.0
    store_threshold: float = 0.5
    delete_threshold: float = 0.5
    delete_share: float = 0.8
    admission_token_id: int | None = None
    admission_threshold: float = 0.0
    memory_size: int = 10_000
    index_type: str = "flat"
    num_clusters: int = 1024
    forgetfulness_factor: float = 0.0
    loss_type: str | None = "ForCausalLM"

    def __post_init__(self, **kwargs: Any) -> None:
        if self.memory_layer is None:
            self.memory_layer = self.n_layer // 2
        if self.store_layer is None:
            self.store_layer = self.memory_layer
        super().__post_init__(**kwargs)
        if not 0 < self.query_decay < 1:
            raise ValueError(f"query_decay must lie between 0 and 1, not {self.query_decay}")
        for name in ("memory_layer", "store_layer"):
            if not 0 <= getattr(self, name) <= self.n_layer:
                raise ValueError(f"{name} must lie between 0 and n_layer ({self.n_layer}), not {getattr(self, name)}")
        for name in ("num_search_results", "memory_dim", "memory_size", "num_clusters"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 <= self.forgetfulness_factor <= 1:
            raise ValueError(f"forgetfulness_factor must lie between 0 and 1, not {self.forgetfulness_factor}")

    @property
    def written_from(self) -> int:
        """States that a vector is written from: the token's, and those that the switches add."""
        return 1 + self.store_previous_state + self.store_statement_state
