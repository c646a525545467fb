"""What ``ChatSession.open`` needs before there is a session: the model, and its memory. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from varda_chat.memory import MemoryStore
    from varda_chat.models.checkpoint import Checkpoint

Progress = Callable[[str, float], None]


def load_model(checkpoint: str | Path | None, threads: int | None, report: Progress) -> tuple[Checkpoint, str]:
    """The model of ``checkpoint`` (None: the default one), and a line on what the person should know, or "".

    threads: the most that torch may compute with; None for as many as it likes. Raises CheckpointError.
    """
    report("loading torch", 0.05)
    import torch
    import transformers

    if threads is not None:
        torch.set_num_threads(max(1, min(threads, torch.get_num_threads())))
    # the chat has a progress display of its own
    transformers.utils.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    report("loading the model", 0.5)
    from varda_chat.models.checkpoint import load_checkpoint, load_default
    from varda_chat.models.linear_maps import suit

    if checkpoint is None:
        loaded, note = load_default(lambda what: report(what, 0.5))
    else:
        loaded, note = load_checkpoint(checkpoint, lambda what: report(what, 0.5)), ""
    suit(loaded.model)
    return loaded, note


def memory_opener(
    directory: Path, checkpoint: Checkpoint, memory_size: int | None, forgetfulness_factor: float | None, wait: float
) -> Callable[..., MemoryStore]:
    """``MemoryStore.open`` of the memory in ``directory`` for a model; it takes ``read_only``."""
    from varda_chat.memory import MemoryStore
    from varda_chat.memory.schema import MemorySettings

    config = checkpoint.model.config
    return partial(
        MemoryStore.open,
        directory,
        embedding_dim=config.memory_dim,
        fingerprint=checkpoint.fingerprint,
        memory_size=memory_size,
        forgetfulness_factor=forgetfulness_factor,
        begin_with=MemorySettings.of_model(config.to_dict()),
        vocabulary=int(config.vocab_size),
        wait=wait,
    )
