"""What ``--dataset`` gives a run: prepared text, prepared on demand, as the rows and episodes that the loop reads."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from training.config import TrainConfig
from training.data.dialogue_rows import DialogueRows, TokenisedDialogue, exchanges, persona_dialogues, tokenise
from training.data.document_episodes import TextEpisodes
from training.data.episodes import EpisodeArrays, Exchange
from training.data.mixture import VALIDATION_EPISODES, VALIDATION_ROWS, Data
from training.data.preprocess.encoding import tokenizer_fingerprint
from training.data.preprocess.pipeline import How, Progress, cache_key, prepare_text
from training.data.preprocess.token_files import PreparedSplit, PreparedText
from training.data.sources.corpora import Dialogue
from training.data.sources.documents import Split
from training.data.sources.selection import Places, is_prepared, source_of
from training.data.synthetic.episode_builder import EpisodeBuilder
from varda_chat.errors import DataError
from varda_chat.models.chat_format import ChatFormat

SMALL_TALK_DIALOGUES = 20_000
"""Dialogues, at most, that small talk between facts is taken from."""


@dataclass(frozen=True)
class DataDirectories(Places):
    """Also where prepared text is kept."""

    prepared: Path = Path("prepared")


def places_of(data_dir: Path | None) -> DataDirectories:
    """Where corpora and prepared text lie: our own data directory, beside the profiles."""
    from varda_chat.config.paths import data_dir as home

    return DataDirectories(data_dir, home() / "corpora", home() / "prepared")


def open_datasets(
    names: Sequence[str],
    places: DataDirectories,
    how: How,
    say: Callable[[str], None],
    on_progress: Progress | None = None,
) -> list[PreparedText]:
    """The prepared texts of ``names``: those that are prepared directories as they are, the others prepared together.

    All have one tokenizer: ``how.tokenizer``, else that of the prepared directories, else one trained on the others'
    text. Raises DataError.
    """
    ready = [PreparedText.open(Path(name).expanduser()) for name in names if is_prepared(name)]
    tokenizer = how.tokenizer if how.tokenizer is not None or not ready else ready[0].chat.tokenizer
    if tokenizer is not None:
        wanted = tokenizer_fingerprint(tokenizer)
        for text in ready:
            if text.fingerprint != wanted:
                raise DataError(
                    f"{text.directory} was prepared with another tokenizer. Prepare it again with --tokenizer and the "
                    "checkpoint (or base model) to train, or name its sources themselves by --dataset."
                )
    sources = [source_of(name, places, say) for name in names if not is_prepared(name)]
    if sources:
        how = replace(how, tokenizer=tokenizer)
        ready.append(prepare_text(sources, how, places.prepared / cache_key(sources, how), on_progress))
    return ready


class Joined(Sequence[TokenisedDialogue]):
    """Documents of several splits, and of some in RAM, in a row."""

    def __init__(self, splits: Sequence[PreparedSplit], own: Sequence[TokenisedDialogue] = ()) -> None:
        self.splits, self.own = splits, own
        self.lengths = [n for split in splits for n in split.lengths] + [len(d.ids) for d in own]
        self.weights = [w for split in splits for w in split.weights] + [d.weight for d in own]
        self.ends = np.cumsum([len(split) for split in splits])

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        place = int(np.searchsorted(self.ends, index, side="right"))
        if place == len(self.splits):
            return self.own[index - (int(self.ends[-1]) if len(self.ends) else 0)]
        return self.splits[place][index - (int(self.ends[place - 1]) if place else 0)]


def talk_of(splits: Sequence[PreparedSplit], chat: ChatFormat) -> Iterator[Dialogue]:
    """The dialogues of prepared text as text again, the first ones."""
    for split in splits:
        numbers = np.flatnonzero(split.table["dialogue"])[:SMALL_TALK_DIALOGUES]
        for number in numbers.tolist():
            yield Dialogue("prepared", str(number), tuple(_turns(split[number].ids.tolist(), chat)))


def _turns(ids: Sequence[int], chat: ChatFormat) -> Iterator[tuple[str, str]]:
    role, start = "", 0
    for at, token in enumerate(ids):
        if token in (chat.user_id, chat.assistant_id):
            role, start = ("user" if token == chat.user_id else "assistant"), at + 1
        elif token == chat.end_id and role:
            yield role, chat.decode(ids[start:at]).strip()


def text_data(config: TrainConfig, texts: Sequence[PreparedText], chat: ChatFormat) -> Data:
    """What a run on prepared text reads. Where there is dialogue, facts are told between its lines, as always; on plain
    text alone, all episodes are segments of documents."""
    splits = {name: [text.split(name) for text in texts] for name in ("train", "validation")}
    talk = any(bool(split.table["dialogue"].any()) for split in splits["train"])
    own = tokenise(persona_dialogues(config.seed), chat) if talk else []
    training, held = Joined(splits["train"], own), Joined(splits["validation"])
    counts = sum((split.counts(chat.tokenizer.get_vocab_size()) for split in splits["train"]), np.zeros(1, np.int64))
    rows = DialogueRows(training, config.row_length, config.seed, chat.end_id, mixed=True)
    if not rows.rows_per_epoch:
        raise DataError(f"The text is too short: {sum(training.lengths)} tokens are no row of {config.row_length}.")
    held_rows = DialogueRows(held, _fitting(held, config.row_length), config.seed, chat.end_id, mixed=True)
    sessions = max(config.layouts)
    length = config.episode_length // sessions
    segments, held_segments = TextEpisodes(training, chat, counts), TextEpisodes(held, chat, counts)
    builder: EpisodeBuilder | None = None
    held_builder: EpisodeBuilder | TextEpisodes
    if talk:
        builder = EpisodeBuilder(chat, _lines(splits["train"], chat, config.seed))
        held_builder = EpisodeBuilder(chat, _lines(splits["validation"], chat, config.seed))
    else:
        config = replace(config, question_pairs=0)  # there is nobody who asks
        longest = config.episode_length // min(config.layouts)
        if not segments.usable(longest):
            raise DataError(f"No document is long enough: with memory, two segments of {longest} tokens are needed.")
        held_builder = held_segments if held_segments.usable(length) else segments
    rng = random.Random(f"{config.seed}/validation")
    episodes = [held_builder.build(rng, sessions, length) for _ in range(VALIDATION_EPISODES)]
    return Data(
        config=config,
        chat=chat,
        builder=builder,
        multi_sessions=segments,
        training_rows=rows,
        validation_facts=EpisodeArrays.stack(episodes),
        validation_rows=EpisodeArrays.stack(
            [held_rows.row(number) for number in range(min(VALIDATION_ROWS, held_rows.rows_per_epoch))]
        ),
    )


def _fitting(documents: Joined, length: int) -> int:
    """A row's length that the documents fill, ``length`` at most."""
    return min(length, max(2, sum(documents.lengths)))


def _lines(splits: Sequence[PreparedSplit], chat: ChatFormat, seed: int) -> list[Exchange]:
    own = exchanges(persona_dialogues(seed))
    lines = exchanges(talk_of(splits, chat))
    rng = random.Random(seed)
    return lines + [rng.choice(own) for _ in range(len(lines) // 4)] if lines else own


def described(texts: Sequence[PreparedText], split: Split = "train") -> str:
    """The texts in words: sources, documents, tokens."""
    names = [source["name"] for text in texts for source in text.manifest["sources"]]
    documents = sum(text.manifest["splits"][split]["documents"] for text in texts)
    tokens = sum(text.manifest["splits"][split]["tokens"] for text in texts)
    return f"{', '.join(names)}: {documents:,} documents, {tokens:,} tokens"
