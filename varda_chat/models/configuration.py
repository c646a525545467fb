"""MemoryConfig: the shape and the thresholds of the memory that a decoder carries, nested in its own configuration."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedConfig

STATUSES = (
    "nothing",  # the line concerns nothing in memory
    "stored",
    "replaced",
    "deleted",
    "nothing_to_delete",
    "incognito",  # it would have been stored, but this session stores nothing
    "recalled",  # the line asks for something that memory holds
    "unknown",  # it asks for something that memory does not hold
)
"""What was decided when the person's line had been read; the reply is conditioned on it."""

INTENTS = ("other", "tell", "correct", "forget", "ask")
"""What a line wants of the memory."""


class MemoryConfig(PreTrainedConfig):
    """Settings of :class:`MemoryLayer`.

    Args:
        memory_dim: floats in a stored vector; ``token_dim`` of them address the token, the others its statement.
        token_share: share of a stored vector's squared length that lies in the token part.
        num_search_results: results read at every token (k).
        memory_layer: the memory is read after this many decoder layers; None for 0.7 of them.
        feature_layers: queries and vectors are made from the states after these many layers; None for three of them.
        hidden_dim: width of the hidden layer of the store, delete and intent decisions.
        score_scale: initial scale of the match between query and vector; learned.
        no_match_similarity: initial similarity at which a result fits no better than nothing; learned.
        chain_similarity: initial bonus of the vector that continues a copied token; learned.
        start_token_id, user_token_id, assistant_token_id, end_token_id: the chat template's message start, the two
            role words behind it, and the message end: by these the layer knows turns.
        user_header, assistant_header: tokens of a message before its text, the start token among them.
        store_threshold: a token is stored where the store decision's probability exceeds this.
        delete_threshold: a statement is deleted where the delete decision's probability exceeds this.
        recall_threshold: a question counts as answered by memory where the share of matching statements exceeds this.
        ask_threshold: a line counts as a question about the user's own facts above this probability.
        change_threshold: only a line that is a correction or a request to forget above this probability deletes.
        request_threshold: a line counts as a request to forget above this probability.
        other_threshold: a line that concerns nothing in memory above this probability stores nothing, whatever the
            store gates say; 1 leaves it to them.
        rerank_rank: rank of the maps by which found statements are read once more, beside the line; 0 for none.
        rerank_search_weight: weight of what the search says of them, in log-odds, beside what is read so.
        rerank_answer_threshold, rerank_end_threshold: as recall_threshold and delete_threshold, of both together.
        rerank_forget_threshold: in place of the latter, where a line asks for something to be forgotten.
        response_rank: rank of the maps by which known replies are read behind a line, beside the reranker's; 0 for a
            model that knows none.
        response_dim: floats in the vectors by which known lines are found.
        response_lines: known lines.
        response_threshold: a known reply is said where it fits with a probability above this.
        response_told_threshold: the same for a line from which something is stored.
        memory_size, index_type, num_clusters, forgetfulness_factor: what a new memory of this model begins with.
    """

    model_type = "varda_memory"

    memory_dim: int = 256
    token_dim: int = 64
    token_share: float = 0.25
    num_search_results: int = 5
    memory_layer: int | None = None
    feature_layers: list[int] | None = None
    hidden_dim: int = 128
    score_scale: float = 45.0
    no_match_similarity: float = 0.3
    chain_similarity: float = 0.2
    start_token_id: int = 1
    user_token_id: int = 4093
    assistant_token_id: int = 520
    end_token_id: int = 2
    user_header: int = 3
    assistant_header: int = 4
    store_threshold: float = 0.5
    delete_threshold: float = 0.5
    recall_threshold: float = 0.5
    ask_threshold: float = 0.5
    change_threshold: float = 0.5
    request_threshold: float = 0.0
    other_threshold: float = 0.9
    rerank_rank: int = 0
    rerank_search_weight: float = 0.0
    rerank_answer_threshold: float = 0.5
    rerank_end_threshold: float = 0.5
    rerank_forget_threshold: float = 0.5
    response_rank: int = 0
    response_dim: int = 128
    response_lines: int = 0
    response_threshold: float = 0.9
    response_told_threshold: float = 1.0
    memory_size: int = 10_000
    index_type: str = "flat"
    num_clusters: int = 1024
    forgetfulness_factor: float = 0.0

    def resolve(self, num_layers: int) -> None:
        """Fill in what depends on the decoder's depth. Raises ValueError for settings that do not fit it."""
        if self.memory_layer is None:
            self.memory_layer = max(1, round(0.7 * num_layers))
        if self.feature_layers is None:
            thirds = {max(1, round(self.memory_layer * part / 3)) for part in (1, 2, 3)}
            self.feature_layers = sorted(thirds)
        if not 0 < self.memory_layer < num_layers:
            raise ValueError(f"memory_layer must be between 1 and {num_layers - 1}, not {self.memory_layer}")
        if not self.feature_layers or max(self.feature_layers) > self.memory_layer or min(self.feature_layers) < 1:
            raise ValueError(f"feature_layers must be between 1 and memory_layer, not {self.feature_layers}")
        if not 0 < self.token_dim < self.memory_dim:
            raise ValueError(f"token_dim must be between 1 and memory_dim - 1, not {self.token_dim}")
        if self.response_rank and not self.rerank_rank:
            raise ValueError("response_rank needs a rerank_rank: known replies are read through both maps")
        for name in ("num_search_results", "memory_size", "num_clusters", "hidden_dim"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")


class WithMemory:
    """Mixed into a decoder's configuration: the nested ``memory`` settings and the names that the chat reads."""

    memory: Any
    num_hidden_layers: int
    max_position_embeddings: int

    def __post_init__(self, **kwargs: Any) -> None:
        self.resolve_memory()
        super().__post_init__(**kwargs)  # type: ignore[misc]

    def resolve_memory(self) -> None:
        """Turn ``memory`` into a MemoryConfig that fits the decoder."""
        if self.memory is None:
            self.memory = MemoryConfig()
        elif isinstance(self.memory, dict):
            self.memory = MemoryConfig(**self.memory)
        self.memory.resolve(self.num_hidden_layers)

    @property
    def n_positions(self) -> int:
        """Tokens in the context window that the chat uses."""
        return min(self.max_position_embeddings, CONTEXT)

    @property
    def memory_dim(self) -> int:
        return int(self.memory.memory_dim)

    @property
    def store_threshold(self) -> float:
        return float(self.memory.store_threshold)

    @property
    def num_search_results(self) -> int:
        return int(self.memory.num_search_results)


CONTEXT = 2048
"""Tokens that a chat keeps in its window at most; the model was trained on a quarter of it."""
