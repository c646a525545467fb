"""Prepares text: read, cleaned, rid of duplicates, split by document, tokenised once into memory-mapped files."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from training.data.preprocess.encoding import Encoder, tokenizer_fingerprint
from training.data.preprocess.token_files import DOCUMENTS, FORMAT, PreparedText
from training.data.preprocess.tokenizer import train_tokenizer
from training.data.sources.documents import SPLITS, BadLines, Document, Source, Split, place
from training.data.sources.fetching import checksum
from training.data.sources.selection import MANIFEST
from varda_chat.errors import DataError

HELD_OUT: Final = 0.02
"""Share of the documents kept for validation, and the same for test, where a corpus has no official split."""
_DROPPED: Final = -1
_BATCH: Final = 64
"""Documents encoded at a time."""

Progress = Callable[[str, int, int | None], None]
"""Called with what is being done, how many documents are done, and of how many."""


@dataclass(frozen=True)
class How:
    """How text is prepared. tokenizer: None to train one of ``vocab_size`` tokens on the training split."""

    tokenizer: Any = None
    vocab_size: int = 4096
    seed: int = 0
    held_out: float = HELD_OUT
    command: str = "varda-train prepare"

    def __post_init__(self) -> None:
        if not 0 < self.held_out < 0.5:
            raise DataError(f"--held-out is {self.held_out}: it must lie between 0 and 0.5.")


@dataclass
class _Scan:
    """A source read once: for each of its documents the split it is in, or that it was dropped."""

    source: Source
    splits: NDArray[np.int8]
    bad: BadLines
    dropped: dict[str, int] = field(default_factory=lambda: {"exact": 0, "normalised": 0})


def cache_key(sources: Sequence[Source], how: How) -> str:
    """Names what a preparation gives: by the files' content, the tokenizer, the split."""
    files = [[s.name, s.stamp, *((path.name, checksum(path)) for path in s.files)] for s in sources]
    tokenizer = tokenizer_fingerprint(how.tokenizer) if how.tokenizer is not None else f"fresh/{how.vocab_size}"
    what = json.dumps([FORMAT, files, tokenizer, how.seed, how.held_out])
    return hashlib.blake2b(what.encode(), digest_size=8).hexdigest()


