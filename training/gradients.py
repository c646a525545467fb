"""Gradients: what one batch of a run adds to the gradients, and to what other memories hold."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from training.config import TrainConfig
from training.data.mixture import Data, Stack
from training.episodes.batch import Batch, Negatives
from training.episodes.negatives import NEGATIVES_PER_STEP, NegativeQueue
from training.losses.contrastive import contrastive_losses
from training.losses.objective import Losses, episode_losses
from training.losses.retrieval import NOTHING_SAID
from training.process_group import ProcessGroup
from varda_chat.errors import VardaError
from varda_chat.models import VardaGPTAssociative

Terms = dict[str, Tensor]
"""A batch's losses by name, and counts (``hits`` of ``sought``, ``stored`` of ``tokens``); a process' share of each."""


class Gradients:
    """Computes the losses of a run's batches, and their gradients, for ``model`` on ``data``."""

    def __init__(
        self, model: VardaGPTAssociative, data: Data, config: TrainConfig, accelerator: Accelerator, group: ProcessGroup
    ) -> None:
        _check_counts(config, group)
        self.model, self.data, self.config = model, data, config
        self.accelerator, self.group = accelerator, group
        # what other memories hold: real talk, and other people's facts
        self.talk_negatives = NegativeQueue(model.config.memory_dim, accelerator.device)
        self.fact_negatives = NegativeQueue(model.config.memory_dim, accelerator.device)

    def add(self, number: int, step: int) -> Terms:
        """Add the gradients of the run's batch ``number``, at ``step``; returns its terms."""
        config, progress = self.config, step / self.config.max_steps
        # the same in all processes: each draws for the whole step, and takes its own
        generator = torch.Generator().manual_seed((config.seed << 32) + number)
        talk = self.batch(self.data.rows(number, self.group), generator)
        facts = self.batch(self.data.facts(number, self.group), generator)
        # what is in memory beside the episode's own: few vectors first, then many
        share = (progress - config.distractors_from) / (config.distractors_full - config.distractors_from)
        count = int(config.max_distractors * min(1.0, max(0.0, share))) if number % config.without_distractors else 0
        negatives = self._negatives(count, generator)
        # later on, two steps of three read what the store decisions leave, as in chat; the third keeps them soft
        hard = progress >= config.hard_from and step % 3 != 0
        weight = 0.5 / config.gradient_accumulation_steps
        of_talk = self._losses(talk, negatives, hard)
        self._backward(of_talk.total * weight)
        self._remember_talk(of_talk, talk)
        matching, deleting = self._match(number, generator)
        of_facts = self._losses(facts, negatives, hard)
        self._backward(of_facts.total * weight)
        self._remember_facts(of_facts, facts)
        terms = {
            "loss": (of_talk.total + of_facts.total) / 2,
            "talk": of_talk.language_model,
            **{name: getattr(of_facts, name) for name in ("retrieval", "read_out", "store", "delete")},
            "facts": of_facts.language_model,
            "matching": matching,
            "pair_deletes": deleting,
            "hits": of_facts.hits[0],
            "sought": of_facts.hits[1],
            "stored": self._stored(of_facts, facts),
            "tokens": facts.valid.sum(),
        }
        return {name: term.detach().float() for name, term in terms.items()}

    def batch(self, stack: Stack, generator: torch.Generator) -> Batch:
        """``stack`` as tensors on the run's device."""
        positions, device = self.model.config.n_positions, self.accelerator.device
        return Batch.of(stack.arrays, positions, generator, device, place=stack.place, total=stack.total)

    def _match(self, number: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Add the gradients of the losses on pairs; returns those of reading and deleting."""
        config = self.config
        if not config.question_pairs or not config.use_memory:
            zero = torch.zeros((), device=self.accelerator.device)
            return zero, zero
        pairs = self.data.pairs(number)
        with self.accelerator.autocast():
            reading, deleting = contrastive_losses(self.model, pairs, generator, self.group)
            loss = config.weights.matching * reading + config.weights.delete * deleting
        self._backward(loss / config.gradient_accumulation_steps)
        return reading, deleting

    def _backward(self, loss: Tensor) -> None:
        if loss.requires_grad:  # a frozen plain model has nothing to learn
            self.accelerator.backward(loss)

    def _losses(self, batch: Batch, negatives: Negatives | None, hard_gates: bool) -> Losses:
        config = self.config
        with self.accelerator.autocast():
            return episode_losses(
                self.model, batch, config.weights, negatives=negatives, hard_gates=hard_gates,
                use_memory=config.use_memory, group=self.group,
            )  # fmt: skip

    def _negatives(self, count: int, generator: torch.Generator) -> Negatives | None:
        """``count`` vectors, as many of real talk as of facts, in random order; None for none."""
        drawn = [queue.sample(count // 2, generator) for queue in (self.talk_negatives, self.fact_negatives)]
        order = torch.randperm(sum(len(d.tokens) for d in drawn), generator=generator).to(self.accelerator.device)
        if not len(order):
            return None
        return Negatives(*(torch.cat(parts)[order] for parts in zip(*map(astuple, drawn), strict=True)))

    def _stored(self, losses: Losses, batch: Batch) -> Tensor:
        """How many tokens of ``batch`` would be stored in chat."""
        decision = losses.output.store_decision
        assert decision is not None
        return ((decision.flatten().sigmoid() > self.model.config.store_threshold) & batch.valid.flatten()).sum()

    @torch.no_grad()
    def _remember_facts(self, of_facts: Losses, facts: Batch) -> None:
        """Put some vectors of told values into their queue, with what they are about."""
        output = of_facts.output
        assert output.storable_vector is not None
        told = ((facts.statement >= 0) & (facts.store_label == 1)).flatten()
        topic = facts.topic.gather(1, facts.statement.flatten(1).clamp_min(0).long()).flatten()
        chosen = (told & (topic >= 0)).nonzero().squeeze(1)[: 2 * NEGATIVES_PER_STEP]
        found = (output.storable_vector.flatten(0, 1)[chosen].float(), facts.ids.flatten()[chosen], topic[chosen].int())
        vectors, tokens, topics = (self.group.gather(each)[: 2 * NEGATIVES_PER_STEP] for each in found)
        self.fact_negatives.add(vectors, tokens, topics)

    @torch.no_grad()
    def _remember_talk(self, of_talk: Losses, talk: Batch) -> None:
        """Put the vectors of real talk that are likeliest to be stored into the queue."""
        output = of_talk.output
        assert output.storable_vector is not None and output.store_decision is not None
        gate = output.store_decision.flatten().masked_fill(talk.turn.flatten() < 0, NOTHING_SAID)
        best = gate.topk(min(NEGATIVES_PER_STEP, gate.numel()))
        vectors = output.storable_vector.flatten(0, 1)[best.indices].float()
        found = (best.values, vectors, talk.ids.flatten()[best.indices])
        gates, vectors, tokens = (self.group.gather(each) for each in found)
        chosen = gates.topk(min(NEGATIVES_PER_STEP, len(gates))).indices
        self.talk_negatives.add(vectors[chosen], tokens[chosen])


def _check_counts(config: TrainConfig, group: ProcessGroup) -> None:
    """Raise VardaError where there is not something of each kind for each process."""
    for flag in ("dialogue_rows", "fact_episodes", "question_pairs"):
        count: Any = getattr(config, flag)
        if count < group.processes and not (flag == "question_pairs" and count == 0):
            raise VardaError(
                f"{group.processes} processes share each step, but --{flag.replace('_', '-')} is {count}: "
                "give one for each process at least."
            )
