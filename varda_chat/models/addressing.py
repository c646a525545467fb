"""Who says each token, and what queries are made of: the turns that the chat template's own tokens mark."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from varda_chat.models.configuration import MemoryConfig

NO_ROLE, USER, ASSISTANT = 0, 1, 2


@dataclass(frozen=True)
class Roles:
    """Who says each token, (B, T) each. role long: NO_ROLE, USER or ASSISTANT; text bool: a token of the message's text
    or its end, not of its header; header bool: of a reply's header; turn_start long: where the user's message of this
    turn begins, -1 before the first; turn long: number of the turn, -1 before the first."""

    role: Tensor
    text: Tensor
    header: Tensor
    turn_start: Tensor
    turn: Tensor

    @property
    def user_text(self) -> Tensor:
        return (self.role == USER) & self.text


def roles_of(ids: Tensor, config: MemoryConfig) -> Roles:
    """Read the turns off the chat template's own tokens; ids (B, T). A start token has no role yet: the role word
    behind it tells what it starts, and no token depends on a later one."""
    length = ids.shape[1]
    place = torch.arange(length, device=ids.device).expand_as(ids)
    starts = torch.where(ids == config.start_token_id, place, -1).cummax(dim=1).values
    word = ids.gather(1, (starts + 1).clamp(0, length - 1))
    known = (starts >= 0) & (place > starts)
    role = torch.where(known & (word == config.user_token_id), USER, NO_ROLE)
    role = torch.where(known & (word == config.assistant_token_id), ASSISTANT, role)
    width = torch.where(role == USER, config.user_header, config.assistant_header)
    before = F.pad(torch.where(ids == config.end_token_id, place, -1).cummax(dim=1).values, (1, 0), value=-1)[:, :-1]
    open_ = before < starts
    in_header = place < starts + width
    user_starts = torch.where((place == starts + 1) & (role == USER), place, -1)
    return Roles(
        role=role,
        text=(role != NO_ROLE) & open_ & ~in_header,
        header=(role == ASSISTANT) & in_header,
        turn_start=user_starts.cummax(dim=1).values,
        turn=(user_starts >= 0).long().cumsum(dim=1) - 1,
    )


@dataclass(frozen=True)
class Address:
    """What a token's query is made of, (B, T, F) each: the mean of its turn's user text so far, the state at the last
    of it, and the mean of the turn before."""

    mean: Tensor
    end: Tensor
    previous: Tensor

    def map(self, change: Callable[[Tensor], Tensor]) -> Address:
        """What ``change`` makes of each part: another place, other rows."""
        return Address(change(self.mean), change(self.end), change(self.previous))


def addresses(features: Tensor, roles: Roles) -> Address:
    """The address context of every token of whole sequences (B, T, F): it grows while the user's message is read and
    stays while the reply is written."""
    length = features.shape[1]
    place = torch.arange(length, device=features.device).expand(features.shape[:2])
    mine = roles.user_text
    sums = (features * mine.unsqueeze(-1)).cumsum(dim=1)
    counts = mine.long().cumsum(dim=1)
    before = (roles.turn_start - 1).clamp_min(0)
    has_before = (roles.turn_start > 0).unsqueeze(-1)
    base = rows_at(sums, before) * has_before
    base_count = counts.gather(1, before) * has_before.squeeze(-1)
    started = (roles.turn_start >= 0).unsqueeze(-1)
    mean = (sums - base) / (counts - base_count).clamp_min(1).unsqueeze(-1) * started
    ends = torch.where(mine, place, -1).cummax(dim=1).values
    # no text of this turn yet: nothing
    there = (ends >= roles.turn_start) & (ends >= 0)
    end = rows_at(features, ends.clamp_min(0)) * there.unsqueeze(-1)
    previous = rows_at(mean, before) * has_before
    return Address(mean, end, previous)


def rows_at(values: Tensor, places: Tensor) -> Tensor:
    """values (B, T, F) at places (B, S): (B, S, F)."""
    return values.gather(1, places.unsqueeze(-1).expand(-1, -1, values.shape[-1]))
