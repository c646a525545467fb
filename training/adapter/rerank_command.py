"""``python -m training.adapter.rerank_command``: trains a reranker for an adapter that is done, and writes both."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

from training.adapter.assemble import refuse_itself, rewrite_adapter
from training.adapter.judged import DrawnPairs, load_judged
from training.adapter.lines import load_lines
from training.adapter.progress import say
from training.adapter.rerank import RerankConfig, RerankTrainer
from training.cli.flags import run
from training.data.synthetic.written import load_facts
from training.sentence_encoder import packaged_encoder
from varda_chat.errors import CheckpointError
from varda_chat.models.checkpoint import load_checkpoint
from varda_chat.models.linear_maps import widen
from varda_chat.models.reranker import Reranker


def add_reranker(model: Any, rank: int) -> None:
    """Give ``model`` a new reranker."""
    model.config.memory.rerank_rank = rank
    model.reranker = Reranker(model)
    model.reranker.init_maps()


@torch.no_grad()
def widen_reranker(model: Any, rank: int) -> None:
    """Give the reranker of ``model`` maps of a greater ``rank``; what is new of them adds nothing yet."""
    old = model.reranker
    add_reranker(model, rank)
    model.reranker.decision = old.decision
    for name, each in model.reranker.maps.items():
        before = old.maps[name]
        each.down[: len(before.down)] = before.down
        each.up[:, : len(before.down)] = before.up


def train_reranker(
    adapter: Path, saves: Path, output: Path, config: RerankConfig, encoder: Callable[[list[str]], Tensor],
    say: Callable[[str], None], *, further: bool = False, average: bool = False,
) -> None:  # fmt: skip
    """Train a reranker for ``adapter``, resuming from what is in ``saves``, and write both to ``output``. ``encoder``:
    unit vectors of texts, by which near statements are found. ``further``: train the one that ``adapter`` has, with
    maps of the configuration's rank where its own are of a smaller one, and keep its thresholds. ``average``: write the
    mean of its weights before and after, which keeps more of what it could (Wortsman et al., 2022)."""
    refuse_itself(adapter, output)
    checkpoint = load_checkpoint(adapter)
    widen(checkpoint.model)
    torch.manual_seed(config.seed)
    if further and checkpoint.model.reranker is None:
        raise CheckpointError(f"The adapter in {adapter} has no reranker that could be trained further.")
    if not further:
        add_reranker(checkpoint.model, config.rank)
    elif config.rank > checkpoint.model.config.memory.rerank_rank:
        widen_reranker(checkpoint.model, config.rank)
    facts, lines = load_facts(validation=False), load_lines(validation=False)
    drawn = DrawnPairs(facts, lines, encoder, random.Random(config.seed))
    trainer = RerankTrainer(
        checkpoint.model, checkpoint.chat, load_judged(validation=False), load_judged(validation=True), drawn, config,
        saves, say,
    )  # fmt: skip
    before = {name: tensor.clone() for name, tensor in trainer.reranker.state_dict().items()}
    trainer.resume()
    trainer.run()
    learned = trainer.reranker.state_dict()
    if average:
        learned = {name: (before[name] + tensor) / 2 for name, tensor in learned.items()}
    weights = {f"reranker.{name}": tensor for name, tensor in learned.items()}
    settings = {
        "rerank_search_weight": config.search_weight,
        "rerank_answer_threshold": config.answer_threshold,
        "rerank_end_threshold": config.end_threshold,
        "rerank_forget_threshold": config.forget_threshold,
        "change_threshold": config.change_threshold,
    }
    rank = {"rerank_rank": checkpoint.model.config.memory.rerank_rank}
    rewrite_adapter(adapter, output, weights, rank if further else rank | settings)


@click.command()
@click.option("--adapter", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
@click.option("--output-dir", type=click.Path(path_type=Path), required=True, help="Saves, then the adapter.")
@click.option("--max-steps", type=click.IntRange(1), default=RerankConfig.max_steps, show_default=True)
@click.option("--rank", type=click.IntRange(1), default=RerankConfig.rank, show_default=True, help="Of its maps.")
@click.option("--seed", type=int, help="Of the pairs that are drawn.  [default: others with --further]")
@click.option("--rate", type=float, default=RerankConfig.map_rate, show_default=True, help="Learning rate.")
@click.option("--further", is_flag=True, help="Train the one that the adapter has.")
@click.option("--average", is_flag=True, help="With --further: write the mean of its weights before and after.")
def main(
    adapter: Path, output_dir: Path, max_steps: int, rank: int, seed: int | None, rate: float, further: bool,
    average: bool,
) -> None:  # fmt: skip
    """Train a reranker for the model in ADAPTER. Started again, it resumes from its last save."""
    if average and not further:
        raise click.UsageError("--average needs --further: a new reranker has no weights before.")
    seed = seed if seed is not None else RerankConfig.seed + further
    config = RerankConfig(rank=rank, max_steps=max_steps, map_rate=rate, decision_rate=rate * 2 / 3, seed=seed)
    run(
        lambda: train_reranker(
            adapter, output_dir, output_dir / "adapter", config, packaged_encoder(), say, further=further,
            average=average,
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
