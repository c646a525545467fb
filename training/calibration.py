"""Chooses store, delete and abstention thresholds, and how well a result must fit, on validation episodes; model and
its config keep them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from training.data.synthetic.templates import ABSTENTION
from training.episodes.batch import Batch
from training.losses.language_model import mixed_logits, value_hits
from training.losses.objective import episode_losses
from varda_chat.models import VardaGPTAssociative

if TYPE_CHECKING:
    from training.data.episodes import EpisodeArrays
    from training.data.mixture import Data

STORE_CANDIDATES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
DELETE_CANDIDATES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
SHARE_CANDIDATES = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9)
WRONG_DELETE_COST = 3.0
"""A fact that vanishes is worse than an outdated one that stays: a correction is preferred when both are read."""

NULL_SHIFTS = (-0.06, -0.04, -0.02, 0.0, 0.02, 0.04, 0.06, 0.08)
ABSTENTION_CANDIDATES = (0.01, 0.02, 0.03, *(round(0.05 * step, 2) for step in range(1, 20)), 0.98, 0.99)
DENIAL_COST = 3.0
"""To deny what was told is worse than to name something where nothing was told: it breaks the one promise."""


@torch.no_grad()
def calibrate(model: VardaGPTAssociative, data: Data) -> None:
    """Set ``store_threshold`` to a half, or to what is clearly better; ``delete_threshold`` and ``delete_share`` to the
    best trade; and what ``calibrate_abstentions`` sets."""
    model.eval()
    weights = data.config.weights
    batches = [_batch(model, data.validation_facts, start) for start in range(0, len(data.validation_facts.ids), 16)]
    right = {}
    for threshold in STORE_CANDIDATES:
        model.config.store_threshold = threshold
        outputs = [(episode_losses(model, batch, weights, hard_gates=True), batch) for batch in batches]
        right[threshold] = sum(value_hits(losses.output, batch)[0] for losses, batch in outputs)
    best = max(right, key=lambda threshold: right[threshold])
    model.config.store_threshold = best if right[best] > 1.01 * right[0.5] else 0.5

    read = [(episode_losses(model, batch, weights, hard_gates=True).delete_probability, batch) for batch in batches]
    told = [(probability, batch) for probability, batch in read if probability is not None]
    calibrate_abstentions(model, data)
    if not told:
        return  # nothing was told in any episode: nothing to calibrate on

    def worth(choice: tuple[float, float]) -> float:
        counts = [delete_counts(opened_deletes(probability, batch, *choice), batch) for probability, batch in told]
        deleted, obsolete, wrongly, kept = (sum(column) for column in zip(*counts, strict=True))
        return deleted / max(1, obsolete) - WRONG_DELETE_COST * wrongly / max(1, kept)

    choices = [(threshold, share) for threshold in DELETE_CANDIDATES for share in SHARE_CANDIDATES]
    model.config.delete_threshold, model.config.delete_share = max(choices, key=worth)


@torch.no_grad()
def calibrate_abstentions(model: VardaGPTAssociative, data: Data) -> None:
    """Set the no-match slot's similarity and ``admission_threshold`` to the best trade between answering what is known,
    with the right value, and admitting what is not, on validation episodes read as in chat.

    In training the no-match slot competes with thousands of negatives; how well a result must fit where
    there are few is better chosen afterwards.
    """
    model.eval()
    token = data.chat.encode("assistant", ABSTENTION).ids[1]
    learned = float(model.memory_reader.null_score.detach())
    found: list[tuple[float, float, float]] = []  # worth, shift, threshold
    for shift in NULL_SHIFTS:
        model.memory_reader.null_score.fill_(learned + shift)
        known, unknown, right = abstention_evidence(model, data, token)
        if not len(known) or not len(unknown):
            break
        for threshold in ABSTENTION_CANDIDATES:
            answered = float((known <= threshold).float().mean()) * right
            found.append((DENIAL_COST * answered + float((unknown > threshold).float().mean()), shift, threshold))
    model.memory_reader.null_score.fill_(learned)
    if found:
        _, shift, threshold = max(found)
        model.memory_reader.null_score.fill_(learned + shift)
        model.config.admission_token_id, model.config.admission_threshold = token, threshold


@torch.no_grad()
def abstention_evidence(model: VardaGPTAssociative, data: Data, token: int) -> tuple[torch.Tensor, torch.Tensor, float]:
    """The no-match slot's share at the end of each validation question whose fact is known, and of each whose fact is
    not; 0 where the likeliest first word is not ``token``, so that nothing would be admitted. And the share of values
    that are right."""
    shares: dict[bool, list[float]] = {True: [], False: []}
    right = total = 0
    for start in range(0, len(data.validation_facts.ids), 16):
        batch = _batch(model, data.validation_facts, start)
        output = episode_losses(model, batch, data.config.weights, hard_gates=True).output
        hits = value_hits(output, batch)
        right, total = right + hits[0], total + hits[1]
        asked = (batch.ids == data.chat.assistant_id) & batch.probe
        place = asked.flatten(0, 1)
        assert output.read_weights is not None
        nothing = 1.0 - output.read_weights[place].sum(dim=-1)
        nothing = nothing * (mixed_logits(output, place).argmax(dim=-1) == token)
        known = (batch.target_statement[asked] >= 0).tolist()
        for share, is_known in zip(nothing.tolist(), known, strict=True):
            shares[is_known].append(share)
    return torch.tensor(shares[True]), torch.tensor(shares[False]), right / max(1, total)


def opened_deletes(probability: torch.Tensor, batch: Batch, threshold: float, share: float) -> torch.Tensor:
    """Which (turn, statement) deletes open, (E, turns, STATEMENTS) bool, by the rule of chat (``delete_share``): the
    clearest is sought among the statements that are in memory at the turn."""
    numbers = torch.arange(probability.shape[1], device=probability.device)[None, :, None]
    created, deleted = batch.created_turn.unsqueeze(1), batch.deleted_turn.unsqueeze(1)
    there = (created >= 0) & (created < numbers) & (deleted >= numbers)
    evidence = -torch.log1p(-probability.clamp_max(1 - 1e-6)) * there
    return (probability > threshold) & (evidence >= share * evidence.amax(dim=-1, keepdim=True)) & there


def delete_counts(opened: torch.Tensor, batch: Batch) -> tuple[int, int, int, int]:
    """From which (turn, statement) deletes opened, (E, turns, STATEMENTS) bool: outdated statements deleted by the turn
    that ended them, all outdated ones; statements wrongly deleted at some turn of their life, all statements."""
    numbers = torch.arange(opened.shape[1], device=opened.device)[None, :, None]
    created, deleted = batch.created_turn.unsqueeze(1), batch.deleted_turn.unsqueeze(1)
    alive = (created >= 0) & (created < numbers) & (deleted > numbers)
    ends = (created >= 0) & (deleted == numbers)
    return (
        int((opened & ends).sum()),
        int(ends.sum()),
        int((opened & alive).any(dim=1).sum()),
        int(alive.any(dim=1).sum()),
    )


def _batch(model: VardaGPTAssociative, episodes: EpisodeArrays, start: int) -> Batch:
    part = episodes.part(start, start + 16)
    return Batch.of(part, model.config.n_positions, torch.Generator().manual_seed(start), model.device)
