"""``python -m training.adapter.responses_command``: an adapter that is done learns known replies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import torch
from torch import Tensor

from training.adapter.assemble import refuse_itself, rewrite_adapter
from training.adapter.lines import DIALOGUES, EXCHANGES
from training.adapter.preferences import PREFERENCES
from training.adapter.progress import say
from training.adapter.responses import (
    ResponseConfig,
    ResponseTrainer,
    WordingOffers,
    add_selector,
    learn_vectors,
    read_lines,
)
from training.checkpointing import write_whole
from training.cli.flags import run
from training.data.synthetic.known_replies import load_known, load_offers, load_wordings
from training.sentence_encoder import packaged_encoder
from varda_chat.models.checkpoint import Checkpoint, load_checkpoint
from varda_chat.models.known_replies import write_known_replies
from varda_chat.models.linear_maps import widen

NOT_KNOWN = "spared"
"""Exchanges that speak of what the memory did."""


def features_of(checkpoint: Checkpoint, lines: list[str], cache: Path, say: Callable[[str], None]) -> Tensor:
    """Features (n, width) of ``lines``, those that an earlier run has read through the same model from ``cache``."""
    known: dict[str, Tensor] = {}
    if cache.exists():
        kept = torch.load(cache, weights_only=True)
        known = kept["features"] if kept["of"] == checkpoint.fingerprint else {}
    new = [line for line in dict.fromkeys(lines) if line not in known]
    if new:
        say(f"Reading {len(new):,} lines ...")
        known |= dict(zip(new, read_lines(checkpoint.model, checkpoint.chat, new), strict=True))
        parts = {"of": checkpoint.fingerprint, "features": known}
        write_whole(cache, lambda path: torch.save(parts, path))
    return torch.stack([known[line] for line in lines])


def learn_responses(
    adapter: Path, saves: Path, output: Path, config: ResponseConfig, encoder: Callable[[list[str]], Tensor],
    say: Callable[[str], None],
) -> None:  # fmt: skip
    """Teach ``adapter`` the known replies, resuming from what is in ``saves``, and write both to ``output``.
    ``encoder``: unit vectors of texts, whose similarities lines learn."""
    refuse_itself(adapter, output)
    checkpoint = load_checkpoint(adapter)
    model, chat = checkpoint.model, checkpoint.chat
    widen(model)
    known = load_known(tuple(each for each in EXCHANGES if each != NOT_KNOWN), DIALOGUES, PREFERENCES)
    wordings, offers = load_wordings(), load_offers(validation=False)
    torch.manual_seed(config.seed)
    add_selector(model, config, len(known))
    selector = model.response_selector
    saves.mkdir(parents=True, exist_ok=True)
    lines = list(dict.fromkeys([*(each.line for each in known), *(each.line for each in offers)]))
    place = {line: number for number, line in enumerate(lines)}
    features, teacher = features_of(checkpoint, lines, saves / "lines.pt", say), encoder(lines)
    same = [[place[line] for line in each.lines if line in place] for each in wordings]
    learn_vectors(selector, features, teacher, [each for each in same if len(each) > 1], config, say)
    with torch.no_grad():
        selector.known.copy_(selector.vectors_of(features[[place[each.line] for each in known]]))
    worded = WordingOffers(wordings, known, teacher[[place[each.line] for each in known]])
    trainer = ResponseTrainer(model, chat, offers, load_offers(validation=True), worded, config, saves, say)
    trainer.resume()
    trainer.run()
    weights = {f"response_selector.{name}": tensor for name, tensor in selector.state_dict().items()}
    settings = {
        f"response_{name}": getattr(model.config.memory, f"response_{name}")
        for name in ("rank", "dim", "lines", "threshold", "told_threshold")
    }
    rewrite_adapter(adapter, output, weights, settings)
    write_known_replies(known, output)


@click.command()
@click.option("--adapter", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
@click.option("--output-dir", type=click.Path(path_type=Path), required=True, help="Saves, then the adapter.")
@click.option("--max-steps", type=click.IntRange(1), default=ResponseConfig.max_steps, show_default=True)
@click.option(
    "--threshold", type=float, default=ResponseConfig.threshold, show_default=True,
    help="Probability above which a reply is said.",
)  # fmt: skip
def main(adapter: Path, output_dir: Path, max_steps: int, threshold: float) -> None:
    """Teach the model in ADAPTER which hand-written replies it may say by heart. Started again, it resumes from its
    last save."""
    config = ResponseConfig(max_steps=max_steps, threshold=threshold)
    run(lambda: learn_responses(adapter, output_dir, output_dir / "adapter", config, packaged_encoder(), say))


if __name__ == "__main__":
    main()
