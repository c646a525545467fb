"""Fact episodes: what is labelled is what was said, nothing leaks from the test split, and draws are repeatable."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from training.adapter.address import LineStates
from training.adapter.labels import Session, TurnLabel
from training.adapter.read_sessions import ReadSessions
from training.data.episodes import ALIVE, NONE, NULL, EpisodeArrays
from training.data.preprocess.tokenizer import train_tokenizer
from training.data.synthetic.episode_builder import EpisodeBuilder
from training.data.synthetic.relations import fact_texts
from training.data.synthetic.values import split_of
from training.episodes.batch import Batch
from varda_chat.models.chat_format import ChatFormat

EXCHANGES = [("Hi", "Hello there!"), ("How are you?", "I'm fine, thanks.")]


@pytest.fixture(scope="module")
def builder() -> EpisodeBuilder:
    chat = ChatFormat(train_tokenizer((" " + text for text in fact_texts(0, 3000)), 1024))
    return EpisodeBuilder(chat, EXCHANGES)


@pytest.fixture(scope="module")
def episodes(builder: EpisodeBuilder) -> list[EpisodeArrays]:
    return [builder.build(random.Random(number), 3, 128) for number in range(120)]


def value_of(builder: EpisodeBuilder, episode: EpisodeArrays, statement: int) -> str:
    return builder.chat.decode(episode.ids[episode.statement == statement].tolist()).strip()


def test_same_seed_same_episode(builder: EpisodeBuilder) -> None:
    one, other = builder.build(random.Random(5), 2, 96), builder.build(random.Random(5), 2, 96)
    for name in EpisodeArrays.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_an_answer_speaks_the_tokens_of_the_statement_it_points_at(
    builder: EpisodeBuilder, episodes: list[EpisodeArrays]
) -> None:
    checked = 0
    for episode in episodes:
        spoken = (episode.target_statement >= 0) & ~episode.probe
        for session, place in zip(*spoken.nonzero(), strict=True):
            statement = episode.target_statement[session, place]
            told = episode.ids[episode.statement == statement]
            # a value after an article or a capital may start differently, its other tokens are the same
            checked += episode.ids[session, place + 1] in told
            assert episode.created_turn[statement] < episode.turn[session, place] <= episode.deleted_turn[statement]
        total = int(spoken.sum())
        assert total == 0 or checked > 0
    everything = sum(int(((e.target_statement >= 0) & ~e.probe).sum()) for e in episodes)
    assert checked > 0.97 * everything


def test_what_is_to_be_stored_is_a_value_of_the_training_split(
    builder: EpisodeBuilder, episodes: list[EpisodeArrays]
) -> None:
    for episode in episodes:
        for statement in np.unique(episode.statement[episode.statement >= 0]):
            value = value_of(builder, episode, int(statement))
            assert value
            assert "Rimba" not in value
        np.testing.assert_array_equal(episode.store_label == 1, episode.statement >= 0)


def test_every_kind_of_turn_occurs(episodes: list[EpisodeArrays]) -> None:
    assert any((e.deleted_turn < ALIVE).any() for e in episodes), "corrections and forgetting"
    assert any((e.target_statement == NULL).any() for e in episodes), "questions never answered"
    assert any((e.target_statement >= 0).any() for e in episodes), "questions answered"
    assert all((e.target_statement[~e.valid] == NONE).all() for e in episodes)


def test_split_is_stable() -> None:
    assert split_of("Rimba") == split_of("rimba") == "test"


def test_a_turn_sees_the_turns_before_it_and_nothing_else(episodes: list[EpisodeArrays]) -> None:
    arrays = EpisodeArrays.stack(episodes[:8])
    batch = Batch.of(arrays, 256, torch.Generator().manual_seed(0), "cpu", keep_deleted=0.0)
    visible = batch.visible()
    turn = batch.turn.flatten(1)
    for episode in range(8):
        readers, vectors = visible[episode].nonzero(as_tuple=True)
        assert (turn[episode][vectors] < turn[episode][readers]).all()
        assert (turn[episode][vectors] >= 0).all()
        first = (turn[episode] == 0).nonzero().flatten()
        assert not visible[episode][first].any()


def test_what_was_deleted_is_gone_from_the_next_turn_on(episodes: list[EpisodeArrays]) -> None:
    chosen = [e for e in episodes if (e.deleted_turn < e.turn.max()).any()][:8]
    batch = Batch.of(EpisodeArrays.stack(chosen), 256, torch.Generator().manual_seed(0), "cpu", keep_deleted=0.0)
    visible, turn, statement = batch.visible(), batch.turn.flatten(1), batch.statement.flatten(1)
    for row, episode in enumerate(chosen):
        for number in (episode.deleted_turn < episode.turn.max()).nonzero()[0]:
            vectors = (statement[row] == number).nonzero().flatten()
            later = (turn[row] > int(episode.deleted_turn[number])).nonzero().flatten()
            ending = (turn[row] == int(episode.deleted_turn[number])).nonzero().flatten()
            assert not visible[row][later][:, vectors].any()
            assert visible[row][ending][:, vectors].all()


def test_a_told_value_lies_in_one_statement_as_the_chat_divides_it(
    builder: EpisodeBuilder, episodes: list[EpisodeArrays]
) -> None:
    divided, told = 0, 0
    for episode in episodes:
        assert (episode.sentence[~episode.valid] == -1).all()
        special = np.isin(episode.ids, list(builder.chat.special_ids))
        assert (episode.sentence[special] == -1).all()
        for statement in np.unique(episode.statement[episode.statement >= 0]):
            places = episode.statement == statement
            divided += len(np.unique(episode.sentence[places])) > 1
            told += 1
    assert divided <= 0.02 * told, "but for a title like ... and the ..."


def test_an_episode_has_one_relation_of_a_topic(builder: EpisodeBuilder, episodes: list[EpisodeArrays]) -> None:
    for episode in episodes:
        alive = (episode.created_turn >= 0) & (episode.deleted_turn == ALIVE)
        told = episode.topic[alive]
        assert len(set(told.tolist())) == len(told)


def test_saved_sessions_find_their_classes() -> None:
    """A run's saved sessions and lines name these classes by their modules."""
    homes = {ReadSessions: "read_sessions", Session: "labels", TurnLabel: "labels", LineStates: "address"}
    assert {kind: kind.__module__ for kind in homes} == {
        kind: f"training.adapter.{home}" for kind, home in homes.items()
    }
    assert EpisodeArrays.__module__ == "training.data.episodes"