def prepare_text(
    sources: Sequence[Source], how: How, target: Path, on_progress: Progress | None = None
) -> PreparedText:
    """Prepare ``sources`` together into the directory ``target``, which is whole or not there. What was prepared there
    before is returned where it is the same. Raises DataError."""
    show = on_progress or (lambda doing, done, total: None)
    key = cache_key(sources, how)
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = target.parent / f".{target.name}.lock"
    with FileLock(lock):  # other processes of the same run wait, then find it done
        if (target / MANIFEST).is_file():
            lock.unlink(missing_ok=True)
            prepared = PreparedText.open(target)
            if prepared.manifest["key"] != key:
                raise DataError(
                    f"{target} was prepared from other text or with other settings; choose another --output-dir."
                )
            return prepared
        if target.exists() and any(target.iterdir()):
            raise DataError(f"{target} holds something else; choose another --output-dir.")
        fresh = target.with_name(target.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        try:
            scans = _scan(sources, how, show)
            tokenizer = how.tokenizer
            if tokenizer is None:
                show("training the tokenizer", 0, None)
                tokenizer = train_tokenizer(_training_texts(scans, how.seed), how.vocab_size)
            _write(fresh, key, scans, tokenizer, how, show)
            if target.exists():
                target.rmdir()
            fresh.rename(target)
            lock.unlink(missing_ok=True)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return PreparedText.open(target)


def _scan(sources: Sequence[Source], how: How, show: Progress) -> list[_Scan]:
    """Read all documents once and decide where each goes. Evaluation goes first: what is in the test split is dropped
    from the others, what is in validation from training."""
    found: list[_Scan] = []
    digests: list[list[tuple[bytes, bytes]]] = []
    for source in sources:
        bad = BadLines()
        splits: list[int] = []
        places: dict[int, float] = {}
        of_source: list[tuple[bytes, bytes]] = []
        for at, document in enumerate(source.read(bad)):
            if document.split is not None:
                split: Split = document.split
            else:
                places[at] = where = place(source.name, document.key, how.seed)
                split = _drawn(where, source.open_splits, how.held_out)
            splits.append(SPLITS.index(split))
            of_source.append(document.digests())
            if at % 512 == 0:
                show(f"reading {source.name}", at, None)
        if not splits:
            reason = f"; the first bad line is {bad.first[0]}" if bad.count else ""
            raise DataError(f"{source.name} has no document that can be read: {bad.count} bad lines{reason}.")
        scan = _Scan(source, np.array(splits, np.int8), bad)
        _drop_duplicates([scan], [of_source])
        _fill_empty(scan, places)
        found.append(scan)
        digests.append(of_source)
    # only now those of other sources, so that what a source holds out depends on it alone
    _drop_duplicates(found, digests)
    _check_splits(found)
    return found


def _drawn(where: float, open_splits: Sequence[Split], share: float) -> Split:
    held = [split for split in ("validation", "test") if split in open_splits]
    number = int(where / share)
    return held[number] if number < len(held) else "train"  # type: ignore[return-value]


def _drop_duplicates(scans: Sequence[_Scan], digests: Sequence[Sequence[tuple[bytes, bytes]]]) -> None:
    exact: set[bytes] = set()
    same: set[bytes] = set()
    for code in (SPLITS.index("test"), SPLITS.index("validation"), SPLITS.index("train")):
        for scan, of_source in zip(scans, digests, strict=True):
            for at, (whole, normalised) in enumerate(of_source):
                if scan.splits[at] != code:
                    continue
                if normalised in same:
                    scan.splits[at] = _DROPPED
                    scan.dropped["exact" if whole in exact else "normalised"] += 1
                exact.add(whole)
                same.add(normalised)


def _fill_empty(scan: _Scan, places: dict[int, float]) -> None:
    """Where too few of a source's documents were drawn from for a split to get one, it gets the next in order, with all
    of its key; nothing of a source that has hardly any."""
    training = SPLITS.index("train")
    for split in ("validation", "test"):
        if split not in scan.source.open_splits or (scan.splits == SPLITS.index(split)).any():
            continue
        free = {at: where for at, where in places.items() if scan.splits[at] == training}
        if len(set(free.values())) < 3:
            continue
        lowest = min(free.values())
        scan.splits[[at for at, where in free.items() if where == lowest]] = SPLITS.index(split)


def _check_splits(scans: Sequence[_Scan]) -> None:
    """Raises DataError where a split has no document of any source."""
    has = {split: any((scan.splits == code).any() for scan in scans) for code, split in enumerate(SPLITS)}
    if not (has["validation"] and has["test"]):
        total = sum(int((scan.splits >= 0).sum()) for scan in scans)
        raise DataError(
            f"{total} documents are too few to keep some for validation and test. Give more text: a document is a "
            "dialogue, a record, or a part of about 10,000 characters of a text file."
        )
    if not has["train"]:
        raise DataError("Nothing is left to train on: all documents are kept for validation and test.")


def _kept(scan: _Scan, split: Split | None = None) -> Iterator[tuple[Split, Document]]:
    """The source's documents that were not dropped, read again."""
    for code, document in zip(scan.splits.tolist(), scan.source.read(BadLines()), strict=True):
        if code != _DROPPED and (split is None or SPLITS[code] == split):
            yield SPLITS[code], document


def _training_texts(scans: Sequence[_Scan], seed: int) -> Iterator[str]:
    """What a fresh tokenizer is trained on: the training split, and sentences about facts where there is dialogue."""
    talk = False
    for scan in scans:
        for _, document in _kept(scan, "train"):
            if document.turns:
                talk = True
                yield from (" " + text for _, text in document.turns)
            else:
                yield from document.text.splitlines(keepends=True)
    if talk:
        from training.data.synthetic.relations import fact_texts

        yield from (" " + text for text in fact_texts(seed))


def _write(directory: Path, key: str, scans: Sequence[_Scan], tokenizer: Any, how: How, show: Progress) -> None:
    dtype = np.dtype("<u2" if tokenizer.get_vocab_size() <= 2**16 else "<u4")
    encoder = Encoder(tokenizer)
    writers = {split: _Writer(directory, split, dtype) for split in SPLITS}
    try:
        for number, scan in enumerate(scans):
            done, total = 0, int((scan.splits != _DROPPED).sum())
            for batch in _batches(_kept(scan)):
                encoded = encoder.encode([document for _, document in batch])
                for (split, document), (ids, starts) in zip(batch, encoded, strict=True):
                    writers[split].add(document, number, ids, starts)
                done += len(batch)
                show(f"tokenising {scan.source.name}", done, total)
    finally:
        for writer in writers.values():
            writer.close()
    tokenizer.save(str(directory / "tokenizer.json"))
    splits = {split: writer.summary() for split, writer in writers.items()}
    digest = hashlib.blake2b(json.dumps([s["sha256"] for s in splits.values()]).encode(), digest_size=8).hexdigest()
    manifest = {
        "format": FORMAT,
        "key": key,
        "command": how.command,
        "digest": digest,
        "seed": how.seed,
        "held_out": how.held_out,
        "dtype": dtype.str,
        "tokenizer": {"fingerprint": tokenizer_fingerprint(tokenizer), "vocabulary": tokenizer.get_vocab_size(),
                      "trained_here": how.tokenizer is None},
        "sources": [_of_source(number, scan, writers) for number, scan in enumerate(scans)],
        "splits": splits,
    }  # fmt: skip
    (directory / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False), encoding="utf-8")


