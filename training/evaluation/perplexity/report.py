"""Perplexity figures as a table and as JSON."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from training.evaluation.perplexity.documents import AGAINST, MEMORY, NO_MEMORY, Found


def perplexity_table(found: Found) -> Table:
    """A row for each reader."""
    table = Table(
        title=f"{', '.join(found.sources)}, {found.split} split: {len(found.words)} documents, {sum(found.words):,} "
        "words and line ends",
        caption=f"windows of {found.window} tokens, stride {found.stride}; of what was read "
        f"{found.stored / max(1, found.told):.0%} was stored; in brackets the 95 % interval over documents",
        title_justify="left", caption_justify="left",
    )  # fmt: skip
    table.add_column("reading")
    for name in ("perplexity a token", "a word", "of no memory's", "next token right", "macro F1"):
        table.add_column(name, justify="right")
    for reader, tally in found.tallies.items():
        share, low, high = found.ratio(reader, NO_MEMORY)
        table.add_row(
            f"against {found.against}" if reader == AGAINST else reader,
            f"{found.perplexity(reader):.2f}", f"{found.word_perplexity(reader):.2f}",
            "" if reader == NO_MEMORY else f"{share:.3f} ({low:.3f} to {high:.3f})",
            f"{tally.right / tally.tokens:.1%}", f"{tally.macro_f1:.3f}",
        )  # fmt: skip
    return table


def perplexity_json(found: Found) -> dict[str, Any]:
    """The figures, and what they were measured on."""
    readers = {}
    for reader, tally in found.tallies.items():
        share, low, high = found.ratio(reader, NO_MEMORY)
        readers[reader] = {
            "token_perplexity": found.perplexity(reader), "word_perplexity": found.word_perplexity(reader),
            "share_of_no_memory": {"ratio": share, "low": low, "high": high},
            "accuracy": tally.right / tally.tokens, "macro_f1": tally.macro_f1, "tokens": tally.tokens,
        }  # fmt: skip
    return {
        "sources": list(found.sources), "split": found.split, "documents": len(found.words),
        "words": sum(found.words), "window": found.window, "stride": found.stride, "against": found.against,
        "stored": found.stored, "could_be_stored": found.told, "readers": readers,
        "helps": found.word_perplexity(MEMORY) < found.word_perplexity(NO_MEMORY),
    }  # fmt: skip
