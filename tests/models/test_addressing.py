"""Who says each token and what a line is about: the tensor code against a slow reading, token by token."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.helpers.tiny_decoders import ASSISTANT, END, MEMORY, NEWLINE, START, SYSTEM, USER
from varda_chat.models.addressing import Address, Roles, addresses, roles_of
from varda_chat.models.configuration import MemoryConfig

CONFIG = MemoryConfig(**{**MEMORY, "user_header": 3, "assistant_header": 4})
NAMES = {USER: 1, ASSISTANT: 2}

texts = st.lists(st.integers(10, 20), max_size=4)
whole_messages = st.builds(
    lambda role, text: [START, role, NEWLINE, *text, END, NEWLINE], st.sampled_from([SYSTEM, USER, ASSISTANT]), texts
)
anything = st.lists(st.sampled_from([START, END, USER, ASSISTANT, NEWLINE, 11, 12]), max_size=5)
rows = st.lists(st.one_of(whole_messages, whole_messages, anything), min_size=1, max_size=7).map(
    lambda parts: [token for part in parts for token in part] or [START]
)


def slow_roles(ids: list[int]) -> list[dict[str, int | bool]]:
    """Roles, read token by token."""
    found: list[dict[str, int | bool]] = []
    start, role, closed, turn_start, turn = -1, 0, False, -1, -1
    for place, token in enumerate(ids):
        if token == START:
            start, role, closed = place, 0, False
        elif start >= 0 and place == start + 1:
            role = NAMES.get(token, 0)
            if role == 1:
                turn_start, turn = place, turn + 1
        in_header = role != 0 and place < start + (CONFIG.user_header if role == 1 else CONFIG.assistant_header)
        found.append({
            "role": role, "text": role != 0 and not closed and not in_header, "header": role == 2 and in_header,
            "turn_start": turn_start, "turn": turn,
        })  # fmt: skip
        closed = closed or token == END
    return found


def slow_addresses(features: Tensor, roles: list[dict[str, int | bool]]) -> list[tuple[Tensor, Tensor, Tensor]]:
    """(mean, end, previous) of each token of one row, features (T, F)."""
    zero = torch.zeros(features.shape[1])
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for place, each in enumerate(roles):
        start = int(each["turn_start"])
        said = [] if start < 0 else [i for i in range(start, place + 1) if roles[i]["role"] == 1 and roles[i]["text"]]
        mean = torch.stack([features[i] for i in said]).mean(0) if said else zero
        found.append((mean, features[said[-1]] if said else zero, found[start - 1][0] if start > 0 else zero))
    return found


@settings(deadline=None)
@given(rows)
def test_roles_are_those_of_a_slow_reading(row: list[int]) -> None:
    found = roles_of(torch.tensor([row]), CONFIG)
    for name in Roles.__dataclass_fields__:
        assert getattr(found, name)[0].tolist() == [each[name] for each in slow_roles(row)], name


@settings(deadline=None)
@given(rows, st.integers(0, 100))
def test_addresses_are_those_of_a_slow_reading(row: list[int], seed: int) -> None:
    features = torch.randn(1, len(row), 3, generator=torch.Generator().manual_seed(seed))
    found = addresses(features, roles_of(torch.tensor([row]), CONFIG))
    slow = slow_addresses(features[0], slow_roles(row))
    for number, name in enumerate(Address.__dataclass_fields__):
        expected = torch.stack([each[number] for each in slow])
        torch.testing.assert_close(getattr(found, name)[0], expected, atol=1e-5, rtol=1e-5, msg=name)


@settings(deadline=None)
@given(rows, st.data())
def test_no_token_depends_on_a_later_one(row: list[int], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(row) - 1))
    changed = [*row[:place], data.draw(st.sampled_from([START, END, USER, ASSISTANT, 11])), *row[place + 1 :]]
    features = torch.randn(2, len(row), 3, generator=torch.Generator().manual_seed(0))
    features[1, :place] = features[0, :place]
    roles = roles_of(torch.tensor([row, changed]), CONFIG)
    address = addresses(features, roles)
    for name in Roles.__dataclass_fields__:
        assert torch.equal(*getattr(roles, name)[:, :place]), name
    for name in Address.__dataclass_fields__:
        torch.testing.assert_close(*getattr(address, name)[:, :place], msg=name)
