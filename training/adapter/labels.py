"""What labelled sessions are made of: arrays, a label for each turn, and a turn as it is drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.data.episodes import NONE, EpisodeArrays
from training.data.synthetic.messages import Message
from varda_chat.models.configuration import INTENTS, STATUSES

INTENT = {name: number for number, name in enumerate(INTENTS)}
STATUS = {name: number for number, name in enumerate(STATUSES)}
UNLABELLED: Final = -1


@dataclass
class TurnLabel:
    """session, end: where the user's message ends (its end token); target: statement asked for, NULL for one that is
    not in memory, NONE; real: an unlabelled line of real talk."""

    session: int
    end: int
    turn: int
    intent: int
    status: int
    target: int
    real: bool = False


@dataclass
class Session:
    """arrays: as of a fact episode, target_statement at values only; status (S, T) int8 of reply tokens, -1 elsewhere;
    turns: labels."""

    arrays: EpisodeArrays
    status: NDArray[np.int8]
    turns: list[TurnLabel] = field(default_factory=list)


@dataclass(frozen=True)
class DrawnTurn:
    """A turn: its messages, what to note once they have found room, its intent, status and target; found: statements
    that stand before the reply."""

    messages: list[Message]
    commit: Callable[[], None]
    intent: str | None
    status: str
    target: int = NONE
    stores: bool = True
    real: bool = False
    labelled: bool = True
    found: tuple[str, ...] = ()
