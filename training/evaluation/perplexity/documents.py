"""Perplexity of prepared text: does the memory of what was read before help to predict what comes next?

A document is read in windows of ``window`` tokens that move on by ``stride``; in each, the tokens that no window before
had are counted, so that all but the first window's have at least ``window - stride`` tokens of context (the "sliding
window" by which the perplexity of GPT-2 on WikiText is reported). What has left the window is stored as in chat: the
tokens whose store decision exceeds the checkpoint's threshold, in a memory on disk. Each window is predicted three
times: reading the memory of its own document so far, reading none (a blank one, as a chat without memory does), and
reading the memory that another document has left at the same point. What they are compared against reads the same
windows; a model with a tokenizer of its own reads its own tokens of the same text.

A word's perplexity is exp(nats / words), a line's end counting as a word, as in WikiText's own figures (Merity et al.,
2016): so models of different tokenizers can be compared. Every token of a document is predicted, the first from the end
token in front of it. F1 is the macro average over the tokens of the vocabulary that occur or are predicted
(scikit-learn's ``f1_score(average="macro")``; the micro average of one label a token is the accuracy).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.dialogue_rows import TokenisedDialogue
from training.data.preprocess.token_files import PreparedSplit
from training.evaluation.perplexity.dialogue import Loss, ratio_interval
from training.evaluation.perplexity.plain_models import Plain
from training.evaluation.recall.telling import open_store
from varda_chat.errors import DataError
from varda_chat.memory import MemoryStore, TurnChanges
from varda_chat.models.chat_format import EncodedMessage
from varda_chat.models.checkpoint import Checkpoint
from varda_chat.models.results import EmptyMemory
from varda_chat.session.remembering import statements_to_store

MEMORY, NO_MEMORY, SHUFFLED, AGAINST = "memory", "no memory", "another document's memory", "against"
TOGETHER: Final = 32
"""Documents whose memories are open at a time."""
BATCH: Final = 8
"""Windows read at a time, without a memory of their own."""

Step = Callable[[int, int], None]


@dataclass(frozen=True)
class Window:
    """Tokens ``start`` to ``end`` of a document, of which those from ``counted`` on are predicted and counted."""

    start: int
    end: int
    counted: int


def windows(length: int, size: int, stride: int) -> list[Window]:
    """The windows of a document of ``length`` tokens; each token but the first is counted in one of them."""
    found = [Window(0, min(size, length), 1)]
    while found[-1].end < length:
        start = found[-1].start + stride
        found.append(Window(start, min(start + size, length), found[-1].end))
    return found


@dataclass
class Tally:
    """What one reader's predictions came to. losses: of each document, in nats, over its words and line ends."""

    vocabulary: int
    nats: float = 0.0
    tokens: int = 0
    right: int = 0
    by_document: dict[int, float] = field(default_factory=dict)
    said: NDArray[np.int64] = field(init=False)
    meant: NDArray[np.int64] = field(init=False)
    hits: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.said, self.meant, self.hits = (np.zeros(self.vocabulary, np.int64) for _ in range(3))

    def add(self, document: int, logits: Tensor, targets: Tensor) -> None:
        """Count predictions (n, V) of ``targets`` (n,)."""
        nats = float(torch.nn.functional.cross_entropy(logits.float(), targets, reduction="sum").double())
        guess, target = logits.argmax(-1).cpu().numpy(), targets.cpu().numpy()
        self.nats += nats
        self.by_document[document] = self.by_document.get(document, 0.0) + nats
        self.tokens += len(target)
        self.right += int((guess == target).sum())
        self.said += np.bincount(guess, minlength=self.vocabulary)
        self.meant += np.bincount(target, minlength=self.vocabulary)
        self.hits += np.bincount(target[guess == target], minlength=self.vocabulary)

    @property
    def macro_f1(self) -> float:
        """Mean over token classes of 2 tp / (2 tp + fp + fn)."""
        total = self.said + self.meant
        return float((2 * self.hits[total > 0] / total[total > 0]).mean())


