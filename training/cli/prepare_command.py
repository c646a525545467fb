"""``varda-train prepare``: from corpora and one's own files to prepared text, with a table of what came out."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Asked:
    """What the flags of ``varda-train prepare`` said."""

    sources: Sequence[str]
    data_dir: Path | None
    output_dir: Path | None
    tokenizer: str | None
    vocab_size: int
    seed: int
    held_out: float
    show_list: bool


def run(asked: Asked, console: Console) -> None:
    """Prepare what was asked for and say what came out. Raises VardaError, click.UsageError."""
    from training.data.preprocess.pipeline import How, cache_key, prepare_text
    from training.data.sources.selection import source_of
    from training.data.text_mixture import places_of
    from training.display import preparing

    if asked.show_list:
        console.print(corpora_table())
        return
    if not asked.sources:
        raise click.UsageError("Name what to prepare: corpora (--list shows them), files or directories.")
    places = places_of(asked.data_dir)
    sources = [source_of(name, places, console.print) for name in asked.sources]
    tokenizer = None if asked.tokenizer is None else tokenizer_of(asked.tokenizer)
    how = How(tokenizer, asked.vocab_size, asked.seed, asked.held_out, _command(asked))
    target = asked.output_dir or places.prepared / cache_key(sources, how)
    with preparing() as show:
        prepared = prepare_text(sources, how, target, show)
    for table in tables(prepared.manifest):
        console.print(table)
    for line in notices(prepared.manifest):
        console.print(line, highlight=False, markup=False)
    console.print(
        f"Prepared in {target}. Train on it: varda-train --dataset {shlex.quote(str(target))}", soft_wrap=True
    )


def tokenizer_of(source: str) -> Any:
    """The tokenizer of a checkpoint or plain GPT-2, a directory or hub id, with the chat's tokens. Raises
    CheckpointError."""
    from tokenizers import AddedToken
    from transformers import AutoTokenizer

    from varda_chat.errors import CheckpointError
    from varda_chat.models.chat_format import SPECIAL_TOKENS
    from varda_chat.models.checkpoint import fetched

    directory = fetched(source)
    try:
        tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True).backend_tokenizer
    except Exception as error:  # tokenizers raises classes of its own
        raise CheckpointError(f"The tokenizer in {directory} cannot be read: {str(error).splitlines()[0]}") from error
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    return tokenizer


def corpora_table() -> Table:
    """The corpora that can be named."""
    from training.data.sources.catalogue import NAMED, WIKITEXT
    from training.data.sources.originals import ORIGINALS

    table = Table(title="Corpora that --dataset knows", title_justify="left")
    for name in ("name", "kind", "official splits", "can be fetched", "licence", "from"):
        table.add_column(name)
    for named in NAMED.values():
        official = [split for _, split in named.files if split is not None]
        table.add_row(
            named.name, "dialogue" if named.kind == "dialogue" else "text", ", ".join(official),
            "yes" if named is WIKITEXT or named.name in ORIGINALS else "", named.licence, named.attribution,
        )  # fmt: skip
    return table


def tables(manifest: dict[str, Any]) -> list[Table]:
    """What came out: for each source, and for each split."""
    sources = Table(title="Sources", title_justify="left")
    sources.add_column("name")
    for name in ("documents", "of them dialogues", "words", "duplicates dropped", "bad lines"):
        sources.add_column(name, justify="right")
    sources.add_column("licence")
    for source in manifest["sources"]:
        sources.add_row(
            source["name"], f"{sum(source['documents'].values()):,}",
            f"{source['dialogues']:,}", f"{source['words']:,}",
            f"{sum(source['duplicates_dropped'].values()):,}", f"{source['bad_lines']['count']:,}", source["licence"],
        )  # fmt: skip
    vocabulary = manifest["tokenizer"]["vocabulary"]
    splits = Table(title=f"Splits, in tokens of a vocabulary of {vocabulary:,}", title_justify="left")
    splits.add_column("split")
    for name in ("documents", "words", "tokens", "tokens a word", "MB"):
        splits.add_column(name, justify="right")
    for split, found in manifest["splits"].items():
        splits.add_row(
            split, f"{found['documents']:,}", f"{found['words']:,}", f"{found['tokens']:,}",
            f"{found['tokens'] / max(1, found['words']):.2f}", f"{sum(found['bytes'].values()) / 1e6:.1f}",
        )  # fmt: skip
    return [sources, splits]


def notices(manifest: dict[str, Any]) -> Iterator[str]:
    """The bad lines, and how many more there are."""
    for source in manifest["sources"]:
        bad = source["bad_lines"]
        yield from (f"  {line}" for line in bad["first"])
        if bad["count"] > len(bad["first"]):
            yield f"  … and {bad['count'] - len(bad['first']):,} more bad lines in {source['name']}"


def _command(asked: Asked) -> str:
    """The command, without the names of this machine's directories."""
    names = [Path(name).name if "/" in name and not name.startswith("hub:") else name for name in asked.sources]
    words = ["varda-train", "prepare", *names, "--seed", str(asked.seed), "--held-out", f"{asked.held_out:g}"]
    words += ["--tokenizer", Path(asked.tokenizer).name] if asked.tokenizer else ["--vocab-size", str(asked.vocab_size)]
    return " ".join(words)
