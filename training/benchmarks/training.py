"""Training speed: steps of the memory model against a plain GPT-2's on the same batches; reading and
writing against the ancestor's design at its own sizes. ``make bench-train``; minutes on two CPU cores."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch.nn import functional as F
from transformers import DynamicCache, GPT2Config, GPT2LMHeadModel

from training.benchmarks.ancestor import AncestorLoop
from training.benchmarks.machine import load_a_core
from training.benchmarks.ratios import Figure, Row, Speed, in_turns, seconds
from training.benchmarks.speed import FullMemory
from training.config import PRESETS
from training.data.dialogue_rows import DialogueRows, MultiSessions, exchanges, persona_dialogues, tokenise
from training.data.episodes import EpisodeArrays
from training.data.mixture import Data
from training.data.preprocess.tokenizer import train_tokenizer
from training.data.synthetic.episode_builder import EpisodeBuilder
from training.data.synthetic.relations import fact_texts
from training.episodes.memory import EpisodeMemory
from training.optimizer import parameter_groups
from training.quiet import quiet_libraries
from training.run import config_of, fresh_model
from training.trainer import Trainer
from varda_chat.models import VardaGPTAssociative, VardaGPTConfig
from varda_chat.models.chat_format import ChatFormat

ENOUGH_IN_TRAINING, ENOUGH_IN_FORWARD = 0.75, 100.0
ANCESTOR: dict[str, Any] = {"n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12, "memory_dim": 768,
                            "num_search_results": 5, "vocab_size": 50257}  # fmt: skip
MEMORY = 10_000
TRAINING = Row("training", "training with memory and pairs", "the plain base in the same loop", "tokens/s",
               {"mini": 0.8}, gpu=True)  # fmt: skip


@dataclass(frozen=True)
class Found:
    """The figures, and how busy the machine was: its load a core (1: as many programs as cores), at start and end."""

    preset: str
    training: tuple[Speed, ...]
    forward: tuple[Speed, ...]
    load: tuple[float, float]
    threads: int


def run_data(preset: str, pairs: bool) -> Data:
    """What a run of ``preset`` reads, of generated facts and our own lines: no corpus is needed, nothing is trained."""
    without = {} if pairs else {"question_pairs": 0}
    config = config_of(preset, {"max_steps": 1000, "multi_session_episodes": 0, **without})
    talk = persona_dialogues(0)
    chat = ChatFormat(train_tokenizer((" " + text for text in fact_texts(0, 4000)), PRESETS[preset].vocab_size))
    rows = DialogueRows(tokenise(talk, chat), config.row_length, 0, chat.end_id)
    none = MultiSessions([], [], chat, np.zeros(chat.tokenizer.get_vocab_size(), np.int64))
    builder = EpisodeBuilder(chat, exchanges(talk))
    held = EpisodeArrays.stack([rows.row(0)])
    return Data(config, chat, builder, none, rows, held, held)


class PlainTwin:
    """A plain GPT-2 of the same size, trained on the language of the same batches in the same precision."""

    def __init__(self, of: VardaGPTAssociative, data: Data, trainer: Trainer) -> None:
        names = ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head", "activation_function", "resid_pdrop",
                 "embd_pdrop", "attn_pdrop")  # fmt: skip
        sizes = {name: getattr(of.config, name) for name in names}
        self.model: Any = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=None, eos_token_id=None))
        self.model.to(trainer.accelerator.device)
        self.data, self.trainer = data, trainer
        groups = parameter_groups(self.model, data.config)
        self.optimizer = torch.optim.AdamW(groups, betas=data.config.betas, fused=True)

    def step(self, number: int) -> None:
        """One optimizer step on the rows and episodes of batch ``number``."""
        generator = torch.Generator().manual_seed(number)
        for stack in (self.data.rows(number), self.data.facts(number)):
            batch = self.trainer.gradients.batch(stack, generator)
            ids = batch.ids.flatten(0, 1)
            positions = batch.position_offset + torch.arange(ids.shape[1], device=ids.device)
            with self.trainer.accelerator.autocast():
                logits = self.model(ids, position_ids=positions, use_cache=False).logits.float()
            weight = batch.target_weight.flatten(0, 1)[:, :-1]
            losses = F.cross_entropy(logits[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none")
            ((losses * weight).sum() / weight.sum() / 2).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.data.config.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()


def measure_training(preset: str, pairs: bool, repeats: int) -> Speed:
    """Whole steps, batches and optimizer included, of both in turns; in the run's second half: stores are hard and the
    memory is full of distractors. Tokens are those of rows and episodes; ``pairs`` are extra work of ours."""
    data = run_data(preset, pairs)
    torch.manual_seed(0)
    model = fresh_model(preset, data.chat, {})
    with tempfile.TemporaryDirectory(prefix="varda-bench-") as directory:
        trainer = Trainer(model, data, data.config, Path(directory), Console(quiet=True))
        for queue in (trainer.gradients.talk_negatives, trainer.gradients.fact_negatives):
            vectors = F.normalize(torch.randn(len(queue.tokens), model.config.memory_dim), dim=1)
            tokens = torch.randint(3, 300, (len(vectors),))
            queue.add(vectors.to(queue.vectors.device), tokens.to(queue.vectors.device))
        twin = PlainTwin(model, data, trainer)
        trainer.model.train()
        twin.model.train()
        trainer.step = 501
        config = data.config
        tokens_a_step = config.fact_episodes * config.episode_length + config.dialogue_rows * config.row_length
        work = "training, with the matching loss of pairs" if pairs else "training on rows and episodes"
        return _in_turns(work, tokens_a_step, lambda: twin.step(trainer.step), trainer.train_step, repeats)


@torch.inference_mode()
def measure_forward(length: int, repeats: int) -> tuple[Speed, ...]:
    """Ours against the ancestor's design, both with gpt2's sizes and a memory of 10,000 vectors."""
    torch.manual_seed(0)
    model = VardaGPTAssociative(VardaGPTConfig(**ANCESTOR, bos_token_id=None, eos_token_id=None)).eval()
    memory = FullMemory(MEMORY, model.config.memory_dim, model.config.vocab_size)
    ancestor = AncestorLoop(model, memory.index)
    ids = torch.randint(3, model.config.vocab_size, (1, length))
    queries = F.normalize(torch.randn(length, model.config.memory_dim), dim=1)
    kept = torch.from_numpy(memory.index.get_all_embeddings())

    def emptied() -> None:
        ancestor.refresh(length)
        extra = memory.index.ids()[MEMORY:]
        memory.index.remove(extra)

    def stored(vectors: torch.Tensor) -> None:
        memory.index.memory_size = MEMORY + length
        memory.index.add(vectors)

    def theirs() -> None:
        ancestor.forward(ids[0])

    def ours() -> None:
        output = model(ids, memory=memory, use_cache=False)
        opened = output.store_decision.squeeze(-1).sigmoid() > model.config.store_threshold
        stored(output.storable_vector[opened])

    def ours_in_training() -> None:
        unseen = torch.zeros(1, length, length, dtype=torch.bool)
        stored_before = EpisodeMemory(ids, unseen, 1, kept, torch.zeros(MEMORY, dtype=torch.long))
        model(ids, memory=stored_before, use_cache=False)

    def their_memory() -> None:
        ancestor.search(queries)
        ancestor.store(queries)

    def our_memory() -> None:
        memory.search(queries, model.config.num_search_results)
        stored(queries)

    written = 8

    def our_writing(cache: DynamicCache) -> None:
        for place in range(written):
            model(ids[:, place : place + 1], past_key_values=cache, memory=memory, use_cache=True)

    reading = _in_turns(f"reading {length} tokens", length, theirs, ours, repeats, before=emptied)
    work = f"reading {length} tokens, with training's memory"
    in_training = _in_turns(work, length, theirs, ours_in_training, repeats, before=emptied)
    work = f"the memory's part of it: {length} searches and stores"
    alone = _in_turns(work, length, their_memory, our_memory, repeats, before=emptied)
    emptied()
    prompt = ids[:, : length - written]
    times = []
    for _ in range(repeats):
        cache = DynamicCache(config=model.config)
        model(prompt, past_key_values=cache, memory=memory, use_cache=True)
        times.append(seconds(partial(our_writing, cache)) / written)
    # without a cache, the next token costs the whole text again
    writing = Speed(f"writing a token after {length}", reading.plain / length, 1 / statistics.median(times))
    return reading, in_training, alone, writing


def _in_turns(
    work: str, tokens: int, plain: Callable[[], object], ours: Callable[[], object], repeats: int,
    before: Callable[[], object] = lambda: None,
) -> Speed:  # fmt: skip
    """tokens/s of both by the median of ``repeats``, after one of each that does not count."""
    return Speed(work, *(tokens / each for each in in_turns(plain, ours, repeats, before)))


def measure_training_row(preset: str, repeats: int) -> Figure:
    """Training tokens/s as a row of the table of ``make bench``."""
    speed = measure_training(preset, True, repeats)
    return Figure(TRAINING, preset, speed.plain, speed.ours, repeats)


def measure(preset: str, length: int, repeats: int) -> Found:
    """Everything, and the machine's load while it was measured."""
    begun = load_a_core()
    training = tuple(measure_training(preset, pairs, repeats) for pairs in (False, True))
    forward = measure_forward(length, max(1, repeats // 3))
    return Found(preset, training, forward, (begun, load_a_core()), torch.get_num_threads())


def speed_table(found: Found) -> Table:
    """The figures, with what is aimed at."""
    caption = f"{found.threads} threads; load a core {found.load[0]} at the start, {found.load[1]} at the end; medians"
    table = Table("work", title="Tokens a second", title_justify="left", caption=caption, caption_justify="left")
    for column in ("other", "ours", "ratio", "aim"):
        table.add_column(column, justify="right")
    for each in found.training:
        table.add_row(f"{each.work} ({found.preset}), against plain GPT-2", f"{each.plain:,.0f}", f"{each.ours:,.0f}",
                      f"{each.ratio:.2f}", f"{ENOUGH_IN_TRAINING}")  # fmt: skip
    for each in found.forward:
        table.add_row(f"{each.work} (gpt2's size), against the ancestor's design", f"{each.plain:,.1f}",
                      f"{each.ours:,.1f}", f"{each.ratio:.1f}", f"{ENOUGH_IN_FORWARD:.0f}")  # fmt: skip
    return table


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--preset", type=click.Choice(["nano", "micro", "mini", "small"]), default="mini", help="Size to train.")
@click.option("--length", type=click.IntRange(16, 1024), default=512, help="Tokens to read at gpt2's size.")
@click.option("--repeats", type=click.IntRange(min=1), default=9, help="Steps that count.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(preset: str, length: int, repeats: int, as_json: bool) -> None:
    """Measure training against a plain twin, and reading and writing against the ancestor's design."""
    quiet_libraries()
    found = measure(preset, length, repeats)
    if as_json:
        kinds = ("training", "forward")
        speeds = {kind: [asdict(each) | {"ratio": each.ratio} for each in getattr(found, kind)] for kind in kinds}
        click.echo(json.dumps(asdict(found) | speeds))
        return
    Console(width=140).print(speed_table(found))


if __name__ == "__main__":
    main()
