"""The proof that what was forgotten has no part in an answer, and, where it was purged, that no file holds it.

A question is answered twice, greedily: by the session as it is, with its memory, its window and what it has read of
that; and by one that was never told, over a new memory of all that is left, in a window without what was forgotten. The
logits of every token are compared. Nothing is changed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from varda_chat.errors import VardaError
from varda_chat.memory.records import normal_form
from varda_chat.session.purging import PROOFS, Read
from varda_chat.session.why import MaskedStore
from varda_chat.storage.sqlite import disk_errors

if TYPE_CHECKING:
    import torch

    from varda_chat.memory import MemoryStore
    from varda_chat.models.chat_format import EncodedMessage
    from varda_chat.session.session import ChatSession

ROUNDING = 1e-3
"""The most that logits differ by adding the same numbers up in another order."""
_TRACE_SECONDS = 600


@dataclass(frozen=True)
class Proof:
    """How ``question`` is answered now, and by a session that was never told what was forgotten.

    difference: the largest of any logit of any token. tokens: so many were compared, with ``logits`` each. left: the
    messages of the window that still say it.
    """

    question: str
    now: str
    never_told: str
    difference: float
    tokens: int
    logits: int
    left: int = 0

    @property
    def holds(self) -> bool:
        """Whether what was forgotten has no part in the answer."""
        return self.now == self.never_told and self.difference < ROUNDING


def prove(session: ChatSession, question: str, texts: Sequence[str]) -> Proof:
    """Compare the answers to ``question`` with and without ``texts``, which were forgotten, ever having been told.

    Raises VardaError for an empty question, StorageError where there is no room for the other memory.
    """
    from varda_chat.memory import MemoryStore

    generation = replace(session.generation, temperature=0.0, seed=None)
    store, window, model = session.memory.store, session.messages, session.checkpoint.model
    now = session.beside(cast("MemoryStore", MaskedStore(store)), generation, resume=True)
    now.context.follow_messages(window)
    with _logits_of(model) as with_it:
        reply = now.reply(question).reply
    never_window = _never_told(window, texts)
    with (
        disk_errors("Nothing was proved"),
        tempfile.TemporaryDirectory(prefix=PROOFS, dir=session.profile_dir) as directory,
        MemoryStore.open(
            Path(directory),
            embedding_dim=model.config.memory_dim,
            fingerprint=session.checkpoint.fingerprint,
            memory_size=max(1, store.capacity),
            vocabulary=int(model.config.vocab_size),
        ) as other,
    ):
        other.importing.add(store.reader.exported())
        never = session.beside(other, generation)
        never.context.follow_messages(never_window)
        with _logits_of(model) as without_it:
            never_told = never.reply(question).reply
    pairs = list(zip(with_it, without_it, strict=False))
    return Proof(
        question=question,
        now=reply,
        never_told=never_told,
        difference=max((float((one - other).abs().max()) for one, other in pairs), default=0.0),
        tokens=len(pairs),
        logits=len(pairs[0][0]) if pairs else 0,
        left=len(window) - len(never_window),
    )


def _never_told(window: Sequence[EncodedMessage], texts: Sequence[str]) -> list[EncodedMessage]:
    """The turns of ``window`` that do not say one of ``texts``."""
    wanted = [normal_form(text) for text in texts]
    turns = zip(window[::2], window[1::2], strict=True)
    said = [((line, reply), normal_form(" ".join((*line.sentences, *reply.sentences)))) for line, reply in turns]
    return [message for turn, words in said if not any(text in words for text in wanted) for message in turn]


@contextmanager
def _logits_of(model: Any) -> Iterator[list[torch.Tensor]]:
    """Collects the logits of the last position of each pass."""
    found: list[torch.Tensor] = []

    def note(_module: Any, _inputs: Any, output: Any) -> None:
        if getattr(output, "logits", None) is not None:
            found.append(output.logits[0, -1].float().cpu().clone())

    hook = model.register_forward_hook(note)
    try:
        yield found
    finally:
        hook.remove()


def files_that_hold(directory: Path, texts: Sequence[str]) -> tuple[Read, ...]:
    """``purging.trace``, in a process of its own: this one may have the databases open. Raises VardaError."""
    asked = json.dumps({"directory": str(directory), "texts": list(texts)})
    line = [sys.executable, "-P", "-m", "varda_chat.session.purging"]  # -P: nothing of the directory we are in
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            line, input=asked, capture_output=True, text=True, timeout=_TRACE_SECONDS, check=True
        )
        return tuple(Read(**each) for each in json.loads(done.stdout))
    except (OSError, subprocess.SubprocessError, ValueError, TypeError) as error:
        raise VardaError(f"The files could not be searched: {type(error).__name__}.") from error


def lines_of(proof: Proof, read: Sequence[Read]) -> list[str]:
    """The proof in words: what was compared, and what the files hold."""
    if proof.holds:
        first = "The answer is what it would be had you never told it."
    elif proof.left:
        first = f"It still stands in {proof.left} messages of this session, which she reads: /new leaves them behind."
    else:
        first = "The answers differ, although the memory does not hold it any more."
    compared = (
        f"{proof.tokens} x {proof.logits:,} logits were compared; the largest difference is {proof.difference:.2g}."
    )
    return [first, compared, line_of_files(read)]


def line_of_files(read: Sequence[Read]) -> str:
    """What the files hold, in a line."""
    held = [each.name for each in read if each.holds]
    if held:
        return f"{', '.join(held)} can still bring it back. varda-chat memory purge leaves no trace."
    return f"No file holds it: every byte of {len(read)} was read, {sum(each.bytes for each in read):,} in all."
