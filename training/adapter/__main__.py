"""``python -m training.adapter``: trains an adapter for a pretrained base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from training.adapter.run import AdapterConfig, prepare


@click.command()
@click.option("--base", type=click.Path(path_type=Path, exists=True), required=True, help="Directory of the base.")
@click.option("--data-dir", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--output-dir", type=click.Path(path_type=Path), required=True)
@click.option("--from", "source", type=click.Path(path_type=Path, exists=True), help="Weights of another run's save.")
@click.option("--set", "settings", multiple=True, help="NAME=VALUE of AdapterConfig.")
def main(base: Path, data_dir: Path, output_dir: Path, source: Path | None, settings: tuple[str, ...]) -> None:
    """Train an adapter."""
    fields: dict[str, Any] = AdapterConfig.__dataclass_fields__
    values = dict(each.split("=", 1) for each in settings)
    kinds = {"int": int, "float": float, "bool": lambda text: text == "true"}
    config = AdapterConfig(**{name: kinds[str(fields[name].type)](value) for name, value in values.items()})
    trainer = prepare(
        base, data_dir, output_dir, config, base_name={"name": "smollm2"}, source=source,
        say=lambda line: print(line, flush=True),
    )  # fmt: skip
    trainer.run()


if __name__ == "__main__":
    main()
