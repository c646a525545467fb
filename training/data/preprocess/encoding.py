"""Documents as token ids, and where their statements begin."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from training.data.sources.documents import Document
from varda_chat.models.chat_format import ChatFormat, sentence_spans

Encoded = tuple[NDArray[np.uint32], NDArray[np.uint8]]
"""Token ids (n,), and 1 where a token begins a sentence or clause (n,)."""


class Encoder:
    """Encodes documents for one tokenizer. Plain text begins with the end token, from which its first word is
    predicted; a dialogue is encoded as the chat does."""

    def __init__(self, tokenizer: Any) -> None:
        self.chat = ChatFormat(tokenizer)
        self._plain = Tokenizer.from_str(tokenizer.to_str())
        self._plain.encode_special_tokens = True  # written out in a text, they are ordinary characters
        self._plain.no_truncation()
        self._plain.no_padding()

    def encode(self, documents: Sequence[Document]) -> list[Encoded]:
        texts = [led(document.text) for document in documents if not document.turns]
        plain = iter(self._plain.encode_batch(texts, add_special_tokens=False))
        encoded = []
        for document in documents:
            encoded.append(self._dialogue(document) if document.turns else self._text(document, next(plain)))
        return encoded

    def _text(self, document: Document, encoding: Any) -> Encoded:
        ids = np.array([self.chat.end_id, *encoding.ids], np.uint32)
        starts = np.zeros(len(ids), np.uint8)
        if len(ids) > 1:
            ends = np.array([end for _, end in sentence_spans(led(document.text))])
            middle = np.array(encoding.offsets, np.float64).mean(axis=1)
            number = np.searchsorted(ends, middle, side="right")
            starts[1:] = np.diff(number, prepend=-1) > 0
        return ids, starts

    def _dialogue(self, document: Document) -> Encoded:
        ids: list[int] = []
        starts: list[bool] = []
        for role, text in document.turns:
            code = self.chat.encode(role, text)
            ids += code.ids
            starts += [s >= 0 and s != before for before, s in zip([-1, *code.sentence], code.sentence, strict=False)]
        return np.array(ids, np.uint32), np.array(starts, np.uint8)


def led(text: str) -> str:
    """``text`` with a blank in front, so that a word is the same token wherever it stands."""
    return text if text[:1].isspace() else " " + text


def tokenizer_fingerprint(tokenizer: Any) -> str:
    """A hash of what a tokenizer does to text (16 hexadecimal digits): its vocabulary, merges, added tokens and the
    steps before them; not of padding and truncation."""
    parts = json.loads(tokenizer.to_str())
    kept = {name: parts.get(name) for name in ("model", "added_tokens", "normalizer", "pre_tokenizer")}
    return hashlib.blake2b(json.dumps(kept, sort_keys=True).encode(), digest_size=8).hexdigest()
