"""``varda-chat models``: the models that come with the package, and the files that are prepared for them in the cache.

Listing and finding load no torch.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import click

from varda_chat.cli.options import confirmed
from varda_chat.config import paths
from varda_chat.errors import CheckpointError
from varda_chat.models import model_cache
from varda_chat.models.adapters import base_needed, complete_checkpoint, find_merged, merges_of
from varda_chat.models.bases import BASE_VARIABLE, Base, Source, cached_base_dir, find_base
from varda_chat.text import sanitize, to_json

DEFAULT = "default"
"""The model that a command is about where none is named."""

State = Literal["ready", "not prepared", "base missing"]


@dataclass(frozen=True)
class Report:
    """What ``list`` says about a model: ``directory`` is the one a chat maps, None until it is prepared;
    ``base_found`` where its base was found; ``cache_bytes`` what is cached for it, its base included."""

    name: str
    state: State
    directory: str | None
    base: str | None
    base_found: str | None
    how_to_get: str | None
    bytes: int
    cache_bytes: int


@click.group()
def models() -> None:
    """List models, and prepare or remove their files."""


def _common(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command --json, which also counts before ``models``."""

    @functools.wraps(command)
    def run(*, as_json: bool, **others: Any) -> None:
        command(as_json=as_json or click.get_current_context().find_root().params.get("as_json", False), **others)

    return click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else.")(run)


_base_option = click.option(
    "--base",
    type=click.Path(path_type=Path, file_okay=False),
    envvar=BASE_VARIABLE,
    metavar="DIR",
    help="Directory of the base model.  [default: the installed package, or the hub]",
)
_model_argument = click.argument("model", metavar="[NAME_OR_DIR]", default=DEFAULT)


@models.command("list")
@_base_option
@_common
def list_models(base: Path | None, as_json: bool) -> None:
    """List the models that come with varda-chat, and whether they are ready."""
    reports = [_report(name, directory, base) for name, directory in paths.shipped_checkpoints().items()]
    for report in reports:
        click.echo(to_json(asdict(report)) if as_json else sanitize(_line(report)))
    if not as_json:
        cache = model_cache.models_dir()
        used = sum(map(model_cache.bytes_used, model_cache.directories()))
        click.echo(f"\n{_megabytes(used)} cached in {sanitize(str(cache))}")


@models.command()
@_model_argument
@_base_option
@_common
def get(model: str, base: Path | None, as_json: bool) -> None:
    """Prepare a model: find or download its base, convert and merge it. Prints the directory.

    What is cached is checked byte by byte; damaged files are made again.
    """
    directory = _directory_of(model)
    for cached in _cached_for(directory):
        try:
            model_cache.verify(cached)
        except CheckpointError as error:
            _progress(str(error))
            model_cache.remove(cached, _progress)
    ready = complete_checkpoint(directory, base, _progress)
    _say(as_json, {"name": model, "directory": str(ready)}, str(ready))


@models.command()
@_model_argument
@_base_option
@_common
def path(model: str, base: Path | None, as_json: bool) -> None:
    """Print the directory of a model that is ready."""
    report = _report(model, _directory_of(model), base)
    if report.directory is None:
        raise CheckpointError(f"The model {model} is not prepared yet. Prepare it with: varda-chat models get {model}")
    _say(as_json, {"name": model, "directory": report.directory}, report.directory)


@models.command()
@click.argument("model", metavar="NAME_OR_DIR")
@click.argument("target", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@_base_option
@_common
def export(model: str, target: Path, base: Path | None, as_json: bool) -> None:
    """Write a model into DIR, with its code, so that transformers loads it where varda-chat is not installed.

    There, AutoModelForCausalLM.from_pretrained(DIR, trust_remote_code=True) loads it.
    """
    from varda_chat.models.export import export as write

    files = write(complete_checkpoint(_directory_of(model), base, _progress), target)
    _say(as_json, {"name": model, "directory": str(target), "files": files}, f"{model} is in {target}.")


@models.command()
@click.argument("model", metavar="[NAME_OR_DIR]", required=False)
@click.option("--yes", is_flag=True, help="Do not ask.")
@_common
def remove(model: str | None, yes: bool, as_json: bool) -> None:
    """Delete what is cached for a model, or for all models. They can be prepared again."""
    found = model_cache.directories() if model is None else _cached_for(_directory_of(model))
    sizes = {directory: model_cache.bytes_used(directory) for directory in found}
    if not as_json:
        for directory, size in sizes.items():
            click.echo(f"{_megabytes(size):>12}  {sanitize(str(directory))}")
    if found and not confirmed(f"Delete {_megabytes(sum(sizes.values()))} of cached models?", yes, as_json):
        return
    for directory in found:
        model_cache.remove(directory, _progress)
    freed = sum(sizes.values())
    answer = {"removed": [str(each) for each in found], "bytes": freed}
    _say(as_json, answer, f"{_megabytes(freed)} deleted." if found else "Nothing is cached.")


def _directory_of(model: str) -> Path:
    """The checkpoint directory of a shipped model's name, or the directory itself. Raises CheckpointError."""
    shipped = paths.shipped_checkpoints()
    if model in shipped:
        return shipped[model]
    directory = paths.expanded(model)
    if os.sep not in model or not directory.is_dir():
        names = ", ".join(shipped)
        raise CheckpointError(f"There is no model {model}. Give one of {names}, or a directory (such as ./{model}).")
    return directory


def _report(name: str, directory: Path, base_directory: Path | None) -> Report:
    base = base_needed(directory)
    if base is None:
        return Report(name, "ready", str(directory), None, None, None, _weights(directory), 0)
    merged = find_merged(directory, base)
    source = _found(base, base_directory)
    cached = sum(map(model_cache.bytes_used, _cached_for(directory)))
    state: State = "ready" if merged else "not prepared" if source else "base missing"
    return Report(
        name,
        state,
        str(merged.directory) if merged else None,
        base.name,
        f"{source.kind} {source.path}" if source else None,
        base.how_to_get if state == "base missing" else None,
        merged.bytes if merged else _weights(directory),
        cached,
    )


def _found(base: Base, directory: Path | None) -> Source | None:
    """Where the base is; a directory that holds none is told on stderr, so that the list goes on."""
    try:
        return find_base(base, directory)
    except CheckpointError as error:
        click.echo(sanitize(str(error)), err=True)
        return None


def _cached_for(directory: Path) -> list[Path]:
    """The cache's directories of a model: its merges and its converted base."""
    base = base_needed(directory)
    if base is None:
        return []
    converted = cached_base_dir(base)
    own = [each.directory for each in merges_of(directory)]
    return [each for each in model_cache.directories() if each == converted or each in own]


def _weights(directory: Path) -> int:
    return sum(each.stat().st_size for each in directory.glob("*.safetensors"))


def _line(report: Report) -> str:
    head = f"{report.name:<10} {_megabytes(report.bytes):>10}  {report.state}"
    if report.base is None:
        return head
    head += f"\n{'':<23} base {report.base}: {sanitize(report.base_found or 'not found')}"
    if report.state == "base missing":
        head += f"\n{'':<23} get it: {report.how_to_get}, or varda-chat models get {report.name}"
    elif report.state == "not prepared":
        head += f"\n{'':<23} prepare it: varda-chat models get {report.name}"
    return head + (f"\n{'':<23} {_megabytes(report.cache_bytes)} cached" if report.cache_bytes else "")


def _progress(step: str) -> None:
    click.echo(sanitize(step), err=True)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


def _say(as_json: bool, answer: dict[str, Any], line: str) -> None:
    click.echo(to_json(answer) if as_json else sanitize(line))
