"""The last stage of speech: of the model's own replies, those that people would rather hear become likelier.

Replies were drawn from the model and judged by reading; where none would do, one was written. What stands above the
memory learns to prefer them (direct preference optimization, Rafailov et al. 2023, with the likelihood of the better
replies beside it); all below stays as it is, so that it is read once.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from training.adapter.assemble import layer_of
from training.adapter.lines import Lines
from training.adapter.saves import load_state, save_state
from training.data.synthetic.wordings import HERE
from training.data.synthetic.written import part_of
from training.optimizer import descend, warm_cosine
from training.precision import autocast
from training.tables import check_keys, read_table, texts
from varda_chat.models.chat_format import ChatFormat
from varda_chat.models.configuration import STATUSES
from varda_chat.models.llama import VardaLlamaAssociative
from varda_chat.models.memory_pass import StopBelow

PREFERENCES = ("preferences", "preferences_b", "preferences_c", "preferences_d", "preferences_e", "preferences_f")
"""Tables, each of replies of the model as it was when they were judged."""
KEYS = ("said", "found", "user", "status", "better", "worse")


@dataclass(frozen=True)
class Preference:
    """Replies to a line. said: what was said before it, (line, reply, status) each; found: statements that the replies
    read; status: what was decided on the line; better, worse: replies; no worse ones where only likelihood counts."""

    said: tuple[tuple[str, str, str], ...]
    found: tuple[str, ...]
    user: str
    status: str
    better: tuple[str, ...]
    worse: tuple[str, ...]


def load_preferences(
    names: Sequence[str] = PREFERENCES, *, validation: bool, directory: Path = HERE
) -> tuple[Preference, ...]:
    """The training part of the tables ``names``, or the held-out one. Raises DataError naming file and line of a bad
    entry."""
    tables = (read_table(directory / f"{name}.jsonl", _preference) for name in names)
    return tuple(each for table in tables for _, each in part_of(table, validation=validation))


def _preference(entry: dict[str, Any]) -> Preference:
    check_keys(entry, KEYS)
    said = tuple((str(line), str(reply), str(status)) for line, reply, status in entry.get("said", ()))
    better, worse = texts(entry, "better"), texts(entry, "worse")
    unknown = {entry["status"], *(status for _, _, status in said)} - set(STATUSES)
    if unknown:
        raise ValueError(f"unknown status {min(unknown)!r}")
    if not better or set(better) & set(worse):
        raise ValueError(f"{entry['user']!r}: a better reply is needed, and none that is a worse one too")
    return Preference(said, texts(entry, "found"), str(entry["user"]), entry["status"], better, worse)


def noted_replies(lines: Lines, count: int, rng: random.Random) -> list[Preference]:
    """``count`` hand-written replies to what was found, so that reading it is not unlearned."""
    drawn = rng.sample(lines.noted, min(count, len(lines.noted)))
    return [
        Preference((), line.found, line.user, "recalled" if line.found else "unknown", (line.reply,), ())
        for line in drawn
    ]


@dataclass(frozen=True, eq=False)
class Tree:
    """Replies that share what stands before them, in one row of T tokens: each looks at the shared tokens and at its
    own. ids, status (-1 for none), place (of the token in its own sequence), branch (-1 for what is shared), all (T,);
    scored: of each reply, the places in the row of the tokens that predict its own; better: how many come first."""

    ids: Tensor
    status: Tensor
    place: Tensor
    branch: Tensor
    scored: tuple[Tensor, ...]
    better: int

    @classmethod
    def of(cls, chat: ChatFormat, each: Preference) -> Tree:
        ids, status = list(chat.opening), [-1] * len(chat.opening)

        def add(tokens: Sequence[int], decided: int) -> None:
            ids.extend(tokens)
            status.extend([decided] * len(tokens))

        for line, reply, decided in each.said:
            add(chat.encode("user", line).ids, -1)
            number = STATUSES.index(decided)
            add(chat.encode("assistant", reply).led_by(chat.note(decided)).ids, number)
        add(chat.encode("user", each.user).ids, -1)
        number = STATUSES.index(each.status)
        add(chat.note(each.status, each.found), number)
        shared = len(ids)
        place, branch, scored = list(range(shared)), [-1] * shared, []
        for count, text in enumerate((*each.better, *each.worse)):
            reply_message = chat.encode("assistant", text)
            start, tokens = len(ids), reply_message.ids
            add(tokens, number)
            place += range(shared, shared + len(tokens))
            branch += [count] * len(tokens)
            # the reply's tokens and the one that ends it
            end = start + len(tokens) - reply_message.footer
            scored.append(torch.arange(start + reply_message.header - 1, end))
        return cls(
            torch.tensor(ids), torch.tensor(status), torch.tensor(place), torch.tensor(branch), tuple(scored),
            len(each.better),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class TreeBatch:
    """Trees as rows (B, T), padded at the end; mask (B, 1, T, T) bool: what each token looks at."""

    ids: Tensor
    status: Tensor
    place: Tensor
    mask: Tensor

    @classmethod
    def of(cls, trees: Sequence[Tree]) -> TreeBatch:
        longest = max(map(len, trees))

        def rows(name: str, value: int) -> Tensor:
            return torch.stack([F.pad(getattr(tree, name), (0, longest - len(tree)), value=value) for tree in trees])

        branch = rows("branch", -2)
        looker, seen = branch.unsqueeze(2), branch.unsqueeze(1)
        mask = ((seen == -1) | (seen == looker)).tril()
        return cls(rows("ids", 0), rows("status", -1), rows("place", 0), mask.unsqueeze(1))


@dataclass(frozen=True)
class PreferenceConfig:
    """noted: hand-written replies to what was found, beside the preferences; trees: lines of a step; beta: what
    log-likelihoods count against those of the model before; likelihood: weight of that of the better replies, nats a
    token; rate: of LoRA above the memory, along a cosine over ``max_steps``."""

    noted: int = 400
    trees: int = 16
    beta: float = 0.1
    likelihood: float = 0.7
    max_steps: int = 240
    warmup_steps: int = 10
    rate: float = 3e-4
    clip: float = 1.0
    seed: int = 1
    save_every: int = 25


class PreferenceTrainer:
    """Trains the LoRA weights of ``model`` above its memory; its state is in ``output``, replaced when it is whole."""

    def __init__(
        self, model: VardaLlamaAssociative, chat: ChatFormat, preferences: Sequence[Preference],
        held: Sequence[Preference], config: PreferenceConfig, output: Path, say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.model, self.config, self.output, self.say = model, config, output, say
        self.first = model.config.memory.memory_layer
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(".lora_" in name and layer_of(name) >= self.first)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=config.rate, betas=(0.9, 0.98), weight_decay=0.0)
        self.trees = [Tree.of(chat, each) for each in preferences]
        self.held = [Tree.of(chat, each) for each in held]
        self.step = 0
        self.states: dict[Tree, Tensor] = {}
        self.before: dict[Tree, Tensor] = {}

    @torch.no_grad()
    def read(self) -> None:
        """Read every tree through the layers below, once, and note what the model makes of its replies before it
        learns."""
        trees = [*self.trees, *self.held]
        for done, part in enumerate(_by_length(trees, tokens=2400)):
            batch = TreeBatch.of(part)
            hidden = self._lower(batch)
            scores = self._scores(hidden, batch, part)
            for row, (tree, found) in enumerate(zip(part, scores, strict=True)):
                self.states[tree] = hidden[row, : len(tree)].clone()
                self.before[tree] = found.detach()
            if done % 20 == 0:
                self.say(f"read {len(self.states)} of {len(trees)} lines")

    @torch.no_grad()
    def _lower(self, batch: TreeBatch) -> Tensor:
        """(B, T, width): the states that the layers above the memory begin with."""
        found: list[Tensor] = []

        def stop(_layer: Any, inputs: tuple[Tensor, ...]) -> None:
            found.append(inputs[0])
            raise StopBelow

        hook = self.model.model.layers[self.first].register_forward_pre_hook(stop)
        try:
            with suppress(StopBelow), autocast():
                self.model(
                    batch.ids, attention_mask=batch.mask, position_ids=batch.place, status=batch.status,
                    use_cache=False, with_logits=False,
                )  # fmt: skip
        finally:
            hook.remove()
        return found[0]

    def _scores(self, hidden: Tensor, batch: TreeBatch, trees: Sequence[Tree]) -> list[Tensor]:
        """Of each tree, (n, 2): its replies' log-likelihoods, in nats, and their lengths in tokens."""
        decoder = self.model.model
        with autocast():
            rotation = decoder.rotary_emb(hidden, position_ids=batch.place)
            for layer in decoder.layers[self.first :]:
                hidden = layer(
                    hidden, attention_mask=batch.mask, position_ids=batch.place, position_embeddings=rotation
                )
            hidden = decoder.norm(hidden)
            chosen = [(row, places) for row, tree in enumerate(trees) for places in tree.scored]
            rows = torch.cat([torch.full_like(places, row) for row, places in chosen])
            columns = torch.cat([places for _, places in chosen])
            logits = self.model.lm_head(hidden[rows, columns])
        lost = F.cross_entropy(logits.float(), batch.ids[rows, columns + 1], reduction="none")
        sums = [part.sum() for part in lost.split([len(places) for _, places in chosen])]
        lengths = torch.tensor([len(places) for _, places in chosen], dtype=torch.float32)
        table = torch.stack([-torch.stack(sums), lengths], dim=1)
        return list(table.split([len(tree.scored) for tree in trees]))

    def _batch_scores(self, trees: Sequence[Tree]) -> list[Tensor]:
        batch = TreeBatch.of(trees)
        longest = batch.ids.shape[1]
        hidden = torch.stack([F.pad(self.states[tree], (0, 0, 0, longest - len(tree))) for tree in trees])
        return self._scores(hidden, batch, trees)

    def losses(self, trees: Sequence[Tree]) -> dict[str, Tensor]:
        """preference: of every better reply against every worse one of its line; likelihood: of the better ones, nats
        a token; right: share of these pairs in which the better one has gained more."""
        margins, likelihood, lengths = [], [], []
        for tree, found in zip(trees, self._batch_scores(trees), strict=True):
            gained = found[:, 0] - self.before[tree][:, 0]
            margin = gained[: tree.better, None] - gained[None, tree.better :]
            if margin.numel():
                margins.append(margin.flatten().mul(self.config.beta))
            likelihood.append(-found[: tree.better, 0].sum())
            lengths.append(found[: tree.better, 1].sum())
        per_tree = [-F.logsigmoid(each).mean() for each in margins]
        together = torch.cat(margins) if margins else torch.zeros(1)
        return {
            "preference": torch.stack(per_tree).mean() if per_tree else torch.zeros(()),
            "likelihood": torch.stack(likelihood).sum() / torch.stack(lengths).sum(),
            "right": (together > 0).float().mean(),
        }

    def train_step(self) -> dict[str, float]:
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = config.rate * warm_cosine(self.step, config.max_steps, config.warmup_steps)
        found = self.losses(self._drawn())
        loss = found["preference"] + config.likelihood * found["likelihood"]
        descend(loss, self.optimizer, self.parameters, config.clip, self.step)
        self.step += 1
        return {name: value.item() for name, value in found.items()}

    def _drawn(self) -> list[Tree]:
        """The trees of this step: all of them in turn, in an order of each round's own."""
        count, size = self.config.trees, len(self.trees)
        places = [divmod(place, size) for place in range(self.step * count, (self.step + 1) * count)]
        orders = {turn: random.Random(f"{self.config.seed}/{turn}").sample(range(size), size) for turn in dict(places)}
        return [self.trees[orders[turn][at]] for turn, at in places]

    @torch.no_grad()
    def held_out(self) -> dict[str, float]:
        """The losses of the held-out lines."""
        found = [self.losses(part) for part in _by_length(self.held, tokens=2400)]
        return {name: sum(float(each[name]) for each in found) / len(found) for name in found[0]}

    def run(self) -> None:
        smooth: dict[str, float] = {}
        while self.step < self.config.max_steps:
            found = self.train_step()
            smooth = {name: 0.9 * smooth.get(name, value) + 0.1 * value for name, value in found.items()}
            if self.step % self.config.save_every == 0 or self.step == self.config.max_steps:
                self.save()
                self.say(f"preferences {self.step}: {_shown(smooth)}; held out {_shown(self.held_out())}")

    def save(self) -> None:
        save_state(self.output / "preferences.pt", self.parameters, self.optimizer, self.step)

    def resume(self) -> bool:
        """Go on from the last save, if there is one. What the model was before is read first (``read``)."""
        step = load_state(self.output / "preferences.pt", self.parameters, self.optimizer)
        self.step = self.step if step is None else step
        return step is not None


def _by_length(trees: Sequence[Tree], tokens: int) -> Iterator[list[Tree]]:
    """All of ``trees``, those of like length together, as many as have so many ``tokens`` with their padding."""
    part: list[Tree] = []
    for tree in sorted(trees, key=len):
        if part and len(tree) * (len(part) + 1) > tokens:
            yield part
            part = []
        part.append(tree)
    if part:
        yield part


def _shown(values: dict[str, float]) -> str:
    return " ".join(f"{name} {value:.3f}" for name, value in values.items())