@dataclass(frozen=True)
class Found:
    """Figures of all readers on the same text. words: for each document, line ends included. stored, told: tokens that
    went into memory, and that could have."""

    split: str
    sources: tuple[str, ...]
    window: int
    stride: int
    words: tuple[int, ...]
    tallies: dict[str, Tally]
    stored: int
    told: int
    against: str | None = None

    def perplexity(self, reader: str) -> float:
        """Of a token, the reader's own."""
        return Loss(self.tallies[reader].nats, self.tallies[reader].tokens).perplexity

    def word_perplexity(self, reader: str) -> float:
        return Loss.sum(self._losses(reader)).perplexity

    def ratio(self, reader: str, other: str) -> tuple[float, float, float]:
        """Word perplexity of ``reader`` as a share of ``other``'s, and its 95 % interval over documents."""
        return ratio_interval(self._losses(reader), self._losses(other))

    def _losses(self, reader: str) -> list[Loss]:
        by_document = self.tallies[reader].by_document
        return [Loss(by_document.get(number, 0.0), words) for number, words in enumerate(self.words)]


def measure_perplexity(
    checkpoint: Checkpoint,
    documents: PreparedSplit,
    split: str,
    *,
    window: int | None = None,
    stride: int | None = None,
    at_most: int | None = None,
    against: Plain | None = None,
    on_progress: Step | None = None,
) -> Found:
    """Predict ``documents`` (``at_most`` so many, spread over all) by every reader.

    Args:
        window, stride: in tokens; the model's positions and half of them where not given.

    Raises DataError where there are fewer than two documents, or the window does not fit the model.
    """
    positions: int = checkpoint.model.config.n_positions
    size = window or positions
    if size > positions or (against is not None and size > against.n_positions):
        raise DataError(f"--window {size}: the model reads {positions} tokens at most.")
    step = stride or max(1, size // 2)
    if step >= size:
        raise DataError(f"--stride {step} must be smaller than the window, {size}.")
    numbers = [n for n in range(len(documents)) if documents.lengths[n] > 1]
    if at_most is not None and at_most < len(numbers):
        numbers = [numbers[i * len(numbers) // at_most] for i in range(at_most)]
    if len(numbers) < 2:
        raise DataError(f"The {split} split has {len(numbers)} documents; two or more are needed.")
    read = [documents[n] for n in numbers]
    cut = [windows(len(document.ids), size, step) for document in read]
    vocabulary: int = checkpoint.model.config.vocab_size
    tallies = {reader: Tally(vocabulary) for reader in (MEMORY, NO_MEMORY, SHUFFLED)}
    total, done = 2 * sum(map(len, cut)), 0

    def progress(count: int) -> None:
        nonlocal done
        done += count
        if on_progress:
            on_progress(done, total)

    stored = told = 0
    for first, last in _groups(len(read)):
        group = _Group(checkpoint, range(first, last), read[first:last], cut[first:last], tallies, progress)
        kept, seen = group.run()
        stored, told = stored + kept, told + seen
    for number, document in enumerate(read):
        _plainly(checkpoint.model, number, document.ids, cut[number], tallies[NO_MEMORY], EmptyMemory())
        progress(len(cut[number]))
    if against is not None:
        tallies[AGAINST] = Tally(against.vocab_size)
        for number, document in enumerate(read):
            ids = against.tokens_of(document.ids, checkpoint.chat)
            _plainly(against.model, number, ids, windows(len(ids), size, step), tallies[AGAINST])
    table = documents.table[numbers]
    return Found(
        split=split,
        sources=tuple(dict.fromkeys(documents.sources[int(s)]["name"] for s in table["source"])),
        window=size,
        stride=step,
        words=tuple((table["words"] + table["lines"]).tolist()),
        tallies=tallies,
        stored=stored,
        told=told,
        against=against.name if against is not None else None,
    )


def _groups(count: int) -> list[tuple[int, int]]:
    """First and last of at most ``TOGETHER`` documents; never one alone, which would have no other's memory to read."""
    starts = [start for start in range(0, count, TOGETHER) if start == 0 or count - start > 1]
    return list(zip(starts, [*starts[1:], count], strict=True))


@torch.inference_mode()
def _plainly(
    model: Any, number: int, ids: Any, cut: Sequence[Window], tally: Tally, memory: EmptyMemory | None = None
) -> None:
    """Predict a document window by window without a memory of its own, several at a time."""
    everything = torch.from_numpy(np.asarray(ids, np.int64))
    extra = {} if memory is None else {"memory": memory}
    whole = [window for window in cut if window.end - window.start == cut[0].end - cut[0].start]
    for batch in (*_batches(whole), *([window] for window in cut[len(whole) :])):
        rows = torch.stack([everything[window.start : window.end] for window in batch]).to(model.device)
        most = max(window.end - window.counted for window in batch)
        logits = model(rows, use_cache=False, logits_to_keep=most + 1, **extra).logits
        for row, window in zip(logits, batch, strict=True):
            predicted = row[-1 - (window.end - window.counted) : -1]
            tally.add(number, predicted, everything[window.counted : window.end].to(row.device))


def _batches(found: Sequence[Window]) -> Iterator[Sequence[Window]]:
    return (found[at : at + BATCH] for at in range(0, len(found), BATCH))


class _Group:
    """Documents read side by side, each with a memory of its own."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        numbers: Sequence[int],
        read: Sequence[TokenisedDialogue],
        cut: Sequence[Sequence[Window]],
        tallies: dict[str, Tally],
        progress: Callable[[int], None],
    ) -> None:
        self.checkpoint, self.tallies, self.progress = checkpoint, tallies, progress
        self.numbers, self.read, self.cut = numbers, read, cut

    def run(self) -> tuple[int, int]:
        """Predict all; returns how many tokens were stored, and of how many."""
        kept = seen = 0
        with tempfile.TemporaryDirectory(prefix="varda-perplexity-") as scratch:
            stores = [open_store(self.checkpoint, Path(scratch) / str(n)) for n in range(len(self.read))]
            try:
                for turn in range(max(map(len, self.cut))):
                    changes = {}
                    for n, cut in enumerate(self.cut):
                        if turn < len(cut):
                            changes[n] = self._window(n, turn, stores)
                            self.progress(1)
                    # only now: the other document's memory is of the same point, too
                    for n, (change, words) in changes.items():
                        stores[n].apply(change, session=str(self.numbers[n]))
                        kept += sum(len(statement.vectors) for statement in change.stores)
                        seen += words
            finally:
                for store in stores:
                    store.close()
        return kept, seen

    @torch.inference_mode()
    def _window(self, n: int, turn: int, stores: Sequence[MemoryStore]) -> tuple[TurnChanges, int]:
        """Predict a window with both memories; returns what to store of the tokens that the next window leaves out,
        and how many they are."""
        model, chat = self.checkpoint.model, self.checkpoint.chat
        window, document = self.cut[n][turn], self.read[n]
        ids = torch.from_numpy(np.asarray(document.ids[window.start : window.end], np.int64)).to(model.device)
        sentence = np.asarray(document.sentence[window.start : window.end])
        inside = sentence[sentence >= 0]
        sentence = np.where(sentence >= 0, sentence - (inside[0] if len(inside) else 0), -1)
        statements = torch.from_numpy(sentence.astype(np.int64)).to(model.device)
        targets = ids[window.counted - window.start :]
        outputs = {}
        for reader, store in ((MEMORY, stores[n]), (SHUFFLED, stores[(n + 1) % len(stores)])):
            memory = store if store.size else EmptyMemory()
            outputs[reader] = model(
                ids[None], memory=memory, statements=statements[None], use_cache=False, logits_to_keep=len(targets) + 1
            )
            self.tallies[reader].add(self.numbers[n], outputs[reader].logits[0, :-1], targets)
        if turn + 1 == len(self.cut[n]):
            return TurnChanges(), 0
        left = self.cut[n][turn + 1].start - window.start
        tokens, parts = ids[:left].tolist(), sentence[:left].tolist()
        texts = [
            chat.decode([t for t, part in zip(tokens, parts, strict=True) if part == s]).strip()
            for s in range(max(parts, default=-1) + 1)
        ]
        words = np.cumsum([chat.decode([token])[:1].isspace() for token in tokens]).tolist()
        message = EncodedMessage("user", tokens, parts, words, texts, [(0, 0)] * left)
        found = statements_to_store(outputs[MEMORY], message, 0, chat, model.config.store_threshold)
        return TurnChanges(stores=tuple(found)), sum(part >= 0 for part in parts)
