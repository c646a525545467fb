"""``python -m training.adapter.preferences_command``: an adapter that is done learns which replies are better."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from training.adapter.assemble import load_to_train, refuse_itself, rewrite_lora
from training.adapter.lines import load_lines
from training.adapter.preferences import (
    PREFERENCES,
    PreferenceConfig,
    PreferenceTrainer,
    load_preferences,
    noted_replies,
)
from training.adapter.progress import say
from training.cli.flags import run


def learn_preferences(
    adapter: Path, base: Path | None, saves: Path, output: Path, config: PreferenceConfig, say: Callable[[str], None],
    tables: Sequence[str] = PREFERENCES,
) -> None:  # fmt: skip
    """Teach what stands above the memory of ``adapter`` which replies are better, by ``tables``, resuming from what is
    in ``saves``, and write the adapter to ``output``. ``base``: its base's directory, None to find it."""
    refuse_itself(adapter, output)
    chat, model, record = load_to_train(adapter, base, say)
    noted = noted_replies(load_lines(validation=False), config.noted, random.Random(config.seed))
    preferences = [*load_preferences(tables, validation=False), *noted]
    held = load_preferences(tables, validation=True)
    trainer = PreferenceTrainer(model, chat, preferences, held, config, saves, say)
    trainer.read()
    if trainer.resume():
        say(f"Resumed at step {trainer.step}.")
    trainer.run()
    rewrite_lora(adapter, output, model, record["name"])


@click.command()
@click.option("--adapter", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
@click.option("--base", type=click.Path(path_type=Path, exists=True), help="Directory of the base model.")
@click.option("--output-dir", type=click.Path(path_type=Path), required=True, help="Saves, then the adapter.")
@click.option("--max-steps", type=click.IntRange(1), default=PreferenceConfig.max_steps, show_default=True)
@click.option("--rate", type=float, default=PreferenceConfig.rate, show_default=True, help="Learning rate.")
@click.option("--table", "tables", multiple=True, type=click.Choice(PREFERENCES), help="Only this one, or these.")
def main(
    adapter: Path, base: Path | None, output_dir: Path, max_steps: int, rate: float, tables: tuple[str, ...]
) -> None:
    """Teach ADAPTER which of its replies are better. Started again, it resumes from its last save."""
    config = PreferenceConfig(max_steps=max_steps, rate=rate)
    run(
        lambda: learn_preferences(adapter, base, output_dir, output_dir / "adapter", config, say, tables or PREFERENCES)
    )


if __name__ == "__main__":
    main()
