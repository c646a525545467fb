"""Sentence vectors of all-MiniLM-L6-v2, where its package is installed, as a baseline of retrieval."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from training.sentence_encoder import packaged_archive, packaged_encoder


def has_minilm() -> bool:
    """Whether the weights are installed."""
    return packaged_archive() is not None


def minilm_vectors(texts: list[str]) -> npt.NDArray[np.float32]:
    """Unit vectors (n, 384) of ``texts``."""
    vectors: npt.NDArray[np.float32] = packaged_encoder()(texts).numpy()
    return vectors
