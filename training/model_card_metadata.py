"""The metadata at the top of a model card, which a Hugging Face hub reads: licence, datasets, metrics, model-index.

Its keys are those of https://github.com/huggingface/hub-docs/blob/main/modelcard.md. The model-index is written from
what ``varda-eval CHECKPOINT recall --json FILE`` and ``varda-eval CHECKPOINT perplexity --json FILE`` measured, or from
the figures that ``varda-eval figures`` put together.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from training.checkpointing import write_whole
from training.evaluation.recall.tasks import TIERS
from varda_chat.errors import VardaError

CARD = "README.md"
LICENCE = "LICENSE"
LICENCE_NAME = "licences-of-the-training-data"

Credit = tuple[str, str, str]
"""A corpus: name, licence, attribution."""

_HUB_IDS = {
    "spc": "google/Synthetic-Persona-Chat",
    "topical_chat": "Conversational-Reasoning/Topical-Chat",
    "casino": "kchawla123/casino",
    "wikitext-2": "Salesforce/wikitext",
    "wikitext2": "Salesforce/wikitext",
}
"""Corpora that the hub has, as their authors published them; the others keep their own names."""
_DATASET_ID = re.compile(r"(?:[\w-]+/)?[\w.-]+", re.ASCII)
_TASK = "text-generation"


def dataset_ids(names: Iterable[str]) -> list[str]:
    """What corpora are called in metadata: hub ids, or names of the same form."""
    found = []
    for name in names:
        on_hub = name.startswith("hub:")
        identity = "/".join(name.removeprefix("hub:").split("/")[:2]) if on_hub else _HUB_IDS.get(name, name)
        plain = re.sub(r"[^\w./-]+" if on_hub or name in _HUB_IDS else r"[^\w.-]+", "-", identity, flags=re.ASCII)
        if _DATASET_ID.fullmatch(plain):
            found.append(plain)
    return list(dict.fromkeys(found))


def front_matter(
    name: str, tags: Sequence[str], credits: Sequence[Credit], results: Sequence[Mapping[str, Any]]
) -> str:
    """The block of metadata of a model that was trained from nothing: ``---``, YAML, ``---``."""
    from huggingface_hub import ModelCardData

    data = ModelCardData(
        language="en", library_name="transformers", pipeline_tag=_TASK, license="other", license_name=LICENCE_NAME,
        license_link=LICENCE, tags=list(tags), datasets=dataset_ids(name for name, *_ in credits),
        metrics=["perplexity"],
    )  # fmt: skip
    _add(data, name, results)
    return f"---\n{data.to_yaml()}\n---\n"


def licence_text(credits: Sequence[Credit]) -> str:
    """What the licence of such a model says."""
    corpora = "\n".join(f"- {name}: {licence}. {attribution}".rstrip() for name, licence, attribution in credits)
    return f"""The weights in this directory were trained on the corpora below, each of which has a licence of its own.
Whoever passes the weights on keeps these attributions and follows these licences.

{corpora}
"""


def eval_results(result: Mapping[str, Any]) -> list[Any]:
    """A result of ``varda-eval recall`` or ``perplexity``, as JSON has it, as ``huggingface_hub.EvalResult``s. Raises
    VardaError for anything else."""
    found = None
    try:
        if "tasks" in result:
            found = _of_recall(result)
        elif "readers" in result:
            found = _of_perplexity(result)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise VardaError(f"A result is not as varda-eval writes it ({error!r}).") from error
    if not found:
        raise VardaError("A result must be of varda-eval recall or varda-eval perplexity, and count something.")
    return found


def add_results(directory: Path, files: Sequence[Path]) -> int:
    """Write what the JSON ``files`` say into the metadata of the card in ``directory``, in place of earlier results of
    the same kind; returns how many figures there are then. Raises VardaError."""
    card = read_card(directory)
    model = directory.resolve().name
    _add(card.data, card.data.model_name or _title(card.text) or model, [_read(file, model) for file in files])
    write_whole(directory / CARD, card.save)
    return len(card.data.eval_results or [])


def read_card(directory: Path) -> Any:
    """The card in ``directory``, as ``huggingface_hub.ModelCard``. Raises VardaError where there is none, or where its
    metadata cannot be read."""
    import yaml
    from huggingface_hub import ModelCard

    path = directory / CARD
    if not path.is_file():
        raise VardaError(f"{directory} has no model card ({CARD}).")
    try:
        return ModelCard.load(path)
    except (ValueError, TypeError, yaml.YAMLError) as error:
        raise VardaError(f"The metadata of {path} cannot be read: {str(error).splitlines()[0]}") from error


def _add(data: Any, name: str, results: Sequence[Mapping[str, Any]]) -> None:
    fresh = [each for result in results for each in eval_results(result)]
    again = {each.unique_identifier for each in fresh}
    kept = [each for each in data.eval_results or [] if each.unique_identifier not in again]
    if kept or fresh:
        data.model_name, data.eval_results = name, [*kept, *fresh]
        data.metrics = sorted({*(data.metrics or []), *(each.metric_type for each in data.eval_results)})


def _of_recall(result: Mapping[str, Any]) -> list[Any]:
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type=_TASK,
            task_name="Chat with a memory",
            dataset_type="varda-eval-recall",
            dataset_name=f"varda-eval recall, {tier} phrasings",
            dataset_config=tier,
            metric_type="accuracy",
            metric_value=float(score["share"]),
            metric_name=f"{task}: {measure} ({int(score['right'])} of {int(score['total'])})",
        )
        for tier in TIERS
        for task, measures in result["tasks"].items()
        for measure, scores in measures.items()
        if (score := scores.get(tier)) and score["total"]
    ]


def _of_perplexity(result: Mapping[str, Any]) -> list[Any]:
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type=_TASK,
            task_name="Language modeling",
            dataset_type=identity,
            dataset_name=", ".join(result["sources"]),
            dataset_split=result["split"],
            metric_type=kind,
            metric_value=round(float(figures[key]), 4),
            metric_name=f"{reader}: {words}",
        )
        for identity in dataset_ids(result["sources"])[:1]
        for reader, figures in result["readers"].items()
        if reader in ("memory", "no memory")
        for kind, key, words in (
            ("perplexity", "word_perplexity", "perplexity a word"),
            ("accuracy", "accuracy", "next token right"),
        )
    ]


def _read(file: Path, model: str) -> Mapping[str, Any]:
    """The result in ``file``; of figures, the model's recall."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise VardaError(f"{file} cannot be read as JSON ({error}).") from error
    if isinstance(found, dict) and "models" in found:
        models = found["models"]
        found = models.get(model, {}).get("recall") if isinstance(models, dict) else None
        if found is None:
            raise VardaError(f"{file} has no figures of recall for {model}.")
    if not isinstance(found, dict):
        raise VardaError(f"{file} holds no result of varda-eval.")
    return found


def _title(text: str) -> str:
    found = re.search(r"^# (.+)$", text, re.MULTILINE)
    return found[1].strip() if found else ""
