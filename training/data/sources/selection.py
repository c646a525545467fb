"""What ``--dataset`` and ``varda-train prepare`` name: a corpus by name, one's own files, or text prepared before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from training.data.sources import wikitext
from training.data.sources.catalogue import WIKITEXT, Named, find
from training.data.sources.corpus_documents import Located, in_directory, named_documents
from training.data.sources.documents import SPLITS, Source
from training.data.sources.fetching import Digest, fetch
from training.data.sources.originals import ORIGINALS, fetch_original
from training.data.sources.own_text import own_documents, own_files
from varda_chat.errors import DataError

MANIFEST: Final = "manifest.json"
HUB: Final = "hub:"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Places:
    """Where text is looked for: the directory given by ``--data-dir`` (or None), and ours, for what is fetched."""

    data_dir: Path | None
    fetched: Path


def source_of(name: str, places: Places, say: Say) -> Source:
    """The source called ``name``. Raises DataError where there is none, or it can neither be found nor fetched.

    A corpus is looked for in the given directory, then in ours, then fetched. A path is one's own text; a directory
    that bears a corpus' name is meant by ``./NAME``.
    """
    if name.startswith(HUB):
        from training.data.sources.hub import hub_source

        return hub_source(name.removeprefix(HUB), say)
    named = find(name)
    if named is not None:
        return _of_corpus(_located(named, places, say))
    path = Path(name).expanduser()
    if not path.exists():
        raise DataError(
            f"There is no file or directory {name}, and no corpus of that name (varda-train prepare --list shows them)."
        )
    files = own_files(path)
    root = path
    return Source(
        name=path.resolve().name, licence="your own", attribution="", files=tuple(files),
        read=lambda bad: own_documents(files, root, bad),
    )  # fmt: skip


def _of_corpus(located: Located) -> Source:
    named = located.named
    official = {split for _, split in located.files}
    drawn = tuple(split for split in SPLITS if split == "train" or split not in official)
    return Source(
        name=named.name, licence=named.licence, attribution=named.attribution,
        files=tuple(path for path, _ in located.files),
        read=lambda bad: named_documents(named, located.files, bad),
        open_splits=drawn, weight=named.weight, about_people=named.about_people or named.kind != "dialogue",
    )  # fmt: skip


def _located(named: Named, places: Places, say: Say) -> Located:
    directories = [directory for directory in (places.data_dir, places.fetched / named.name) if directory is not None]
    for directory in directories:
        if all(path.exists() for path, _ in named.paths(directory)):
            return in_directory(named, directory)
    if named is WIKITEXT:
        return _fetched_wikitext(places.fetched / named.name, say)
    if named.name in ORIGINALS:
        fetch_original(named.name, named.home, places.fetched / named.name, f"licence: {named.licence}", say)
        return in_directory(named, places.fetched / named.name)
    missing = next(path for path, _ in named.paths(directories[0]) if not path.exists())
    raise DataError(
        f"Corpus {named.name}: {missing} is missing, and it cannot be fetched as it is: it was made from "
        f"https://github.com/{named.home.replace('@', '/tree/')}. Give a directory that holds it with --data-dir."
    )


def _fetched_wikitext(directory: Path, say: Say) -> Located:
    """WikiText-2 from its public address, else from the hub; either must have the same checksums."""
    say(f"Fetching {WIKITEXT.name} from {wikitext.ADDRESS} (licence: {WIKITEXT.licence}) …")
    paths = [directory / name for name in wikitext.CHECKSUMS]
    try:
        for path in paths:
            fetch(f"{wikitext.ADDRESS}/{path.name}", path, Digest(wikitext.CHECKSUMS[path.name]))
    except DataError as error:
        from training.data.sources.hub import reachable, wikitext_from_hub

        if not reachable():
            raise
        say(f"{error} Trying the Hugging Face hub …")
        wikitext_from_hub(directory)
    return Located(WIKITEXT, [(path, split) for path, (_, split) in zip(paths, WIKITEXT.files, strict=True)])


def is_prepared(name: str) -> bool:
    """Whether ``name`` is a directory of prepared text."""
    return (Path(name).expanduser() / MANIFEST).is_file()
