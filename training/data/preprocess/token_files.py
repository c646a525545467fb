"""Prepared text: token ids in memory-mapped files with a manifest, read piece by piece."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, overload

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from training.data.dialogue_rows import TokenisedDialogue
from training.data.sources.documents import SPLITS, Split
from training.data.sources.selection import MANIFEST
from varda_chat.errors import DataError
from varda_chat.models.chat_format import ChatFormat

FORMAT: Final = 2
"""Raised with each change of the files, or of which documents are held out."""
DOCUMENTS: Final = np.dtype(
    [("start", "<i8"), ("tokens", "<i8"), ("source", "<u2"), ("dialogue", "?"), ("words", "<i4"), ("lines", "<i4")]
)
"""A row of a split's table: where the document begins and how long it is, its source's number, whether it is a
dialogue, its words (separated by white space) and its line ends."""


@dataclass(frozen=True)
class PreparedText:
    """A directory that ``varda-train prepare`` wrote."""

    directory: Path
    manifest: dict[str, Any]
    chat: ChatFormat

    @classmethod
    def open(cls, directory: Path) -> PreparedText:
        """Raises DataError where ``directory`` holds none, or one that is not whole."""
        try:
            manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
            if manifest["format"] != FORMAT:
                raise DataError(
                    f"{directory} was prepared by another version; prepare it again into another directory."
                )
            chat = ChatFormat(Tokenizer.from_file(str(directory / "tokenizer.json")))
            for split in SPLITS:
                for name, size in manifest["splits"][split]["bytes"].items():
                    if (directory / name).stat().st_size != size:
                        raise DataError(
                            f"{directory / name} is damaged: it has not its {size:,} bytes. Prepare it again."
                        )
        except DataError:
            raise
        except Exception as error:  # tokenizers raises plain Exception
            raise DataError(f"{directory} holds no prepared text ({str(error).splitlines()[0]}).") from error
        return cls(directory, manifest, chat)

    @property
    def fingerprint(self) -> str:
        """The tokenizer's."""
        return str(self.manifest["tokenizer"]["fingerprint"])

    @property
    def digest(self) -> str:
        """Names the content: the same text, split and tokens have the same."""
        return str(self.manifest["digest"])

    def split(self, split: Split) -> PreparedSplit:
        return PreparedSplit(self, split)


class PreparedSplit(Sequence[TokenisedDialogue]):
    """The documents of one split; only what is asked for is read from disk."""

    def __init__(self, text: PreparedText, split: Split) -> None:
        self.chat = text.chat
        self.table: NDArray[Any] = np.load(text.directory / f"{split}.documents.npy", mmap_mode="r")
        self.sources = text.manifest["sources"]
        dtype = np.dtype(text.manifest["dtype"])
        tokens, starts = text.directory / f"{split}.tokens.bin", text.directory / f"{split}.starts.bin"
        # a file of no bytes cannot be mapped
        self.tokens: Any = np.memmap(tokens, dtype, "r") if len(self.table) else np.empty(0, dtype)
        self.starts: Any = np.memmap(starts, np.uint8, "r") if len(self.table) else np.empty(0, np.uint8)
        weights = np.array([source["weight"] for source in self.sources] or [1.0])
        self.lengths: list[int] = self.table["tokens"].tolist()
        self.weights: list[float] = weights[self.table["source"]].tolist()

    def __len__(self) -> int:
        return len(self.table)

    @overload
    def __getitem__(self, index: int) -> TokenisedDialogue: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[TokenisedDialogue]: ...
    def __getitem__(self, index: int | slice) -> TokenisedDialogue | Sequence[TokenisedDialogue]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        row = self.table[index]
        here = slice(int(row["start"]), int(row["start"] + row["tokens"]))
        ids = self.tokens[here]
        marks = np.isin(ids, list(self.chat.special_ids))
        number = np.cumsum(self.starts[here], dtype=np.int32) - 1
        turn = np.cumsum(ids == self.chat.user_id, dtype=np.int32) - 1 if row["dialogue"] else np.zeros_like(number)
        source = self.sources[int(row["source"])]
        return TokenisedDialogue(
            ids=ids,
            turn=turn.clip(min=0),
            sentence=np.where(marks, -1, number),
            weight=source["weight"],
            about_people=source["about_people"] or not row["dialogue"],
        )

    def __iter__(self) -> Iterator[TokenisedDialogue]:
        return (self[number] for number in range(len(self)))

    def counts(self, vocabulary: int) -> NDArray[np.int64]:
        """(vocabulary,) occurrences of each token."""
        total = np.zeros(vocabulary, np.int64)
        for start in range(0, len(self.tokens), 1 << 22):
            total += np.bincount(self.tokens[start : start + (1 << 22)], minlength=vocabulary)
        return total
