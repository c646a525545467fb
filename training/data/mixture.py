"""From a directory of corpora to what a step reads: tokenizer, dialogue rows and fact episodes, by the step's index."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training.config import TrainConfig
from training.data.dialogue_rows import DialogueRows, MultiSessions, exchanges, persona_dialogues, tokenise
from training.data.document_episodes import TextEpisodes
from training.data.episodes import EpisodeArrays, Exchange
from training.data.preprocess.tokenizer import train_tokenizer
from training.data.sources.corpora import CORPORA, Dialogue, is_validation, read_dialogues
from training.data.synthetic.episode_builder import EpisodeBuilder
from training.data.synthetic.pairs import PairArrays, build_pairs
from training.data.synthetic.relations import fact_texts
from training.process_group import ALONE, ProcessGroup
from varda_chat.errors import DataError
from varda_chat.models.chat_format import ChatFormat

VALIDATION_EPISODES, VALIDATION_ROWS = 64, 48


@dataclass(frozen=True)
class Stack:
    """A process' share of a step's ``total`` episodes, or rows: those at ``place`` among them."""

    arrays: EpisodeArrays
    place: slice
    total: int


@dataclass(frozen=True)
class Data:
    """Everything a run reads. ``facts(step)`` and ``rows(step)`` give the step's stacks of episodes. builder: None
    where nothing is told, as in training on plain text; then all episodes are consecutive segments of documents."""

    config: TrainConfig
    chat: ChatFormat
    builder: EpisodeBuilder | None
    multi_sessions: MultiSessions | TextEpisodes
    training_rows: DialogueRows
    validation_facts: EpisodeArrays
    validation_rows: EpisodeArrays

    def facts(self, step: int, group: ProcessGroup = ALONE) -> Stack:
        """Fact episodes and multi-session dialogues (or segmented documents) of the step, all of one layout."""
        config = self.config
        sessions = random.Random(f"{config.seed}/layout/{step}").choice(config.layouts)
        length = config.episode_length // sessions
        told = config.fact_episodes if self.builder is not None else 0
        real = config.fact_episodes + config.multi_session_episodes - told
        total = told + (real if self.multi_sessions.usable(length) else 0)
        place = group.part(total)
        episodes = []
        for number in range(place.start, place.stop):
            # of its own, so that it is the same in whichever process
            rng = random.Random(f"{config.seed}/facts/{step}/{number}")
            drawn_from = self.builder if self.builder is not None and number < told else self.multi_sessions
            episodes.append(drawn_from.build(rng, sessions, length))
        return Stack(EpisodeArrays.stack(episodes), place, total)

    def rows(self, step: int, group: ProcessGroup = ALONE) -> Stack:
        """Rows of dialogue or text of the step."""
        total = self.config.dialogue_rows
        place = group.part(total)
        rows = [self.training_rows.row(step * total + number) for number in range(place.start, place.stop)]
        return Stack(EpisodeArrays.stack(rows), place, total)

    def pairs(self, step: int) -> PairArrays:
        """Tellings and questions of the step, for the matching loss; only where facts are told."""
        assert self.builder is not None
        rng = random.Random(f"{self.config.seed}/pairs/{step}/0")
        return build_pairs(self.builder, rng, self.config.question_pairs)

    @property
    def steps_per_epoch(self) -> float:
        config = self.config
        return self.training_rows.rows_per_epoch / (config.dialogue_rows * config.gradient_accumulation_steps)


def load_dialogues(directory: Path) -> tuple[list[Dialogue], list[Dialogue]]:
    """(training, validation) dialogues of all corpora in ``directory``; raises DataError naming what is missing."""
    training: list[Dialogue] = []
    validation: list[Dialogue] = []
    for corpus in CORPORA:
        for dialogue in read_dialogues(directory, corpus):
            (validation if is_validation(dialogue) else training).append(dialogue)
    return training, validation


def small_talk(dialogues: list[Dialogue], seed: int) -> list[Exchange]:
    """Lines to put between facts: of people who talk about themselves, of the personality set, and Varda's own."""
    homes = {"personachat", "spc", "ms_personality_chat", "memorybank_en"}
    lines = exchanges(d for d in dialogues if d.corpus in homes)
    own = exchanges(persona_dialogues(seed))
    rng = random.Random(seed)
    return lines + [rng.choice(own) for _ in range(len(lines) // 4)] if lines else own


def fresh_tokenizer(dialogues: list[Dialogue], vocab_size: int, seed: int) -> Any:
    """The tokenizer of a fresh model, of the training dialogues and fact sentences."""

    def texts() -> Iterator[str]:
        for dialogue in dialogues:
            for _, text in dialogue.turns:
                yield " " + text
        for text in fact_texts(seed):
            yield " " + text

    return train_tokenizer(texts(), vocab_size)


def prepare(config: TrainConfig, chat: ChatFormat, training: list[Dialogue], validation: list[Dialogue]) -> Data:
    """Tokenise the dialogues and set up the episode builder."""
    own = persona_dialogues(config.seed)
    tokenised = tokenise([*training, *own], chat)
    rows = DialogueRows(tokenised, config.row_length, config.seed, chat.end_id)
    counts = np.bincount(np.concatenate([d.ids for d in tokenised]), minlength=chat.tokenizer.get_vocab_size())
    builder = EpisodeBuilder(chat, small_talk(training, config.seed))
    validation_builder = EpisodeBuilder(chat, small_talk(validation, config.seed))
    sessions = max(config.layouts)
    length = config.episode_length // sessions
    rng = random.Random(f"{config.seed}/validation")
    if not validation:
        raise DataError("There are too few dialogues to keep some for validation; 200 or more are needed.")
    held = DialogueRows(tokenise(validation, chat), config.row_length, config.seed, chat.end_id)
    count = min(VALIDATION_ROWS, held.rows_per_epoch)
    return Data(
        config=config,
        chat=chat,
        builder=builder,
        multi_sessions=MultiSessions(tokenised[: len(training)], training, chat, counts),
        training_rows=rows,
        validation_facts=EpisodeArrays.stack(
            [validation_builder.build(rng, sessions, length) for _ in range(VALIDATION_EPISODES)]
        ),
        validation_rows=EpisodeArrays.stack([held.row(i) for i in range(count)]),
    )
