"""Sessions with the states that the lower layers gave for them: read once, then learned from hundreds of times.

The layers below the memory do not change while its parts are learned, and they are nearly all of a step's cost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from training.adapter.batch import SessionBatch
from training.adapter.labels import Session
from training.adapter.sessions import SessionBuilder
from varda_chat.models.memory_pass import Pass

AT_ONCE = 4
"""People whose sessions are read at once."""


@dataclass
class ReadSessions:
    """Of P people: their labelled sessions, and the states of the feature layers, (P, S, T, F) float16, before they are
    standardised."""

    sessions: list[Session]
    states: Tensor

    def __len__(self) -> int:
        return len(self.sessions)

    def batch(self, people: Sequence[int]) -> tuple[SessionBatch, Tensor]:
        """The sessions of ``people``, and their states (E*S, T, F)."""
        return SessionBatch.of([self.sessions[each] for each in people]), self.states[list(people)].flatten(0, 1)


@torch.no_grad()
def read_sessions(
    model: Any, builder: SessionBuilder, people: int, sessions: int, length: int, seed: str, say: Callable[[str], None]
) -> ReadSessions:
    """Draw the sessions of ``people`` people and read them through the lower layers of ``model``."""
    drawn = builder.draw_people(seed, range(people), sessions, length)
    states = torch.zeros(0, dtype=torch.float16)
    for start in range(0, people, AT_ONCE):
        batch = SessionBatch.of(drawn[start : start + AT_ONCE])
        taps = model.lower_pass(batch.rows).taps
        read = torch.cat(taps, dim=-1).half().unflatten(0, (-1, sessions))
        if not len(states):
            states = torch.zeros(people, *read.shape[1:], dtype=torch.float16)
        states[start : start + len(read)] = read
        if start % 80 == 0:
            say(f"read the sessions of {min(people, start + AT_ONCE)} of {people} people")
    return ReadSessions(drawn, states)


def lower_pass(model: Any, batch: SessionBatch, states: Tensor | None = None) -> Pass:
    """What the layers up to the memory give for ``batch``; from its ``states``, where they have been read."""
    statements = batch.statements()
    if states is None:
        done: Pass = model.lower_pass(batch.rows, statements=statements)
        return done
    done = Pass(model.memory_layer, model.model.embed_tokens, None, batch.rows, statements, None, None)
    done.read_from([states.float()])
    return done
