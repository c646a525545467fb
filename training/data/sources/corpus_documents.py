"""The documents of a corpus that has a name, and where its files lie."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from training.data.sources.catalogue import Named
from training.data.sources.corpora import dialogue_of
from training.data.sources.documents import PERSONA_CORPUS, BadLines, Document, Split
from training.data.sources.own_text import alternating
from training.data.sources.records import records
from varda_chat.errors import DataError


def named_documents(named: Named, files: list[tuple[Path, Split | None]], bad: BadLines) -> Iterator[Document]:
    """The documents of a corpus in its ``files``, each with its official split."""
    if named.kind == "wikitext":
        from training.data.sources.wikitext import articles

        for path, split in files:
            for number, text in enumerate(articles(path, bad)):
                yield Document(f"{split}-{number}", text, split=split, key=f"{split}-{number}")
    elif named.name == PERSONA_CORPUS:
        yield from _joined_sessions(named, files, bad)
    else:
        for path, split in files:
            for number, record in records(path, bad):
                try:
                    document = _document(named, record, split)
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    bad.note(path, number, f"not a record of {named.name} ({error!r})")
                    continue
                if document is not None:
                    yield document


def _document(named: Named, record: dict[str, object], split: Split | None) -> Document | None:
    identity = str(record["id"])
    if named.kind == "text":
        text = record["text"]
        if not isinstance(text, str) or not text.strip():
            raise ValueError("no text")
        return Document(identity, text.strip(), split=split, key=identity)
    dialogue = dialogue_of(named.name, record)
    turns = alternating(dialogue.turns) if dialogue is not None else ()
    return Document(identity, turns=turns, split=split, key=identity) if turns else None


def _joined_sessions(named: Named, files: list[tuple[Path, Split | None]], bad: BadLines) -> Iterator[Document]:
    """One document for each pair of people: their sessions, ``s2-valid_102`` being session 2 of pair 102, in order."""
    pairs: dict[str, list[tuple[str, Document]]] = {}
    each = replace(named, name=f"{named.name} sessions")
    for document in named_documents(each, files, bad):
        pairs.setdefault(document.id.rpartition("_")[2], []).append((document.id, document))
    for key, sessions in pairs.items():
        turns = tuple(turn for _, document in sorted(sessions, key=lambda s: s[0]) for turn in document.turns)
        yield Document(key, turns=alternating(turns), split=sessions[0][1].split, key=key)


@dataclass(frozen=True)
class Located:
    """A named corpus with the files it is read from."""

    named: Named
    files: list[tuple[Path, Split | None]] = field(default_factory=list)


def in_directory(named: Named, directory: Path) -> Located:
    """The corpus in ``directory``; raises DataError naming the file that is missing."""
    found = named.paths(directory)
    for path, _ in found:
        if not path.exists():
            raise DataError(f"Corpus {named.name}: {path} is missing.")
    return Located(named, found)
