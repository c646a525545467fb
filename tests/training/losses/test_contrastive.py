"""Pairs of tellings and questions, and the loss that they are matched by."""

from __future__ import annotations

import random

import numpy as np
import torch

from tests.helpers.tiny_gpt2 import tiny_model
from training.data.synthetic.episode_builder import EpisodeBuilder
from training.data.synthetic.pairs import GROUP, build_pairs
from training.data.synthetic.relations import ALL_RELATIONS, RELATIONS, relatives
from training.losses.contrastive import _lower_states, contrastive_losses
from varda_chat.models.chat_format import ChatFormat

EXCHANGES = [("Hi", "Hello!"), ("How are you?", "Fine, thanks.")]


def test_a_pair_tells_a_value_and_stops_before_it(chat_format: ChatFormat) -> None:
    builder = EpisodeBuilder(chat_format, EXCHANGES)
    pairs = build_pairs(builder, random.Random(3), 32)
    assert len(set(pairs.topic.tolist())) == 32
    names = {number: topic for topic, number in builder.number.items()}
    for row in range(32):
        assert pairs.value[row].any() and pairs.first[row].sum() == 1
        assert (pairs.sentence[row][pairs.value[row]] >= 0).all()
        end, before = pairs.ends[row]
        assert pairs.asked[row, end] == chat_format.assistant_id
        assert end <= before < pairs.asked.shape[1]
        value = chat_format.decode(pairs.told[row][pairs.value[row]].tolist()).strip().lower()
        told = chat_format.decode(pairs.told[row].tolist()).lower()
        assert value in told, names[int(pairs.topic[row])]
    again = build_pairs(builder, random.Random(3), 32)
    assert all(np.array_equal(getattr(pairs, name), getattr(again, name)) for name in vars(pairs))


def test_groups_hold_what_is_easily_mixed_up(chat_format: ChatFormat) -> None:
    builder = EpisodeBuilder(chat_format, EXCHANGES)
    pairs = build_pairs(builder, random.Random(4), 64)
    topics = {number: topic for topic, number in builder.number.items()}
    near = 0
    for first in range(0, 64, GROUP):
        members = [topics[int(number)] for number in pairs.topic[first : first + GROUP]]
        heads = [relation.name for relation in ALL_RELATIONS if relation.topic == members[0]]
        related = {other.topic for name in heads for other in relatives(name)}
        near += sum(topic in related for topic in members[1:])
    assert near > 0.8 * 64 * (GROUP - 1) / GROUP


def test_half_of_the_turns_delete_and_the_others_do_not(chat_format: ChatFormat) -> None:
    builder = EpisodeBuilder(chat_format, EXCHANGES)
    pairs = build_pairs(builder, random.Random(5), 64)
    groups = 64 // GROUP
    assert pairs.deletes.tolist() == [True] * groups + [False] * groups
    assert pairs.turn_group.tolist() == [*range(groups), *range(groups)]
    turns = [chat_format.decode(row[seen].tolist()) for row, seen in zip(pairs.turn, pairs.over, strict=True)]
    assert all(turn.strip() for turn in turns)
    assert len(set(turns[:groups])) == groups


def test_few_relations_make_few_pairs(chat_format: ChatFormat) -> None:
    builder = EpisodeBuilder(chat_format, EXCHANGES, relations=RELATIONS[:3])
    assert len(build_pairs(builder, random.Random(0), 16).topic) == 3


def test_lower_states_are_those_of_the_whole_model(chat_format: ChatFormat) -> None:
    model = tiny_model(chat_format).eval()
    ids = torch.randint(0, model.config.vocab_size, (2, 12), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        start = torch.tensor([[3], [7]])
        _, asking = _lower_states(model, ids, start)
        whole = model(ids, position_ids=start + torch.arange(12))
    torch.testing.assert_close(asking, whole.unread_state, atol=1e-5, rtol=1e-5)


def test_the_loss_falls_by_learning_to_match(chat_format: ChatFormat) -> None:
    model = tiny_model(chat_format)
    builder = EpisodeBuilder(chat_format, EXCHANGES, relations=RELATIONS[:24])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses: list[list[float]] = []
    for step in range(60):
        pairs = build_pairs(builder, random.Random(step), 24)
        reading, deleting = contrastive_losses(model, pairs, torch.Generator().manual_seed(step))
        (reading + deleting).backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append([float(reading.detach()), float(deleting.detach())])
    assert (np.mean(losses[-5:], axis=0) < 0.7 * np.array(losses[0])).all()
