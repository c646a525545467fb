"""Perplexity on held-out human dialogue: does the memory help on conversations that nobody wrote for it?

Multi-Session Chat: the sessions of a pair of people, in order. What the model stores by its own gates, from both
speakers and at its own threshold, goes into a real memory after each session; every later session is then predicted
three times: reading that memory, reading none, and reading the memory that another pair left at the same point. The
first session of each pair has nothing to read and is not counted. The memory is not changed within a session.

The other corpora are predicted without a memory. A twin (a plain GPT-2 of the same size, trained on the same tokens) is
given the same windows of the same tokens.

Counted is every token of both speakers, with the end of the message, without the role token. A window holds at most
``n_positions`` tokens; its first half is context and not counted, except at the start of a dialogue.
"""

from __future__ import annotations

import json
import math
import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import GPT2LMHeadModel

from training.data.sources.corpora import CORPORA, Dialogue, is_validation, read_dialogues
from training.evaluation.recall.telling import open_store
from varda_chat.errors import CheckpointError, DataError
from varda_chat.memory import MemoryStore, TurnChanges
from varda_chat.models.chat_format import ChatFormat, EncodedMessage
from varda_chat.models.checkpoint import Checkpoint, load_checkpoint
from varda_chat.models.results import EmptyMemory
from varda_chat.session.remembering import read_messages, statements_to_store

Reader = Literal["memory", "no memory", "another pair's memory", "twin"]
READERS: tuple[Reader, ...] = get_args(Reader)
MULTI_SESSION = "msc"
DIALOGUES_EACH = 60
"""Dialogues read of each other corpus, at most."""
_RESAMPLES = 2000

Step = Callable[[int, int], None]


@dataclass(frozen=True)
class Loss:
    """Sum of -log p over ``tokens``, in nats."""

    nats: float
    tokens: int

    @property
    def perplexity(self) -> float:
        return math.exp(self.nats / self.tokens) if self.tokens else math.nan

    @classmethod
    def sum(cls, parts: Sequence[Loss]) -> Loss:
        return cls(sum(part.nats for part in parts), sum(part.tokens for part in parts))


@dataclass(frozen=True)
class Prediction:
    """How well ``corpus`` was predicted by each reader: for each unit (a pair of people, or a dialogue) its loss.

    stored, told: tokens that went into memory, and that could have.
    """

    corpus: str
    losses: dict[Reader, tuple[Loss, ...]]
    stored: int = 0
    told: int = 0

    def perplexity(self, reader: Reader) -> float:
        return Loss.sum(self.losses[reader]).perplexity

    def ratio(self, reader: Reader, other: Reader, seed: int = 0) -> tuple[float, float, float]:
        """Perplexity of ``reader`` as a share of ``other``'s, and its 95 % interval. Below 1 is better than
        ``other``."""
        return ratio_interval(self.losses[reader], self.losses[other], seed)


def ratio_interval(ours: Sequence[Loss], theirs: Sequence[Loss], seed: int = 0) -> tuple[float, float, float]:
    """Perplexity over all units as a share of the other's over the same units, and its 95 % interval (percentile
    bootstrap over units, 2,000 resamples)."""

    def share(units: Sequence[int]) -> float:
        one, two = (Loss.sum([losses[u] for u in units]) for losses in (ours, theirs))
        return one.perplexity / two.perplexity

    rng = random.Random(seed)
    everybody = range(len(ours))
    drawn = sorted(share(rng.choices(everybody, k=len(ours))) for _ in range(_RESAMPLES))
    return share(everybody), drawn[int(0.025 * _RESAMPLES)], drawn[int(0.975 * _RESAMPLES) - 1]


