"""The figures that the documents quote: one JSON file, put together from the results of single measurements.

Each result of ``varda-eval CHECKPOINT MEASURE --json FILE`` says in ``about`` which checkpoint and which weights it is
of. ``varda-eval figures FILE --add RESULT`` adds it, so that measurements may run apart, on any machine, in any order.
The file holds ``notes[measure]``, what a reader of these figures must know, written by hand; and for each of ``models``
the ``fingerprint`` of its weights, its ``thresholds``, ``parts`` (what was run and when, by measure) and by measure
what is kept of the results: everything but the single exchanges.

Results of other weights or thresholds replace all that was there of the model. Those of ``recall`` and ``influence``
are merged tier by tier, where facts, people and seed are the same; otherwise the tier is replaced.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from varda_chat.errors import DataError

KEPT: dict[str, tuple[str, ...]] = {
    "recall": ("tasks", "conditions", "distractors", "paired", "answers", "economy"),
    "spared": ("threshold", "seed", "totals", "kinds"),
    "influence": ("tiers",),
    "introductions": ("stored", "read", "right", "by_chance", "tokens", "stored_tokens"),
    "retrieval": ("conversations", "questions", "unanswerable", "seed", "systems"),
    "conversation": ("kinds", "all", "faults"),
}
"""What is kept of each measure's result."""
BY_TIER = ("recall", "influence")
SETTINGS = ("facts", "per_person", "seed")
"""Of a tier: what must be the same for two results to belong together."""
IDENTITY = ("fingerprint", "thresholds")
"""Of a model: what must be the same for two results to be of the same one."""

Figures = dict[str, Any]


def read_figures(path: Path) -> Figures:
    """The figures in ``path``; none where there is no such file. Raises DataError for another kind of file."""
    if not path.exists():
        return {"notes": {}, "models": {}}
    found = _read(path)
    if set(found) != {"notes", "models"}:
        raise DataError(f"{path} does not hold figures: its keys are not notes and models.")
    return found


def write_figures(figures: Figures, path: Path) -> None:
    """Write them, models and measures in alphabetical order."""
    models = {name: dict(sorted(model.items())) for name, model in sorted(figures["models"].items())}
    ordered = {"notes": dict(sorted(figures["notes"].items())), "models": models}
    path.write_text(json.dumps(ordered, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def read_result(path: Path) -> dict[str, Any]:
    """The result of one measurement. Raises DataError where it does not say what it is of."""
    found = _read(path)
    about = found.get("about")
    if not isinstance(about, dict) or about.get("measure") not in KEPT:
        known = ", ".join(KEPT)
        raise DataError(f"{path} is no result of varda-eval CHECKPOINT MEASURE --json with a measure of {known}.")
    return found


def add(figures: Figures, result: Mapping[str, Any]) -> None:
    """Add one result; see the module."""
    about = result["about"]
    measure, identity = about["measure"], {name: about[name] for name in IDENTITY}
    model = figures["models"].get(about["checkpoint"], {})
    if not identity.items() <= model.items():
        model = figures["models"][about["checkpoint"]] = {**identity, "parts": {}}
    part = {name: about[name] for name in ("command", "date")} | {"tiers": result.get("settings", {}).get("tiers", [])}
    new = {name: result[name] for name in KEPT[measure] if name in result}
    parts = model["parts"].get(measure, [])
    if measure not in BY_TIER:
        model[measure], parts = new, []
    else:
        old = model.get(measure, {"settings": {}})
        settings = {name: result["settings"][name] for name in SETTINGS}
        for tier in result["settings"]["tiers"]:
            if old["settings"].get(tier, settings) != settings:
                old = _without(old, tier)
                parts = [each | {"tiers": [one for one in each["tiers"] if one != tier]} for each in parts]
            old["settings"][tier] = settings
        if measure == "recall" and result["settings"]["distractors"][0] > 0:
            # the memory was asked among distractors there, the controls were not
            new = {name: value for name, value in new.items() if name not in ("conditions", "paired", "answers")}
        model[measure] = _merged(old, new)
        parts = [each for each in parts if each["tiers"] and each["command"] != part["command"]]
    model["parts"][measure] = sorted([*parts, part], key=lambda each: str(each["command"]))


def _merged(old: Any, new: Any) -> Any:
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return new
    return old | {key: _merged(old[key], value) if key in old else value for key, value in new.items()}


def _without(found: Any, tier: str) -> Any:
    """``found`` without what any of its objects has under ``tier``."""
    if not isinstance(found, dict):
        return found
    return {key: _without(value, tier) for key, value in found.items() if key != tier}


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}.") from error
    if not isinstance(found, dict):
        raise DataError(f"{path} does not hold a JSON object.")
    return found
