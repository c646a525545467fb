"""What a run reads: a directory's chat corpora, or the datasets it names; both give a tokenizer and a run's data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from training.config import TrainConfig
from training.data.mixture import Data, fresh_tokenizer, load_dialogues, prepare
from training.data.preprocess.pipeline import How
from training.data.preprocess.token_files import PreparedText
from training.data.sources.corpora import CORPORA, Dialogue
from training.data.sources.fetching import checksum
from training.data.text_mixture import DataDirectories, described, open_datasets, places_of, text_data
from varda_chat.errors import DataError
from varda_chat.models.chat_format import ChatFormat


class RunSource(Protocol):
    """Where a run's text comes from."""

    @property
    def documents(self) -> int: ...
    def fresh_tokenizer(self, vocab_size: int, seed: int) -> Any: ...
    def data(self, config: TrainConfig, chat: ChatFormat) -> Data: ...
    def digests(self) -> list[str]:
        """Of what is read: equal where the text is."""

    def credits(self) -> tuple[tuple[str, str, str], ...]: ...


def check_unchanged(source: RunSource, output_dir: Path, resume: bool) -> None:
    """Note the text's digests in the run's directory; raises DataError where a resumed run would read another."""
    path = output_dir / "datasets.json"
    now = source.digests()
    if resume and path.exists():
        if json.loads(path.read_text(encoding="utf-8")) != now:
            raise DataError("The text has changed since this run began, so it cannot go on; start a new run.")
    else:
        path.write_text(json.dumps(now), encoding="utf-8")


def source_of_run(config: TrainConfig, data_dir: Path | None, console: Console) -> RunSource:
    """Raises DataError where there is nothing to read."""
    if config.datasets:
        return _Datasets(config.datasets, places_of(data_dir), console)
    if data_dir is None:
        raise DataError("Give text to train on: --dataset, or the directory of the chat corpora by --data-dir.")
    console.print(f"Reading dialogues in {data_dir} …")
    return _ChatCorpora(data_dir, *load_dialogues(data_dir))


@dataclass
class _ChatCorpora:
    directory: Path
    training: list[Dialogue]
    validation: list[Dialogue]

    @property
    def documents(self) -> int:
        return len(self.training)

    def fresh_tokenizer(self, vocab_size: int, seed: int) -> Any:
        return fresh_tokenizer(self.training, vocab_size, seed)

    def data(self, config: TrainConfig, chat: ChatFormat) -> Data:
        return prepare(config, chat, self.training, self.validation)

    def digests(self) -> list[str]:
        return [checksum(path) for corpus in CORPORA for path in corpus.paths(self.directory)]

    def credits(self) -> tuple[tuple[str, str, str], ...]:
        return tuple((corpus.name, corpus.licence, corpus.attribution) for corpus in CORPORA)


@dataclass
class _Datasets:
    """Prepared on demand with the usual split, whatever the run's seed: what is held out stays held out from every run,
    and ``varda-eval`` finds the same."""

    names: Sequence[str]
    places: DataDirectories
    console: Console
    texts: list[PreparedText] = field(default_factory=list)

    @property
    def documents(self) -> int:
        return sum(int(text.manifest["splits"]["train"]["documents"]) for text in self.texts)

    def fresh_tokenizer(self, vocab_size: int, seed: int) -> Any:
        self._open(How(vocab_size=vocab_size))
        return self.texts[0].chat.tokenizer

    def data(self, config: TrainConfig, chat: ChatFormat) -> Data:
        if not self.texts:
            self._open(How(tokenizer=chat.tokenizer))
        self.console.print(f"Training on {described(self.texts)}.")
        return text_data(config, self.texts, chat)

    def _open(self, how: How) -> None:
        from training.display import preparing

        with preparing() as show:
            self.texts = open_datasets(self.names, self.places, how, self.console.print, show)

    def digests(self) -> list[str]:
        return [text.digest for text in self.texts]

    def credits(self) -> tuple[tuple[str, str, str], ...]:
        sources = [source for text in self.texts for source in text.manifest["sources"]]
        return tuple((source["name"], source["licence"], source["attribution"]) for source in sources)
