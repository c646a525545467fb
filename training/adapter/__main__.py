"""``python -m training.adapter``: trains an adapter for a pretrained base; ``make train-default`` runs it.

With no ``--base``, SmolLM2-135M-Instruct is found as the chat finds it.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from training.adapter.finish import finish
from training.adapter.run import AdapterConfig, prepare
from varda_chat.model.bases import SMOLLM2, resolve_base, source_digest


def say(line: str) -> None:
    print(line, flush=True)


def settings_of(texts: tuple[str, ...]) -> AdapterConfig:
    """The settings that NAME=VALUE texts give; raises click.BadParameter."""
    fields = {field.name: str(field.type) for field in dataclasses.fields(AdapterConfig)}
    kinds: dict[str, Any] = {"int": int, "float": float}
    values = {}
    for text in texts:
        name, _, value = text.partition("=")
        if fields.get(name) not in kinds:
            raise click.BadParameter(f"{name} is not a number that can be set.", param_hint="--set")
        try:
            values[name] = kinds[fields[name]](value)
        except ValueError as error:
            raise click.BadParameter(f"{text}: {error}", param_hint="--set") from error
    return AdapterConfig(**values)


@click.command()
@click.option("--base", type=click.Path(path_type=Path, exists=True), help="Directory of the base model.")
@click.option(
    "--data-dir", type=click.Path(path_type=Path, exists=True), required=True, help="Directory of the corpora."
)
@click.option("--output-dir", type=click.Path(path_type=Path), required=True, help="Saves, then the adapter.")
@click.option("--from", "source", type=click.Path(path_type=Path, exists=True), help="Start with another run's save.")
@click.option("--teacher", type=click.Path(path_type=Path, exists=True), help="A sentence-transformers directory.")
@click.option(
    "--decision-people", default=240, show_default=True, help="People whose turns the last stage learns from."
)
@click.option("--decision-steps", default=400, show_default=True, help="Steps of the last stage; 0 leaves it out.")
@click.option("--set", "settings", multiple=True, help="NAME=VALUE of AdapterConfig.")
def main(
    base: Path | None, data_dir: Path, output_dir: Path, source: Path | None, teacher: Path | None,
    decision_people: int, decision_steps: int, settings: tuple[str, ...],
) -> None:  # fmt: skip
    """Train an adapter; started again, it resumes from its last save."""
    directory = resolve_base(SMOLLM2, base, say)
    digest = source_digest(directory)
    if digest not in SMOLLM2.digests:
        record = {"name": str(directory), "revision": "local", "sha256": digest}
    else:
        record = {"name": SMOLLM2.name, "revision": SMOLLM2.revision, "sha256": SMOLLM2.sha256}
    trainer = prepare(
        directory,
        data_dir,
        output_dir,
        settings_of(settings),
        base_name=record,
        source=source,
        teacher=teacher,
        say=say,
    )
    trainer.run()
    finish(trainer, directory, output_dir / "adapter", people=decision_people, steps=decision_steps, say=say)


if __name__ == "__main__":
    main()