def measure_dialogue(
    checkpoint: Checkpoint, data_dir: Path, *, twin: Any | None = None, on_progress: Step | None = None
) -> list[Prediction]:
    """Predict the held-out dialogues in ``data_dir``, the multi-session corpus first.

    Raises DataError where a corpus is missing, or too small to have two held-out pairs.
    """
    held = {c.name: [d for d in read_dialogues(data_dir, c) if is_validation(d)] for c in CORPORA}
    pairs = sessions_of_pairs(held.pop(MULTI_SESSION))
    if len(pairs) < 2:
        raise DataError(f"{MULTI_SESSION} has {len(pairs)} held-out pairs of people; two or more are needed.")
    others = {name: dialogues[:DIALOGUES_EACH] for name, dialogues in held.items() if dialogues}
    total, done = sum(map(len, pairs)) + sum(map(len, others.values())), 0

    def step() -> None:
        nonlocal done
        done += 1
        if on_progress:
            on_progress(done, total)

    results = [_multi_session(checkpoint, pairs, twin, step)]
    for name, dialogues in others.items():
        losses: dict[Reader, list[Loss]] = {"no memory": []}
        if twin is not None:
            losses["twin"] = []
        for dialogue in dialogues:
            for reader, found in losses.items():
                found.append(_loss(reader, checkpoint, twin, windows(checkpoint, dialogue)))
            step()
        results.append(Prediction(name, {reader: tuple(found) for reader, found in losses.items()}))
    return results


def sessions_of_pairs(dialogues: Sequence[Dialogue]) -> list[list[Dialogue]]:
    """The sessions of each pair of people, in order. An id is ``s2-valid_102``: session 2 of pair 102."""
    pairs: dict[str, list[Dialogue]] = {}
    for dialogue in dialogues:
        pairs.setdefault(dialogue.id.rpartition("_")[2], []).append(dialogue)
    return [sorted(sessions, key=lambda d: d.id) for _, sessions in sorted(pairs.items())]


def _multi_session(
    checkpoint: Checkpoint, pairs: Sequence[Sequence[Dialogue]], twin: Any | None, step: Callable[[], None]
) -> Prediction:
    losses: dict[Reader, list[Loss]] = {"memory": [], "no memory": [], "another pair's memory": []}
    if twin is not None:
        losses["twin"] = []
    stored = told = 0
    by_pair: list[dict[Reader, list[Loss]]] = [{reader: [] for reader in losses} for _ in pairs]
    with tempfile.TemporaryDirectory(prefix="varda-dialogue-") as scratch:
        stores = [open_store(checkpoint, Path(scratch) / str(number)) for number in range(len(pairs))]
        try:
            for session in range(max(map(len, pairs))):
                present = [number for number, sessions in enumerate(pairs) if session < len(sessions)]
                for place, number in enumerate(present):
                    cut = windows(checkpoint, pairs[number][session])
                    if session > 0:
                        stranger = present[(place + 1) % len(present)]
                        for reader, found in by_pair[number].items():
                            memory = {"memory": stores[number], "another pair's memory": stores[stranger]}.get(reader)
                            found.append(_loss(reader, checkpoint, twin, cut, memory))
                    step()
                for number in present:  # only now: the stranger's memory is one of earlier sessions, too
                    kept, seen = remember(checkpoint, pairs[number][session], stores[number])
                    stored, told = stored + kept, told + seen
        finally:
            for store in stores:
                store.close()
    for found_by in by_pair:
        for reader, found in found_by.items():
            losses[reader].append(Loss.sum(found))
    return Prediction(MULTI_SESSION, {reader: tuple(found) for reader, found in losses.items()}, stored, told)


@dataclass(frozen=True)
class Window:
    """Token ids to read, and which of them are counted: (n,) each. The first is never counted."""

    ids: list[int]
    counted: list[bool]


def windows(checkpoint: Checkpoint, dialogue: Dialogue) -> list[Window]:
    """The dialogue in windows of at most ``n_positions`` tokens; every token is counted in one of them."""
    ids: list[int] = []
    counted: list[bool] = []
    for message in _messages(checkpoint, dialogue):
        ids += message.ids
        counted += [False] + [True] * (len(message.ids) - 1)
    size: int = checkpoint.model.config.n_positions
    cut = [Window(ids[:size], counted[:size])]
    at = size
    while at < len(ids):
        start = at - size // 2
        end = min(start + size, len(ids))
        cut.append(Window(ids[start:end], [False] * (at - start) + counted[at:end]))
        at = end
    return cut


