"""A hub of our own that checks a card's metadata by the rules of
https://github.com/huggingface/hub-docs/blob/main/modelcard.md, as the real one does before it takes a card."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlparse

import yaml

from tests.helpers.hub import Hub

LICENCES = {"apache-2.0", "mit", "bsd-3-clause", "cc-by-4.0", "cc-by-sa-4.0", "cc0-1.0", "gpl-3.0", "other"}
"""Of https://huggingface.co/docs/hub/repositories-licenses, those that a card of ours could name."""
_ID = re.compile(r"(?:[\w-]+/)?[\w.-]+", re.ASCII)
_REQUIRED = {"task": ("type",), "dataset": ("type", "name")}


def problems(content: str) -> list[str]:
    """What is wrong with the metadata of a card."""
    block = re.match(r"---\n(.*?)\n---\n", content, re.DOTALL)
    if block is None:
        return ["no metadata"]
    data = yaml.safe_load(block[1])
    found = [f"license: {data.get('license')}"] if data.get("license") not in LICENCES else []
    link = str(data.get("license_link", ""))
    if data.get("license") == "other" and not re.fullmatch(r"[a-z0-9.-]+", str(data.get("license_name", ""))):
        found.append("license_name")
    if (link or data.get("license") == "other") and link not in ("LICENSE", "LICENSE.md") and not urlparse(link).netloc:
        found.append("license_link")
    for key in ("datasets", "metrics", "tags"):
        each = data.get(key, [])
        if not isinstance(each, list) or not all(isinstance(one, str) and _ID.fullmatch(one) for one in each):
            found.append(f"{key}: {each}")
    if not re.fullmatch(r"[a-z]{2,3}", str(data.get("language"))):
        found.append("language")
    for model in data.get("model-index", []):
        if not isinstance(model.get("name"), str) or not model.get("results"):
            found.append("model-index")
        found += [problem for result in model.get("results", []) for problem in _of_result(result)]
    return found


def _of_result(result: dict[str, Any]) -> list[str]:
    found = [f"{part}.{key}" for part, keys in _REQUIRED.items() for key in keys if not result.get(part, {}).get(key)]
    found += [f"dataset.type: {result['dataset']['type']}"] * (not _ID.fullmatch(result["dataset"]["type"]))
    for metric in result.get("metrics") or [{}]:
        if not isinstance(metric.get("type"), str) or not isinstance(metric.get("value"), int | float):
            found.append(f"metric: {metric}")
    return found


class CheckingHub(Hub):
    """Takes a token, and refuses cards that break the rules."""

    def do_POST(self) -> None:  # noqa: N802 - its name in http.server
        checks = self.path == "/api/validate-yaml"
        if not checks and self.headers.get("Authorization") != "Bearer hf_of_somebody":
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._answer({"error": "Invalid username or password."}, 401)
        elif checks:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            wrong = problems(body["content"])
            answer: dict[str, object] = {"errors": [{"message": each} for each in wrong], "warnings": []}
            self._answer(answer, 400 if wrong else 200)
        else:
            super().do_POST()