def _of_source(number: int, scan: _Scan, writers: dict[Split, _Writer]) -> dict[str, Any]:
    source = scan.source
    return {
        "name": source.name, "licence": source.licence, "attribution": source.attribution,
        "weight": source.weight, "about_people": source.about_people,
        "files": [{"name": path.name, "bytes": path.stat().st_size, "sha256": checksum(path)} for path in source.files],
        "documents": {split: writer.documents_of(number) for split, writer in writers.items()},
        "dialogues": sum(writer.dialogues_of(number) for writer in writers.values()),
        "words": sum(writer.words_of(number) for writer in writers.values()),
        "duplicates_dropped": scan.dropped,
        "bad_lines": {"count": scan.bad.count, "first": scan.bad.first},
    }  # fmt: skip


def _batches(documents: Iterator[tuple[Split, Document]]) -> Iterator[list[tuple[Split, Document]]]:
    batch: list[tuple[Split, Document]] = []
    for each in documents:
        batch.append(each)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


class _Writer:
    """Writes one split's files, document by document."""

    def __init__(self, directory: Path, split: Split, dtype: np.dtype[Any]) -> None:
        self.directory, self.split, self.dtype = directory, split, dtype
        self.tokens = (directory / f"{split}.tokens.bin").open("wb")
        self.starts = (directory / f"{split}.starts.bin").open("wb")
        self.rows: list[tuple[int, int, int, bool, int, int]] = []
        self.at = 0

    def add(self, document: Document, source: int, ids: NDArray[np.uint32], starts: NDArray[np.uint8]) -> None:
        self.tokens.write(ids.astype(self.dtype).tobytes())
        self.starts.write(starts.tobytes())
        self.rows.append((self.at, len(ids), source, bool(document.turns), document.words, document.lines))
        self.at += len(ids)

    def close(self) -> None:
        self.tokens.close()
        self.starts.close()

    @property
    def table(self) -> NDArray[Any]:
        return np.array(self.rows, DOCUMENTS)

    def documents_of(self, source: int) -> int:
        return int((self.table["source"] == source).sum())

    def dialogues_of(self, source: int) -> int:
        return int(((self.table["source"] == source) & self.table["dialogue"]).sum())

    def words_of(self, source: int) -> int:
        table = self.table
        return int(table["words"][table["source"] == source].sum())

    def summary(self) -> dict[str, Any]:
        np.save(self.directory / f"{self.split}.documents.npy", self.table)
        names = [f"{self.split}.{name}" for name in ("tokens.bin", "starts.bin", "documents.npy")]
        table = self.table
        return {
            "documents": len(table), "tokens": self.at,
            "words": int(table["words"].sum()), "lines": int(table["lines"].sum()),
            "bytes": {name: (self.directory / name).stat().st_size for name in names},
            "sha256": {name: checksum(self.directory / name) for name in names},
        }  # fmt: skip
