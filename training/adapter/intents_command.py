"""``python -m training.adapter.intents_command``: teaches an adapter that is done what lines want of its memory."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from pathlib import Path

import click
import torch

from training.adapter.assemble import refuse_itself, rewrite_adapter
from training.adapter.data import AdapterData, load_data
from training.adapter.intents import IntentConfig, LineEnds, read_ends, train_intents, wanting_lines
from training.adapter.judged import load_judged
from training.adapter.progress import say
from training.checkpointing import write_whole
from training.cli.flags import run
from training.data.synthetic.relations import ALL_RELATIONS
from varda_chat.models.chat_format import ChatFormat
from varda_chat.models.checkpoint import Checkpoint, load_checkpoint
from varda_chat.models.linear_maps import widen


def read_all(
    checkpoint: Checkpoint, data: AdapterData, config: IntentConfig, cache: Path, say: Callable[[str], None]
) -> tuple[LineEnds, LineEnds]:
    """Lines to learn from and held-out ones, or what an earlier run has read of the same lines through the same
    model."""
    drawn = []
    for validation, builder in ((False, data.builder), (True, data.validation)):
        rng = random.Random(f"{config.seed}/{validation}")
        real = rng.sample(data.real_lines, min(config.real, len(data.real_lines))) if not validation else []
        drawn.append(wanting_lines(
            builder.lines, builder.facts, ALL_RELATIONS, load_judged(validation=validation), real, builder.split, rng
        ))  # fmt: skip
    of = hashlib.sha256(repr((checkpoint.fingerprint, drawn)).encode()).hexdigest()
    if cache.exists():
        kept = torch.load(cache, weights_only=True)
        if isinstance(kept, dict) and kept["of"] == of:
            return LineEnds(*kept["lines"]), LineEnds(*kept["held"])
        say(f"{cache} was read of another model or of other lines: reading again")
    lines, held = (read_ends(checkpoint.model, checkpoint.chat, each, say) for each in drawn)
    parts = {"of": of, "lines": [lines.address, lines.intent], "held": [held.address, held.intent]}
    write_whole(cache, lambda path: torch.save(parts, path))
    return lines, held


def learn_intents(
    adapter: Path, saves: Path, output: Path, config: IntentConfig, data_of: Callable[[ChatFormat], AdapterData],
    say: Callable[[str], None],
) -> None:  # fmt: skip
    """Train the intents of ``adapter``, with what has been read in ``saves``, and write it to ``output``."""
    refuse_itself(adapter, output)
    checkpoint = load_checkpoint(adapter)
    model = checkpoint.model.requires_grad_(False)
    widen(model)
    saves.mkdir(parents=True, exist_ok=True)
    ends, held = read_all(checkpoint, data_of(checkpoint.chat), config, saves / "ends.pt", say)
    layer = model.memory_layer
    layer.fc_intent.requires_grad_(True)
    train_intents(layer, ends, held, config, say)
    learned = {f"memory_layer.fc_intent.{name}": each for name, each in layer.fc_intent.state_dict().items()}
    thresholds = {name: getattr(config, name) for name in ("request_threshold", "other_threshold")}
    rewrite_adapter(adapter, output, learned, thresholds)


@click.command()
@click.option("--adapter", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
@click.option(
    "--data-dir", type=click.Path(path_type=Path, exists=True), required=True, help="Directory of the corpora."
)
@click.option("--output-dir", type=click.Path(path_type=Path), required=True, help="What was read, then the adapter.")
@click.option("--max-steps", type=click.IntRange(1), default=IntentConfig.max_steps, show_default=True)
def main(adapter: Path, data_dir: Path, output_dir: Path, max_steps: int) -> None:
    """Teach the model in ADAPTER what lines want of its memory. All else stays."""
    config = IntentConfig(max_steps=max_steps)
    run(
        lambda: learn_intents(
            adapter, output_dir, output_dir / "adapter", config, lambda chat: load_data(chat, data_dir), say
        )
    )


if __name__ == "__main__":
    main()
