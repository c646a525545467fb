"""``python -m training.adapter``: trains an adapter for a pretrained base; ``make train-default`` runs it.

With no ``--base``, SmolLM2-135M-Instruct is found as the chat finds it.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from training.adapter.assemble import with_memory
from training.adapter.config import AdapterConfig
from training.adapter.data import load_data
from training.adapter.finish import finish
from training.adapter.intents import IntentConfig
from training.adapter.intents_command import learn_intents
from training.adapter.preferences import PreferenceConfig
from training.adapter.preferences_command import learn_preferences
from training.adapter.progress import say
from training.adapter.rerank import RerankConfig
from training.adapter.rerank_command import train_reranker
from training.adapter.responses import ResponseConfig
from training.adapter.responses_command import learn_responses
from training.adapter.run import prepare
from training.adapter.speech import SpeechConfig, SpeechTrainer
from training.cli.flags import run
from training.sentence_encoder import SentenceEncoder, packaged_encoder
from varda_chat.models.bases import SMOLLM2, resolve_base, source_digest

STAGES = ("speech", "memory", "reranker", "intents", "preferences", "responses")


def settings_of(texts: tuple[str, ...], stage: str, config: type[Any]) -> Any:
    """The ``config`` that texts STAGE.NAME=VALUE give, of which those of ``stage`` count; raises click.BadParameter."""
    fields = {field.name: str(field.type) for field in dataclasses.fields(config)}
    kinds: dict[str, Any] = {"int": int, "float": float}
    values = {}
    for text in texts:
        where, _, value = text.partition("=")
        of, _, name = where.partition(".")
        if of not in STAGES:
            raise click.BadParameter(f"{text} begins with none of {', '.join(STAGES)}.", param_hint="--set")
        if of != stage:
            continue
        if fields.get(name) not in kinds:
            raise click.BadParameter(f"{where} is not a number that can be set.", param_hint="--set")
        try:
            values[name] = kinds[fields[name]](value)
        except ValueError as error:
            raise click.BadParameter(f"{text}: {error}", param_hint="--set") from error
    return config(**values)


@click.command()
@click.option("--base", type=click.Path(path_type=Path, exists=True), help="Directory of the base model.")
@click.option(
    "--data-dir", type=click.Path(path_type=Path, exists=True), required=True, help="Directory of the corpora."
)
@click.option("--output-dir", type=click.Path(path_type=Path), required=True, help="Saves, then the adapter.")
@click.option(
    "--from", "source", type=click.Path(path_type=Path, exists=True), help="Speech to start with: an adapter."
)
@click.option("--teacher", type=click.Path(path_type=Path, exists=True), help="A sentence-transformers directory.")
@click.option("--set", "settings", multiple=True, help="STAGE.NAME=VALUE: a setting of one of the stages.")
def main(
    base: Path | None, data_dir: Path, output_dir: Path, source: Path | None, teacher: Path | None,
    settings: tuple[str, ...],
) -> None:  # fmt: skip
    """Train an adapter: speech, memory, reranker, intents, preferences, responses. It resumes from its last save."""
    run(lambda: train_adapter(base, data_dir, output_dir, source, teacher, settings))


def train_adapter(
    base: Path | None, data_dir: Path, output_dir: Path, source: Path | None, teacher: Path | None,
    settings: tuple[str, ...],
) -> None:  # fmt: skip
    """What ``main`` does. What it needs is looked for before the first step. Raises VardaError, click.BadParameter."""
    speaking = settings_of(settings, "speech", SpeechConfig)
    remembering = settings_of(settings, "memory", AdapterConfig)
    reranking = settings_of(settings, "reranker", RerankConfig)
    wanting = settings_of(settings, "intents", IntentConfig)
    preferring = settings_of(settings, "preferences", PreferenceConfig)
    answering = settings_of(settings, "responses", ResponseConfig)
    encoder = packaged_encoder() if teacher is None else SentenceEncoder(teacher)
    directory = resolve_base(SMOLLM2, base, say)
    digest = source_digest(directory)
    if digest not in SMOLLM2.digests:
        record = {"name": str(directory), "revision": "local", "sha256": digest}
    else:
        record = {"name": SMOLLM2.name, "revision": SMOLLM2.revision, "sha256": SMOLLM2.sha256}
    chat, model = with_memory(directory)
    data = load_data(chat, data_dir)
    speech = SpeechTrainer(directory, data.builder, data.validation, speaking, output_dir / "speech", say)
    speech.resume(source)
    speech.run()
    trainer = prepare(
        output_dir / "speech", data, chat, model, output_dir / "memory", remembering, base_name=record,
        encoder=encoder, say=say,
    )  # fmt: skip
    trainer.run()
    finish(trainer, output_dir / "memory" / "adapter", say)
    judging = output_dir / "reranker"
    train_reranker(output_dir / "memory" / "adapter", judging, judging / "adapter", reranking, encoder, say)
    meaning = output_dir / "intents"
    learn_intents(judging / "adapter", meaning, meaning / "adapter", wanting, lambda _: data, say)
    liking = output_dir / "preferences"
    learn_preferences(meaning / "adapter", directory, liking, liking / "adapter", preferring, say)
    learn_responses(liking / "adapter", output_dir / "responses", output_dir / "adapter", answering, encoder, say)


if __name__ == "__main__":
    main()
