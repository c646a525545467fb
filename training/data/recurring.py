"""Labels what comes back: a word of an earlier session is what a later one should find in memory."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from training.data.episodes import STATEMENTS, EpisodeArrays

STORE_RECURRING = 0.3
"""Weight of "store" on a word that comes up again in a later session."""

Places = list[tuple[int, int, int]]
"""Where a word stands: (session, first token, tokens)."""


def label_recurring(arrays: EpisodeArrays, places: Mapping[Hashable, Places], order: Sequence[Hashable]) -> None:
    """Make a statement of each word, in this ``order`` while there is room, that comes back in a later session: its
    tokens there should find the vectors of the earlier ones."""
    made = 0
    for word in order:
        here = places[word]
        sessions = sorted({session for session, _, _ in here})
        if len(sessions) < 2 or made == STATEMENTS:
            continue
        statement, made = made, made + 1
        arrays.created_turn[statement] = min(arrays.turn[session, at] for session, at, _ in here)
        for session, at, n in here:
            if session != sessions[-1]:
                arrays.statement[session, at : at + n] = statement
                arrays.store_label[session, at : at + n] = 1
                arrays.store_weight[session, at : at + n] = STORE_RECURRING
        for session in sessions[1:]:
            at, n = next((at, n) for s, at, n in here if s == session)
            if at > 0:
                arrays.target_statement[session, at - 1 : at + n - 1] = statement