def _messages(checkpoint: Checkpoint, dialogue: Dialogue) -> list[EncodedMessage]:
    return [checkpoint.chat.encode(role, text) for role, text in dialogue.turns]


def _loss(
    reader: Reader, checkpoint: Checkpoint, twin: Any, cut: Sequence[Window], memory: MemoryStore | None = None
) -> Loss:
    """Loss of a reader; the checkpoint reads an EmptyMemory where it has no vectors, as a chat does."""
    if reader == "twin":
        return loss_of(twin, cut)
    return loss_of(checkpoint.model, cut, memory if memory is not None and memory.size else EmptyMemory())


@torch.inference_mode()
def loss_of(model: Any, cut: Sequence[Window], memory: Any = None) -> Loss:
    """Loss of ``model`` on the counted tokens, reading ``memory`` (none for a plain GPT-2)."""
    nats, tokens = 0.0, 0
    for window in cut:
        ids = torch.tensor([window.ids], device=model.device)
        extra = {"memory": memory} if memory is not None else {}
        logits: Tensor = model(ids, use_cache=False, **extra).logits[0, :-1]
        losses = torch.nn.functional.cross_entropy(logits.float(), ids[0, 1:], reduction="none")
        chosen = torch.tensor(window.counted[1:], device=losses.device)
        nats += float(losses[chosen].double().sum())
        tokens += int(chosen.sum())
    return Loss(nats, tokens)


@torch.inference_mode()
def remember(checkpoint: Checkpoint, dialogue: Dialogue, store: MemoryStore) -> tuple[int, int]:
    """Store what the gates choose of a session, message by message, each read with as many messages before it as fit;
    returns how many tokens were stored, and of how many."""
    chat, model = checkpoint.chat, checkpoint.model
    size: int = model.config.n_positions
    before: list[EncodedMessage] = []
    kept = seen = 0
    for whole in _messages(checkpoint, dialogue):
        message = whole if len(whole.ids) <= size else whole.part(len(whole.ids) - size + 1, len(whole.ids))
        while before and sum(len(m.ids) for m in before) + len(message.ids) > size:
            del before[0]
        start = sum(len(past.ids) for past in before)
        output = read_messages(model, [*before, message], opening=chat.opening)
        found = statements_to_store(output, message, start, chat, model.config.store_threshold)
        store.apply(TurnChanges(stores=tuple(found)), session=dialogue.id)
        kept += sum(len(statement.vectors) for statement in found)
        seen += sum(sentence >= 0 for sentence in message.sentence)
        before.append(message)
    return kept, seen


def load_twin(source: Path, checkpoint: Checkpoint) -> Any:
    """The plain model to compare with: a varda-chat checkpoint, whose memory is not read, or a GPT-2 directory. Raises
    CheckpointError where it cannot be read or has another tokenizer: its perplexity would be of other tokens."""
    config = source / "config.json"
    try:
        plain = json.loads(config.read_text(encoding="utf-8")).get("model_type") == "gpt2"
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(f"There is no model in {source} to compare with ({error}).") from error
    if plain:
        try:
            chat = ChatFormat(Tokenizer.from_file(str(source / "tokenizer.json")))
            model = GPT2LMHeadModel.from_pretrained(source, local_files_only=True, dtype=torch.float32).eval()
        except Exception as error:  # tokenizers raises plain Exception
            raise CheckpointError(f"The model in {source} cannot be read: {str(error).splitlines()[0]}") from error
    else:
        loaded = load_checkpoint(source)
        chat, model = loaded.chat, loaded.model
    if chat.tokenizer.get_vocab() != checkpoint.chat.tokenizer.get_vocab():
        raise CheckpointError(f"The model in {source} has another tokenizer, so the two cannot be compared.")
    if model.config.n_positions < checkpoint.model.config.n_positions:
        raise CheckpointError(f"The model in {source} reads {model.config.n_positions} tokens, fewer than the other.")
    return model
