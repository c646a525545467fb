"""``python -m training.adapter.speech_command``: an adapter that is done learns more speech; its memory stays."""

from __future__ import annotations

from pathlib import Path

import click

from training.adapter.assemble import load_to_train, refuse_itself, rewrite_lora
from training.adapter.config import AdapterConfig
from training.adapter.data import load_data
from training.adapter.progress import say
from training.adapter.run import AdapterTrainer
from training.cli.flags import run


@click.command()
@click.option("--adapter", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
@click.option("--base", type=click.Path(path_type=Path, exists=True), help="Directory of the base model.")
@click.option(
    "--data-dir", type=click.Path(path_type=Path, exists=True), required=True, help="Directory of the corpora."
)
@click.option("--output-dir", type=click.Path(path_type=Path), required=True, help="Saves, then the adapter.")
@click.option("--max-steps", type=click.IntRange(1), default=AdapterConfig.speech_steps, show_default=True)
@click.option("--rate", type=float, default=AdapterConfig.speech_rate, show_default=True, help="Learning rate.")
def main(adapter: Path, base: Path | None, data_dir: Path, output_dir: Path, max_steps: int, rate: float) -> None:
    """Train what stands above the memory of ADAPTER on what is said. Started again, it resumes from its last save."""
    run(lambda: learn_more_speech(adapter, base, data_dir, output_dir, max_steps, rate))


def learn_more_speech(
    adapter: Path, base: Path | None, data_dir: Path, output_dir: Path, max_steps: int, rate: float
) -> None:
    """What ``main`` does. Raises VardaError."""
    refuse_itself(adapter, output_dir / "adapter")
    chat, model, record = load_to_train(adapter, base, say)
    config = AdapterConfig(memory_steps=0, reading_steps=0, speech_steps=max_steps, speech_rate=rate, seed=2)
    data = load_data(chat, data_dir)
    data.builder.talkative = config.talkative
    output_dir.mkdir(parents=True, exist_ok=True)
    trainer = AdapterTrainer(model, chat, data, config, output_dir, record, say)
    if trainer.resume():
        say(f"Resumed at step {trainer.step}.")
    trainer.learn_speech()
    rewrite_lora(adapter, output_dir / "adapter", model, record["name"])


if __name__ == "__main__":
    main()
